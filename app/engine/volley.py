"""Exits on their way out: what one frame fires together, what waits for a connection or for the broker's next second.

Hot path. The pool has a few connections and the broker takes a few orders a second: so the most endangered money goes
first, each order leaves exactly once, and what cannot leave yet waits here, in that order. A stop whose exit is cut
into slices is one entry; its slices leave one after the other. Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Protocol

from app.brokers.base import ExitLine, ExitReply, Prepared
from app.domain.ids import StopId, Tag
from app.domain.money import Price
from app.domain.order import OrderRequest

HELD_BY_RATE = "the broker's orders a second were used up"
HELD_BY_LINE = "no connection was ready"
HELD_BY_BACKSTOP = "its backstop has to be taken back first"


class Load:
    """The prepared exit of one stop: an order, or several slices. Made when arming, used once."""

    __slots__ = ("limit_price", "on_reply", "sent", "slices", "stop_id", "weight")

    def __init__(
        self,
        stop: StopId,
        slices: tuple[Prepared, ...],
        on_reply: Callable[[ExitReply], None],
        limit_price: Callable[[Price], Price] | None = None,
        weight: int = 1,
    ) -> None:
        self.stop_id = stop
        self.slices = slices
        """One for each order of the exit."""
        self.sent = 0
        """How many of them have left."""
        self.on_reply = on_reply
        self.limit_price = limit_price
        """For a LIMIT exit: the worst price accepted, from the firing tick's. None for MARKET."""
        self.weight = weight
        """What one minor unit of price is worth of all that it closes; only compared."""

    @property
    def requests(self) -> tuple[OrderRequest, ...]:
        """Its orders, for the journal."""
        return tuple(one.request for one in self.slices)

    @property
    def tags(self) -> dict[Tag, int]:
        """Units by tag."""
        return {request.tag: request.quantity for request in self.requests if request.tag is not None}

    @property
    def unsent(self) -> tuple[Tag, ...]:
        """Of the orders that have not left."""
        return tuple(self.tags)[self.sent :]


@dataclass(slots=True)
class Entry:
    """One exit that has not left whole."""

    load: Load
    price: Price
    exchange_seconds: int
    readable_ns: int
    held: str = ""
    """Why it had to wait."""

    @property
    def risk(self) -> int:
        """Money that is endangered, in a unit that only compares."""
        return self.load.weight * self.price


class Gate(Protocol):
    """What the broker takes, counted with everything else that leaves (`OrderQueue`)."""

    def exit_wait(self) -> float:
        """Seconds until an exit may leave; 0: now."""
        ...

    def count(self, requests: int = 1) -> None:
        """So many have left."""
        ...

    unsent: int
    """Exits that wait here: what is less urgent leaves them room."""


class Volley:
    """Owner of the exits that are on their way out of one session."""

    def __init__(self, line: ExitLine, gate: Gate, on_out: Callable[[Entry, int], None]) -> None:
        self._line = line
        self._on_out = on_out
        """Called with an entry that had waited and has now left whole, and when its last byte was written."""
        self._gate = gate
        self._waiting: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        line.on_ready = self.pump

    def fire(self, entry: Entry) -> int:
        """`perf_counter_ns` after its last byte; 0: it waits, or a part of it does."""
        if not entry.load.slices:
            entry.held = HELD_BY_BACKSTOP
            return perf_counter_ns()  # the follower sees to it
        if self._waiting:
            entry.held = self._waiting[0].held
            self._line_up(entry)
            return 0
        written = self._write(entry)
        if not written:
            self._line_up(entry)
        return written

    def drop(self, stop: StopId) -> None:
        """Its slices that have not left are forgotten."""
        self._waiting = [entry for entry in self._waiting if entry.load.stop_id != stop]
        self._gate.unsent = len(self._waiting)

    def holds(self, stop: StopId) -> bool:
        """It waits only for the broker's next second: it will leave by itself."""
        for entry in self._waiting:
            if entry.load.stop_id == stop:
                return self._line.ready > 0
        return False

    def close(self) -> list[Load]:
        """The session is over: nothing leaves any more. The exits that never left, or not whole."""
        self._line.on_ready = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        self._gate.unsent = 0
        return [entry.load for entry in waiting]

    def pump(self) -> None:
        """A connection is free again, or the next second has begun: what waited goes, the most endangered first."""
        while self._waiting:
            entry = self._waiting[0]
            written = self._write(entry)
            if not written:
                return
            self._waiting.pop(0)
            self._gate.unsent = len(self._waiting)
            self._on_out(entry, written)

    def _line_up(self, entry: Entry) -> None:
        risk = entry.risk
        place = next((n for n, other in enumerate(self._waiting) if other.risk < risk), len(self._waiting))
        self._waiting.insert(place, entry)
        self._gate.unsent = len(self._waiting)

    def _write(self, entry: Entry) -> int:
        """Its next slices, as many as may go. 0: not all of them."""
        load = entry.load
        limit = load.limit_price
        price = None if limit is None else limit(entry.price)
        written = 0
        while load.sent < len(load.slices):
            wait = self._gate.exit_wait()
            if wait > 0:
                for held in (entry, *self._waiting):
                    held.held = HELD_BY_RATE
                self._wake_after(wait)
                return 0
            written = self._line.fire(load.slices[load.sent], load.on_reply, price)
            if not written:
                entry.held = entry.held or HELD_BY_LINE
                return 0
            load.sent += 1
            self._gate.count()
        return written

    def _wake_after(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._next_second)

    def _next_second(self) -> None:
        self._timer = None
        self.pump()
