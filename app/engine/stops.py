"""The stop engine: sole owner of an account's stops. Arms, moves, disarms, hands a fired stop to its follower, keeps
armed ones in step with their positions. Loop thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from app.brokers.base import BrokerSession, ExitLine, Mark
from app.domain.errors import Denied
from app.domain.events import Event, StopChanged
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import Order, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopState, new_stop_id, stop_of_tag
from app.engine.account import AccountState, PositionReading
from app.engine.arming import deny_trigger, open_position
from app.engine.firing import Firing
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
        journal: StopJournal,
        rules: ExitRules,
        instrument: Callable[[InstrumentId], Instrument | None],
        last_price: Callable[[InstrumentId], Price | None],
        counts: Counts,
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._record = StopRecord(journal, state.clock, publish)
        self._instrument = instrument
        self._last_price = last_price
        self._publish = publish
        self._tasks = tasks
        self._stops: dict[StopId, Stop] = {}
        self._busy: set[PositionKey] = set()
        self._firing = Firing(
            state, self._record, rules, self._stops, self._known, last_price, self._set, publish, tasks
        )
        self._watching = Watching(rules, state.clock, counts, self._firing.on_shots, self._firing.replied)
        self._firing.watching = self._watching
        self.check: Callable[[Iterable[Mark], int], None] = self._watching.check
        """Hot path: every frame of the account's own feed."""
        state.on_positions.append(self._on_positions)
        state.on_order.append(self._on_order)

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
        self._watching.attach(line)

    def detach(self) -> None:
        """The session is dead: nothing can fire. The stops stay armed in the journal and are shown as blind."""
        self._watching.detach()
        self._state.detach()

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def arm(self, key: PositionKey, trigger: Price) -> Stop:
        """Guards a position. Returns when the exit is durable and the level watches. Raises Denied in words."""
        if self.stop_on(key) is not None or key in self._busy:
            raise Denied("This position already has a stop.", "Move that one.")
        self._busy.add(key)
        try:
            position, instrument = self._guardable(key)
            deny_trigger(position, instrument, trigger, self._last_price(instrument.id) or position.last_price)
            stop = Stop(
                id=new_stop_id(),
                key=key,
                side=position.exit_side,
                trigger=trigger,
                quantity=abs(position.quantity),
                state=StopState.ARMED,
                armed_at=self._state.clock.now(),
                token=instrument.token,
                tick_size=instrument.tick_size,
                price_scale=instrument.price_scale,
            )
            self._publish(StopChanged(replace(stop, state=StopState.ARMING)))
            watch = self._watching.prepare(stop, instrument)
            await self._record.save(stop, "armed", _level(stop), watch.prepared.request)
            self._stops[stop.id] = stop
            self._watching.start(watch)
            self._publish(StopChanged(stop))
            return stop
        finally:
            self._busy.discard(key)

    async def move(self, stop_id: StopId, trigger: Price) -> Stop:
        """Another level for an armed stop. The old level watches until the new one is durable."""
        stop = self._armed(stop_id)
        position, instrument = self._guardable(stop.key)
        deny_trigger(position, instrument, trigger, self._last_price(instrument.id) or position.last_price)
        moved = stop.moved(trigger)
        await self._record.save(moved, "moved", f"from {stop.trigger} to {trigger}")
        current = self._stops[stop_id]
        watch = self._watching.of(stop_id)
        if current.state is not StopState.ARMED or watch is None or watch.fired:
            raise Denied("The stop fired before it could be moved.", "See the stops list.")
        # Quantity may have followed the position while the journal wrote.
        moved = replace(current, trigger=trigger)
        watch.set_trigger(moved.side, trigger)
        self._set(moved)
        return moved

    async def disarm(self, stop_id: StopId) -> Stop:
        """Ends the watch at once; returns when that is durable."""
        stop = self._armed(stop_id)
        watch = self._watching.of(stop_id)
        if watch is not None and watch.fired:
            raise Denied("The stop has fired; its exit is on the way.", "See the stops list.")
        self._watching.stop(stop_id)
        disarmed = replace(
            stop, state=StopState.DISARMED, closed_at=self._state.clock.now(), note="disarmed by the trader"
        )
        await self._record.save(disarmed, "disarmed", "")
        self._set(disarmed)
        return disarmed

    # -- recovery ----------------------------------------------------------------------------------------------------

    def adopt(self, stop: Stop) -> None:
        """A stop from the journal, before anything is known of it at the broker."""
        self._stops[stop.id] = stop
        self._publish(StopChanged(stop))

    async def rearm(self, stop: Stop, reason: str) -> Stop:
        """Watches again, under a fresh tag: an exit of an earlier run may not be mistaken for the next one."""
        instrument = self._known(stop.key.instrument)
        again = replace(
            stop, attempt=stop.attempt + 1, token=instrument.token, tick_size=instrument.tick_size, note=reason
        )
        watch = self._watching.prepare(again, instrument)
        await self._record.save(again, "re-armed", reason, watch.prepared.request)
        self._watching.start(watch)
        self._set(again)
        return again

    async def close_elsewhere(self, stop: Stop, note: str) -> None:
        """The position is proven gone without an exit of ours."""
        self._watching.stop(stop.id)
        closed = replace(stop, state=StopState.CLOSED, closed_at=self._state.clock.now(), note=note)
        self._set(closed)
        await self._record.keep(closed, "closed", note)

    def follow(self, stop: Stop, presume_sent: bool) -> None:
        """A stop that fired in an earlier run, or whose late exit turned up: followed until flat."""
        self._firing.follow(stop, presume_sent)

    # -- news from the broker ----------------------------------------------------------------------------------------

    def _on_positions(self, reading: PositionReading) -> None:
        """Armed stops follow their positions: resized, or closed when the position is gone (F4)."""
        for stop in list(self._stops.values()):
            watch = self._watching.of(stop.id)
            if stop.state is not StopState.ARMED or watch is None or watch.fired:
                continue
            quantity = reading.quantity(stop.key)
            guarded = quantity > 0 if stop.side is Side.SELL else quantity < 0
            if not guarded:
                self._watching.stop(stop.id)
                note = "position closed elsewhere" if quantity == 0 else "position was turned round elsewhere"
                self._tasks.start(self.close_elsewhere(stop, note), f"close stop {stop.id}")
            elif abs(quantity) != stop.quantity:
                self._resize(stop, watch, abs(quantity))

    def _resize(self, stop: Stop, watch: Watch, quantity: int) -> None:
        """The prepared bytes change at once (an exit may never exceed the position); the tag stays as journalled."""
        resized = replace(stop, quantity=quantity)
        fresh = self._watching.prepare(resized, self._known(stop.key.instrument))
        watch.prepared = fresh.prepared
        self._set(resized)
        detail = f"from {stop.quantity} to {quantity}"
        self._tasks.start(self._record.keep(resized, "resized", detail), f"journal resize {stop.id}")

    def _on_order(self, order: Order) -> None:
        """An exit of a stop that is already closed turned up late: followed to flat again, with an alarm (F5)."""
        stop = self._stops.get(stop_of_tag(order.tag) or StopId(""))
        if stop is None or not stop.state.is_final or order.status.is_final:
            return
        self._record.alarm(stop, "A late exit order turned up after the position was closed; it is being cancelled.")
        reopened = replace(stop, state=StopState.EXITING)
        self._set(reopened)
        self.follow(reopened, presume_sent=False)

    # -- helpers -----------------------------------------------------------------------------------------------------

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
    return f"{stop.side} {stop.quantity} at {stop.trigger}"
