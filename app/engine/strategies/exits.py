"""The exit of a strategy: armed with the stop engine as soon as something is held, as large as the share, fired by time
or by the trader. Firing, following to flat and squaring off are the stop engine's: there is no second exit machine.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from app.domain.calendar import ist_date
from app.domain.errors import AppError, Denied
from app.domain.events import Level as Loudness
from app.domain.ids import InstrumentId, StopId, StrategyId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, TriggerSource
from app.domain.strategy import Leaving, Strategy, StrategyState
from app.engine.account import AccountState, PositionReading
from app.engine.exit_plan import SETTLED_SECONDS
from app.engine.stops import StopEngine
from app.engine.strategies.happenings import (
    Armed,
    ExitOver,
    ExitStarted,
    GuardLost,
    Happening,
    ShareChanged,
)
from app.engine.strategies.levels import plainly, reached, stop_plan
from app.engine.strategies.record import StrategyRecord
from app.engine.strategies.tasks import StrategyTask, TaskKind, TaskQueue
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Between two tries to arm or to fire."""
LOUD_TRIES = 3
"""Tries that fail before the trader is called."""
LOUD_AGAIN = 60
"""And again after so many."""

_HOLDING = (StrategyState.BUYING, StrategyState.BOUGHT)
_UNDER_WAY = (StopState.FIRED, StopState.EXITING)
LEAVING = {
    FiredBy.STOP: Leaving.STOP,
    FiredBy.TARGET: Leaving.TARGET,
    FiredBy.TIME: Leaving.TIME,
    FiredBy.PORTFOLIO: Leaving.PORTFOLIO,
}
"""What a fired stop says of why; the trader's own hand is what the strategy was told."""
FIRED_BY = {
    Leaving.STOP: FiredBy.STOP,
    Leaving.TARGET: FiredBy.TARGET,
    Leaving.TIME: FiredBy.TIME,
    Leaving.PORTFOLIO: FiredBy.PORTFOLIO,
}

Apply = Callable[[StrategyId, Happening], Awaitable[None]]


