"""A stop whose instrument opened with a close that is not ours: looked up in the broker's record, and where that does
not explain it, suspended with a loud question (F8). Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from app.domain.errors import AppError
from app.domain.events import Event, Level, Noticed
from app.domain.ids import InstrumentId, Nanos, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price, said_price
from app.domain.stop import Stop, StopState
from app.engine.first_tick import FirstTick, differs
from app.engine.record import StopRecord
from app.engine.surroundings import Surroundings
from app.engine.watch import SECOND, Watch
from app.engine.watching import Watching
from app.runtime.clock import Clock
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

RECORD_SECONDS = 5.0
"""How long the broker's record may take; a stop that cannot be cleared by then is suspended."""
DAY: Nanos = 86_400 * SECOND
IST: Nanos = 19_800 * SECOND


class Restated:
    """Owner of the question, for one account."""

    def __init__(
        self,
        record: StopRecord,
        clock: Clock,
        stops: Mapping[StopId, Stop],
        around: Surroundings,
        known: Callable[[InstrumentId], Instrument],
        changed: Callable[[Stop], None],
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._record = record
        self._clock = clock
        self._stops = stops
        self._around = around
        self._known = known
        self._changed = changed
        self._publish = publish
        self._tasks = tasks
        self.watching: Watching | None = None

    def doubt(self, watch: Watch, close: Price) -> None:
        """A first tick told of another close. Called after the check of a frame."""
        self._tasks.start(self._settle(watch, close), f"close of {watch.instrument}")

    async def _settle(self, watch: Watch, close: Price) -> None:
        stop = self._stops[watch.stop_id]
        seen, seen_at = stop.seen_price, stop.seen_at
        if seen is None or seen_at is None:
            return
        if await self._is_a_move(stop, seen, seen_at, close):
            self._record.note(stop, "close differs", f"{self._told(stop, close)}; the broker's record shows the move")
            if isinstance(watch.mind, FirstTick):
                watch.mind.release()
                if self.watching is not None:
                    self.watching.look_now(watch)
            return
        if self.watching is None or self.watching.of(stop.id) is not watch or watch.fired:
            return
        await self._suspend(self._stops[stop.id], seen, close)

    async def _is_a_move(self, stop: Stop, seen: Price, seen_at: Nanos, close: Price) -> bool:
        """The broker's record has both our price at its time and the close: the price moved after we looked away. A
        restated record misses the first, one that is not restated yet the second."""
        instrument = self._known(stop.key.instrument)
        midnight = (self._clock.now() + IST) // DAY * DAY - IST
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                then = await self._around.price_at(instrument, seen_at)
                last = await self._around.price_at(instrument, midnight)
        except (AppError, TimeoutError) as failure:
            log.info("record of %s: %s", instrument.id, failure)
            return False
        return then is not None and last is not None and not differs(then, seen) and not differs(close, last)

    async def _suspend(self, stop: Stop, seen: Price, close: Price) -> None:
        if self.watching is not None:
            self.watching.stop(stop.id)
        ours = said_price(seen, stop.price_scale)
        note = f"previous close is told as {self._told(stop, close)}, ours was {ours}: split or bonus?"
        suspended = replace(stop, state=StopState.SUSPENDED, note=note)
        self._changed(suspended)
        self._publish(
            Noticed(
                Level.ALARM,
                f"Stop on {stop.key.instrument} is suspended",
                f"The {note}",
                "Nothing guards the position: keep the level, set another, or disarm, in the stops list.",
                stop.key.account,
                f"restated:{stop.id}",
            )
        )
        await self._record.keep(suspended, "suspended", note)

    @staticmethod
    def _told(stop: Stop, price: Price) -> str:
        return said_price(price, stop.price_scale)
