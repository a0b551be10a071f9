"""Finnhub's quote wire as a real server on loopback: keys, plans, limits, symbols that it knows and does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.fakes.scripted_server import ScriptedServer, Seen, answer

KEY = "canary-finnhub-key"
POOR = "canary-finnhub-free-plan"
"""A key without Indian exchanges."""
PREVIOUS = 1400.0
UNKNOWN: dict[str, float | None] = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}


@dataclass
class FinnhubPaper:
    """`async with FinnhubPaper() as finnhub: finnhub.url`."""

    prices: dict[str, float] = field(default_factory=lambda: {"RELIANCE.NS": 1450.05})
    traded_at: int = 1_795_000_000
    asked: list[str] = field(default_factory=list)
    refuse: bytes | None = None
    """Sent instead of an answer."""

    async def __aenter__(self) -> Self:
        self._server = ScriptedServer(self._answer)
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__(None, None, None)

    @property
    def url(self) -> str:
        """Of the API."""
        return f"{self._server.url}/api/v1"

    @property
    def seen(self) -> list[Seen]:
        """Requests as they came in."""
        return self._server.seen

    def _answer(self, request: Seen) -> bytes:
        if self.refuse is not None:
            return self.refuse
        address = urlsplit(request.path)
        if address.path != "/api/v1/quote":
            return refusal("404 Not Found", "Endpoint not found.")
        key = request.headers.get("x-finnhub-token")
        if key not in (KEY, POOR):
            return refusal("401 Unauthorized", "Invalid API key")
        (symbol,) = parse_qs(address.query)["symbol"]
        self.asked.append(symbol)
        if key == POOR and symbol.endswith((".NS", ".BO")):
            return refusal("403 Forbidden", "You don't have access to this resource.")
        last = self.prices.get(symbol)
        told: dict[str, float | None] = UNKNOWN
        if last is not None:
            told = {
                "c": last, "d": round(last - PREVIOUS, 2), "dp": round((last / PREVIOUS - 1) * 100, 4), "h": last + 5,
                "l": last - 5, "o": last - 1, "pc": PREVIOUS, "t": self.traded_at,
            }  # fmt: skip
        return answer(json.dumps(told).encode())


def refusal(status: str, words: str, extra: str = "") -> bytes:
    """An error as Finnhub words it."""
    return answer(json.dumps({"error": words}).encode(), status=status, extra=extra)
