"""The paper exchange that speaks Upstox, and our adapter logged in to it as a trader would."""

from __future__ import annotations

import html
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pyotp
import pytest

from app.brokers.base import Credentials, Session
from app.brokers.login_state import LoginAttempts
from app.brokers.registry import Registry
from app.brokers.upstox.adapter import UpstoxSession
from app.domain.account import Endpoints
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from tests.fakes.browser import browser
from tests.fakes.paper_exchange import ROOT

A = AccountId("upstox-paper")
FACTORY = Registry().factory("upstox")
_RUN = "import sys; from app.simulator.main import main; sys.exit(main(sys.argv[1:]))"
_HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


class Upstox:
    """A running exchange and what its line said of its Upstox side."""

    def __init__(self, line: dict[str, str]) -> None:
        self.line = line
        self.credentials = Credentials(line["api_key"], Secret(line["api_secret"]))
        self.endpoints = Endpoints(
            line["api_url"], line["login_url"], line["ws_url"], line["redirect_url"], line.get("ca_file", "")
        )
        self._trust = ssl.create_default_context(cafile=self.endpoints.ca_file or None)

    async def browse(self, login_url: str) -> str:
        """Fills in the dialog's pages as a trader does; the address that it redirects to."""
        typed = (
            {"user_id": self.line["mobile"]},
            {"totp": pyotp.TOTP(self.line["totp_secret"]).now()},
            {"pin": self.line["password"]},
        )
        async with browser(headers={"User-Agent": "Browser/1"}, verify=self._trust) as opened:
            page = await opened.get(login_url)
            for fields in typed:
                hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
                page = await opened.post(self.line["login_url"], data={**hidden, **fields})
        assert page.status_code == 302, page.text
        return page.headers["location"]

    async def log_in(self) -> Session:
        """The whole way of a login."""
        attempts = LoginAttempts()
        attempt = attempts.begin(A, self.endpoints.redirect_url)
        login = FACTORY.login(A, self.credentials, self.endpoints)
        arrived = await self.browse(login.login_url(attempt.state))
        return await login.exchange(attempts.check(A, arrived, FACTORY.info.redirect_parameter))

    async def control(self, method: str, path: str, body: object = None) -> object:
        """The exchange's own switches."""
        async with browser(headers={"User-Agent": "Test/1"}, verify=self._trust) as client:
            answer = await client.request(method, f"{self.line['api_url']}/simulator{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def upstox_exchange(*arguments: str) -> Iterator[Upstox]:
    """Starts one on a free port; it is gone afterwards, whatever happened."""
    command = [sys.executable, "-c", _RUN, "--port", "0", "--broker", "upstox", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the exchange did not start: exit code {process.wait(10)}"
        yield Upstox(json.loads(line)["upstox"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def exchange() -> Iterator[Upstox]:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as running:
        yield running


@pytest.fixture
async def broker(exchange: Upstox) -> AsyncIterator[UpstoxSession]:
    session = FACTORY.session(await exchange.log_in(), exchange.credentials, exchange.endpoints)
    assert isinstance(session, UpstoxSession)
    await session.instruments()
    yield session
    await session.close()
