"""The stop engine: sole owner of an account's stops. Arms, moves, disarms, hands a fired stop to its follower, keeps
armed ones in step with their positions. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from app.brokers.base import BrokerSession, ExitLine, Mark
from app.domain.errors import AppError, Denied
from app.domain.events import Event, StopChanged
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price, in_rupees
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, new_stop_id
from app.engine.account import AccountState, PositionReading
from app.engine.arming import deny_plan, deny_trigger, open_position
from app.engine.exit_plan import LOOKUP_SPACING
from app.engine.firing import Firing
from app.engine.late import LateOrders
from app.engine.orders import OrderManager
from app.engine.record import StopJournal, StopRecord
from app.engine.rules import ExitRules
from app.engine.watch import Counts, Watch
from app.engine.watching import Watching
from app.runtime.loop import Tasks


class StopEngine:
    """All stops of one account."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        journal: StopJournal,
        rules: ExitRules,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        counts: Counts,
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._orders = orders
        self._record = StopRecord(journal, state.clock, publish)
        self._instrument = instrument
        self._last_price = last_price
        self._publish = publish
        self._tasks = tasks
        self._stops: dict[StopId, Stop] = {}
        self._busy: set[PositionKey] = set()
        self._unlisted: dict[StopId, float] = {}
        """Since when (loop time) the broker has not listed the position of an armed stop."""
        self._firing = Firing(
            state, orders, self._record, rules, self._stops, self._known, last_price, self._set, publish, tasks
        )
        self._watching = Watching(rules, state.clock, counts, self._firing.on_shots, self._firing.replied, last_price)
        self._firing.watching = self._watching
        self._late = LateOrders(state, self._record, self._stops, self._firing, self._watching, self._set, self.follow)
        self.check: Callable[[Iterable[Mark], int], None] = self._watching.check
        """Hot path: every frame of the account's own feed."""
        self.watched = self._watching.watches
        state.on_positions.append(self._on_positions)

    # -- what others may know ----------------------------------------------------------------------------------------

    @property
    def stops(self) -> tuple[Stop, ...]:
        """All known to this run, oldest first."""
        return tuple(self._stops.values())

    @property
    def armed(self) -> int:
        """Stops that are neither closed nor disarmed."""
        return sum(not stop.state.is_final for stop in self._stops.values())

    @property
    def watching(self) -> int:
        """Stops that a tick can fire."""
        return len(self._watching)

    @property
    def exiting(self) -> int:
        """Fired stops that are followed to flat."""
        return len(self._firing)

    @property
    def engine_us(self) -> deque[int]:
        """Socket readable to last byte written of each exit, microseconds."""
        return self._firing.engine_us

    def stop_on(self, key: PositionKey) -> Stop | None:
        """The stop that guards a position."""
        return next((s for s in self._stops.values() if s.key == key and not s.state.is_final), None)

    def when_watched(self, handler: Callable[[frozenset[int]], None]) -> None:
        """Calls with the tokens that must be subscribed in full mode whenever they change."""
        self._watching.on_watched = handler

    # -- session -----------------------------------------------------------------------------------------------------

    def attach(self, session: BrokerSession, line: ExitLine) -> None:
        """A session is there: stops can be prepared and fired. Recovery re-arms what the journal holds."""
        self._state.attach(session)
        self._orders.attach(session)
        self._watching.attach(line)

    def detach(self) -> None:
        """The session is dead: nothing can fire. The stops stay armed in the journal and are shown as blind."""
        for stop in self._watching.detach():
            self._firing.never_sent(stop)
        self._orders.attach(None)
        self._state.detach()

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def arm(self, key: PositionKey, plan: StopPlan) -> Stop:
        """Guards a position. Returns when the exit is durable and the level watches. Raises Denied in words."""
        if self.stop_on(key) is not None:
            raise Denied("This position already has a stop.", "Move that one.")
        with self._claim(key):
            position, instrument = self._guardable(key)
            deny_plan(position, instrument, plan, self._last_price(instrument.id) or position.last_price)
            stop = Stop(
                id=new_stop_id(),
                key=key,
                side=position.exit_side,
                trigger=plan.trigger,
                quantity=abs(position.quantity),
                state=StopState.ARMED,
                armed_at=self._state.clock.now(),
                plan=plan,
                token=instrument.token,
                tick_size=instrument.tick_size,
                price_scale=instrument.price_scale,
            )
            self._publish(StopChanged(replace(stop, state=StopState.ARMING)))
            try:
                line, watch = self._watching.line, self._watching.prepare(stop, instrument)
                await self._record.save(stop, "armed", _level(stop), watch.prepared.request)
            except BaseException:
                self._publish(StopChanged(replace(stop, state=StopState.DISARMED, note="it could not be armed")))
                raise
            self._set(stop)
            self._begin_watching(stop, watch, line)
            return self._stops[stop.id]

    async def move(self, stop_id: StopId, trigger: Price) -> Stop:
        """Another level for an armed stop. The old level watches until the new one is durable."""
        stop = self._armed(stop_id)
        with self._claim(stop.key):
            position, instrument = self._guardable(stop.key)
            deny_trigger(position, instrument, trigger, self._last_price(instrument.id) or position.last_price)
            # A moved stop is armed anew: what the price did before is no reason to fire at the new level.
            now = self._state.clock.now()
            moved = replace(stop, trigger=trigger, armed_at=now)
            told = " to ".join(in_rupees(price, stop.price_scale) for price in (stop.trigger, trigger))
            await self._record.save(moved, "moved", f"from {told}")
            current = self._stops[stop_id]
            watch = self._watching.of(stop_id)
            if current.state is not StopState.ARMED or (watch is not None and watch.fired):
                raise Denied("The stop fired or ended before it could be moved.", "See the stops list.")
            moved = replace(current, trigger=trigger, armed_at=now)
            if watch is not None:
                watch.set_trigger(moved.side, trigger)
                watch.armed_at = now
            self._set(moved)
            if current.quantity != stop.quantity:  # it followed the position while the journal wrote the old one
                await self._record.keep(moved, "resized", f"from {stop.quantity} to {current.quantity}")
            return moved

    async def disarm(self, stop_id: StopId) -> Stop:
        """Ends the watch at once; returns when that is durable. Where it cannot be made durable, it watches on."""
        stop = self._armed(stop_id)
        with self._claim(stop.key):
            watch = self._watching.of(stop_id)
            if watch is not None and watch.fired:
                raise Denied("The stop has fired; its exit is on the way.", "See the stops list.")
            line = self._watching.line
            self._watching.stop(stop_id)
            now = self._state.clock.now()
            disarmed = replace(stop, state=StopState.DISARMED, closed_at=now, note="disarmed by the trader")
            try:
                await self._record.save(disarmed, "disarmed", "")
            except BaseException:
                if watch is not None and line is self._watching.line:
                    self._watching.start(watch)
                raise
            self._set(disarmed)
            return disarmed

    # -- recovery ----------------------------------------------------------------------------------------------------

    def adopt(self, stop: Stop) -> None:
        """A stop from the journal, before anything is known of it at the broker. One that has ended is kept for the
        sake of orders that may turn up late."""
        self._set(stop)
        if stop.state.is_final:
            self._late.ended_earlier(stop.id)

    def unwatched(self) -> list[Stop]:
        """Open stops that nothing watches or follows, and that no verb is busy with."""
        return [
            stop
            for stop in self._stops.values()
            if not stop.state.is_final
            and stop.key not in self._busy
            and stop.id not in self._firing
            and self._watching.of(stop.id) is None
        ]

    async def rearm(self, stop: Stop, quantity: int, reason: str) -> None:
        """Watches again, under a fresh tag: an exit of an earlier run may not be mistaken for the next one.

        Raises Denied without a session or a rule, StorageError.
        """
        with self._claim(stop.key):
            instrument = self._known(stop.key.instrument)
            again = replace(
                stop,
                attempt=stop.attempt + 1,
                quantity=quantity,
                token=instrument.token,
                tick_size=instrument.tick_size,
                note=reason,
            )
            line, watch = self._watching.line, self._watching.prepare(again, instrument)
            await self._record.save(again, "re-armed", reason, watch.prepared.request)
            self._set(again)
            self._begin_watching(again, watch, line)

    async def close_elsewhere(self, stop: Stop, note: str) -> None:
        """The position is proven gone without an exit of ours."""
        self._watching.stop(stop.id)
        closed = replace(stop, state=StopState.CLOSED, closed_at=self._state.clock.now(), note=note)
        self._set(closed)
        await self._record.keep(closed, "closed", note)

    def follow(self, stop: Stop) -> None:
        """A stop that fired in an earlier run: followed until flat. Raises Denied."""
        self._watching.stop(stop.id)
        if stop.state is StopState.ARMED:
            stop = replace(stop, state=StopState.FIRED, note="fired in an earlier run")
            self._set(stop)
        self._firing.follow(stop)

    # -- news from the broker ----------------------------------------------------------------------------------------

    def _on_positions(self, reading: PositionReading) -> None:
        for stop in list(self._stops.values()):
            self._keep_in_step(stop, reading)

    def _keep_in_step(self, stop: Stop, reading: PositionReading) -> None:
        """An armed stop follows its position: resized, or closed when the position is gone (F4)."""
        watch = self._watching.of(stop.id)
        if stop.state is not StopState.ARMED or watch is None or watch.fired:
            return
        quantity = reading.quantity(stop.key)
        if quantity * -stop.side.sign > 0:
            self._unlisted.pop(stop.id, None)
            if abs(quantity) != stop.quantity:
                self._resize(stop, watch, abs(quantity))
        elif reading.lists(stop.key) or self._gone_for_good(stop):
            self._unlisted.pop(stop.id, None)
            self._watching.stop(stop.id)
            note = "position closed elsewhere" if quantity == 0 else "position was turned round elsewhere"
            self._tasks.start(self.close_elsewhere(stop, note), f"close stop {stop.id}")

    def _gone_for_good(self, stop: Stop) -> bool:
        """A closed position stays in the broker's list for the day. One that is missing must be missing twice, a second
        apart, before that counts as closed."""
        now = asyncio.get_running_loop().time()
        first = self._unlisted.setdefault(stop.id, now)
        if now - first >= LOOKUP_SPACING:
            return True
        if first == now:
            self._tasks.start(self._read_again(), f"is the position of {stop.id} gone")
        return False

    async def _read_again(self) -> None:
        await asyncio.sleep(LOOKUP_SPACING * 1.1)
        with contextlib.suppress(AppError):  # unknown is not flat
            await self._state.read_positions()

    def _resize(self, stop: Stop, watch: Watch, quantity: int) -> None:
        """The prepared bytes change at once (an exit may never exceed the position); the tag stays as journalled."""
        resized = replace(stop, quantity=quantity)
        fresh = self._watching.prepare(resized, self._known(stop.key.instrument))
        watch.prepared = fresh.prepared
        self._set(resized)
        detail = f"from {stop.quantity} to {quantity}"
        self._tasks.start(self._record.keep(resized, "resized", detail), f"journal resize {stop.id}")

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _begin_watching(self, stop: Stop, watch: Watch, line: ExitLine | None) -> None:
        """The journal has it. While it wrote, the session (whose line the exit was made for) may have changed, and the
        position."""
        if self._watching.line is None:
            return  # blind until the next login, which takes it up
        if self._watching.line is not line:
            watch = self._watching.prepare(stop, self._known(stop.key.instrument))
        self._watching.start(watch)
        if self._state.reading is not None:
            self._keep_in_step(stop, self._state.reading)

    @contextlib.contextmanager
    def _claim(self, key: PositionKey) -> Iterator[None]:
        """One change at a time: the journal may not end with the older of two. Raises Denied."""
        if key in self._busy:
            raise Denied("The stop of this position is being changed already.", "Try again in a moment.")
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)

    def _guardable(self, key: PositionKey) -> tuple[Position, Instrument]:
        if not self._state.active or not self._watching.attached:
            raise Denied("The account is not logged in: the stop would be blind.", "Log in first.")
        return open_position(self._state.reading, key), self._known(key.instrument)

    def _known(self, instrument: InstrumentId) -> Instrument:
        found = self._instrument(instrument)
        if found is None:
            raise Denied(f"{instrument} is not in the instrument list.", "Refresh the instruments.")
        return found

    def _armed(self, stop_id: StopId) -> Stop:
        stop = self._stops.get(stop_id)
        if stop is None or stop.state is not StopState.ARMED:
            raise Denied("The stop is not armed any more.", "See the stops list.")
        return stop

    def _set(self, stop: Stop) -> None:
        self._stops[stop.id] = stop
        self._publish(StopChanged(stop))


def _level(stop: Stop) -> str:
    return f"{stop.side} {stop.quantity} at {in_rupees(stop.trigger, stop.price_scale)}"
