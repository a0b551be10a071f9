"""The desk in this process: the verbs put together, the heartbeat, the ordered stop. Loop thread only."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from app.desk.api import EventHandler
from app.desk.browser_login import BrowserLogins
from app.desk.calendar_news import CalendarNews
from app.desk.coverage import CoverageWatch
from app.desk.data import DataDesk
from app.desk.doctor import Doctor
from app.desk.exports import ExportDesk
from app.desk.flatten import FlattenDesk
from app.desk.flights import FlightDesk
from app.desk.gtts import GttDesk
from app.desk.guarding import GuardingDesk
from app.desk.instruments import InstrumentDesk
from app.desk.market import MarketDesk
from app.desk.metrics import MetricDesk
from app.desk.notices import NoticeDesk
from app.desk.order_history import OrderHistory
from app.desk.order_use import OrderUseWatch
from app.desk.paper import PaperExchange
from app.desk.portfolio import PortfolioDesk
from app.desk.preflight import PreflightWatch
from app.desk.quotes import QuoteDesk
from app.desk.recorder import TickRecorder
from app.desk.report import ReportDesk
from app.desk.services import ServiceDesk
from app.desk.session import SessionDesk
from app.desk.stops import StopDesk
from app.desk.strategies import StrategyDesk
from app.desk.sync import SyncDesk
from app.desk.trading import TradingDesk
from app.desk.workspace import Workspace
from app.domain.events import (
    EngineBeat,
    Event,
    FeedChanged,
    FeedGap,
    GttTold,
    Noticed,
    OrderChanged,
    SessionChanged,
    SessionState,
    TicksConflated,
)
from app.domain.stop import StopState
from app.runtime.bus import Bus
from app.runtime.clock import SystemClock
from app.runtime.helper import Helper
from app.runtime.loop import Tasks

BEAT_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""Between two looks whether an account that waits for its login is watched."""
P99 = 99
FIRST_PRICES_SECONDS = 2.0
"""What the first prices after a return do to a stop belongs to the return."""
ENOUGH_EXITS = 10
"""Fewer say nothing about a percentile."""


