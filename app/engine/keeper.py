"""What moves armed stops beside ticks, and what remembers where they moved: average ranges, time exits, the journal of
levels. Loop thread only.

A level that moved is told to the window a few times a second and journalled every second, many in one write: never on
the hot path. After a crash a stop is armed again at the last journalled level, which is never looser than the plan's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from app.domain.errors import AppError, Denied
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price, in_rupees
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, TrailKind
from app.engine.distances import Distances, Pair
from app.engine.first_tick import FirstTick, must_look
from app.engine.minds import StandIn
from app.engine.record import StopRecord
from app.engine.surroundings import Surroundings
from app.engine.watch import SECOND, Watch
from app.engine.watching import Watching
from app.runtime.clock import AccountClock
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

TELL_SECONDS = 0.25
SAVE_SECONDS = 1.0
AUDIT_SECONDS = 15.0
"""A trail that moves all day leaves a line of the audit trail this often at most."""
BEAT_SECONDS = 1.0
SEEN_BEATS = 60
"""Every so many beats the last price of each armed stop is remembered."""
AGAIN_SECONDS = 30.0
"""Before candles that could not be read are asked for again."""
SETTLED_SECONDS = 3.0
"""After a candle has ended, until the broker's record has it."""


class Keeper:
    """Owner of what happens to armed levels over time."""

    def __init__(
        self,
        record: StopRecord,
        clock: AccountClock,
        stops: Mapping[StopId, Stop],
        around: Surroundings,
        distances: Distances,
        known: Callable[[InstrumentId], Instrument],
        last_price: Callable[[InstrumentId], Price | None],
        changed: Callable[[Stop], None],
        tasks: Tasks,
    ) -> None:
        self._record = record
        self._clock = clock
        self._stops = stops
        self._around = around
        self._distances = distances
        self._known = known
        self._last_price = last_price
        self._changed = changed
        self._tasks = tasks
        self.watching: Watching | None = None
        self.rewatch: Callable[[Stop], None] = _nothing
        """Gives a stop a fresh watch."""
        self._moved: dict[StopId, None] = {}
        self._unsaved: dict[StopId, None] = {}
        self._audited: dict[StopId, tuple[float, Price]] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._saving = False
        self._beating: asyncio.TimerHandle | None = None
        self._beats = 0
        self._ranges: dict[StopId, asyncio.Task[None]] = {}

    # -- levels that move --------------------------------------------------------------------------------------------

    def moved(self, watch: Watch) -> None:
        """A level moved. Called after the checks of a frame: only noted."""
        self._moved[watch.stop_id] = None
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self.tell)

    def tell(self) -> None:
        """Moved levels go to the window now, and to the journal soon."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        moved, self._moved = self._moved, {}
        for stop_id in moved:
            stop, watch = self._stops.get(stop_id), self._watch(stop_id)
            if stop is not None and watch is not None and stop.state is StopState.ARMED:
                self._audited.setdefault(stop_id, (-AUDIT_SECONDS, stop.trigger))
                self._changed(levelled(stop, watch))
                self._unsaved[stop_id] = None
        self._save_soon()

    def _save_soon(self) -> None:
        if self._unsaved and not self._saving:
            self._saving = True
            self._tasks.start(self._save(), "journal of moved levels")

    async def _save(self) -> None:
        try:
            while self._unsaved:
                await asyncio.sleep(SAVE_SECONDS)
                unsaved, self._unsaved = self._unsaved, {}
                stops = [stop for stop in map(self._stops.get, unsaved) if stop and stop.state is StopState.ARMED]
                await self._record.keep_levels(stops)
                for stop in stops:
                    self._audit(stop)
        finally:
            self._saving = False

    def _audit(self, stop: Stop) -> None:
        now = asyncio.get_running_loop().time()
        at, level = self._audited.get(stop.id, (now, stop.trigger))
        if level != stop.trigger and now - at >= AUDIT_SECONDS:
            self._audited[stop.id] = (now, stop.trigger)
            self._record.note(stop, "level moved", f"from {_told(stop, level)} to {_told(stop, stop.trigger)}")

    # -- a watch begins and ends -------------------------------------------------------------------------------------

    async def range_of(self, plan: StopPlan, instrument: Instrument, watch: Watch) -> None:
        """The average range of a stop that is about to be armed, put into its levels. Raises AppError."""
        if plan.trail is not None and plan.trail.kind is TrailKind.ATR:
            looked = self._known(watch.instrument) if watch.instrument != instrument.id else instrument
            watch.levels.set_range(await self._around.average_range(looked, plan.trail), plan.trail.amount)
            watch.settle_band()

    def begin(self, stop: Stop) -> None:
        """A stop is watched from now on."""
        if stop.plan.trail is not None and stop.plan.trail.kind is TrailKind.ATR:
            self._end_range(stop.id)
            task = self._tasks.start(self._keep_range(stop.id, stop.plan), f"range of stop {stop.id}")
            self._ranges[stop.id] = task
        if self._beating is None:
            self._beating = asyncio.get_running_loop().call_later(0, self._beat)

    def end(self, stop: StopId) -> None:
        """It is not watched any more."""
        self._end_range(stop)
        self._moved.pop(stop, None)

    def _end_range(self, stop: StopId) -> None:
        task = self._ranges.pop(stop, None)
        if task is not None:
            task.cancel()

    async def _keep_range(self, stop_id: StopId, plan: StopPlan) -> None:
        """The range is worked out anew when a candle has ended."""
        trail = plan.trail
        while trail is not None:
            watch = self._watch(stop_id)
            if watch is None or watch.fired:
                return
            try:
                fresh = await self._around.average_range(self._known(watch.instrument), trail)
            except AppError as failure:
                log.info("range of stop %s: %s", stop_id, failure.cause)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if watch.levels.set_range(fresh, trail.amount):
                self.moved(watch)
            watch.settle_band()
            length = int(trail.interval)
            left = length - self._clock.now() // SECOND % length
            await asyncio.sleep(left / max(self._clock.speed, 1.0) + SETTLED_SECONDS)

    # -- time --------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        self._beating = None
        watching = self.watching
        if watching is None or not len(watching):
            return
        self._beating = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
        now = self._clock.now()
        self._beats += 1
        for stop in list(self._stops.values()):
            if stop.state is not StopState.ARMED:
                continue
            try:
                if stop.exit_at is not None and stop.exit_at <= now:
                    watching.fire(stop, FiredBy.TIME)
                elif self._is_old(stop):
                    self.rewatch(stop)
                elif self._beats % SEEN_BEATS == 0:
                    self._see(stop)
            except Denied as failure:  # of this one alone: the others' time exits do not wait for it
                if self._beats % SEEN_BEATS == 0:
                    log.info("stop %s: %s", stop.id, failure.cause)
        self._distances.seek(self._stand_ins())
        self._save_soon()

    def _stand_ins(self) -> Iterator[Pair]:
        for watch in filter(None, map(self._watch, self._stops)):
            for place in watch.others:
                if isinstance(place.mind, StandIn):
                    yield place.mind.pair

    def passed(self, watch: Watch) -> None:
        """Its first tick of the day has been looked at."""
        stop = self._stops.get(watch.stop_id)
        if stop is not None:
            now = self._clock.now()
            last = self._last_price(stop.key.instrument) or stop.seen_price
            self._changed(replace(stop, seen_price=last, seen_at=now))
            self._unsaved[stop.id] = None
            self._save_soon()

    def _is_old(self, stop: Stop) -> bool:
        """Another day has begun under a stop: its first tick is looked at as after a restart."""
        watch = self._watch(stop.id)
        if watch is None or watch.fired or isinstance(watch.mind, FirstTick):
            return False
        return must_look(stop, self._known(stop.key.instrument), self._clock.now())

    def _see(self, stop: Stop) -> None:
        """Remembers the price: on the next day it tells a split from a fall."""
        watch = self._watch(stop.id)
        if watch is None or isinstance(watch.mind, FirstTick):
            return
        last, now = self._last_price(stop.key.instrument), self._clock.now()
        if last is not None and self._around.continuous(stop.key.instrument, now):
            self._changed(replace(stop, seen_price=last, seen_at=now))
            self._unsaved[stop.id] = None

    def _watch(self, stop: StopId) -> Watch | None:
        return None if self.watching is None else self.watching.of(stop)


def _nothing(stop: Stop) -> None:
    """Before the engine is whole."""


def levelled(stop: Stop, watch: Watch) -> Stop:
    """The stop with its levels as they are now."""
    return replace(stop, trigger=watch.levels.level, best=watch.levels.best_price)


def _told(stop: Stop, price: Price) -> str:
    return in_rupees(price, stop.price_scale)
