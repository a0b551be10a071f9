"""What stops learn of the broker's record of prices."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from app.desk.hours import TradingHours
from app.desk.surroundings import StopSurroundings
from app.domain.events import Event
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.market import Candle, Interval
from app.domain.portfolio import Position
from app.engine.account import AccountState
from app.market.underlyings import Underlyings
from app.runtime.clock import AccountClock
from tests.fakes.trading import ACCOUNT, FakeBroker
from tests.unit.desk.test_hours import CALENDAR, at

if TYPE_CHECKING:
    from app.brokers.base import BrokerSession

INDEX = Instrument(
    InstrumentId("NSE:NIFTY 50"), 256_265, Exchange.NSE, Segment.INDEX, InstrumentKind.INDEX, "NIFTY 50", 5, 1
)
FUTURE = Instrument(
    InstrumentId("NFO:NIFTY26DECFUT"), 901, Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, "NIFTY", 10, 75
)
CLOSES = {
    INDEX.id: {"15:12": 2_500_000, "15:13": 2_501_000, "15:14": 2_502_000, "15:20": 2_502_000},
    FUTURE.id: {"15:12": 2_505_000, "15:13": 2_507_000, "15:15": 2_490_000, "15:20": 2_480_000},
}


class Recorded(FakeBroker):
    """Keeps minutes of the last day."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[Nanos] = []

    async def candles(self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos) -> Sequence[Candle]:
        assert interval is Interval.MINUTE
        self.starts.append(start)
        minutes = {at(f"2026-11-25T{told}:00") * 10**9: close for told, close in CLOSES[instrument.id].items()}
        return [Candle(at, close, close, close, close, 1) for at, close in minutes.items() if start <= at <= end]


def surroundings(now: str, record: Recorded | None = None) -> StopSurroundings:
    """On a day whose closing auction begins at 15:15."""

    def heard(_event: Event) -> None:
        return None

    def no_outcome(_position: Position) -> object:
        raise AssertionError("not asked for")

    clock = AccountClock()
    clock.set(at(now) * 10**9)
    state = AccountState(ACCOUNT, clock, heard)
    state.attach(cast("BrokerSession", record or Recorded()))
    known = {one.id: one for one in (INDEX, FUTURE)}
    hours = TradingHours(CALENDAR, known.get, lambda instrument: instrument.kind is InstrumentKind.INDEX)
    return StopSurroundings(state, clock, hours, Underlyings({}, lambda *_: ()), no_outcome)  # type: ignore[arg-type]


def test_how_far_a_future_was_is_told_by_the_last_minute_that_both_traded_in() -> None:
    record = Recorded()
    assert asyncio.run(surroundings("2026-11-25T15:21:00", record).distance(INDEX, FUTURE)) == 6_000
    assert min(record.starts) >= at("2026-11-25T14:21:00") * 10**9, "days of minutes are not read for it"
    assert asyncio.run(surroundings("2026-11-26T09:05:00").distance(INDEX, FUTURE)) == 6_000


def test_a_record_without_a_minute_of_both_tells_nothing() -> None:
    assert asyncio.run(surroundings("2026-11-25T15:11:00").distance(INDEX, FUTURE)) is None
