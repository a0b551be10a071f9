"""A paper exchange process for tests: started, killed, started again; its own door for prices, clock and book."""

from __future__ import annotations

import csv
import http.client
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pyotp

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0


class PaperExchange:
    """`python main.py simulate` as a subprocess."""

    def __init__(self, state: Path | None = None, *options: str) -> None:
        self._command = [sys.executable, str(ROOT / "main.py"), "simulate", *options]
        if state is not None:
            self._command += ["--state", str(state)]
        self._process: subprocess.Popen[bytes] | None = None
        self.urls: dict[str, str] = {}

    def start(self) -> Self:
        """Returns when it serves."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.urls = json.loads(line)["zerodha"]
        return self

    def kill(self) -> None:
        """As a power cut."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> None:
        """Politely."""
        if self._process is not None:
            self._process.terminate()
            self._reap()

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait(20)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- its own door ------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request to the exchange's own door."""
        where = urlsplit(self.urls["api_url"])
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (path, answer.status, text)
            return json.loads(text)
        finally:
            connection.close()

    def price(self, **prices: float) -> None:
        """Prints a trade at each price: `price(**{"NSE:INFY": 1480.0})`."""
        self.call("PUT", "/simulator/market", prices)

    def book(self) -> dict[str, Any]:
        """Orders, trades, positions as the exchange has them."""
        answer: dict[str, Any] = self.call("GET", "/simulator/book")
        return answer

    def faults(self, *specs: str) -> None:
        """Replaces the scripted faults."""
        self.call("PUT", "/simulator/faults", {"faults": list(specs)})

    def exits(self, symbol: str, side: str = "SELL") -> list[dict[str, Any]]:
        """The orders of one side in an instrument that were not refused."""
        return [
            order
            for order in self.book()["orders"]
            if order["tradingsymbol"] == symbol and order["transaction_type"] == side and order["status"] != "REJECTED"
        ]

    def quantity(self, symbol: str) -> int:
        """Net units over all products."""
        return sum(row["quantity"] for row in self.book()["net"] if row["tradingsymbol"] == symbol)

    def log_in(self, state: str = "") -> str:
        """Passes the login page as a browser would. Returns the address that it redirects to."""
        where = urlsplit(self.urls["login_url"])
        query = {"v": "3", "api_key": self.urls["api_key"], "redirect_params": urlencode({"state": state})}
        page, _ = self._page("GET", f"{where.path}?{urlencode(query)}")
        typed = {"user_id": self.urls["user_id"], "password": self.urls["password"]}
        page, _ = self._page("POST", where.path, {**hidden(page), **typed})
        code = pyotp.TOTP(self.urls["totp_secret"]).now()
        _, location = self._page("POST", where.path, {**hidden(page), "totp": code})
        return location

    def _page(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[str, str]:
        """(text, address it redirects to) of a page."""
        where = urlsplit(self.urls["login_url"])
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        try:
            form = {"Content-Type": "application/x-www-form-urlencoded"} if fields is not None else {}
            connection.request(method, path, urlencode(fields or {}) or None, form)
            answer = connection.getresponse()
            return answer.read().decode(), answer.getheader("Location") or ""
        finally:
            connection.close()


def closes() -> dict[str, float]:
    """Yesterday's closes of the shipped sample, in rupees, by instrument; near these the random market begins."""
    with (ROOT / "resources" / "samples" / "instruments.csv").open(encoding="utf-8") as sample:
        return {
            f"{row['exchange']}:{row['tradingsymbol']}": float(row["previous_close"] or 0)
            for row in csv.DictReader(sample)
        }


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a form."""
    found = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    fields = {}
    for tag in found:
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name and value:
            fields[name.group(1)] = value.group(1)
    return fields


def eventually(check: Any, seconds: float = 30.0, every: float = 0.05) -> Any:
    """The first true answer of `check`; fails with its last one when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(every)
