"""Options with their Greeks, and contracts that have expired, at Upstox (option chain, option contract, option Greeks,
expired instruments; the last for Plus only). Loop thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from urllib.parse import quote

from app.brokers.upstox import chains
from app.brokers.upstox.instruments import listed_contract
from app.brokers.upstox.part import UpstoxPart, stretches
from app.domain.errors import BadAnswer, Denied
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval
from app.domain.options import GreekQuote, OptionChain
from app.runtime.clock import to_datetime

GREEK_KEYS = 50
"""Keys that a request for Greeks carries."""

CONTRACTS = 500
"""Instruments that one answer of a search carries; it is asked for in pages."""

SEARCH_PAGE = 30

_EXPIRED = "/v2/expired-instruments"
_INTERVALS: Mapping[Interval, tuple[str, int]] = {
    Interval.MINUTE: ("1minute", 28),
    Interval.MINUTES_3: ("3minute", 28),
    Interval.MINUTES_5: ("5minute", 28),
    Interval.MINUTES_15: ("15minute", 28),
    Interval.MINUTES_30: ("30minute", 89),
    Interval.DAY: ("day", 365),
}
"""Upstox's word for an interval of an expired contract, and days that one request may span."""


class UpstoxContracts(UpstoxPart):
    """Implements `market_parts.OptionSource` and `ExpiredSource`."""

    async def option_contracts(self, underlying: InstrumentId, expiry: date | None = None) -> Sequence[Instrument]:
        """Those that are listed, of one expiry or of all."""
        asked = [("instrument_key", self._key(underlying))]
        if expiry is not None:
            asked.append(("expiry_date", expiry.isoformat()))
        return await self._rest.rows("/v2/option/contract", listed_contract, params=asked)

    async def option_chain(self, underlying: InstrumentId, expiry: date) -> OptionChain:
        """Every strike of an expiry; empty when there is none."""
        known = self._directory.instrument(underlying)
        asked = [("instrument_key", known.key), ("expiry_date", expiry.isoformat())]
        rows = await self._rest.rows("/v2/option/chain", lambda row: row, params=asked)
        return chains.chain_from(rows, known, expiry, self._directory)

    async def greeks(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, GreekQuote]:
        """Of options. What the broker does not know is missing from the answer."""
        keys = [known.key for known in map(self._directory.get, instruments) if known is not None and known.is_option]
        found: dict[InstrumentId, GreekQuote] = {}
        for start in range(0, len(keys), GREEK_KEYS):
            asked = [("instrument_key", ",".join(keys[start : start + GREEK_KEYS]))]
            data = await self._rest.get("/v3/market-quote/option-greek", asked)
            found.update(await self._entries(data, chains.greek_quote))
        return found

    async def search(self, words: str, exchanges: Sequence[str] = ()) -> Sequence[Instrument]:
        """What the broker finds by words in its whole list, by its own ranking."""
        found: list[Instrument] = []
        page = 1
        while True:
            asked = [("query", words), ("page_number", str(page)), ("records", str(SEARCH_PAGE))]
            if exchanges:
                asked.append(("exchanges", ",".join(exchanges)))
            document = await self._rest.document("/v2/instruments/search", asked)
            rows = document["data"]
            if not isinstance(rows, list):
                raise BadAnswer("The broker's search cannot be read.", detail=type(rows).__name__)
            found += map(listed_contract, rows)
            if len(rows) < SEARCH_PAGE or len(found) >= CONTRACTS:
                return found
            page += 1

    # -- expired -----------------------------------------------------------------------------------------------------

    async def expiries(self, underlying: InstrumentId) -> Sequence[date]:
        """Past ones that the broker remembers, oldest first. Raises PlanRefused without Plus."""
        asked = [("instrument_key", self._key(underlying))]
        return chains.expiries_from(await self._rest.get(f"{_EXPIRED}/expiries", asked))

    async def expired_contracts(self, underlying: InstrumentId, expiry: date) -> Sequence[Instrument]:
        """Options and futures of a past expiry. Raises PlanRefused without Plus."""
        asked = [("instrument_key", self._key(underlying)), ("expiry_date", expiry.isoformat())]
        found: list[Instrument] = []
        for kind in ("future", "option"):
            found += await self._rest.rows(
                f"{_EXPIRED}/{kind}/contract", lambda row: listed_contract(row, active=False), params=asked
            )
        return found

    async def expired_candles(
        self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos
    ) -> Sequence[Candle]:
        """Oldest first, both ends included. Raises Denied for an interval that is not kept, or no expired contract."""
        if interval not in _INTERVALS:
            raise Denied(
                f"Upstox keeps no candles of {int(interval)} s of expired contracts.", "Choose another length."
            )
        if instrument.active or instrument.expiry is None:
            raise Denied(f"{instrument.id} has not expired.", "Ask for its candles as for any contract's.")
        word, days = _INTERVALS[interval]
        first, until = to_datetime(start).date(), min(to_datetime(end).date(), instrument.expiry)
        key = quote(instrument.key, safe="")
        paths = [
            f"{_EXPIRED}/historical-candle/{key}/{word}/{last}/{since}" for since, last in stretches(first, until, days)
        ]
        return await self._candles(paths, instrument.price_scale, start, end)
