"""What all parts of an Upstox account share. Loop thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import chain
from typing import TypeVar

from app.brokers.base import Session
from app.brokers.reading import gently
from app.brokers.rows import Row, candle_from_row
from app.brokers.upstox.auth import only_reads
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.rest import CANDLE_DEADLINE, UpstoxRest
from app.domain.errors import BadAnswer, Denied
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle

T = TypeVar("T")

QUOTE_KEYS = 200
"""Keys a quote request carries. Upstox allows 500; the length of the address bites first."""

_KEYS = {2: "symbol", 3: "instrument_key"}
"""What a version calls the keys of a quote request."""


class UpstoxPart:
    """A session's token, connections and contracts."""

    def __init__(self, session: Session, rest: UpstoxRest, directory: Directory) -> None:
        self._session = session
        self._rest = rest
        self._directory = directory

    @property
    def _account(self) -> AccountId:
        return self._session.account

    def _deny_reading(self) -> None:
        """An extended or analytics token takes no orders. Raises Denied, before anything is sent."""
        if only_reads(self._session):
            raise Denied("This token only reads.", "Log in for the day to trade.")

    def _key(self, instrument: InstrumentId) -> str:
        """The broker's name of a contract. Raises Denied."""
        return self._directory.instrument(instrument).key

    async def _quoted(
        self, what: str, instruments: Sequence[InstrumentId], read: Callable[[Row, Instrument], T], *, version: int = 3
    ) -> dict[InstrumentId, T]:
        """Prices of instruments, in as many requests as it takes. What the broker does not know is missing."""
        keys = [known.key for known in map(self._directory.get, instruments) if known is not None]
        found: dict[InstrumentId, T] = {}
        for start in range(0, len(keys), QUOTE_KEYS):
            asked = [(_KEYS[version], ",".join(keys[start : start + QUOTE_KEYS]))]
            if what == "ohlc":
                asked.append(("interval", "1d"))
            answer = await self._rest.get(f"/v{version}/market-quote/{what}", asked)
            found.update(await self._entries(answer, read))
        return found

    async def _entries(self, data: object, read: Callable[[Row, Instrument], T]) -> dict[InstrumentId, T]:
        """Every entry of an answer that is known, read. Raises BadAnswer.

        The outer key of an entry is segment and symbol, and two may share one; the inner `instrument_token` is the key
        that was asked for.
        """
        if not isinstance(data, Mapping):
            raise BadAnswer("The broker's quotes cannot be read.", detail=type(data).__name__)

        def one(entry: object) -> list[tuple[InstrumentId, T]]:
            row = Row(entry, "quote")
            known = self._directory.by_key(row.text("instrument_token"))
            return [] if known is None else [(known.id, read(row, known))]

        return dict(chain.from_iterable(await gently(data.values(), one)))

    async def _candles(self, paths: Iterable[str], price_scale: int, start: Nanos, end: Nanos) -> list[Candle]:
        """Those of all lists from `start` to `end`, oldest first, both ends included; the later list counts."""
        found: dict[Nanos, Candle] = {}
        for path in paths:
            rows = await self._rest.rows(
                path,
                lambda row: candle_from_row(row, price_scale),
                at=("data", "candles"),
                deadline=CANDLE_DEADLINE,
            )
            found.update((candle.start, candle) for candle in rows)
        return [found[at] for at in sorted(found) if start <= at <= end]


def stretches(first: date, last: date, days: int) -> Iterator[tuple[date, date]]:
    """First and last day of each, together all of them, none longer than `days`; the newest first."""
    while last >= first:
        since = max(first, last - timedelta(days=days - 1))
        yield since, last
        last = since - timedelta(days=1)
