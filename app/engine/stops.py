"""The stop engine: sole owner of an account's stops. Tick in, decision out; arms, moves, disarms, and hands a fired
stop to its follower. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from app.brokers.base import BrokerSession, ExitLine, ExitReply, Mark
from app.domain.errors import AppError, Denied, Unreachable
from app.domain.events import AuditEntry, Event, Level, Noticed, StopChanged, StopFired
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import Order, OrderKind, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopState, new_stop_id, stop_of_tag
from app.engine.account import AccountState, PositionReading
from app.engine.arming import deny_trigger, open_position
from app.engine.exits import ExitFollower, StopJournal, exit_request
from app.engine.rules import ExitRules, limit_pricer
from app.engine.watch import Counts, Shot, Watch, WatchTable
from app.runtime.clock import to_datetime
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

SLOW_US = 5_000
"""A stop that took longer from socket readable to last byte written is named with its cause (F2)."""

NO_LINE_SECONDS = 0.5
"""How long a fired exit waits for a connection of the exit line before it takes the long way."""


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
        self._journal = journal
        self._rules = rules
        self._instrument = instrument
        self._last_price = last_price
        self._counts = counts
        self._publish = publish
        self._tasks = tasks
        self._stops: dict[StopId, Stop] = {}
        self._watches: dict[StopId, Watch] = {}
        self._followers: dict[StopId, ExitFollower] = {}
        self._table: WatchTable | None = None
        self._line: ExitLine | None = None
        self._busy: set[PositionKey] = set()
        self.engine_us: deque[int] = deque(maxlen=10_000)
        """Socket readable to last byte written of each exit, microseconds."""
        self.on_watched: Callable[[frozenset[int]], None] | None = None
        """Called with the tokens that must be subscribed in full mode whenever they change."""
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
        return 0 if self._table is None else len(self._table)

    @property
    def exiting(self) -> int:
        """Fired stops that are followed to flat."""
        return len(self._followers)

    def stop_on(self, key: PositionKey) -> Stop | None:
        """The stop that guards a position."""
        return next((s for s in self._stops.values() if s.key == key and not s.state.is_final), None)

    def check(self, marks: Iterable[Mark], readable_ns: int) -> None:
        """Hot path: every frame of the account's own feed."""
        if self._table is not None:
            self._table.check(marks, readable_ns)

    # -- session -----------------------------------------------------------------------------------------------------

    def attach(self, session: BrokerSession, line: ExitLine) -> None:
        """A session is there: stops can be prepared and fired. Recovery re-arms what the journal holds."""
        self._state.attach(session)
        self._line = line
        self._table = WatchTable(line, self._counts, self._on_shots)
        self._watches.clear()

    def detach(self) -> None:
        """The session is dead: nothing can fire. The stops stay armed in the journal and are shown as blind."""
        self._table = None
        self._line = None
        self._watches.clear()
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
            watch = self._watch(stop, instrument)
            await self._journal.save_stop(stop, self.entry(stop, "armed", _level(stop)), watch.prepared.request)
            self._stops[stop.id] = stop
            self._start_watching(watch)
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
        await self._journal.save_stop(moved, self.entry(moved, "moved", f"from {stop.trigger} to {trigger}"))
        current = self._stops[stop_id]
        watch = self._watches.get(stop_id)
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
        watch = self._watches.pop(stop_id, None)
        if watch is not None and watch.fired:
            raise Denied("The stop has fired; its exit is on the way.", "See the stops list.")
        self._stop_watching(stop_id)
        disarmed = replace(
            stop, state=StopState.DISARMED, closed_at=self._state.clock.now(), note="disarmed by the trader"
        )
        await self._journal.save_stop(disarmed, self.entry(disarmed, "disarmed", ""))
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
        watch = self._watch(again, instrument)
        await self._journal.save_stop(again, self.entry(again, "re-armed", reason), watch.prepared.request)
        self._start_watching(watch)
        self._set(again)
        return again

    async def close_elsewhere(self, stop: Stop, note: str) -> None:
        """The position is proven gone without an exit of ours."""
        self._watches.pop(stop.id, None)
        self._stop_watching(stop.id)
        closed = replace(stop, state=StopState.CLOSED, closed_at=self._state.clock.now(), note=note)
        self._set(closed)
        await self._journal.save_stop(closed, self.entry(closed, "closed", note))

    def follow(self, stop: Stop, presume_sent: bool) -> None:
        """A stop that fired in an earlier run, or whose late exit turned up: followed until flat."""
        if stop.id in self._followers:
            return
        follower = self._follower(stop)
        if presume_sent:
            follower.presume_sent(stop.tag())
        self._run(follower)

    # -- after the hot path ------------------------------------------------------------------------------------------

    def _on_shots(self, shots: list[Shot]) -> None:
        """Called inside the hot path, once per frame that fired: only notes what happened. The rest comes after."""
        asyncio.get_running_loop().call_soon(self._after, shots)

    def _after(self, shots: list[Shot]) -> None:
        for shot in shots:
            stop = self._stops[shot.stop]
            if stop.state is StopState.ARMED:
                stop = replace(stop, state=StopState.FIRED, fired_at=self._state.clock.now(), fired_price=shot.price)
                self._set(stop)
                follower = self._follower(stop)
                follower.sent(stop.tag())
                self._run(follower)
                self._tasks.start(self._journal_fired(stop, shot), f"journal fired {stop.id}")
            if shot.written_ns:
                self._watches.pop(stop.id, None)
                self._stop_watching(stop.id)
                self._measure(stop, shot)
            else:
                asyncio.get_running_loop().call_later(NO_LINE_SECONDS, self._no_line, stop.id)

    def _no_line(self, stop_id: StopId) -> None:
        """The exit line had no connection for too long: the follower takes the long way, under the next tag."""
        if self._watches.pop(stop_id, None) is None:
            return  # it went out meanwhile
        self._stop_watching(stop_id)
        never_sent = Unreachable("No connection to the broker was ready for the exit.")
        self._deliver(stop_id, ExitReply(self._stops[stop_id].tag(), None, never_sent, 0, 0))

    def _replied(self, stop_id: StopId) -> Callable[[ExitReply], None]:
        return lambda reply: self._deliver(stop_id, reply)

    def _deliver(self, stop_id: StopId, reply: ExitReply) -> None:
        follower = self._followers.get(stop_id)
        if follower is not None:
            follower.replied(reply)
        elif not self._stops[stop_id].state.is_final:
            # A write that failed at once is reported before `_after` ran: once more round the loop.
            asyncio.get_running_loop().call_soon(self._deliver, stop_id, reply)

    def _measure(self, stop: Stop, shot: Shot) -> None:
        micros = (shot.written_ns - shot.readable_ns) // 1_000
        self.engine_us.append(micros)
        self._publish(StopFired(stop, micros, shot.exchange_seconds * 1_000_000_000))
        if micros > SLOW_US:
            waited = (shot.decided_ns - shot.readable_ns) // 1_000
            log.warning("stop %s took %d us: %d us to the decision, the rest to the wire", stop.id, micros, waited)

    async def _journal_fired(self, stop: Stop, shot: Shot) -> None:
        detail = f"at {shot.price}, tick of {to_datetime(shot.exchange_seconds * 1_000_000_000):%H:%M:%S}"
        try:
            await self._journal.save_stop(stop, self.entry(stop, "fired", detail))
        except AppError as failure:
            self._alarm(stop, f"The journal cannot be written: {failure}")

    def _follower(self, stop: Stop) -> ExitFollower:
        instrument = self._known(stop.key.instrument)
        follower = ExitFollower(
            stop,
            instrument,
            self._state,
            self._journal,
            self._rules,
            lambda: self._line,
            lambda: self._last_price(instrument.id),
            self._set,
            self._publish,
        )
        self._followers[stop.id] = follower
        return follower

    def _run(self, follower: ExitFollower) -> None:
        async def run() -> None:
            try:
                await follower.run()
            finally:
                self._followers.pop(follower.stop.id, None)

        self._tasks.start(run(), f"exit of stop {follower.stop.id}")

    # -- news from the broker ----------------------------------------------------------------------------------------

    def _on_positions(self, reading: PositionReading) -> None:
        """Armed stops follow their positions: resized, or closed when the position is gone (F4)."""
        for stop in list(self._stops.values()):
            watch = self._watches.get(stop.id)
            if stop.state is not StopState.ARMED or watch is None or watch.fired:
                continue
            quantity = reading.quantity(stop.key)
            guarded = quantity > 0 if stop.side is Side.SELL else quantity < 0
            if not guarded:
                self._watches.pop(stop.id)
                self._stop_watching(stop.id)
                note = "position closed elsewhere" if quantity == 0 else "position was turned round elsewhere"
                self._tasks.start(self.close_elsewhere(stop, note), f"close stop {stop.id}")
            elif abs(quantity) != stop.quantity:
                self._resize(stop, watch, abs(quantity))

    def _resize(self, stop: Stop, watch: Watch, quantity: int) -> None:
        """The prepared bytes change at once (an exit may never exceed the position); the tag stays as journalled."""
        resized = replace(stop, quantity=quantity)
        fresh = self._watch(resized, self._known(stop.key.instrument))
        watch.prepared = fresh.prepared
        self._set(resized)
        entry = self.entry(resized, "resized", f"from {stop.quantity} to {quantity}")
        self._tasks.start(self._save(resized, entry), f"journal resize {stop.id}")

    async def _save(self, stop: Stop, entry: AuditEntry) -> None:
        try:
            await self._journal.save_stop(stop, entry)
        except AppError as failure:
            self._alarm(stop, f"The journal cannot be written: {failure}")

    def _on_order(self, order: Order) -> None:
        """An exit of a stop that is already closed turned up late: followed to flat again, with an alarm (F5)."""
        stop = self._stops.get(stop_of_tag(order.tag) or StopId(""))
        if stop is None or not stop.state.is_final or order.status.is_final:
            return
        self._alarm(stop, "A late exit order turned up after the position was closed; it is being cancelled.")
        reopened = replace(stop, state=StopState.EXITING)
        self._set(reopened)
        self.follow(reopened, presume_sent=False)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _guardable(self, key: PositionKey) -> tuple[Position, Instrument]:
        if not self._state.active or self._table is None:
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

    def _watch(self, stop: Stop, instrument: Instrument) -> Watch:
        """Prepares the exit's bytes. Raises Denied without a session or a rule."""
        if self._line is None:
            raise Denied("The account is not logged in: the stop would be blind.", "Log in first.")
        broker = stop.key.account.partition("-")[0]
        rule = self._rules.rule(broker, instrument, to_datetime(self._state.clock.now()).date())
        request = exit_request(stop, stop.quantity, rule.kind)
        prepared = self._line.prepare(request, stop.price_scale)
        pricer = limit_pricer(rule, instrument, stop.side) if rule.kind is OrderKind.LIMIT else None
        return Watch(stop, prepared, self._replied(stop.id), pricer)

    def _start_watching(self, watch: Watch) -> None:
        if self._table is None:
            return
        self._watches[watch.stop_id] = watch
        self._table.add(watch)
        self._watched_changed()

    def _stop_watching(self, stop: StopId) -> None:
        if self._table is not None:
            self._table.remove(stop)
        self._watched_changed()

    def _watched_changed(self) -> None:
        if self.on_watched is not None and self._table is not None:
            self.on_watched(self._table.tokens)

    def _set(self, stop: Stop) -> None:
        self._stops[stop.id] = stop
        self._publish(StopChanged(stop))

    def entry(self, stop: Stop, what: str, detail: str) -> AuditEntry:
        """A line of the audit trail about a stop."""
        return AuditEntry(self._state.clock.now(), stop.key.account, f"stop:{stop.id}", what, detail, stop.id)

    def _alarm(self, stop: Stop, cause: str) -> None:
        title = f"Stop on {stop.key.instrument}"
        self._publish(Noticed(Level.ALARM, title, cause, "", stop.key.account, f"{stop.id}:{cause}"))


def _level(stop: Stop) -> str:
    return f"{stop.side} {stop.quantity} at {stop.trigger}"
