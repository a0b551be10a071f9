"""The paper exchange as a process of its own, for tests: started, logged in to, driven by its own door, killed."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp

ROOT = Path(__file__).resolve().parent.parent
_START = "import sys; from app.simulator.main import main; sys.exit(main(sys.argv[1:]))"
_SECONDS = 20.0


class PaperExchange:
    """`simulate` in a subprocess. Use it as a context manager; `restart` after `kill` keeps the options."""

    def __init__(self, *options: str, credentials: dict[str, str] | None = None) -> None:
        self._options = options
        self._given = credentials
        self.line: dict[str, str] = {}
        """What it printed."""
        self.access_token = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        options = [*self._options] + (["--credentials", "-"] if self._given else [])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._given:
            self._process.stdin.write(json.dumps(self._given) + "\n")
        self._process.stdin.close()
        printed = self._process.stdout.readline()
        assert printed, f"simulate ended with {self._process.wait(_SECONDS)} before it said anything"
        self.line = {**json.loads(printed)["zerodha"], **(self._given or {})}
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """Asks it to end; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """As a power cut would."""
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        code = process.wait(_SECONDS)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def restart(self) -> Self:
        """Kill, and start again with the same options."""
        self.kill()
        return self.start()

    # -- as the trader

    def client(self, *, logged_in: bool = True) -> httpx.Client:
        """An HTTP client of the API, with the session's header."""
        headers = {"X-Kite-Version": "3"}
        if logged_in:
            headers["Authorization"] = f"token {self.line['api_key']}:{self.access_token or self.login()}"
        verify: Any = True
        if "ca_file" in self.line:
            import ssl

            verify = ssl.create_default_context(cafile=self.line["ca_file"])
        return httpx.Client(
            base_url=self.line["api_url"], headers=headers, trust_env=False, timeout=_SECONDS, verify=verify
        )

    def request_token(self, params: str = "") -> str:
        """What the login page hands out, filled in as a trader does."""
        line = self.line
        with self.client(logged_in=False) as http:
            form = {"api_key": line["api_key"], "redirect_params": params}
            page = http.post(line["login_url"], data={**form, "user_id": line["user_id"], "password": line["password"]})
            found = re.search(r'name="attempt" value="([^"]+)"', page.text)
            assert found, page.text
            code = pyotp.TOTP(line["totp_secret"]).now()
            answer = http.post(line["login_url"], data={**form, "attempt": found[1], "totp": code})
        return parse_qs(urlsplit(answer.headers["location"]).query)["request_token"][0]

    def login(self) -> str:
        """The whole way to an access token."""
        line, token = self.line, self.request_token()
        checksum = hashlib.sha256(f"{line['api_key']}{token}{line['api_secret']}".encode()).hexdigest()
        with self.client(logged_in=False) as http:
            form = {"api_key": line["api_key"], "request_token": token, "checksum": checksum}
            answer = http.post("/session/token", data=form)
        self.access_token = answer.json()["data"]["access_token"]
        return self.access_token

    # -- by its own door

    def admin(self, method: str, path: str, document: object = None) -> Any:
        """One call under /simulator/."""
        with self.client(logged_in=False) as http:
            answer = http.request(method, f"/simulator/{path}", json=document)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def book(self) -> Any:
        """Everything it knows."""
        return self.admin("GET", "book")

    def print_price(self, key: str, price: float) -> None:
        """A trade prints."""
        self.admin("PUT", "market", {key: price})
