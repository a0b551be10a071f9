"""Finnhub over HTTP: one request a symbol, the key in a header so that no address ever carries it."""

from __future__ import annotations

from collections.abc import Mapping

from app.brokers.documents import decode_json
from app.brokers.finnhub.codec import failure_from, symbol_of, tick_from
from app.brokers.http import HttpClient
from app.brokers.quote_providers import shipped_provider
from app.domain.errors import BadAnswer, NotPermitted
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.runtime.clock import SystemClock
from app.runtime.secret import Secret

KEY_HEADER = "X-Finnhub-Token"


class FinnhubFactory:
    """Known without a key."""

    def __init__(self) -> None:
        self.info = shipped_provider("finnhub")
        self._suffixes = dict(self.info.suffixes)

    def covers(self, instrument: Instrument) -> bool:
        """Shares of the exchanges whose suffix is known."""
        return symbol_of(instrument, self._suffixes) is not None

    def open(self, key: Secret, api_url: str) -> Finnhub:
        """Nothing is asked yet."""
        return Finnhub(self._suffixes, self.info.probe, key, api_url)


class Finnhub:
    """Implements `quote_providers.QuoteProvider`."""

    def __init__(self, suffixes: Mapping[str, str], probe: str, key: Secret, api_url: str) -> None:
        self._suffixes = suffixes
        self._probe = probe
        self._clock = SystemClock()
        self._http = HttpClient(api_url, headers={KEY_HEADER: key.reveal()})

    async def quote(self, instrument: Instrument) -> Tick | None:
        """The last price; None for what it does not know or does not quote."""
        symbol = symbol_of(instrument, self._suffixes)
        if symbol is None:
            return None
        return tick_from(await self._ask(symbol), instrument, self._clock.now())

    async def probe(self) -> None:
        """A share that trades every day: its price must be there."""
        answer = await self._ask(self._probe)
        if not isinstance(answer, dict) or not answer.get("c"):
            raise NotPermitted(
                "Finnhub takes the key and knows no price of Indian shares.", "Ask Finnhub which plan has them."
            )

    async def close(self) -> None:
        """Its connections."""
        await self._http.close()

    async def _ask(self, symbol: str) -> object:
        answer = await self._http.request("GET", "/quote", params=[("symbol", symbol)])
        try:
            told = decode_json(answer.body)
        except BadAnswer:
            if answer.status == 200:
                raise
            told = None
        if answer.status != 200:
            shown = told if isinstance(told, dict) else None
            raise failure_from(answer.status, shown, answer.headers.get("retry-after", ""))
        return told
