"""After the shot: measuring, journalling, and a follower for every stop that fired. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from app.brokers.base import ExitReply
from app.domain.errors import Unreachable
from app.domain.events import Event, StopFired
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState
from app.engine.exits import ExitFollower
from app.engine.record import StopRecord
from app.engine.rules import ExitRules
from app.engine.watch import Shot
from app.engine.watching import Watching
from app.runtime.clock import to_datetime
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

SLOW_US = 5_000
"""A stop that took longer from socket readable to last byte written is named with its cause (F2)."""

NO_LINE_SECONDS = 0.5
"""How long a fired exit waits for a connection of the exit line before it takes the long way."""


class Firing:
    """Owner of the followers of one account."""

    def __init__(
        self,
        state: AccountState,
        record: StopRecord,
        rules: ExitRules,
        stops: dict[StopId, Stop],
        known: Callable[[InstrumentId], Instrument],
        last_price: Callable[[InstrumentId], Price | None],
        changed: Callable[[Stop], None],
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._record = record
        self._rules = rules
        self._stops = stops
        self._known = known
        self._last_price = last_price
        self._changed = changed
        self._publish = publish
        self._tasks = tasks
        self._followers: dict[StopId, ExitFollower] = {}
        self.watching: Watching | None = None
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

    def follow(self, stop: Stop, presume_sent: bool) -> None:
        """A stop that fired in an earlier run, or whose late exit turned up: followed until flat."""
        if stop.id in self._followers:
            return
        follower = self._follower(stop)
        if presume_sent:
            follower.presume_sent(stop.tag())
        self._run(follower)

    def _after(self, shots: list[Shot]) -> None:
        for shot in shots:
            stop = self._stops[shot.stop]
            if stop.state is StopState.ARMED:
                stop = replace(stop, state=StopState.FIRED, fired_at=self._state.clock.now(), fired_price=shot.price)
                self._changed(stop)
                follower = self._follower(stop)
                follower.sent(stop.tag())
                self._run(follower)
                moment = to_datetime(shot.exchange_seconds * 1_000_000_000)
                detail = f"at {shot.price}, tick of {moment:%H:%M:%S}"
                self._tasks.start(self._record.keep(stop, "fired", detail), f"journal fired {stop.id}")
            if shot.written_ns:
                self._unwatch(stop.id)
                self._measure(stop, shot)
            else:
                asyncio.get_running_loop().call_later(NO_LINE_SECONDS, self._no_line, stop.id)

    def _unwatch(self, stop: StopId) -> bool:
        return self.watching is not None and self.watching.stop(stop) is not None

    def _no_line(self, stop: StopId) -> None:
        """The exit line had no connection for too long: the follower takes the long way, under the next tag."""
        if not self._unwatch(stop):
            return  # it went out meanwhile
        never_sent = Unreachable("No connection to the broker was ready for the exit.")
        self._deliver(stop, ExitReply(self._stops[stop].tag(), None, never_sent, 0, 0))

    def _deliver(self, stop: StopId, reply: ExitReply) -> None:
        follower = self._followers.get(stop)
        if follower is not None:
            follower.replied(reply)
        elif not self._stops[stop].state.is_final:
            # A write that failed at once is reported before `_after` ran: once more round the loop.
            asyncio.get_running_loop().call_soon(self._deliver, stop, reply)

    def _measure(self, stop: Stop, shot: Shot) -> None:
        micros = (shot.written_ns - shot.readable_ns) // 1_000
        self.engine_us.append(micros)
        self._publish(StopFired(stop, micros, shot.exchange_seconds * 1_000_000_000))
        if micros > SLOW_US:
            waited = (shot.decided_ns - shot.readable_ns) // 1_000
            log.warning("stop %s took %d us: %d us to the decision, the rest to the wire", stop.id, micros, waited)

    def _follower(self, stop: Stop) -> ExitFollower:
        instrument = self._known(stop.key.instrument)
        follower = ExitFollower(
            stop,
            instrument,
            self._state,
            self._record,
            self._rules,
            lambda: None if self.watching is None else self.watching.line,
            lambda: self._last_price(instrument.id),
            self._changed,
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
