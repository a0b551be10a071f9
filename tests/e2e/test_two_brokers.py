"""A fresh profile with an account at each of the two Indian brokers, by the command line alone."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pyotp
import pytest

from tests.exchange import eventually, hidden
from tests.program import program

pytestmark = pytest.mark.e2e

PASSPHRASE = "a long passphrase for two brokers"
_HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


class Brokers:
    """One exchange behind both wires, as brokers' customers see it."""

    def __init__(self, folder: Path) -> None:
        command = [*program(), "simulate", "--broker", "both", "--port", "0", "--state", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told: dict[str, dict[str, str]] = json.loads(self._process.stdout.readline())
        self.zerodha, self.upstox = told["zerodha"], told["upstox"]
        self._web = httpx.Client(trust_env=False, headers={"User-Agent": "Browser/1"})

    def close(self) -> None:
        self._web.close()
        self._process.terminate()
        assert self._process.wait(20) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kite_request_token(self) -> str:
        line = self.zerodha
        page = self._web.get(f"{line['login_url']}?{urlencode({'v': '3', 'api_key': line['api_key']})}")
        for typed in (
            {"user_id": line["user_id"], "password": line["password"]},
            {"totp": pyotp.TOTP(line["totp_secret"]).now()},
        ):
            page = self._web.post(line["login_url"], data={**hidden(page.text), **typed})
        return parse_qs(urlsplit(page.headers["location"]).query)["request_token"][0]

    def upstox_code(self) -> str:
        line = self.upstox
        query = {"client_id": line["api_key"], "redirect_uri": line["redirect_url"], "response_type": "code"}
        page = self._web.get(f"{line['login_url']}?{urlencode(query)}")
        for typed in (
            {"user_id": line["mobile"]},
            {"totp": pyotp.TOTP(line["totp_secret"]).now()},
            {"pin": line["password"]},
        ):
            inside = {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
            page = self._web.post(line["login_url"], data={**inside, **typed})
        return parse_qs(urlsplit(page.headers["location"]).query)["code"][0]

    def trade_at_zerodha(self, symbol: str, side: str, quantity: int) -> None:
        line = self.zerodha
        token = self.kite_request_token()
        checksum = hashlib.sha256(f"{line['api_key']}{token}{line['api_secret']}".encode()).hexdigest()
        form = {"api_key": line["api_key"], "request_token": token, "checksum": checksum}
        session = self._web.post(f"{line['api_url']}/session/token", data=form).json()["data"]
        order = {
            "exchange": "NSE", "tradingsymbol": symbol, "transaction_type": side, "order_type": "MARKET",
            "quantity": quantity, "product": "MIS", "validity": "DAY", "market_protection": 3,
        }  # fmt: skip
        head = {"X-Kite-Version": "3", "Authorization": f"token {line['api_key']}:{session['access_token']}"}
        answer = self._web.post(f"{line['api_url']}/orders/regular", data=order, headers=head)
        assert answer.status_code == 200, answer.text

    def book(self) -> Any:
        return self._web.get(f"{self.zerodha['api_url']}/simulator/book").json()


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Brokers]:
    running = Brokers(tmp_path / "exchange")
    yield running
    running.close()


def stopline(profile: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one JSON object of a command."""
    done = subprocess.run(
        [*program(), *arguments, "--profile", str(profile), "--json"],
        env={**os.environ, "STOPLINE_PASSPHRASE": PASSPHRASE},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def connect(profile: Path, broker: str, line: dict[str, str], token: str, secret: Path) -> None:
    secret.write_text(line["api_secret"])
    where = [f"--{name}={line[name.replace('-', '_')]}" for name in ("api-url", "login-url", "ws-url", "redirect-url")]
    keys = ["--api-key", line["api_key"], "--api-secret-file", str(secret), "--request-token", token]
    code, told = stopline(profile, "connect", broker, *keys, *where)
    assert code == 0, told


def test_the_trades_of_both_brokers_come_home_once(tmp_path: Path, brokers: Brokers) -> None:
    profile = tmp_path / "profile"
    assert stopline(profile, "sync")[0] == 2  # nothing is connected yet
    for side, quantity in (("BUY", 10), ("SELL", 4)):
        brokers.trade_at_zerodha("RELIANCE", side, quantity)
    made = _until_filled(brokers, 2)
    connect(profile, "zerodha", brokers.zerodha, brokers.kite_request_token(), tmp_path / "z")
    connect(profile, "upstox", brokers.upstox, brokers.upstox_code(), tmp_path / "u")

    code, first = stopline(profile, "sync")
    assert code == 0, first
    accounts = {account["account"].partition("-")[0]: account for account in first["accounts"]}
    assert set(accounts) == {"zerodha", "upstox"}
    # The same book of orders stands behind both wires: each broker tells all of it.
    assert {name: account["created"] for name, account in accounts.items()} == {"zerodha": made, "upstox": made}

    code, second = stopline(profile, "sync")
    assert code == 0
    assert [(a["created"], a["updated"], a["skipped"]) for a in second["accounts"]] == [(0, 0, made), (0, 0, made)]


def _until_filled(brokers: Brokers, orders: int) -> int:
    """The market fills within moments, perhaps in parts. How many fills there are."""
    eventually(lambda: sum(order["status"] == "COMPLETE" for order in brokers.book()["orders"]) >= orders)
    return len(brokers.book()["trades"])
