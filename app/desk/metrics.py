"""Figures of each day: what can be worked out from the facts in the stores is, anew each time; the rest is counted and
written down once a minute (K1). Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import date

from app.brokers import tally
from app.brokers.tally import Outcome
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date, midnight_seconds
from app.domain.errors import AppError
from app.domain.events import (
    EngineBeat,
    FeedChanged,
    FeedGap,
    FeedState,
    Level,
    Noticed,
    OrderChanged,
    SessionChanged,
    SyncProgressed,
)
from app.domain.flight import Flight, FlightRecorded, latency_of
from app.domain.ids import AccountId, Nanos
from app.domain.metrics import DayMetric, Metric, MetricHistory
from app.domain.sync import SyncFigures
from app.runtime.bus import Bus
from app.runtime.clock import SECOND, SystemClock
from app.runtime.memory import resident

log = logging.getLogger(__name__)

WRITE_SECONDS = 60.0
"""So much of what is counted is lost when the program is killed; what is worked out is lost never."""
SETTLED_SECONDS = 5.0
"""News is heard a moment before it is in the store: a day is worked out once more until it has been quiet."""
MEGABYTE = 1_000_000

_CONNECTED = frozenset({FeedState.LIVE, FeedState.SILENT, FeedState.CLOSED})
_LOST = frozenset({FeedState.CONNECTING, FeedState.DOWN})
_ERRORS = {
    Outcome.AUTH: Metric.ERRORS_AUTH,
    Outcome.RATE: Metric.ERRORS_RATE,
    Outcome.CLIENT: Metric.ERRORS_CLIENT,
    Outcome.SERVER: Metric.ERRORS_SERVER,
    Outcome.NETWORK: Metric.ERRORS_NETWORK,
}

_Day = tuple[AccountId, date]


class MetricDesk:
    """Implements `desk.api.MetricVerbs`."""

    def __init__(self, workspace: Workspace, bus: Bus) -> None:
        self._workspace = workspace
        self._clock = SystemClock()
        self._counted: Counter[tuple[date, str, Metric]] = Counter()
        self._worst: dict[tuple[date, str, Metric], int] = {}
        self._feeds: dict[AccountId, FeedState] = {}
        self._orders: dict[_Day, float] = {}
        self._exits: dict[_Day, float] = {}
        self._syncs: dict[_Day, float] = {}
        """Days that became different, and when they last did, in the loop's seconds."""
        bus.subscribe(OrderChanged, self._on_order)
        bus.subscribe(FlightRecorded, self._on_flight)
        bus.subscribe(SyncProgressed, self._on_sync)
        bus.subscribe(SessionChanged, self._on_session)
        bus.subscribe(FeedGap, self._on_gap)
        bus.subscribe(FeedChanged, self._on_feed)
        bus.subscribe(EngineBeat, self._on_beat)
        bus.subscribe(Noticed, self._on_notice)

    async def history(self, days: int = 30) -> MetricHistory:
        """The newest days of which there are figures, what happened a moment ago included. Raises AppError."""
        await self.write()
        figures = await self._workspace.book.metrics.newest(days)
        return MetricHistory(tuple(sorted({one.day for one in figures})), tuple(figures))

    async def keep(self) -> None:
        """Writes until cancelled. What cannot be written is kept for the next time."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            self._counted[self._today, "", Metric.MINUTES] += 1
            try:
                await self.write()
            except AppError as failure:
                log.info("the figures of the day could not be written: %s", failure)

    async def close(self) -> None:
        """What is left, before the stores close."""
        try:
            await self.write()
        except AppError as failure:
            log.info("the last figures could not be written: %s", failure)

    async def write(self) -> None:
        """What was counted, and what became different of the days that are worked out. Raises AppError; then nothing is
        forgotten."""
        self._take_counts()
        kept = self._workspace.book.metrics
        counted, worst = self._counted, self._worst
        self._counted, self._worst = Counter(), {}
        try:
            await kept.add([_figure(*key, value) for key, value in (*counted.items(), *worst.items())])
        except AppError:
            self._counted += counted
            for key, value in worst.items():
                self._worst[key] = max(value, self._worst.get(key, 0))
            raise
        for days, work_out in (
            (self._orders, self._of_orders),
            (self._exits, self._of_exits),
            (self._syncs, self._of_syncs),
        ):
            for (account, day), heard in list(days.items()):
                await kept.put(await work_out(account, day))
                if days[account, day] == heard and self._now - heard > SETTLED_SECONDS:
                    del days[account, day]

    # -- worked out from the stores -----------------------------------------------------------------------------------

    async def _of_orders(self, account: AccountId, day: date) -> Sequence[DayMetric]:
        sent, rejected = await self._workspace.book.metrics.orders(account, *_bounds(day))
        return [
            _figure(day, account, Metric.ORDERS, sent),
            _figure(day, account, Metric.ORDERS_REJECTED, rejected),
        ]

    async def _of_exits(self, account: AccountId, day: date) -> Sequence[DayMetric]:
        flights = await self._workspace.journal.flights.between(account, *_bounds(day))
        return [_figure(day, account, metric, value) for metric, value in exit_figures(account, flights).items()]

    async def _of_syncs(self, account: AccountId, day: date) -> Sequence[DayMetric]:
        found = sync_figures(await self._workspace.book.sync_log.figures(*_bounds(day), account))
        if not any(found.values()):
            return ()
        return [_figure(day, account, metric, value) for metric, value in found.items()]

    # -- heard --------------------------------------------------------------------------------------------------------

    def _on_order(self, event: OrderChanged) -> None:
        if event.order.placed_at is not None:
            self._orders[event.order.account, ist_date(event.order.placed_at)] = self._now

    def _on_flight(self, event: FlightRecorded) -> None:
        self._exits[event.flight.account, ist_date(event.flight.fired_at)] = self._now

    def _on_sync(self, event: SyncProgressed) -> None:
        if event.ended_at is not None:
            self._syncs[event.account, ist_date(event.started_at)] = self._now

    def _on_session(self, event: SessionChanged) -> None:
        desk = self._workspace.accounts.get(event.account)
        if desk is not None:
            self._syncs[event.account, ist_date(desk.broker_time)] = self._now

    def _on_gap(self, event: FeedGap) -> None:
        day = ist_date(event.until)
        self._counted[day, event.account, Metric.FEED_GAPS] += 1
        self._counted[day, event.account, Metric.FEED_GAP_MS] += max(0, event.until - event.since) // 1_000_000

    def _on_feed(self, event: FeedChanged) -> None:
        before = self._feeds.get(event.account)
        self._feeds[event.account] = event.state
        if before in _CONNECTED and event.state in _LOST:
            self._counted[self._today, event.account, Metric.RECONNECTS] += 1

    def _on_beat(self, event: EngineBeat) -> None:
        self._note_worst(Metric.LOOP_LAG_MS, round(event.loop_lag_ms))

    def _on_notice(self, event: Noticed) -> None:
        if event.level is Level.ALARM:
            self._counted[self._today, event.account or "", Metric.ALARMS] += 1

    def _take_counts(self) -> None:
        today = self._today
        for (host, outcome), count in tally.shared().take().items():
            self._counted[today, host, Metric.REQUESTS] += count
            if outcome is not Outcome.FINE:
                self._counted[today, host, _ERRORS[outcome]] += count
        held = resident()
        if held is not None:
            self._note_worst(Metric.MEMORY_MB, held // MEGABYTE)

    def _note_worst(self, metric: Metric, value: int) -> None:
        """Of the workstation: a command that reads the book says nothing about it."""
        if not self._workspace.guarding:
            return
        key = (self._today, "", metric)
        self._worst[key] = max(value, self._worst.get(key, 0))

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def _today(self) -> date:
        return ist_date(self._clock.now())


def exit_figures(account: AccountId, flights: Sequence[Flight]) -> dict[Metric, int]:
    """Of one account's exits of one day."""
    found = {Metric.EXITS: len(flights)}
    told = latency_of(account, flights)
    if told is not None:
        found |= {
            Metric.EXITS_SLOW: told.slow,
            Metric.ENGINE_P50_US: told.engine_p50,
            Metric.ENGINE_P99_US: told.engine_p99,
            Metric.ENGINE_WORST_US: told.engine_worst,
        }
        if told.answer_p99 is not None:
            found[Metric.ANSWER_P99_US] = told.answer_p99
    return found


def sync_figures(found: SyncFigures) -> dict[Metric, int]:
    """Of one account's syncs and sessions of one day."""
    return {
        Metric.SYNCS: found.runs,
        Metric.SYNCS_FAILED: found.failed,
        Metric.SYNC_RETRIES: found.retries,
        Metric.RATE_LIMITED: found.rate_limited,
        Metric.LOGINS: found.refreshes,
        Metric.LOGINS_FAILED: found.refreshes_failed,
    }


def _bounds(day: date) -> tuple[Nanos, Nanos]:
    start = midnight_seconds(day)
    return start * SECOND, (start + 86_400) * SECOND


def _figure(day: date, subject: str, metric: Metric, value: int) -> DayMetric:
    return DayMetric(day.isoformat(), subject, metric, value)
