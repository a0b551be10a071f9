"""What charts are drawn from: cached candles, and the P&L curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.market import Candle, Interval
from app.domain.money import Paise
from app.storage.schema_book import candles, day_curve
from app.storage.store import Store


class Candles:
    """The candle cache of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, instrument: InstrumentId, interval: Interval, rows: Sequence[Candle]) -> None:
        """Keeps candles; one that is known is replaced."""
        if not rows:
            return
        values = [
            {
                "instrument": instrument,
                "seconds": interval.value,
                "start": row.start,
                "open": row.open,
                "high": row.high,
                "low": row.low,
                "close": row.close,
                "volume": row.volume,
            }
            for row in rows
        ]
        await self._store.change(lambda c: c.execute(insert(candles).prefix_with("OR REPLACE"), values))

    async def get(self, instrument: InstrumentId, interval: Interval, start: Nanos, end: Nanos) -> list[Candle]:
        """Candles that begin at `start` or later and before `end`, oldest first."""
        query = (
            select(candles.c.start, candles.c.open, candles.c.high, candles.c.low, candles.c.close, candles.c.volume)
            .where(
                candles.c.instrument == instrument,
                candles.c.seconds == interval.value,
                candles.c.start >= start,
                candles.c.start < end,
            )
            .order_by(candles.c.start)
        )
        return await self._store.run(lambda c: [Candle(*row) for row in c.execute(query)])


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One account's P&L at a moment, in paise."""

    account: AccountId
    at: Nanos
    gross: Paise
    net: Paise


class Curve:
    """The P&L curve of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(self, account: AccountId, at: Nanos, gross: Paise, net: Paise) -> None:
        """Keeps a point; a second one of the same moment replaces the first."""
        change = insert(day_curve).prefix_with("OR REPLACE").values(account=account, at=at, gross=gross, net=net)
        await self._store.change(lambda c: c.execute(change))

    async def since(self, account: AccountId | None, at: Nanos) -> list[CurveRow]:
        """Points at `at` or later, oldest first; of every account when none is named."""
        query = select(day_curve).where(day_curve.c.at >= at).order_by(day_curve.c.at, day_curve.c.account)
        if account is not None:
            query = query.where(day_curve.c.account == account)
        return await self._store.run(
            lambda c: [CurveRow(AccountId(r.account), r.at, r.gross, r.net) for r in c.execute(query)]
        )
