"""Open charts: history from the broker, candles from every tick since, one continuous series. Loop thread only.

A feed sends about one update a second, not every trade, so a candle made of ticks may miss a trade that the exchange
counted. Once a candle has closed it is therefore settled: read again from the broker's history, whose word stands and
is kept in the book.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.brokers.base import BrokerSession
from app.domain.errors import AppError
from app.domain.events import CandleChanged, CandleClosed, Event
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval, Tick
from app.market.candles import CandleBuilder, TradingHours, merge, trade_seconds

log = logging.getLogger(__name__)

CONFLATE_SECONDS = 0.05
SETTLE_SECONDS = 2.0
"""Real seconds between readings that settle closed candles; the broker allows 3 a second."""
SETTLE_PAUSE = 0.4
"""Real seconds between the readings of one round, so that charts being opened find room."""
SETTLE_TRIES = 5
DAYS_BACK = {
    Interval.MINUTE: 5,
    Interval.MINUTES_3: 15,
    Interval.MINUTES_5: 25,
    Interval.MINUTES_15: 60,
    Interval.MINUTES_30: 120,
    Interval.HOUR: 200,
    Interval.DAY: 1_500,
}
"""How much history a chart opens with: some thousand candles, in one request to Kite."""
SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
Keep = Callable[[InstrumentId, Interval, Sequence[Candle]], Coroutine[Any, Any, None]]
"""Puts settled candles into the book."""


@dataclass(eq=False, slots=True)
class LiveChart:
    """One open chart."""

    instrument: Instrument
    interval: Interval
    builder: CandleBuilder
    closed: list[Candle] = field(default_factory=list)
    """Made of ticks and not yet settled, oldest first."""
    settled: Nanos = 0
    """Start of the newest settled candle; 0 before the first."""
    tries: int = 0
    changed: bool = False


class AccountCharts:
    """The charts that one account's feed fills."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self.wanted: dict[int, list[LiveChart]] = {}

    def tick(self, token: int, tick: Tick) -> None:
        """One tick of a wanted instrument. One that does not say when it was traded (the first packet after a
        subscription may be a bare quote) belongs to no candle."""
        if tick.last_trade_time is None and tick.exchange_time is None:
            return
        for chart in self.wanted.get(token, ()):
            closed = chart.builder.add(tick.last_price, trade_seconds(tick), tick.volume)
            if closed is not None:
                chart.closed.append(closed)
                self._publish(CandleClosed(chart.instrument.id, chart.interval, closed))
            chart.changed = True

    def flush(self, now: Nanos) -> None:
        """The running candles that changed go to the window; those whose time is over are closed."""
        for charts in self.wanted.values():
            for chart in charts:
                closed = chart.builder.flush(now // 1_000_000_000 - 2)
                if closed is not None:
                    chart.closed.append(closed)
                    self._publish(CandleClosed(chart.instrument.id, chart.interval, closed))
                running = chart.builder.running
                if chart.changed and running is not None:
                    self._publish(CandleChanged(chart.instrument.id, chart.interval, running))
                chart.changed = False


class Charts:
    """All open charts by the view that shows them."""

    def __init__(self, publish: Callable[[Event], None], keep: Keep) -> None:
        self._publish = publish
        self._keep = keep
        self._accounts: dict[AccountId, AccountCharts] = {}
        self._open: dict[str, tuple[AccountId, LiveChart]] = {}

    def of_account(self, account: AccountId) -> AccountCharts:
        """The part that an account's feed fills."""
        return self._accounts.setdefault(account, AccountCharts(self._publish))

    def tokens(self, account: AccountId) -> dict[int, Instrument]:
        """What an account's feed must be subscribed to for charts."""
        return {c.instrument.token: c.instrument for owner, c in self._open.values() if owner == account}

    def open(
        self, consumer: str, account: AccountId, instrument: Instrument, interval: Interval, hours: TradingHours | None
    ) -> LiveChart:
        """From now on its ticks make candles. Replaces the consumer's last chart."""
        self.close(consumer)
        chart = LiveChart(instrument, interval, CandleBuilder(interval, hours=hours))
        self._open[consumer] = (account, chart)
        self.of_account(account).wanted.setdefault(instrument.token, []).append(chart)
        return chart

    def move(self, account: AccountId, listed: Callable[[InstrumentId], Instrument | None]) -> None:
        """From now on this account's feed fills every open chart, by its broker's own number; the candles of before
        stay. One that `listed` does not know stays where it is."""
        for consumer, (owner, chart) in list(self._open.items()):
            known = listed(chart.instrument.id) if owner != account else None
            if known is None:
                continue
            self._leave(owner, chart)
            chart.instrument = known
            self._open[consumer] = (account, chart)
            self.of_account(account).wanted.setdefault(known.token, []).append(chart)

    def close(self, consumer: str) -> None:
        """The view is gone or shows something else."""
        account, chart = self._open.pop(consumer, (None, None))
        if account is not None and chart is not None:
            self._leave(account, chart)

    def _leave(self, account: AccountId, chart: LiveChart) -> None:
        wanted = self.of_account(account).wanted
        rest = [c for c in wanted.get(chart.instrument.token, []) if c is not chart]
        if rest:
            wanted[chart.instrument.token] = rest
        else:
            wanted.pop(chart.instrument.token, None)

    async def series(self, chart: LiveChart, broker: BrokerSession, now: Nanos) -> list[Candle]:
        """History and what ticks have added since the chart was opened. Raises AppError."""
        start = now - DAYS_BACK.get(chart.interval, 5) * DAY_NS
        history = await broker.candles(chart.instrument, chart.interval, start, now)
        if history:
            chart.builder.join(history[-1])
        running = chart.builder.running
        live = [*chart.closed, *([running] if running is not None else [])]
        return merge(history, live)

    async def run(self, account: AccountId, broker: BrokerSession, now: Callable[[], Nanos]) -> None:
        """Feeds the window and settles closed candles, until cancelled."""
        charts = self.of_account(account)
        settled_at = time.monotonic()
        while True:
            await asyncio.sleep(CONFLATE_SECONDS)
            charts.flush(now())
            if time.monotonic() - settled_at >= SETTLE_SECONDS:
                for pending in [c for group in charts.wanted.values() for c in group if c.closed]:
                    await self._settle(pending, broker)
                    await asyncio.sleep(SETTLE_PAUSE)
                settled_at = time.monotonic()

    async def _settle(self, chart: LiveChart, broker: BrokerSession) -> None:
        """The broker's record of closed candles replaces ours; a record that is not there yet is asked for again.

        Read from where the last reading ended: a minute of which no tick came (the feed was away) is in it too.
        """
        first, last = chart.closed[0].start, chart.closed[-1].start
        if chart.settled:
            first = min(first, chart.settled + int(chart.interval) * SECOND_NS)
        try:
            history = await broker.candles(chart.instrument, chart.interval, first, last)
        except AppError as failure:
            log.info("candles of %s not settled: %s", chart.instrument.id, failure.cause)
            return
        ours = {candle.start: candle for candle in chart.closed if candle.start <= last}
        recorded = [candle for candle in history if first <= candle.start <= last]
        for candle in recorded:
            if ours.pop(candle.start, None) != candle:
                self._publish(CandleClosed(chart.instrument.id, chart.interval, candle))
        chart.tries += 1
        if not ours or chart.tries >= SETTLE_TRIES:
            ours.clear()
            chart.tries = 0
            chart.settled = last
        chart.closed = [c for c in chart.closed if c.start > last or c.start in ours]
        try:
            await self._keep(chart.instrument.id, chart.interval, recorded)
        except AppError as failure:
            log.warning("candles of %s not kept: %s", chart.instrument.id, failure.cause)
