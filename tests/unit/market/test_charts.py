from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from app.brokers.base import BrokerSession
from app.domain.errors import AppError, Unreachable
from app.domain.events import CandleClosed, Event
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.market import Candle, Interval, Tick
from app.market import charts as module
from app.market.charts import AccountCharts, Charts

ACCOUNT = AccountId("zerodha-1")
SECOND = 1_000_000_000
OPEN = 1_680_493_500 * SECOND
"""2023-04-03 09:15 IST."""


def candle(minute: int, price: int, volume: int = 10) -> Candle:
    return Candle(OPEN + minute * 60 * SECOND, price, price + 5, price - 5, price, volume)


class Record:
    """A broker that knows candles, and a book that keeps them."""

    def __init__(self, *candles: Candle) -> None:
        self.candles_known = candles
        self.asked: list[tuple[Nanos, Nanos]] = []
        self.failure: AppError | None = None
        self.book: dict[Nanos, Candle] = {}
        self.events: list[Event] = []
        self.wanted = 0
        self.enough = asyncio.Event()

    async def candles(self, _instrument: Instrument, _interval: Interval, start: Nanos, end: Nanos) -> list[Candle]:
        self.asked.append((start, end))
        if len(self.asked) >= self.wanted:
            self.enough.set()
        if self.failure is not None:
            raise self.failure
        return [c for c in self.candles_known if start <= c.start <= end]

    async def keep(self, _instrument: InstrumentId, _interval: Interval, candles: Sequence[Candle]) -> None:
        self.book |= {c.start: c for c in candles}

    def told(self) -> list[Candle]:
        return [e.candle for e in self.events if isinstance(e, CandleClosed)]


SBIN = Instrument(
    InstrumentId("NSE:SBIN"), 779521, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "STATE BANK OF INDIA", 5, 1
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFLATE_SECONDS", "SETTLE_SECONDS", "SETTLE_PAUSE"):
        monkeypatch.setattr(module, name, 0.0)


def ticks(live: AccountCharts, *moments: tuple[int, int, int]) -> None:
    """(second of the session, price, day's volume)."""
    for second, price, volume in moments:
        at = OPEN + second * SECOND
        live.tick(SBIN.token, Tick(SBIN.id, price, at, last_trade_time=at, volume=volume))


async def settled(charts: Charts, record: Record, enough: int) -> None:
    """Lets the charts run until so many readings were made and the last one was worked in."""
    record.wanted = enough
    record.enough.clear()
    task = asyncio.create_task(charts.run(ACCOUNT, cast("BrokerSession", record), lambda: OPEN))
    async with asyncio.timeout(5):
        await record.enough.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def opened(record: Record) -> tuple[Charts, AccountCharts]:
    charts = Charts(record.events.append, record.keep)
    charts.open("chart", ACCOUNT, SBIN, Interval.MINUTE, None)
    return charts, charts.of_account(ACCOUNT)


async def test_the_brokers_record_replaces_what_ticks_made_and_is_kept() -> None:
    record = Record(candle(0, 100, 30), candle(1, 103))
    charts, live = opened(record)
    ticks(live, (0, 100, 10), (40, 104, 25), (61, 103, 33), (125, 102, 40))
    await settled(charts, record, 1)
    assert record.told()[-2:] == [candle(0, 100, 30), candle(1, 103)]
    assert list(record.book.values()) == [candle(0, 100, 30), candle(1, 103)]


async def test_a_minute_without_ticks_comes_from_the_record() -> None:
    record = Record(*(candle(minute, 100 + minute) for minute in range(6)))
    charts, live = opened(record)
    ticks(live, (0, 100, 10), (60, 101, 20))
    await settled(charts, record, 1)
    ticks(live, (300, 105, 60), (360, 106, 70))  # the feed was away for three minutes
    await settled(charts, record, 2)
    assert sorted(record.book) == [candle(minute, 0).start for minute in range(6)]
    assert {candle(minute, 100 + minute) for minute in (2, 3, 4)} <= set(record.told())


async def test_a_record_that_is_late_is_asked_for_again_and_a_failure_loses_nothing() -> None:
    record = Record()
    record.failure = Unreachable("The broker does not answer.")
    charts, live = opened(record)
    ticks(live, (0, 100, 10), (60, 101, 20))
    await settled(charts, record, 2)
    record.failure = None
    await settled(charts, record, 3)
    assert record.book == {}
    record.candles_known = (candle(0, 100),)
    await settled(charts, record, 4)
    assert list(record.book.values()) == [candle(0, 100)]


async def test_a_chart_goes_on_with_another_accounts_feed_where_its_own_is_lost() -> None:
    record = Record()
    charts, live = opened(record)
    ticks(live, (5, 10_000, 10), (65, 10_010, 20))
    other, listed = AccountId("upstox-1"), replace(SBIN, token=4_211)
    charts.move(other, {SBIN.id: listed}.get)
    assert (charts.tokens(ACCOUNT), charts.tokens(other)) == ({}, {4_211: listed})
    for second, price in ((110, 10_040), (121, 10_020)):
        moment = OPEN + second * SECOND
        charts.of_account(other).tick(4_211, Tick(SBIN.id, price, moment, last_trade_time=moment, volume=40))
    assert [(told.start, told.open, told.close) for told in record.told()] == [
        (OPEN, 10_000, 10_000),
        (OPEN + 60 * SECOND, 10_010, 10_040),  # begun by the one feed and ended by the other
    ]
    charts.move(ACCOUNT, lambda _name: None)  # it is not listed there: it stays
    assert charts.tokens(other) == {4_211: listed}
    charts.close("chart")
    assert charts.tokens(other) == {}


async def test_a_tick_without_a_time_makes_no_candle() -> None:
    record = Record()
    _, live = opened(record)
    live.tick(SBIN.token, Tick(SBIN.id, 99, OPEN + 500 * SECOND, volume=5))
    ticks(live, (0, 100, 10), (60, 101, 20))
    assert [c.open for c in record.told()] == [100]
