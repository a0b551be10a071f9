"""How an armed stop comes to its watch: by what is so when the journal has it, not by what was so when it was asked to
write. A disk may take its time, and prices, fills, logins and backstops do not wait for it. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from app.domain.errors import AppError
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, TrailKind
from app.engine.account import AccountState
from app.engine.delivery import DELIVERED
from app.engine.furnish import set_entry
from app.engine.keeper import Keeper, levelled
from app.engine.releases import Releases
from app.engine.shares import Shares
from app.engine.surroundings import Surroundings
from app.engine.watch import Watch
from app.engine.watching import Watching

HEAR_SECONDS = 2.0
"""How long a stop waits for positions that are read after a fill."""


class Posts:
    """One account's."""

    def __init__(
        self,
        state: AccountState,
        stops: Mapping[StopId, Stop],
        watching: Watching,
        keeper: Keeper,
        shares: Shares,
        releases: Releases,
        around: Surroundings,
        known: Callable[[InstrumentId], Instrument],
        changed: Callable[[Stop], None],
    ) -> None:
        self._state = state
        self._stops = stops
        self._watching = watching
        self._keeper = keeper
        self._shares = shares
        self._releases = releases
        self._around = around
        self._known = known
        self._set = changed

    async def begin(self, stop: Stop, prepared: Watch) -> None:
        """The journal has it. While it wrote, the session may have changed (whose line the exit was made for), the
        position, and what rests behind the stop."""
        await self.hear_fills(stop.key)
        self.post(stop, prepared)

    def post(self, stop: Stop, prepared: Watch) -> None:
        """The same where its fills have been heard."""
        self._set(stop)
        if self._watching.line is None:
            return  # blind until the next login, which takes it up
        self.start(stop, self.prepare_anew(stop, prepared))
        self.follow_position(stop)

    async def hear_fills(self, key: PositionKey) -> None:
        """What fills took while the disk was busy is not guarded, nor sold again. A broker that does not tell soon
        leaves nothing unguarded: then it goes by what is known."""
        with contextlib.suppress(AppError, TimeoutError):
            async with asyncio.timeout(HEAR_SECONDS):
                await self._state.known_since_fills(key)

    def rewatch(self, stop: Stop) -> None:
        """The same stop with a fresh watch, as on the morning of another day, where its levels are now."""
        stop = self.where_it_is(stop)
        self.start(stop, self.fresh(stop))

    def start(self, stop: Stop, watch: Watch) -> None:
        """It watches from now on, in place of what did."""
        self._watching.take_over(watch)
        self._keeper.begin(stop)

    def back(self, stop: Stop, watch: Watch) -> None:
        """It watches on, for its end could not be written: by what rests behind it now, and less what was sold."""
        self.start(stop, watch)
        if not any(order.filled_quantity for order in self._state.orders.of(stop.id)):
            # A backstop that has filled is no reason to sell again: changing it is refused, and its follower looks.
            self._watching.reload(stop, self._known(stop.key.instrument))
        self.follow_position(stop)

    def follow_position(self, stop: Stop) -> None:
        """What the positions as last read and the fills since then make of it."""
        reading = self._state.reading
        if reading is not None:
            self._releases.look(stop, reading)
            self._shares.align(stop.key, reading)

    def where_it_is(self, stop: Stop) -> Stop:
        """With the levels of now: the window and the journal hear of them a little later."""
        watch, known = self._watching.of(stop.id), self._stops[stop.id]
        return replace(stop, trigger=known.trigger, best=known.best) if watch is None else levelled(stop, watch)

    def fresh(self, stop: Stop) -> Watch:
        """Prepared by what is known now. Raises Denied without a session or a rule."""
        reading = self._state.reading
        position = None if reading is None else reading.find(stop.key)
        return self.prepare(stop, self._known(stop.key.instrument), position)

    def prepare_anew(self, stop: Stop, prepared: Watch) -> Watch:
        """By what is so now, with the average range that was read for another watch of the plan."""
        watch, trail = self.fresh(stop), stop.plan.trail
        if trail is not None and trail.kind is TrailKind.ATR:
            watch.levels.same_range(prepared.levels)
            watch.settle_band()
        return watch

    def is_gone(self, stop: Stop) -> bool:
        """A reading says so. Of shares that do not trade it may not be the last word."""
        reading, key = self._state.reading, stop.key
        if reading is None or not reading.knows(key):
            return False
        if key.product in DELIVERED and not self._around.continuous(key.instrument, self._state.clock.now()):
            return False
        return reading.quantity(key) * -stop.side.sign <= 0

    def prepare(self, stop: Stop, instrument: Instrument, position: Position | None) -> Watch:
        """Its exit and its levels, the break-even move of a position among them. Raises as `fresh`."""
        watch = self._watching.prepare(stop, instrument)
        if position is not None and position.quantity:
            set_entry(watch, stop, position, self._around)
        return watch