class Exits:
    """The exits of one account's strategies."""

    def __init__(
        self,
        state: AccountState,
        stops: StopEngine,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        strategies: Mapping[StrategyId, Strategy],
        apply: Apply,
        record: StrategyRecord,
        queue: TaskQueue,
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._stops = stops
        self._instrument = instrument
        self._last_price = last_price
        self._strategies = strategies
        self._apply = apply
        self._record = record
        self._queue = queue
        self._tasks = tasks
        self._guarding: set[StrategyId] = set()
        self._turns: defaultdict[StrategyId, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Guarding and firing of one strategy come one after the other: while the positions are read for one, the other
        must not arm a second exit."""
        self._gone_since: dict[StrategyId, float] = {}
        """Since when (loop time) readings have shown less than the strategy owns."""
        stops.on_changed.append(self._on_stop)
        state.on_positions.append(self._on_positions)

    def stop_of(self, strategy: Strategy) -> Stop | None:
        """The exit of its share, as the stop engine knows it."""
        return None if strategy.stop is None else self._stops.find(strategy.stop)

    # -- guarding ----------------------------------------------------------------------------------------------------

    def guard(self, strategy_id: StrategyId) -> None:
        """Arms the exit of the share, or makes it as large as the share."""
        if strategy_id not in self._guarding:
            self._guarding.add(strategy_id)
            self._gone_since.pop(strategy_id, None)  # what an exit before missed
            self._tasks.start(self._guard(strategy_id), f"guard of strategy {strategy_id}")

    async def _guard(self, strategy_id: StrategyId) -> None:
        tries = 0
        try:
            while (strategy := self._strategies.get(strategy_id)) is not None and self._wants(strategy):
                try:
                    async with self._turns[strategy_id]:
                        await self._guard_once(strategy_id)
                except AppError as failure:
                    tries += 1
                    log.info("guard of strategy %s: %s", strategy_id, failure)
                    self._call(
                        strategy, tries, f"{strategy.held} units are held and their exit is not armed: {failure}"
                    )
                    await asyncio.sleep(AGAIN_SECONDS)
            stop = None if strategy is None else self.stop_of(strategy)
            if strategy is not None and strategy.hands_over and stop is not None:  # it was guarded already
                await self._apply(strategy_id, Armed(stop.id, stop.plan.quantity or stop.quantity))
        finally:
            self._guarding.discard(strategy_id)
            self._gone_since.pop(strategy_id, None)

    def guarded(self, strategy: Strategy) -> bool:
        """Nothing of its share waits for its stop to be armed, or to grow."""
        return not self._wants(strategy)

    def _wants(self, strategy: Strategy) -> bool:
        if strategy.state not in _HOLDING or not strategy.held:
            return False
        stop = self.stop_of(strategy)
        if stop is None or stop.state.is_final:
            return strategy.bought > strategy.unguarded
        return stop.state is StopState.ARMED and (stop.plan.quantity or 0) < strategy.held

    async def _guard_once(self, strategy_id: StrategyId) -> None:
        strategy = self._strategies.get(strategy_id)
        if strategy is None or not self._wants(strategy):
            return
        units = await self._there(strategy)
        if units is None:
            return
        instrument = self._known(strategy)
        stop = self.stop_of(strategy)
        if stop is not None and not stop.state.is_final:
            if units <= (stop.plan.quantity or 0):
                raise Denied("The broker does not show the new units yet.", "Stopline looks again.")
            wanted = self._planned(strategy, units, instrument)
            if stop.plan.source is not wanted.source:
                wanted = replace(stop.plan, quantity=units)  # as it could be armed, and goes on so
            gains = strategy.plan.gains(instrument.kind)
            if (stop.trigger - wanted.trigger) * gains > 0 or stop.plan.trail is not None:
                wanted = replace(wanted, trigger=stop.trigger)  # it has moved, and goes on from there
            changed = await self._stops.change(stop.id, wanted)
            await self._apply(strategy.id, Armed(changed.id, changed.plan.quantity or changed.quantity))
            return
        plan = self._planned(strategy, units, instrument)
        why = self._reached(strategy, plan, instrument)
        if why is not None:  # the price is there already: an exit without a level, and out
            plan = stop_plan(strategy, units, instrument, bare=True)
        armed = await self._arm(strategy, plan)
        if why is not None:  # it leaves, whoever was to have it
            await self._apply(strategy.id, ExitStarted(why))
        await self._apply(strategy.id, Armed(armed.id, armed.plan.quantity or armed.quantity))
        if why is not None:
            self.sell(strategy.id, why)

    def _planned(self, strategy: Strategy, units: int, instrument: Instrument) -> StopPlan:
        """What is armed; where its levels cannot be told, its own stop, and the trader is called."""
        try:
            return stop_plan(strategy, units, instrument)
        except Denied as failure:
            entry = strategy.entry_average or 0
            own = strategy.plan.stop_price(entry, instrument.tick_size)
            if not own:
                raise
            words = f"Its own stop stands alone: {failure}"
            self._record.tell(strategy, Loudness.ALARM, words, "stop")
            return StopPlan(own, quantity=units, strategy=strategy.id)

    def _reached(self, strategy: Strategy, plan: StopPlan, instrument: Instrument) -> Leaving | None:
        """Whether a price that decides is there already."""
        own, gains = self._last_price(instrument.id), strategy.plan.side.sign
        if plan.source is not TriggerSource.UNDERLYING or plan.underlying is None:
            return reached(plan, gains, own)
        looked = self._last_price(plan.underlying)
        return reached(plan, strategy.plan.gains(instrument.kind), looked) or reached(plainly(plan), gains, own)

    async def _arm(self, strategy: Strategy, plan: StopPlan) -> Stop:
        """What the trader asked; where that is refused its plain levels, for the position is there already."""
        try:
            return await self._stops.arm(strategy.plan.key, plan)
        except AppError as failure:
            if plan == plainly(plan) or plan.source is TriggerSource.NONE:
                raise
            armed = await self._stops.arm(strategy.plan.key, plainly(plan))
            words = f"Its stop stands at its level alone: it could not be armed as asked ({failure})"
            self._record.tell(strategy, Loudness.ALARM, words, "stop")
            return armed

    async def _there(self, strategy: Strategy) -> int | None:
        """Units of the share that the broker's position has. None: gone, and said so to the table.

        Position rows may lag behind fills: what is missing must be missing for a while. Raises Denied until then, and
        where it is not known whether shares are there: unknown is not flat.
        """
        reading = await self._state.read_positions()
        held = self._left_for(strategy, reading)
        now = asyncio.get_running_loop().time()
        if held >= strategy.held:
            self._gone_since.pop(strategy.id, None)
            return strategy.held
        since = self._gone_since.setdefault(strategy.id, now)
        settled = self._stops.settles(strategy.plan.key, reading) and not self._is_to_come(strategy, reading)
        if now - since < SETTLED_SECONDS or not settled:
            if held:
                return held
            raise Denied("The broker does not show the position yet.", "Stopline looks again.")
        if held:
            await self._apply(strategy.id, ShareChanged(held))
            return held
        words = "The position was closed elsewhere"
        await self._apply(strategy.id, ExitOver(0, None, elsewhere=True, words=words))
        return None

    def _is_to_come(self, strategy: Strategy, reading: PositionReading) -> bool:
        """Bought today and never guarded, and the broker lists no such position: one that was closed stays listed."""
        fresh = strategy.stop is None and strategy.bought > strategy.unguarded
        return fresh and strategy.day == ist_date(self._state.clock.now()) and not reading.lists(strategy.plan.key)

    def _left_for(self, strategy: Strategy, reading: PositionReading) -> int:
        """Units of a position that may be the strategy's: what other stops have is others'."""
        key, stop = strategy.plan.key, self.stop_of(strategy)
        held = max(0, reading.quantity(key) * strategy.plan.side.sign)
        own = 0 if stop is None or stop.state.is_final else stop.quantity
        return min(held, self._stops.claims.free(key, held, yielding=True) + own)

    def _on_positions(self, reading: PositionReading) -> None:
        """A share whose stop the trader disarmed is the strategy's only as long as it is there: what is opened after
        that is somebody else's. With a stop, that follows the position."""
        for strategy in self._strategies.values():
            bare = strategy.state is StrategyState.BOUGHT and strategy.held and not self._wants(strategy)
            if not bare or strategy.stop is not None or strategy.id in self._gone_since:
                continue
            if self._left_for(strategy, reading) < strategy.held:
                self._gone_since[strategy.id] = asyncio.get_running_loop().time()
                self._tasks.start(self._look_again(strategy.id), f"share of strategy {strategy.id}")

    async def _look_again(self, strategy_id: StrategyId) -> None:
        try:
            await asyncio.sleep(SETTLED_SECONDS)
            strategy = self._strategies.get(strategy_id)
            if strategy is not None and strategy.state is StrategyState.BOUGHT and strategy.stop is None:
                async with self._turns[strategy_id]:
                    await self._there(strategy)
        except AppError as failure:
            log.info("share of strategy %s: %s", strategy_id, failure)  # the next reading looks again
        finally:
            self._gone_since.pop(strategy_id, None)

    # -- firing ------------------------------------------------------------------------------------------------------

    def sell(self, strategy_id: StrategyId, why: Leaving) -> None:
        """The exit goes out now: a SELL task, or a STOPLOSS where a level was reached."""
        kind = TaskKind.STOPLOSS if why is Leaving.STOP else TaskKind.SELL
        self._queue.put(StrategyTask(kind, strategy_id, lambda: self._fire(strategy_id, why)))

    async def _fire(self, strategy_id: StrategyId, why: Leaving) -> None:
        tries = 0
        while (strategy := self._strategies.get(strategy_id)) is not None:
            if strategy.state is not StrategyState.SELLING:
                return
            try:
                async with self._turns[strategy_id]:
                    if await self._fire_once(strategy_id, why):
                        return
                failure = "its market does not trade now, or nobody is logged in"
            except AppError as error:
                failure = str(error)
            tries += 1
            self._call(strategy, tries, f"{strategy.held} units are to be closed ({why}) and are not yet: {failure}")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _fire_once(self, strategy_id: StrategyId, why: Leaving) -> bool:
        """Whether the exit is on its way."""
        strategy = self._strategies.get(strategy_id)
        if strategy is None or strategy.state is not StrategyState.SELLING:
            return True
        stop = self.stop_of(strategy)
        if stop is not None and stop.state in _UNDER_WAY:
            return True
        if stop is not None and stop.state is StopState.SUSPENDED:
            await self._stops.disarm(stop.id)
        elif stop is not None and not stop.state.is_final:
            return self._stops.fire(stop.id, FIRED_BY.get(why, FiredBy.TRADER))
        units = await self._there(strategy)
        if units is None:
            return True
        armed = await self._stops.arm(strategy.plan.key, stop_plan(strategy, units, self._known(strategy), bare=True))
        await self._apply(strategy.id, Armed(armed.id, armed.quantity))
        return self._stops.fire(armed.id, FIRED_BY.get(why, FiredBy.TRADER))

    async def release(self, strategy: Strategy, stop_id: StopId | None) -> None:
        """The position is the trader's own now. A stop stays armed; an exit without a level guards nothing and goes."""
        stop = None if stop_id is None else self._stops.find(stop_id)
        if stop is None or stop.state is not StopState.ARMED:
            return
        try:
            if stop.plan.source is TriggerSource.NONE:
                await self._stops.disarm(stop.id)
            else:
                await self._stops.change(stop.id, replace(stop.plan, trigger=stop.trigger, strategy=None))
        except AppError as failure:
            self._record.tell(strategy, Loudness.WARNING, f"its stop could not be handed over: {failure}")

    # -- news of the stop --------------------------------------------------------------------------------------------

    def _on_stop(self, stop: Stop) -> None:
        strategy = self._strategies.get(StrategyId(stop.plan.strategy or ""))
        if strategy is None:
            return
        if _comes_back(strategy, stop):
            armed = Armed(stop.id, stop.plan.quantity or stop.quantity)
            self._tasks.start(self._applied(strategy.id, armed), f"stop of strategy {strategy.id}")
        if strategy.stop != stop.id:
            return
        happening = told_by(strategy, stop)
        if isinstance(happening, ExitStarted):
            run = happening
            self._queue.put(StrategyTask(TaskKind.STOPLOSS, strategy.id, lambda: self._applied(strategy.id, run)))
        elif happening is not None:
            self._tasks.start(self._applied(strategy.id, happening), f"stop of strategy {strategy.id}")

    async def _applied(self, strategy_id: StrategyId, happening: Happening) -> None:
        await self._apply(strategy_id, happening)

    async def take_up(self, strategy: Strategy) -> None:
        """After a restart or a login, the stops recovered: what its stop did meanwhile, and what is still missing."""
        if strategy.stop is None and strategy.held:
            known = [s for s in self._stops.stops if s.plan.strategy == strategy.id and not s.state.is_final]
            if known:
                await self._apply(strategy.id, Armed(known[-1].id, known[-1].plan.quantity or known[-1].quantity))
                strategy = self._strategies[strategy.id]
        stop = self.stop_of(strategy)
        happening = None if stop is None else told_by(strategy, stop)
        if happening is not None:
            await self._apply(strategy.id, happening)
            strategy = self._strategies[strategy.id]
        if self._wants(strategy) or strategy.hands_over:
            self.guard(strategy.id)
        if strategy.state is StrategyState.SELLING:
            self.sell(strategy.id, strategy.leaving or Leaving.TIME)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _known(self, strategy: Strategy) -> Instrument:
        found = self._instrument(strategy.plan.instrument)
        if found is None:
            raise Denied(f"{strategy.plan.instrument} is not in the instrument list.", "Refresh the instruments.")
        return found

    def _call(self, strategy: Strategy, tries: int, words: str) -> None:
        if tries == LOUD_TRIES or tries % LOUD_AGAIN == 0:
            self._record.tell(strategy, Loudness.ALARM, words, "exit")


def _comes_back(strategy: Strategy, stop: Stop) -> bool:
    """It was taken away, and is armed again in the strategy's name: a conversion of its position has failed. Pure."""
    bare = strategy.state is StrategyState.BOUGHT and strategy.stop is None and strategy.bought <= strategy.unguarded
    return bare and stop.state is StopState.ARMED and stop.key == strategy.plan.key


def told_by(strategy: Strategy, stop: Stop) -> Happening | None:
    """What the state of its stop means for a strategy. Pure."""
    if stop.state is StopState.CLOSED:
        out = stop.fired_at is not None and stop.exit_average is not None
        why = None if stop.fired_by is None else LEAVING.get(stop.fired_by)
        words = "" if out else stop.note[:1].upper() + stop.note[1:]
        return ExitOver(stop.quantity, stop.exit_average, elsewhere=not out, words=words, why=why if out else None)
    settled = strategy.entry_over and (stop.plan.quantity or 0) >= strategy.held
    if stop.state is StopState.ARMED and settled and stop.quantity != strategy.held:
        return ShareChanged(stop.quantity)
    if strategy.state not in _HOLDING:
        return None
    if stop.state in _UNDER_WAY:
        return ExitStarted(LEAVING.get(stop.fired_by or FiredBy.STOP, Leaving.TRADER))
    if stop.state is StopState.DISARMED:
        return GuardLost()
    return None
