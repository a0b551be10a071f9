"""The paper exchange with its Upstox wire as a process of its own, for tests: started, logged in to, driven, ended."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp

from tests.paper_exchange import ROOT

_START = "import sys; from app.simulator.main import main; sys.exit(main(sys.argv[1:]))"
_SECONDS = 20.0
_HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


class UpstoxExchange:
    """`simulate --broker upstox` in a subprocess. Use it as a context manager."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-c", _START, "--broker", "upstox", *options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        printed = self._process.stdout.readline()
        assert printed, f"simulate ended with {self._process.wait(_SECONDS)} before it said anything"
        self.line: dict[str, str] = json.loads(printed)["upstox"]
        self.http = httpx.Client(
            base_url=self.line["api_url"], headers={"User-Agent": "Stopline-Tests/1"}, trust_env=False, timeout=_SECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self._process.terminate()
        self._process.wait(_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def code(self) -> str:
        """What the dialog hands out, filled in as a trader does."""
        line = self.line
        asked = {"response_type": "code", "client_id": line["api_key"], "redirect_uri": line["redirect_url"]}
        page = self.http.get(line["login_url"], params=asked)
        for typed in (
            {"user_id": line["mobile"]},
            {"totp": pyotp.TOTP(line["totp_secret"]).now()},
            {"pin": line["password"]},
        ):
            hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}
            page = self.http.post(line["login_url"], data={**hidden, **typed})
        return parse_qs(urlsplit(page.headers["location"]).query)["code"][0]

    def admin(self, method: str, path: str, document: object = None) -> Any:
        """One call under /simulator/."""
        answer = self.http.request(method, f"/simulator/{path}", json=document)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def print_price(self, key: str, price: float) -> None:
        """A trade prints."""
        self.admin("PUT", "market", {key: price})
