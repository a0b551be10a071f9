"""The strategies of one account: their owner. Takes verbs, the clock and the broker's news to the table, keeps what it
decides, and has it done. Loop thread only.

One lock a strategy: what happens to it is decided and stored one after the other, so nothing can be done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from app.domain.calendar import Calendar, ist_date
from app.domain.errors import Denied, StorageError
from app.domain.events import Event, Level, StrategyDeleted
from app.domain.ids import InstrumentId, StrategyId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.strategy import Strategy, StrategyPlan, StrategyState, new_strategy_id
from app.domain.strategy_times import Outlook, next_cycle
from app.engine.account import AccountState
from app.engine.orders import OrderManager, new_order_tag
from app.engine.rules import ExitRules
from app.engine.stops import StopEngine
from app.engine.strategies import timers
from app.engine.strategies.entries import Entries, may_fill
from app.engine.strategies.exits import Exits
from app.engine.strategies.following import Following
from app.engine.strategies.happenings import (
    Action,
    BrokerBack,
    CancelEntry,
    End,
    EntryDue,
    EntryMissed,
    EntryNews,
    FireExit,
    Guard,
    Happening,
    Pause,
    PlaceEntry,
    Release,
    Resume,
    Start,
    Tell,
)
from app.engine.strategies.moves import planned
from app.engine.strategies.plan import decide
from app.engine.strategies.record import StrategyJournal, StrategyRecord, marks_of, what_of
from app.engine.strategies.recovery import NOT_MADE_UP_FOR, by_position, reading_of
from app.engine.strategies.tasks import StrategyTask, TaskKind, TaskQueue
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

_S = StrategyState


class StrategyEngine:
    """All strategies of one account."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        stops: StopEngine,
        journal: StrategyJournal,
        rules: ExitRules,
        hours: timers.MarketTimes,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._stops = stops
        self._hours = hours
        self._instrument = instrument
        self._publish = publish
        self._tasks = tasks
        self._record = StrategyRecord(journal, state.clock, publish, tasks)
        self._following = Following(self.outlook, self._record)
        self._strategies: dict[StrategyId, Strategy] = {}
        self._locks: dict[StrategyId, asyncio.Lock] = {}
        self.queue = TaskQueue(tasks)
        self._entries = Entries(
            state, orders, rules, instrument, last_price, self._strategies, self._apply_quietly, tasks
        )
        self._exits = Exits(
            state, stops, instrument, last_price, self._strategies, self._apply_quietly, self._record, self.queue, tasks
        )
        self._since = 0
        """Exchange time from which on this run was there to act."""
        self._running = False
        self._calendar: Calendar | None = None
        self._woken = asyncio.Event()
        self._wanted: dict[int, InstrumentId] = {}
        self._on_wanted: Callable[[Mapping[int, InstrumentId]], None] | None = None

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """All, in the order of their making."""
        return tuple(self._strategies.values())

    def strategy(self, strategy_id: StrategyId) -> Strategy:
        """One of them. Raises Denied."""
        found = self._strategies.get(strategy_id)
        if found is None:
            raise Denied("There is no such strategy.", "See the strategies list.")
        return found

    @property
    def waiting(self) -> int:
        """Strategies that are about to buy: nothing of theirs is armed yet, and their time is missed without us."""
        return sum(s.state in (_S.WAITING, _S.BUYING) and not s.held for s in self._strategies.values())

    # -- life --------------------------------------------------------------------------------------------------------

    def adopt(self, strategies: Iterable[Strategy]) -> None:
        """From the journal, before the first login of this run."""
        for strategy in strategies:
            self._strategies[strategy.id] = strategy
            self._locks[strategy.id] = asyncio.Lock()

    def run(self) -> None:
        """The clock is known: what is due is done from here on, until the program ends. A second call does nothing."""
        if not self._running:
            self._running = True
            self._since = self._state.clock.now()
            self._tasks.start(self._keep_time(), f"strategies of {self._state.account}")

    async def take_up(self) -> None:
        """A session is there and the stops are recovered: entries and exits of an earlier run are taken up (F8)."""
        self.run()
        self._want()
        for strategy in tuple(self._strategies.values()):
            if may_fill(strategy):
                await self._take_up_entry(strategy)
            if self._strategies[strategy.id].state.is_open:
                await self._exits.take_up(self._strategies[strategy.id])

    async def _take_up_entry(self, strategy: Strategy) -> None:
        earlier = strategy.day is not None and strategy.day < ist_date(self._state.clock.now())
        if earlier and strategy.state is not _S.BUYING:  # it has left; an order of an earlier day fills no more
            over = EntryNews(strategy.bought, strategy.entry_average, over=True)
            await self._apply_quietly(strategy.id, over)
            return
        if not earlier or self._entries.found(strategy):
            self._entries.follow(strategy.id, recovering=NOT_MADE_UP_FOR)
            return
        reading = await reading_of(self._state)
        adopted = by_position(strategy, reading, self.strategies, self._known(strategy.plan).price_scale)
        await self._apply_quietly(strategy.id, adopted)

    def when_wanted(self, handler: Callable[[Mapping[int, InstrumentId]], None]) -> None:
        """Calls with what running strategies need prices of, whenever that changes."""
        self._on_wanted = handler

    def _want(self) -> None:
        running = [strategy.plan for strategy in self._strategies.values() if strategy.state.is_running]
        looked = [plan.underlying for plan in running if plan.by_underlying and plan.underlying is not None]
        wanted = [*(plan.instrument for plan in running), *looked]
        known = [found for name in wanted if (found := self._instrument(name)) is not None]
        names = {instrument.token: instrument.id for instrument in known}
        if names != self._wanted and self._on_wanted is not None:
            self._wanted = names
            self._on_wanted(names)

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def save(self, plan: StrategyPlan) -> Strategy:
        """A new one, or another plan for one that is not running. Raises Denied, StorageError."""
        async with self._locks.setdefault(plan.id, asyncio.Lock()):
            known = self._strategies.get(plan.id)
            if known is not None and known.state.is_running:
                raise Denied("A strategy that runs cannot be changed.", "Stop it first, or copy it.")
            _deny_cancelling(known)
            fresh = replace(planned(known, plan), changed_at=self._state.clock.now())
            await self._record.save(fresh, (), "saved")
            self._strategies[plan.id] = fresh
        return fresh

    async def copy(self, strategy_id: StrategyId) -> Strategy:
        """The same plan under another name, not started."""
        plan = self.strategy(strategy_id).plan
        taken = {strategy.plan.name for strategy in self._strategies.values()}
        name = f"{plan.name} copy"
        number = 2
        while name in taken:
            name, number = f"{plan.name} copy {number}", number + 1
        return await self.save(replace(plan, id=new_strategy_id(), name=name))

    async def delete(self, strategy_id: StrategyId) -> None:
        """Raises Denied while it runs."""
        async with self._locks.setdefault(strategy_id, asyncio.Lock()):
            strategy = self.strategy(strategy_id)
            if strategy.state.is_running:
                raise Denied("A strategy that runs cannot be deleted.", "Stop it first.")
            _deny_cancelling(strategy)
            await self._record.delete(strategy)
            del self._strategies[strategy_id]
        self._publish(StrategyDeleted(strategy_id))

    async def start(self, strategy_id: StrategyId) -> Strategy:
        """From its next buy time on. Raises Denied in words where there is none, or an opposite one runs."""
        strategy = self.strategy(strategy_id)
        if strategy.state.is_running:
            raise Denied("It runs already.", "See its timeline.")
        self._deny_opposite(strategy.plan)
        outlook = self.outlook(strategy.plan)
        if outlook.cycle is None:
            why = outlook.skipped[-1] if outlook.skipped else "None of its days is still to come."
            raise Denied(f"There is no day to buy on. {why}", "Choose other days or times.")
        return await self._verb(strategy_id, Start(outlook.cycle))

    async def pause(self, strategy_id: StrategyId) -> Strategy:
        """No entries; exits go on."""
        return await self._verb(strategy_id, Pause())

    async def resume(self, strategy_id: StrategyId) -> Strategy:
        """Entries again, from the next buy time on. Raises Denied where there is none."""
        strategy = self.strategy(strategy_id)
        cycle = self.outlook(strategy.plan).cycle
        if cycle is None and not strategy.state.is_open:
            raise Denied("None of its days is still to come.", "Stop it and choose other days.")
        return await self._verb(strategy_id, Resume(cycle))

    async def stop(self, strategy_id: StrategyId, *, close: bool) -> Strategy:
        """It rests. `close`: what it holds is closed; else that stays, as the trader's own."""
        return await self._verb(strategy_id, End(close, self._exits.guarded(self.strategy(strategy_id))))

    def outlook(self, plan: StrategyPlan) -> Outlook:
        """Its next buy and sell, and the days that are passed over. Raises Denied for an unknown instrument."""
        instrument = self._known(plan)
        cas = self._hours.ends_in_auction(instrument)
        return next_cycle(plan, instrument, self._hours.calendar, self._state.clock.now(), cas=cas)

    def _deny_opposite(self, plan: StrategyPlan) -> None:
        for other in self._strategies.values():
            runs = (other.state.is_running or other.goes_on) and other.id != plan.id and other.plan.key == plan.key
            if runs and other.plan.side is not plan.side:
                raise Denied(
                    f"“{other.plan.name}” trades {plan.instrument} the other way round.",
                    "Stop that one, or use another product.",
                )

    async def _verb(self, strategy_id: StrategyId, happening: Happening) -> Strategy:
        before = self.strategy(strategy_id)
        after = await self._apply(strategy_id, happening, strict=True)
        if after == before:
            _deny_cancelling(before)
            raise Denied(f"A strategy that is {before.state.value} cannot do that.", "See its state.")
        self._woken.set()
        return after

    # -- the table ---------------------------------------------------------------------------------------------------

    async def _apply_quietly(self, strategy_id: StrategyId, happening: Happening) -> None:
        if strategy_id in self._strategies:
            await self._apply(strategy_id, happening)

    async def _apply(self, strategy_id: StrategyId, happening: Happening, *, strict: bool = False) -> Strategy:
        """Decided, told, done, stored: no exit and no guard waits for the disk, but an entry does. `strict`: raises
        StorageError where nothing leaves, and nothing has changed then."""
        async with self._locks[strategy_id]:
            before = self.strategy(strategy_id)
            decision = decide(before, happening)
            if decision.strategy == before and not decision.actions:
                return before
            after = replace(decision.strategy, changed_at=self._state.clock.now())
            entering = any(isinstance(action, PlaceEntry) for action in decision.actions)
            waits = entering or (strict and not any(isinstance(action, FireExit) for action in decision.actions))
            stop = None if after.stop is None else self._stops.find(after.stop)
            level = None if stop is None or not stop.has_level else stop.trigger
            marks = marks_of(before, after, happening, level)
            what = what_of(before, after, happening)
            if waits:
                try:
                    await self._record.save(after, marks, what)
                except StorageError as failure:
                    if strict:
                        raise
                    self._record.tell(before, Level.ALARM, f"nothing was bought: {failure}", "journal")
                    return before
            else:
                self._record.keep(after, marks, what)
            self._strategies[strategy_id] = after
            for action in decision.actions:
                self._do(after, action)
        if after.state is not before.state:
            self._want()
            self._woken.set()
        return after

    def _do(self, strategy: Strategy, action: Action) -> None:
        name = strategy.id
        if isinstance(action, PlaceEntry):
            self.queue.put(StrategyTask(TaskKind.BUY, name, lambda: self._entries.place(name), strategy.tag or ""))
        elif isinstance(action, CancelEntry):
            self._entries.follow(name)
            self._entries.look(name)
        elif isinstance(action, Guard):
            self._exits.guard(name)
        elif isinstance(action, FireExit):
            self._exits.sell(name, action.why)
        elif isinstance(action, Release):
            self._tasks.start(self._exits.release(strategy, action.stop), f"release of strategy {name}")
        elif isinstance(action, Tell):
            self._record.tell(strategy, action.level, action.words)

    # -- time --------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        while True:
            try:
                await self._look_at_the_clock()
            except Exception as bug:
                log.exception("the timers of %s are looked at again", self._state.account)
                self._timers_failed(bug, *self._strategies.values())
            clock = self._state.clock
            seconds = timers.sleep_seconds(list(self._strategies.values()), clock.now(), clock.speed)
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()

    async def _look_at_the_clock(self) -> None:
        if self._hours.calendar is not self._calendar:
            known, self._calendar = self._calendar is not None, self._hours.calendar
            if known:
                await self._replan()
        for strategy in tuple(self._strategies.values()):
            if self._locks[strategy.id].locked():
                continue  # what happens to it is being decided
            happening = self._due(strategy, self._state.clock.now())
            if happening is not None:  # none waits for what another has to write
                self._tasks.start(self._in_time(strategy, happening), f"timers of strategy {strategy.id}")

    async def _in_time(self, strategy: Strategy, happening: Happening) -> None:
        try:
            await self._apply_quietly(strategy.id, happening)
        except Exception as bug:
            log.exception("the timers of strategy %s are looked at again", strategy.id)
            self._timers_failed(bug, strategy)

    def _timers_failed(self, bug: Exception, *strategies: Strategy) -> None:
        for strategy in strategies:
            if strategy.state.is_running:
                self._record.tell(strategy, Level.ALARM, f"its timers failed: {type(bug).__name__}", "timers")

    def _due(self, strategy: Strategy, now: int) -> Happening | None:
        if strategy.state is _S.WAITING and timers.entry_is_due(strategy, now):
            if timers.entry_is_missed(strategy, now, self._since, self._state.clock.speed):
                return EntryMissed(timers.missed_words(strategy), self._following.cycle(strategy))
            return EntryDue(new_order_tag(), now)
        if strategy.state is _S.PAUSED and timers.entry_is_due(strategy, now):
            return EntryMissed("", self._following.cycle(strategy))
        if strategy.state is _S.BROKER_UNREACHABLE:
            reading = self._state.reading
            back = self._state.active and reading is not None and reading.read_at > strategy.changed_at
            return BrokerBack(self._following.cycle(strategy)) if back else None
        if timers.is_new_day(strategy, now):
            return self._following.new_day(strategy) if strategy.goes_on else None
        return timers.exit_due(strategy, now, self._since)

    async def _replan(self) -> None:
        """The calendar changed: a half day was announced, an exchange never closes after all."""
        for strategy in tuple(self._strategies.values()):
            instrument = self._instrument(strategy.plan.instrument)
            if instrument is None or strategy.day is None or not strategy.state.is_running:
                continue
            cas, now = self._hours.ends_in_auction(instrument), self._state.clock.now()
            happening = timers.replanned(
                strategy, instrument, self._hours.calendar, now, self._following.cycle, cas=cas
            )
            if happening is not None:
                await self._apply_quietly(strategy.id, happening)

    def _known(self, plan: StrategyPlan) -> Instrument:
        found = self._instrument(plan.instrument)
        if found is None:
            raise Denied(f"{plan.instrument} is not in the instrument list.", "Refresh the instruments.")
        return found


def _deny_cancelling(strategy: Strategy | None) -> None:
    """Raises Denied where an order of its last entry may still fill."""
    if strategy is not None and strategy.cancels:
        raise Denied("The rest of its entry is still being cancelled.", "Try again in a moment.")
