"""The provider on the bench: what the conformance suite is told of Ledgerline."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from urllib.parse import parse_qs, urlsplit

from ledgerline_service import KEY, REDIRECT, SECRET, Ledgerline, serving
from stopline_ledgerline import LedgerlineFactory

from app.brokers.base import Credentials, ReadFactory
from app.brokers.conformance.bench import Bench, Canned
from app.domain.account import Endpoints
from app.domain.ids import AccountId
from app.runtime.secret import Secret

DEADLINE = 1.0
"""Seconds; shorter than in life, so that the card about silence is quick."""


def refusal(status: int, code: str, **headers: str) -> Canned:
    """An error of Ledgerline's."""
    body = json.dumps({"error": {"code": code, "message": f"you are told {code}"}}).encode()
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return Canned(status, body, {"Content-Type": "application/json", **shown})


class LedgerlineBench(Bench):
    """Ledgerline on this machine."""

    account = AccountId("ledgerline-LL42")
    credentials = Credentials(KEY, Secret(SECRET))
    words: Mapping[str, Sequence[str]] = {
        "orders": ("side", "product", "type", "status", "exchange"),
        "order_history": ("status",),
        "fills": ("side", "product", "exchange"),
        "reported_fills": ("side",),
        "positions": ("product", "exchange"),
        "holdings": ("exchange",),
        "instruments": ("exchange",),
        "fills_between": ("side", "product", "exchange"),
    }
    too_many = refusal(429, "slow_down", Retry_After="7")
    not_permitted = (refusal(403, "plan"), refusal(403, "address"))
    history = (date(2026, 1, 1), date(2026, 9, 30))

    def __init__(self, service: Ledgerline) -> None:
        self._service = service
        self.endpoints = Endpoints(service.url, f"{service.url}/login", "ws://127.0.0.1:1/none", REDIRECT)

    def factory(self) -> ReadFactory:
        """A new one."""
        return LedgerlineFactory(deadline=DEADLINE)

    async def one_time_token(self, login_url: str) -> str:
        """What the page redirects with."""
        return parse_qs(urlsplit(redirect_of(login_url)).query)["code"][0]

    async def expire(self) -> None:
        """Five in the morning."""
        self._service.kill_sessions()


def redirect_of(login_url: str) -> str:
    """Where the login page leads."""
    where = urlsplit(login_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
    try:
        connection.request("GET", f"{where.path}?{where.query}")
        return connection.getresponse().headers["Location"]
    finally:
        connection.close()


@contextmanager
def bench() -> Iterator[LedgerlineBench]:
    """For `--conform ledgerline_bench:bench`."""
    with serving() as service:
        yield LedgerlineBench(service)
