"""In which markets an account trades, whatever is ticked in its plan: the last of them to close ends its day (C6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

from app.desk.account import AccountDesk
from app.domain.calendar import ist_date
from app.domain.ids import AccountId
from app.domain.instrument import Exchange, Segment
from app.storage.book import Book

REMEMBERED: Final = timedelta(days=35)
"""A market in which nothing was traded for longer counts no more, unless it is ticked."""

_LATE: Final[Mapping[str, Segment]] = {
    Exchange.MCX.value: Segment.COMMODITY,
    Exchange.NCO.value: Segment.COMMODITY,
    Exchange.CDS.value: Segment.CURRENCY,
    Exchange.BCD.value: Segment.CURRENCY,
}
"""Exchanges that trade on when those of shares have closed."""


class TradedMarkets:
    """By account: from the fills of the last weeks, and from what the broker lists of today. Loop thread only."""

    def __init__(self) -> None:
        self._known: dict[AccountId, frozenset[Segment]] = {}

    async def learn(self, book: Book, desk: AccountDesk) -> None:
        """From the book. Raises StorageError."""
        since = (ist_date(desk.broker_time) - REMEMBERED).isoformat()
        self._known[desk.account] = await book.fills.segments(desk.account, since)

    def of(self, desk: AccountDesk) -> Collection[Segment]:
        """All of them. A position that was closed again stays listed until the next day."""
        known = self._known.get(desk.account, frozenset())
        listed = {position.key.instrument.partition(":")[0] for position in desk.positions}
        return known | {segment for exchange, segment in _LATE.items() if exchange in listed}
