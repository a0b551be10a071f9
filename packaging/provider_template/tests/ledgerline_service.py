"""Ledgerline itself, as far as the provider needs it: a little HTTP service on this machine. Shares no code with it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

KEY, SECRET, CLIENT = "LL-0123ABCD", "ledgerline-secret-4711", {"id": "LL42", "name": "Asha Rao"}
NOW, DAY = "2026-11-20T11:00:00+05:30", "2026-11-20"
REDIRECT = "http://127.0.0.1:1/ledgerline"
PAGE_SIZE = 50
INFY = {"exchange": "NSE", "symbol": "INFY"}
NIFTY = {"exchange": "NFO", "symbol": "NIFTY26NOVFUT"}


def _fill(number: int, day: str, side: str, what: dict[str, str], quantity: int, price: str) -> dict[str, Any]:
    product = "carry" if what is NIFTY else "delivery"
    fill = {"id": str(number), "order": f"19{number:017}", "side": side, "product": product, **what}
    return {**fill, "quantity": quantity, "price": price, "at": f"{day}T10:{number % 60:02}:00+05:30", "date": day}


TODAY = [_fill(1, DAY, "buy", INFY, 10, "1480.05"), _fill(2, DAY, "sell", NIFTY, 75, "24712.35")]
PAST = [_fill(n, f"2026-{n % 9 + 1:02}-{n % 27 + 1:02}", "buy", INFY, n, f"{1400 + n}.05") for n in range(1, 121)]
ORDERS = [
    {
        "id": fill["order"],
        "exchange": fill["exchange"],
        "symbol": fill["symbol"],
        "side": fill["side"],
        "product": fill["product"],
        "type": "limit",
        "status": "done",
        "quantity": fill["quantity"],
        "filled": fill["quantity"],
        "price": fill["price"],
        "average": fill["price"],
        "at": fill["at"],
    }
    for fill in TODAY
]
POSITION = {
    **NIFTY,
    "product": "carry",
    "quantity": -75,
    "average": "24712.35",
    "last": "24700.00",
    "close": "24685.50",
    "bought": 0,
    "bought_for": "0",
    "sold": 75,
    "sold_for": "1853426.25",
}
HOLDING = {
    **INFY,
    "isin": "INE009A01021",
    "quantity": 40,
    "coming": 10,
    "average": "1402.3333",
    "last": "1480.05",
    "close": "1475.00",
}
INSTRUMENTS = [
    {**INFY, "number": 1594, "name": "INFOSYS", "tick": "0.05", "lot": 1},
    {**NIFTY, "number": 43919, "name": "NIFTY", "tick": "0.05", "lot": 75},
]
PUBLIC = {
    "/v1/clock": {"now": NOW},
    "/v1/instruments": {"instruments": INSTRUMENTS},
}
PRIVATE = {
    "/v1/me": CLIENT,
    "/v1/funds": {"available": "250000.50", "used": "18000.25", "opening_balance": "268000.75"},
    "/v1/orders": {"orders": ORDERS},
    "/v1/fills": {"fills": TODAY},
    "/v1/positions": {"positions": [POSITION]},
    "/v1/holdings": {"holdings": [HOLDING]},
}


class Ledgerline(ThreadingHTTPServer):
    """The service. `kill_sessions` is what happens to them at five in the morning."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes: set[str] = set()
        self.tokens: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def kill_sessions(self) -> None:
        """Every token is dead."""
        self.tokens.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Ledgerline

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""

    def do_GET(self) -> None:  # the name is http.server's
        """The login page, and reads."""
        where = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        if where.path == "/login":
            self._log_in(query)
        elif where.path in PUBLIC:
            self._answer(200, PUBLIC[where.path])
        elif not self._token() & self.server.tokens:
            self._refuse(401, "no_session", "there is no such session")
        elif where.path in PRIVATE:
            self._answer(200, PRIVATE[where.path])
        elif where.path == "/v1/fills/past":
            self._answer(200, _page(query["from"], query["to"], int(query["page"])))
        elif where.path.startswith("/v1/orders/"):
            found = [order for order in ORDERS if order["id"] == where.path.rpartition("/")[2]]
            self._answer(200, {"orders": found}) if found else self._refuse(404, "unknown", "no such order")
        else:
            self._refuse(404, "unknown", "no such thing")

    def do_POST(self) -> None:
        """A code for a session."""
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if (told["key"], told["secret"]) != (KEY, SECRET) or told["code"] not in self.server.codes:
            self._refuse(403, "bad_login", "key, secret or code is wrong")
            return
        self.server.codes.remove(told["code"])
        token = secrets.token_urlsafe(24)
        self.server.tokens.add(token)
        self._answer(200, {"token": token, "client": CLIENT, "issued": NOW, "expires": "2026-11-21T05:00:00+05:30"})

    def do_DELETE(self) -> None:
        """The session ends."""
        if not self._token() & self.server.tokens:
            self._refuse(401, "session_over", "the session is over")
            return
        self.server.tokens -= self._token()
        self._answer(200, {"ended": True})

    def _log_in(self, query: dict[str, str]) -> None:
        """A page that lets everybody in who knows a key: there is no password to try in a template."""
        code = secrets.token_urlsafe(12)
        self.server.codes.add(code)
        self.send_response(302)
        self.send_header("Location", f"{REDIRECT}?{urlencode({'code': code, 'state': query.get('state', '')})}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _token(self) -> set[str]:
        return {self.headers.get("Authorization", "").removeprefix("Bearer ")}

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._answer(status, {"error": {"code": code, "message": message}})

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _page(start: str, end: str, number: int) -> dict[str, Any]:
    found = [fill for fill in PAST if start <= fill["date"] <= end]
    rows = found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return {"fills": rows, "total": len(found), "page_size": PAGE_SIZE}


@contextmanager
def serving() -> Iterator[Ledgerline]:
    """The service on a free port, gone afterwards."""
    service = Ledgerline()
    thread = Thread(target=service.serve_forever, name="ledgerline", kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        thread.join()
        service.server_close()