class LocalDesk:
    """Implements `desk.api.Desk`."""

    def __init__(
        self,
        workspace: Workspace,
        bus: Bus,
        tasks: Tasks,
        data: DataDesk,
        instruments: InstrumentDesk,
        guard: GuardingDesk,
        paper: PaperExchange | None = None,
        helper: Helper | None = None,
        last: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._workspace = workspace
        self._last = last
        self._loop = asyncio.get_running_loop()
        self._bus = bus
        self._tasks = tasks
        self.session = SessionDesk(workspace, paper)
        self.market = MarketDesk(workspace)
        self.instruments = instruments
        self.trading = TradingDesk(workspace)
        self.flatten = FlattenDesk(workspace)
        self.notices = NoticeDesk(workspace)
        bus.subscribe(Noticed, self.notices.heard)
        self.gtts = GttDesk(workspace)
        bus.subscribe(GttTold, self.gtts.told)
        self._coverage = CoverageWatch(workspace, lambda: self.gtts.known)
        self._order_use = OrderUseWatch(workspace)
        self.stops = StopDesk(workspace, self._coverage.rows)
        self.sync = SyncDesk(workspace, helper)
        self.portfolio = PortfolioDesk(workspace, self.sync)
        self.data = data
        self.exports = ExportDesk(workspace, data.helper, data.alone)
        self.health = Doctor(workspace, data)
        self.guard = guard
        self.strategies = StrategyDesk(workspace)
        self.flights = FlightDesk(workspace)
        self.browser = BrowserLogins(self.session)
        self.services = ServiceDesk(workspace, self.session)
        self.quotes = QuoteDesk(workspace, self.market.unpriced)
        self.market.arranged = self.quotes.arranged
        self.quotes.on_choice = self.market.resubscribe
        self.metrics = MetricDesk(workspace, bus)
        self.reports = ReportDesk(workspace, data.helper, self.health, self.metrics)
        self._history = OrderHistory(workspace)
        self._calendar = CalendarNews(workspace)
        self.recorder = TickRecorder(workspace, self.market.subscribe)
        data.on_settings = self.recorder.follow
        instruments.on_renamed = self.sync.rebuild
        bus.subscribe(TicksConflated, self.recorder.heard)
        self.session.on_open.append(self._opened)
        bus.subscribe(OrderChanged, self._history.on_order)
        bus.subscribe(SessionChanged, self._on_session)
        bus.subscribe(FeedGap, guard.on_gap)
        bus.subscribe(FeedChanged, lambda _event: self.market.follow())
        tasks.start(self._beat(), "engine heartbeat")

    def listen(self, handler: EventHandler) -> None:
        """Every event, on the loop thread."""
        self._bus.subscribe_all(handler)

    def unlisten(self, handler: Callable[[Any], None]) -> None:
        """No more of them."""
        self._bus.unsubscribe(handler)

    def announce(self, event: Event) -> None:
        """Publishes an event of the program itself (a crash report). From any thread."""
        self._loop.call_soon_threadsafe(self._bus.publish, event)

    @property
    def armed(self) -> int:
        """Stops, portfolio stops among them, that would no longer be watched if the program ended now, and strategies
        that would miss their time."""
        desks = self._workspace.accounts.values()
        return sum(desk.stops.armed + desk.strategies.waiting + desk.day_stop.guards for desk in desks)

    @property
    def may_be_armed(self) -> bool:
        """As `armed`, where what a portfolio stop guards is not known before a session is there."""
        return bool(self.armed) or any(desk.day_stop.may_guard for desk in self._workspace.accounts.values())

    @property
    def watching(self) -> int:
        """Stops that a price can fire now, and exits that are followed."""
        return sum(desk.stops.watching + desk.stops.exiting for desk in self._workspace.accounts.values())

    @property
    def suspended(self) -> int:
        """Stops that guard nothing until the trader answers."""
        desks = self._workspace.accounts.values()
        return sum(stop.state is StopState.SUSPENDED for desk in desks for stop in desk.stops.stops)

    @property
    def exit_may_come(self) -> bool:
        """The market of an armed stop trades: at any moment its exit may have to leave."""
        return any(desk.exit_may_come for desk in self._workspace.accounts.values())

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What keeps `ready` waiting, account by account."""
        words = []
        for record in self._workspace.records.values():
            desk = self._workspace.accounts.get(record.id)
            if desk is None or not (desk.stops.armed or desk.day_stop.may_guard):
                continue
            if not desk.active:
                words.append(f"{record.id} has no session yet. {record.last_error}".strip())
            elif desk.stops.unwatched():
                words.append(f"{record.id}: orders and positions are being read.")
        return tuple(words)

    async def ready(self) -> None:
        """Until every stored session was taken up or found dead, and the stops of each are watched again."""
        await self.session.resumed()
        await asyncio.gather(*(desk.recovered() for desk in self._workspace.live()))

    async def stop(self, *, keep_exchange: bool = False) -> None:
        """In order: sync, sessions with their feeds and lines, the paper exchange, files, vault. Idempotent."""
        if self._workspace.is_open:
            await self.sync.cancel()
            await self._history.write()
            await self.notices.write()
            await self.instruments.cancel()
        await self.browser.close()
        await self.quotes.close()
        await self.session.close(keep_exchange=keep_exchange)
        await self._tasks.stop()
        await self.sync.close()
        if self._workspace.is_open:
            await self.recorder.flush()
            await self.metrics.close()
            await self.guard.close(self.armed)
        await self._workspace.close()
        if self._last is not None:
            await self._last()

    def _opened(self) -> None:
        start = self._tasks.start
        start(self._catch_up(), "finish what a crash left")
        start(self.portfolio.keep_curve(), "day's curve")
        start(self._history.keep(), "orders into the book")
        start(self.notices.keep(), "notices into the book")
        if self._workspace.guarding:  # a command does its one thing
            watch = PreflightWatch(self._workspace, self.health.preflight, self._bus.publish)
            start(watch.run(), "pre-flight")
            start(self._keep_schedule(), "sync schedule")
            start(self.data.keep(), "housekeeping")
            start(self.metrics.keep(), "figures of the day")
            start(self.recorder.keep(), "recorder of ticks")
            start(self.quotes.keep(), "quotes where no feed is")
            start(self.gtts.keep_watch(), "triggers at the broker")
            start(self.instruments.keep_fresh(), "instruments of the day")
            start(self._calendar.opened(), "calendar news")
            start(self._back(), "back at the desk")
            start(self.guard.keep_guard(), "guard beside the window")

    async def _catch_up(self) -> None:
        await self.instruments.follow_renames()
        await self.sync.rebuild()

    async def _back(self) -> None:
        """What happened while nobody was at this desk is told when its stops are watched again."""
        absence = await self.guard.opened()
        if absence is None:
            return
        await self.ready()
        await asyncio.sleep(FIRST_PRICES_SECONDS)
        if self.waits_for:
            await self.guard.attendance.settled(absence, whole=False)
            while self.waits_for:  # noqa: ASYNC110 -- sessions, readings and stops change it, each by itself
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(FIRST_PRICES_SECONDS)
        await self.guard.attendance.settled(absence)

    async def _keep_schedule(self) -> None:
        await self.session.resumed()  # an account that is about to be logged in is not one without a login
        await self.sync.keep_schedule()

    def _on_session(self, event: SessionChanged) -> None:
        if event.state in (SessionState.ACTIVE, SessionState.PAUSED):
            self.market.resubscribe()
            if self._workspace.guarding:
                self._tasks.start(self._calendar.ask(event.account), f"calendar of {event.account}")

    async def _beat(self) -> None:
        clock = SystemClock()
        loop = asyncio.get_running_loop()
        counted: list[tuple[int, int]] = []
        p99: float | None = None
        while True:
            due = loop.time() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            late = loop.time() - due
            desks = list(self._workspace.accounts.values())
            await self._coverage.look()
            self._order_use.look()
            if self._workspace.guarding:
                self.guard.beat(self.armed)
            exits = [desk.stops.engine_us for desk in desks]
            now = [(len(taken), taken[-1]) for taken in exits if taken]
            if now != counted:  # ten thousand are sorted in a millisecond or two: only where there are others
                counted, p99 = now, _p99([us for taken in exits for us in taken])
            self._bus.publish(
                EngineBeat(
                    at=clock.now(),
                    armed=sum(desk.stops.armed for desk in desks),
                    blind=sum(desk.blind for desk in desks),
                    loop_lag_ms=max(0.0, late * 1000),
                    engine_p99_ms=p99,
                    clocks=tuple((desk.account, desk.clock.now()) for desk in desks),
                )
            )


def _p99(taken: Sequence[int]) -> float | None:
    """Milliseconds; None of too few."""
    return statistics.quantiles(taken, n=100)[P99 - 1] / 1000 if len(taken) >= ENOUGH_EXITS else None
