"""What the trader and strategies ask of stops: arm, change, leave, resume, disarm; and arming again after a restart.
Durable before it holds, one change of a stop at a time. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

from app.domain.errors import Denied, NotYet
from app.domain.events import Event, StopChanged
from app.domain.ids import InstrumentId, Nanos, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, TriggerSource
from app.engine.account import AccountState
from app.engine.arming import deny_holding, deny_plan, fresh_stop, open_position
from app.engine.claims import Claims
from app.engine.delivery import DELIVERED
from app.engine.first_tick import must_look
from app.engine.furnish import deny_levels_of
from app.engine.grouped import Grouped
from app.engine.keeper import Keeper, levelled
from app.engine.late import exits_among
from app.engine.posts import Posts
from app.engine.record import StopRecord
from app.engine.stop_words import words
from app.engine.surroundings import Surroundings
from app.engine.watching import Watching
from app.runtime.clock import SECOND

DAY: Nanos = 86_400 * SECOND


class StopVerbs:
    """One account's. `StopEngine` lends its parts."""

    def __init__(
        self,
        state: AccountState,
        record: StopRecord,
        stops: Grouped[StopId, Stop, PositionKey],
        watching: Watching,
        keeper: Keeper,
        claims: Claims,
        posts: Posts,
        around: Surroundings,
        known: Callable[[InstrumentId], Instrument],
        last_price: Callable[[InstrumentId], Price | None],
        changed: Callable[[Stop], None],
        publish: Callable[[Event], None],
        close_elsewhere: Callable[[Stop, str], Coroutine[Any, Any, None]],
    ) -> None:
        self._state = state
        self._record = record
        self._stops = stops
        self._watching = watching
        self._keeper = keeper
        self._claims = claims
        self._posts = posts
        self._around = around
        self._known = known
        self._last_price = last_price
        self._set = changed
        self._publish = publish
        self._close_elsewhere = close_elsewhere
        self._leaves: defaultdict[PositionKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.busy: set[PositionKey | StopId] = set()
        """What is being changed."""
        self._let_go = asyncio.Event()

    async def arm(self, key: PositionKey, plan: StopPlan) -> Stop:
        """Guards a position, or a share of it. Returns when the exit is durable and the level watches.

        Raises Denied in words; with an ATR trail also what reading candles raises.
        """
        with self._claim(key):
            self._guardable(key)
            await self._posts.hear_fills(key)  # units that an exit has just sold are nobody's
            position, instrument = self._guardable(key)
            quantity = self._units(position, plan)
            deny_holding(position, self._around.holding(key), self._bought_today(key), quantity)
            last = self._last_price(instrument.id) or position.last_price
            deny_plan(position, instrument, plan, last)
            stop = fresh_stop(position, instrument, plan, quantity, self._state.clock.now(), last)
            seen_at = self._seen_at(instrument, stop.armed_at)
            stop = replace(stop, exit_at=self._exit_at(stop, instrument), seen_at=seen_at)
            self._publish(StopChanged(replace(stop, state=StopState.ARMING)))
            try:
                watch = self._posts.prepare(stop, instrument, position)
                deny_levels_of(watch, plan, self._last_price)
                await self._keeper.range_of(plan, instrument, watch)
                stop = levelled(stop, watch)
                await self._writer(plan)(stop, "armed", words(stop), *self._watching.orders_of(watch, stop, instrument))
            except BaseException:
                self._publish(StopChanged(replace(stop, state=StopState.DISARMED, note="it could not be armed")))
                raise
            await self._posts.begin(stop, watch)
            self._watching.look_soon(stop.id)
            return self._stops[stop.id]

    async def move(self, stop_id: StopId, trigger: Price) -> Stop:
        """Another level for an armed stop; a trail goes on from there. Raises as `change`."""
        stop = self._armed(stop_id)
        return await self.change(stop_id, replace(stop.plan, trigger=trigger))

    async def change(self, stop_id: StopId, plan: StopPlan) -> Stop:
        """Another plan for an armed stop. The old one watches until the new one is durable. Raises as `arm`."""
        stop = self._armed(stop_id)
        with self._claim(stop_id):
            self._guardable(stop.key)
            await self._posts.hear_fills(stop.key)
            stop = self._armed(stop_id)
            position, instrument = self._guardable(stop.key)
            quantity = stop.quantity if plan.quantity == stop.plan.quantity else self._units(position, plan, stop)
            last = self._last_price(instrument.id) or position.last_price
            deny_plan(position, instrument, plan, last)
            # A moved stop is armed anew: what the price did before is no reason to fire at the new level.
            now = self._state.clock.now()
            moved = replace(stop, quantity=quantity, plan=plan, trigger=plan.trigger, best=None, armed_at=now)
            if not must_look(stop, instrument, now):  # else the price that is known is of another day still
                moved = replace(moved, seen_price=last or None, seen_at=now)
            # Where something else of the plan changes, what the trail has won is kept.
            keeps = plan.trigger == stop.plan.trigger and plan.source is stop.plan.source
            if keeps:
                moved = self._posts.where_it_is(moved)
            if plan.time_exit != stop.plan.time_exit:
                moved = replace(moved, exit_at=self._exit_at(moved, instrument))
            watch = self._posts.prepare(moved, instrument, position)
            deny_levels_of(watch, plan, self._last_price)
            await self._keeper.range_of(plan, instrument, watch)
            moved = levelled(moved, watch)
            told = f"from {words(stop)} to {words(moved)}"
            await self._writer(plan)(moved, "moved", told, *self._watching.orders_of(watch, moved, instrument))
            current, old = self._stops[stop_id], self._watching.of(stop_id)
            if current.state is not StopState.ARMED or (old is not None and old.fired):
                raise Denied("The stop fired or ended before it could be moved.", "See the stops list.")
            # While the journal wrote, prices and the position went on, and what rests behind the stop.
            written = moved
            if current.quantity != stop.quantity:
                moved = replace(moved, quantity=current.quantity)
            if keeps:
                moved = self._posts.where_it_is(moved)
            if old is not None:
                watch = self._posts.prepare_anew(moved, watch)
                moved = levelled(moved, watch)
            self._set(moved)
            if old is not None:
                self._posts.start(moved, watch)
                self._posts.follow_position(moved)
                self._watching.look_soon(stop_id)
                self._keeper.moved(watch)  # the journal may have taken a level of before after the change
            if moved.quantity != written.quantity:
                orders = self._record.unwritten(moved, self._watching.orders_of(watch, moved, instrument))
                await self._record.keep(moved, "resized", f"from {stop.quantity} to {moved.quantity}", *orders)
            return self._stops[stop_id]

    async def leave(self, key: PositionKey, why: FiredBy) -> list[Stop]:
        """Closes a whole position now through its stops; what no stop owns gets one of its own. Raises Denied in words:
        where the market is closed nothing is touched; NotYet while its stops are being changed, or not watched again
        after a login."""
        async with self._leaves[key]:  # asked twice at once, what no stop owns would be sold twice
            position, instrument = self._guardable(key)
            if not self._around.continuous(instrument.id, self._state.clock.now()):
                by_hand = "Nothing is sent by itself: close it once its market is open."
                then = "It is closed when its market opens." if why is FiredBy.PORTFOLIO else by_hand
                raise Denied(f"{instrument.symbol} does not trade now and is not closed.", then)
            if not self._has_holding(position):
                for stop in self._stops_on(key):
                    if stop.state is StopState.SUSPENDED:  # it waits for an answer that is moot now
                        await self.disarm(stop.id, owed=True)
            return await self._leave(key, why)

    async def _leave(self, key: PositionKey, why: FiredBy) -> list[Stop]:
        position, instrument = self._guardable(key)
        last = self._last_price(instrument.id) or position.last_price
        leaving = self._claims.leaving(key)
        free = self._claims.spare(key, position.quantity)
        owners = self._stops_on(key)
        if self._has_holding(position):
            # The day's units leave, by a share of their own, and no stop of the holding fires.
            free = max(0, self._bought_today(key)) - leaving
            free = min(free, self._claims.free(key, position.quantity, yielding=True))
            owners = []
            if free <= 0 and not leaving:
                raise Denied(f"What is left of {instrument.symbol} is a holding.", "Sell holdings by an order.")
        settling = self._claims.settling(key)
        free -= settling  # sold once; what is there all the same is left a moment later
        if free > 0:
            plan = StopPlan(max(last, instrument.tick_size), quantity=free)
            stop = fresh_stop(position, instrument, plan, free, self._state.clock.now(), last)
            watch = self._posts.prepare(stop, instrument, position)
            await self._record.keep(stop, "leaving", words(stop), *watch.load.requests)
            await self._posts.hear_fills(key)
            if self._posts.is_gone(stop):
                self._set(stop)
                await self._close_elsewhere(stop, "position closed elsewhere")
                raise Denied(f"{instrument.symbol} was closed meanwhile.", "See the positions.")
            self._posts.post(stop, watch)
            owners.append(stop)
        owners = [self._stops[s.id] for s in owners]
        left = [s for s in owners if s.state is StopState.ARMED and self._watching.fire(s, why)]
        if (
            not left
            and not leaving
            and not any(self._stops[s.id].state in (StopState.FIRED, StopState.EXITING) for s in owners)
        ):
            cause = f"The stops of {instrument.symbol} are not watched again yet."
            if settling:
                cause = f"{instrument.symbol} was closed just now, and the positions still show it."
            raise NotYet(cause, "Try again in a moment.")
        return left

    async def resume(self, stop_id: StopId, plan: StopPlan) -> Stop:
        """The trader's answer to a suspended stop: it watches again, by this plan. Raises as `arm`."""
        stop = self._stops.get(stop_id)
        if stop is None or stop.state is not StopState.SUSPENDED:
            raise Denied("The stop is not suspended.", "See the stops list.")
        if exits_among(self._state.orders.of(stop_id)):
            # It is of a backup from before. By its name they would be taken for exits of what is held now.
            raise Denied("An exit of this stop has left already.", "Disarm it, then set a new one.")
        with self._claim(stop_id):
            position, instrument = self._guardable(stop.key)
            last = self._last_price(instrument.id) or position.last_price
            deny_plan(position, instrument, plan, last)
            now = self._state.clock.now()
            again = replace(
                stop,
                attempt=stop.attempt + 1,
                state=StopState.ARMED,
                plan=plan,
                trigger=plan.trigger,
                best=None,
                armed_at=now,
                note="",
                seen_price=last or None,
                seen_at=self._seen_at(instrument, now),
            )
            watch = self._posts.prepare(again, instrument, position)
            await self._keeper.range_of(plan, instrument, watch)
            again = levelled(again, watch)
            await self._record.save(again, "resumed", words(again), *self._watching.orders_of(watch, again, instrument))
            await self._posts.begin(again, watch)
            self._watching.look_soon(stop_id)
            return self._stops[stop_id]

    def fire(self, stop_id: StopId, why: FiredBy) -> bool:
        """One armed stop leaves now. False: it is not watched, has fired, or its market does not trade. Raises Denied
        for one that is not armed."""
        return self._watching.fire(self._armed(stop_id), why)

    async def disarm(self, stop_id: StopId, *, owed: bool = False) -> Stop:
        """Ends the watch at once; returns when that is durable. Where it cannot be made durable, it watches on; `owed`:
        it ends all the same, and the journal owes it."""
        stop = self._stops.get(stop_id) if self._is_suspended(stop_id) else None
        stop = stop or self._armed(stop_id)
        with self._claim(stop_id):
            watch = self._watching.of(stop_id)
            if watch is not None and watch.fired:
                raise Denied("The stop has fired; its exit is on the way.", "See the stops list.")
            line = self._watching.line
            self._watching.stop(stop_id)
            self._keeper.end(stop_id)
            now = self._state.clock.now()
            disarmed = replace(stop, state=StopState.DISARMED, closed_at=now, note="disarmed by the trader")
            try:
                await (self._record.keep if owed else self._record.save)(disarmed, "disarmed", "")
            except BaseException:
                if watch is not None and line is self._watching.line:
                    self._posts.back(stop, watch)
                raise
            self._set(disarmed)
            return disarmed

    async def rearm(self, stop: Stop, held: int | None, reason: str) -> None:
        """Watches again, under a fresh tag: an exit of an earlier run may not be mistaken for the next one. `held`:
        units of the whole position, of which the stop has its share; None: not known, it keeps its own.

        The journal has the stop already: one that cannot be written now leaves no position unguarded.
        Raises Denied without a session or a rule.
        """
        quantity = stop.quantity if held is None else self._claims.of_held(stop, held)
        if quantity <= 0:
            await self._close_elsewhere(stop, "its share of the position was closed elsewhere")
            return
        with self._claim(stop.id):
            instrument = self._known(stop.key.instrument)
            again = replace(
                stop,
                attempt=stop.attempt + 1,
                quantity=quantity,
                token=instrument.token,
                tick_size=instrument.tick_size,
                note=reason,
            )
            watch = self._posts.fresh(again)
            await self._record.keep(again, "re-armed", reason, *self._watching.orders_of(watch, again, instrument))
            await self._posts.begin(again, watch)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _writer(self, plan: StopPlan) -> Callable[..., Awaitable[None]]:
        """What waits for the disk. A trader hears that it cannot be written, and that nothing is armed. A strategy has
        bought, and nobody may be there: its units are guarded at once and the journal owes, said aloud. Without a level
        it promises nothing: an exit that goes out when it is told to."""
        unattended = plan.strategy is not None or plan.source is TriggerSource.NONE
        return self._record.keep if unattended else self._record.save

    def _has_holding(self, position: Position) -> bool:
        """Shares of earlier days are behind a position of delivery, also where more of them were sold today than are
        left."""
        key = position.key
        return key.product in DELIVERED and 0 < position.quantity != self._bought_today(key)

    def _bought_today(self, key: PositionKey) -> int:
        return 0 if self._state.reading is None else self._state.reading.bought_today(key)

    def _stops_on(self, key: PositionKey) -> list[Stop]:
        return [stop for stop in self._stops.of(key) if not stop.state.is_final]

    def _seen_at(self, instrument: Instrument, now: Nanos) -> Nanos:
        """Of when the last price is. While nothing trades it may be that of a day before: then the first tick that
        comes is looked at."""
        return now if self._around.continuous(instrument.id, now) else now - DAY

    def _exit_at(self, stop: Stop, instrument: Instrument) -> Nanos | None:
        when = stop.plan.time_exit
        return None if when is None else self._around.exit_at(instrument, when, stop.armed_at)

    def _units(self, position: Position, plan: StopPlan, changed: Stop | None = None) -> int:
        """What a stop would own. Raises Denied where others own it."""
        others = [stop for stop in self._stops_on(position.key) if changed is None or stop.id != changed.id]
        yielding = plan.quantity is not None
        own = 0 if changed is None or (yielding and changed.plan.quantity is None) else changed.quantity
        free = self._claims.free(position.key, position.quantity, yielding=yielding) + own
        if plan.quantity is None and any(stop.plan.quantity is None for stop in others):
            raise Denied("This position already has a stop.", "Move that one.")
        if free <= 0:
            raise Denied("Every unit of this position already has a stop.", "Change one of them.")
        if plan.quantity is not None and plan.quantity > free:
            raise Denied(f"Only {free} units of this position have no stop.", f"Guard {free} at most.")
        return free if plan.quantity is None else plan.quantity

    @contextlib.contextmanager
    def _claim(self, key: PositionKey | StopId) -> Iterator[None]:
        """One change at a time: the journal may not end with the older of two. Raises NotYet."""
        if key in self.busy:
            raise NotYet("The stop of this position is being changed already.", "Try again in a moment.")
        self.busy.add(key)
        try:
            yield
        finally:
            self.busy.discard(key)
            self._let_go.set()

    async def released(self) -> None:
        """Until a verb lets go of what it is busy with."""
        self._let_go.clear()
        await self._let_go.wait()

    def _guardable(self, key: PositionKey) -> tuple[Position, Instrument]:
        if not self._state.active or not self._watching.attached:
            raise Denied("The account is not logged in: the stop would be blind.", "Log in first.")
        return open_position(self._state.reading, key), self._known(key.instrument)

    def _is_suspended(self, stop_id: StopId) -> bool:
        """It waits for the trader's answer."""
        stop = self._stops.get(stop_id)
        return stop is not None and stop.state is StopState.SUSPENDED

    def _armed(self, stop_id: StopId) -> Stop:
        stop = self._stops.get(stop_id)
        if stop is None or stop.state is not StopState.ARMED:
            raise Denied("The stop is not armed any more.", "See the stops list.")
        return stop
