"""After the shot: measuring, journalling, and a follower for every stop that fired. Loop thread only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from app.brokers.base import ExitReply
from app.domain.errors import AppError, Denied, Unreachable
from app.domain.events import Event, StopFired
from app.domain.ids import BrokerOrderId, InstrumentId, StopId, Tag
from app.domain.instrument import Instrument
from app.domain.money import Price, in_rupees
from app.domain.stop import FiredBy, Stop, StopState, attempt_of, is_backstop
from app.engine.account import AccountState
from app.engine.exit_alarms import left_over, unguarded
from app.engine.exit_plan import SETTLED_SECONDS, cut
from app.engine.exits import ExitFollower
from app.engine.flight import FlightRecorder
from app.engine.orders import OrderManager
from app.engine.record import StopRecord
from app.engine.rules import ExitRules
from app.engine.terms import ExitTerms
from app.engine.volley import HELD_BY_BACKSTOP, HELD_BY_RATE
from app.engine.watch import Shot
from app.engine.watching import Watching
from app.runtime.clock import to_datetime
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

SLOW_US = 5_000
"""A stop that took longer from socket readable to last byte written is named with its cause (F2)."""

AFRESH_SECONDS = 1.0
"""Before a follower that failed is replaced."""

LATE_SECONDS = 3.0
LATE_LOOKS = 21
"""Looks into the order book after the end of a stop of which an attempt was given up: a minute in all."""

NO_LINE_SECONDS = 0.5
"""How long a fired exit waits for a connection of the exit line before it takes the long way."""


class Firing:
    """Owner of the followers of one account."""

    def __init__(
        self,
        state: AccountState,
        orders: OrderManager,
        record: StopRecord,
        rules: ExitRules,
        stops: Mapping[StopId, Stop],
        known: Callable[[InstrumentId], Instrument],
        last_price: Callable[[InstrumentId], Price | None],
        changed: Callable[[Stop], None],
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._orders = orders
        self._record = record
        self.terms = ExitTerms(rules, state.clock)
        """What exits of this account look like."""
        self._stops = stops
        self._known = known
        self._last_price = last_price
        self._changed = changed
        self._publish = publish
        self._tasks = tasks
        self._followers: dict[StopId, ExitFollower] = {}
        self.watching: Watching | None = None
        self.own: Callable[[Stop, int, int], int | None] = _whole
        """(stop, signed position, units its orders closed) -> what of it is the stop's to close."""
        self.trades: Callable[[InstrumentId], bool] = _always
        """Whether an instrument trades continuously now."""
        self.flights: FlightRecorder | None = None
        """Writes down what happens around each exit."""
        self.settled: dict[StopId, dict[BrokerOrderId, int]] = {}
        """What the orders of each closed stop had filled when it was closed."""
        self._followed: set[StopId] = set()
        """Those that were followed to their end in this run."""
        self.on_settled: Callable[[StopId], None] | None = None
        """A follower has ended; what came in its last moment is not its business any more."""
        self.engine_us: deque[int] = deque(maxlen=10_000)
        """Socket readable to last byte written of each exit, microseconds."""

    def __len__(self) -> int:
        return len(self._followers)

    def __contains__(self, stop: StopId) -> bool:
        return stop in self._followers

    def on_shots(self, shots: list[Shot]) -> None:
        """Called inside the hot path, once per frame that fired: only notes what happened. The rest comes after."""
        asyncio.get_running_loop().call_soon(self._after, shots)

    def replied(self, stop: StopId) -> Callable[[ExitReply], None]:
        """Who hears the answer to a stop's prepared exit."""
        return lambda reply: self._deliver(stop, reply)

    def follow(self, stop: Stop, *, presume_sent: bool = False, cleanup: bool = False) -> None:
        """A stop that fired in an earlier run, or whose late exit turned up: followed until flat. Raises Denied.

        A full disk may have kept attempts out of the journal: the next has a tag of its own all the same. Where no
        order is known of one of them, it may come yet.
        """
        if stop.id in self._followers:
            return
        listed = {attempt_of(order.tag) for order in self._state.orders.of(stop.id) if order.tag}
        stop = replace(stop, attempt=max([stop.attempt, *listed]))
        follower = self._follower(stop, cleanup=cleanup)
        follower.gave_up = len(listed) < stop.attempt
        if presume_sent:
            for number in range(1, len(cut(stop.quantity, self.terms.slice_size(follower.instrument))) + 1):
                follower.presume_sent(stop.tag(number))
        self._run(follower)

    def never_sent(self, stop: StopId, tags: Iterable[Tag]) -> None:
        """These orders of a fired exit had no connection to leave by and will not get one: the follower takes the long
        way."""
        failure = Unreachable("No connection to the broker was ready for the exit.")
        for tag in tags:
            self._deliver(stop, ExitReply(tag, None, failure, 0, 0))

    def recall(self, stop: StopId) -> None:
        """Its exit waits to leave, and somebody else's fill has made the position smaller: what has not left is taken
        back, and the follower decides by the next reading (F4)."""
        watch = None if self.watching is None else self.watching.of(stop)
        if self.watching is None or watch is None or not watch.fired or stop not in self._followers:
            return
        if tags := watch.load.unsent:
            self.watching.stop(stop)
            self.never_sent(stop, tags)

    def _after(self, shots: list[Shot]) -> None:
        for shot in shots:
            stop = self._stops[shot.stop]
            if stop.state is StopState.ARMED:
                stop = self._fired(stop, shot)
                self._changed(stop)
                detail = _why(stop, shot)
                # Before the follower's first entry: the journal keeps the order in which it was asked.
                self._tasks.start(self._record.keep(stop, "fired", detail), f"journal fired {stop.id}")
                self._begin(stop, shot)
            if self.flights is not None:
                watch = None if self.watching is None else self.watching.of(stop.id)
                self.flights.shot(stop, shot, None if watch is None else watch.load)
            if shot.written_ns:
                self._unwatch(stop.id)
                self._measure(stop, shot)
            else:
                asyncio.get_running_loop().call_later(NO_LINE_SECONDS, self._no_line, stop.id)

    def _fired(self, stop: Stop, shot: Shot) -> Stop:
        watch = None if self.watching is None else self.watching.of(stop.id)
        why = shot.fired_by
        if watch is not None:
            stop = replace(stop, trigger=watch.levels.level, best=watch.levels.best_price)
            why = why or watch.levels.hit(shot.price)
        now, price = self._state.clock.now(), shot.price
        if shot.looked not in (None, stop.key.instrument):  # it looked at another instrument; this is what it trades
            price = self._last_price(stop.key.instrument) or stop.seen_price or price
        return replace(stop, state=StopState.FIRED, fired_at=now, fired_price=price, fired_by=why)

    def _begin(self, stop: Stop, shot: Shot) -> None:
        try:
            follower = self._follower(stop)
        except Denied as failure:
            self._record.alarm(stop, "The exit was sent and cannot be followed.", "Check the position.", str(failure))
            return
        changed = [tag for tag in shot.tags if is_backstop(tag)]
        follower.sent({tag: units for tag, units in shot.tags.items() if tag not in changed}, changed)
        for order in self._state.orders.of(stop.id):
            if order.tag in changed:
                self._orders.wire.changed(order.broker_order_id)
        self._run(follower)

    def _unwatch(self, stop: StopId) -> None:
        if self.watching is not None:
            self.watching.stop(stop)

    def _no_line(self, stop: StopId) -> None:
        """The exit line had no connection for too long."""
        watch = None if self.watching is None else self.watching.of(stop)
        if watch is None or self.watching is None or not watch.load.unsent:
            return  # it went out, perhaps in this very turn of the loop, or the session ended
        if self.watching.holds(stop):  # it only waits for the broker's next second
            asyncio.get_running_loop().call_later(NO_LINE_SECONDS, self._no_line, stop)
            return
        self.watching.stop(stop)
        self.never_sent(stop, watch.load.unsent)

    def _deliver(self, stop: StopId, reply: ExitReply, *, again: bool = True) -> None:
        follower = self._followers.get(stop)
        if follower is not None:
            if self.flights is not None:
                self.flights.replied(stop, reply)
            follower.replied(reply)
        elif again:
            # A write that failed at once is reported before `_after` ran: once more round the loop.
            asyncio.get_running_loop().call_soon(partial(self._deliver, stop, reply, again=False))

    def _measure(self, stop: Stop, shot: Shot) -> None:
        micros = (shot.written_ns - shot.readable_ns) // 1_000
        if shot.held in (HELD_BY_RATE, HELD_BY_BACKSTOP):
            # The broker's rules, not our speed: it would say nothing of the engine.
            log.info("stop %s waited %d ms: %s", stop.id, micros // 1_000, shot.held)
            self._record.note(stop, "held", f"{micros // 1_000} ms: {shot.held}")
            self._publish(StopFired(stop, micros, shot.exchange_seconds * 1_000_000_000))
            return
        self.engine_us.append(micros)
        self._publish(StopFired(stop, micros, shot.exchange_seconds * 1_000_000_000))
        if micros > SLOW_US:
            waited = (shot.decided_ns - shot.readable_ns) // 1_000
            why = f", {shot.held}" if shot.held else ""
            log.warning("stop %s took %d us: %d us to the decision, then to the wire%s", stop.id, micros, waited, why)

    def _follower(self, stop: Stop, *, cleanup: bool = False) -> ExitFollower:
        instrument = self._known(stop.key.instrument)
        follower = ExitFollower(
            stop,
            instrument,
            self._state,
            self._orders,
            self._record,
            self.terms,
            lambda: None if self.watching is None else self.watching.line,
            lambda: self._last_price(instrument.id),
            self._changed,
            self.own,
            self.trades,
            cleanup=cleanup,
        )
        self._followers[stop.id] = follower
        return follower

    def _run(self, follower: ExitFollower) -> None:
        self._tasks.start(self._to_the_end(follower), f"exit of stop {follower.stop.id}")

    async def _to_the_end(self, follower: ExitFollower) -> None:
        stop = follower.stop.id
        try:
            await follower.run()
        except Exception as bug:
            log.exception("the exit of stop %s is followed afresh", stop)
            self._record.alarm(follower.stop, "Following the exit failed.", "Check the position.", type(bug).__name__)
            await asyncio.sleep(AFRESH_SECONDS)
            self._followers.pop(stop, None)
            self.follow(self._stops[stop], presume_sent=True, cleanup=follower.cleanup)
            return
        except BaseException:
            self._followers.pop(stop, None)
            raise
        self._followers.pop(stop, None)
        if follower.gave_up:
            self._tasks.start(self._look_out(), f"late exits of stop {stop}")
        if self.flights is not None:
            self.flights.ended(self._stops[stop])
        open_units = follower.leaves_open(followed_before=stop in self._followed)
        self.settled[stop] = follower.settled
        self._followed.add(stop)
        self._tell_left_over(self._stops[stop], follower.instrument.symbol)
        if open_units:
            self._tasks.start(self._tell_unguarded(self._stops[stop], follower.instrument.symbol), f"rest of {stop}")
        if self.on_settled is not None:
            self.on_settled(stop)

    def _tell_left_over(self, stop: Stop, symbol: str) -> None:
        """The trader's own orders on units that are not there any more."""
        reading = self._state.reading
        if reading is None or not reading.knows(stop.key) or reading.quantity(stop.key):
            return
        told = left_over(stop, symbol, self._state.orders.of(stop.key))
        if told is not None:
            self._record.alarm(stop, told.cause, told.next_step, told.detail, key=told.key, order=told.order)

    async def _tell_unguarded(self, stop: Stop, symbol: str) -> None:
        """A position that stands after late orders, and that no stop has."""
        await asyncio.sleep(SETTLED_SECONDS)
        with contextlib.suppress(AppError):  # unknown is nothing to tell; the positions say so themselves
            units = (await self._state.read_positions()).quantity(stop.key)
            guarded = any(other.key == stop.key and not other.state.is_final for other in self._stops.values())
            if units and not guarded:
                told = unguarded(symbol, units)
                self._record.alarm(stop, told.cause, told.next_step, told.detail, key=told.key)

    async def _look_out(self) -> None:
        """For an attempt that was given up and may reach the broker yet: its news may be lost as its answer was."""
        for _ in range(LATE_LOOKS):
            await asyncio.sleep(LATE_SECONDS)
            if self._state.active:
                with contextlib.suppress(AppError):  # the next look is near
                    await self._state.read_orders()


def _whole(stop: Stop, position: int, filled: int) -> int:
    """One stop a position."""
    del stop, filled
    return position


def _always(instrument: InstrumentId) -> bool:
    """Before the engine is whole."""
    del instrument
    return True


def _why(stop: Stop, shot: Shot) -> str:
    """For the audit trail."""
    moment = to_datetime(shot.exchange_seconds * 1_000_000_000)
    why = "" if stop.fired_by is FiredBy.STOP or stop.fired_by is None else f"{stop.fired_by}: "
    whose = "" if shot.looked in (None, stop.key.instrument) else f"{shot.looked} "
    moved = "" if stop.trigger == stop.plan.trigger else f", level {in_rupees(stop.trigger, stop.price_scale)}"
    return f"{why}{whose}at {in_rupees(shot.price, stop.price_scale)}, tick of {moment:%H:%M:%S}{moved}"
