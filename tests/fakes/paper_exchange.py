"""The shipped paper exchange as a process of its own, and a browser's way through its login page."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp

from app.brokers.base import Credentials
from app.domain.account import Endpoints
from app.runtime.secret import Secret
from tests.fakes.browser import browser

ROOT = Path(__file__).resolve().parents[2]
_RUN = "import sys; from app.simulator.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class PaperExchange:
    """A running exchange and what its one JSON line said."""

    process: subprocess.Popen[str]
    line: dict[str, str]

    @property
    def credentials(self) -> Credentials:
        """Of its one app."""
        return Credentials(self.line["api_key"], Secret(self.line["api_secret"]))

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        line = self.line
        return Endpoints(
            line["api_url"], line["login_url"], line["ws_url"], line["redirect_url"], line.get("ca_file", "")
        )

    def kill(self) -> None:
        """As a crash or a power cut would."""
        self.process.kill()
        self.process.wait()

    async def log_in(self, login_url: str, *, cancel: bool = False) -> str:
        """Fills in the login page as a browser would; the address that it redirects to."""
        code = pyotp.TOTP(self.line["totp_secret"])
        trust = ssl.create_default_context(cafile=self.endpoints.ca_file or None)
        async with browser(verify=trust) as opened:
            page = await opened.get(login_url)
            address = self.line["login_url"]
            fields = _hidden(page.text)
            if cancel:
                reply = await opened.post(address, data={**fields, "action": "cancel"})
            else:
                password = {"user_id": self.line["user_id"], "password": self.line["password"]}
                page = await opened.post(address, data={**fields, **password})
                reply = await opened.post(address, data={**_hidden(page.text), "totp": code.now()})
        assert reply.status_code == 302, reply.text
        return reply.headers["location"]

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Its own switches under `/simulator`."""
        async with browser() as client:
            answer = await client.request(method, f"{self.line['api_url']}/simulator{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def paper_exchange(*arguments: str) -> Iterator[PaperExchange]:
    """Starts one on a free port; it is gone afterwards, whatever happened."""
    command: Sequence[str] = [sys.executable, "-c", _RUN, "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the exchange did not start: exit code {process.wait(10)}"
        yield PaperExchange(process, json.loads(line)["zerodha"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _hidden(page: str) -> dict[str, str]:
    """The hidden fields of a form."""
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        if 'type="hidden"' in tag or "type=hidden" in tag:
            name, value = re.search(r'name="?([\w]+)', tag), re.search(r'value="([^"]*)"', tag)
            if name:
                found[name.group(1)] = value.group(1) if value else ""
    return found


async def eventually(check: Any, within: float = 10.0) -> Any:
    """The first true result of a coroutine function; fails when there is none in time."""
    async with asyncio.timeout(within):
        while not (result := await check()):  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.02)  # another process: there is no event to wait for
    return result
