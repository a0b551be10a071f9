"""Keeps what happened around each exit (`domain.flight`). Nothing here runs between a breach and its write: what the
hot path measured is written down afterwards, and the journal hears of it last. Loop thread only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter_ns
from typing import Protocol

from app.brokers.base import ExitReply
from app.domain.errors import AppError
from app.domain.events import Event, Level, Noticed
from app.domain.flight import SLOW_US, Flight, FlightMark, FlightRecorded, FlightStep, slippage_of
from app.domain.ids import BrokerOrderId, StopId, Tag
from app.domain.money import Price, grouped, said_money, said_price
from app.domain.order import Order, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import FiredBy, Stop, StopState, TriggerSource
from app.engine.account import AccountState
from app.engine.volley import HELD_BY_BACKSTOP, HELD_BY_RATE, Load
from app.engine.watch import Shot
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

BEFORE_NS = 2_000_000_000
"""Prices from so long before the breach are kept."""
MOST_TICKS = 60
"""On each side of the breach."""

Ticks = Callable[[int], Sequence[tuple[int, Price]]]
"""(`perf_counter_ns`, price) of the last prices of a token, oldest first."""


class FlightJournal(Protocol):
    """Where flights go."""

    async def save(self, flight: Flight) -> None:
        """As it is known now; the one before of the same stop is replaced. Raises StorageError."""
        ...


@dataclass(slots=True)
class _Recording:
    """One exit that is under way."""

    flight: Flight
    token: int
    zero_ns: int
    """`perf_counter_ns` when the socket was readable."""
    key: PositionKey
    marks: list[FlightMark] = field(default_factory=list)
    tags: set[Tag] = field(default_factory=set)
    filled: dict[BrokerOrderId, tuple[int, int]] = field(default_factory=dict)
    """Of each order: units filled and what they came to, as last heard."""


class FlightRecorder:
    """Owner of the recordings of one account."""

    def __init__(
        self,
        state: AccountState,
        ticks: Ticks,
        hide: Callable[[str], str],
        journal: FlightJournal,
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._ticks = ticks
        self._hide = hide
        """Takes secrets out of a text."""
        self._journal = journal
        self._publish = publish
        self._tasks = tasks
        self._open: dict[StopId, _Recording] = {}
        state.on_order.append(self._on_order)

    # -- what the engine tells ---------------------------------------------------------------------------------------

    def shot(self, stop: Stop, shot: Shot, load: Load | None) -> None:
        """An exit has left, or waits; called after the hot path. A second call tells that what waited has left."""
        found = self._open.get(stop.id)
        if found is None:
            found = self._open[stop.id] = self._begin(stop, shot, load)
        if shot.held == HELD_BY_BACKSTOP:  # nothing was written: the follower sends it, once the way is free
            found.flight = replace(found.flight, cause=shot.held)
            self._save(found)
        elif shot.written_ns:
            us = (shot.written_ns - shot.readable_ns) // 1_000
            found.marks.append(FlightMark(us, FlightStep.WRITTEN, quantity=sum(shot.tags.values()), words=shot.held))
            found.flight = replace(found.flight, engine_us=us, cause=_cause(us, _decided(found), shot))
            self._save(found)

    def replied(self, stop: StopId, reply: ExitReply) -> None:
        """The broker has answered one of its orders."""
        found = self._open.get(stop)
        if found is not None and reply.replied_ns:
            words = f"order {reply.order}" if reply.error is None else str(reply.error)
            found.marks.append(FlightMark(_us(found, reply.replied_ns), FlightStep.ANSWERED, words=words))

    def ended(self, stop: Stop) -> None:
        """Nothing more will be done about it."""
        found = self._open.pop(stop.id, None)
        if found is None:
            told = _hit_there(stop)
        else:
            if stop.state is StopState.CLOSED:
                found.marks.append(FlightMark(_us(found, perf_counter_ns()), FlightStep.FLAT))
            told = _hit(self._save(found), stop)
        if told is not None:
            self._publish(told)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _begin(self, stop: Stop, shot: Shot, load: Load | None) -> _Recording:
        looked = None if shot.looked == stop.key.instrument else shot.looked
        flight = Flight(
            stop=stop.id,
            account=stop.key.account,
            instrument=stop.key.instrument,
            side=stop.side,
            fired_at=stop.fired_at or self._state.clock.now(),
            level=_level(stop, shot),
            price=shot.price,
            why=str(stop.fired_by or "stop"),
            marks=(),
            sent=self._bytes(load, shot.price),
            engine_us=None,
            price_scale=stop.price_scale,
            source=_source(stop, shot),
            looked=looked,
            own=None if looked is None else stop.fired_price,
        )
        found = _Recording(flight, stop.token, shot.readable_ns, stop.key, tags=set(shot.tags))
        decided = (shot.decided_ns - shot.readable_ns) // 1_000
        found.marks += [
            FlightMark(0, FlightStep.BREACH, shot.price, stop.quantity, flight.source),
            FlightMark(decided, FlightStep.DECIDED),
        ]
        return found

    def _bytes(self, load: Load | None, price: Price) -> tuple[str, ...]:
        if load is None:
            return ()
        limit = None if load.limit_price is None else load.limit_price(price)
        return tuple(self._hide(one.wire(limit).decode("utf-8", "replace")) for one in load.slices)

    def _on_order(self, order: Order) -> None:
        if not self._open or order.tag is None:
            return
        for stop, found in self._open.items():
            if order.tag in found.tags or order.tag.startswith(stop):
                self._fill(found, order)

    def _fill(self, found: _Recording, order: Order) -> None:
        before, spent = found.filled.get(order.broker_order_id, (0, 0))
        if order.filled_quantity <= before or order.average_price is None:
            return
        now = order.average_price * order.filled_quantity
        found.filled[order.broker_order_id] = (order.filled_quantity, now)
        units = order.filled_quantity - before
        back = order.side is not found.flight.side  # what was closed twice
        found.marks.append(
            FlightMark(
                _us(found, perf_counter_ns()),
                FlightStep.FILLED,
                (now - spent) // units,
                -units if back else units,
                f"order {order.broker_order_id}",
            )
        )

    def _save(self, found: _Recording) -> Flight:
        flight = self._whole(found)
        self._publish(FlightRecorded(flight))
        self._tasks.start(self._write(flight), f"flight of stop {flight.stop}")
        return flight

    def _whole(self, found: _Recording) -> Flight:
        flight, marks = found.flight, found.marks
        last = max(mark.at_us for mark in marks)
        around = [
            FlightMark((at - found.zero_ns) // 1_000, FlightStep.TICK, price)
            for at, price in self._ticks(found.token)
            if at >= found.zero_ns - BEFORE_NS
        ]
        # The price that fired is the breach; it is told as a tick a little later, when its frame was taken apart.
        same = next((tick for tick in around if tick.at_us >= 0 and tick.price == flight.price), None)
        before = [tick for tick in around if tick.at_us < 0][-MOST_TICKS:]
        after = [tick for tick in around if 0 <= tick.at_us <= last and tick is not same][:MOST_TICKS]
        fills = [mark for mark in marks if mark.step is FlightStep.FILLED]
        multiplier = self._state.multiplier(found.key)
        return replace(
            flight,
            marks=tuple(sorted([*before, *marks, *after], key=lambda mark: mark.at_us)),
            slippage=slippage_of(flight.side, flight.own or flight.level, fills, multiplier, flight.price_scale),
        )

    async def _write(self, flight: Flight) -> None:
        try:
            await self._journal.save(flight)
        except AppError as failure:  # the exit itself is in the audit trail: nothing waits for this
            log.warning("the recording of stop %s is not in the journal: %s", flight.stop, failure.cause)


_DONE = {
    FiredBy.STOP: "the stop was hit",
    FiredBy.TARGET: "the target was reached",
    FiredBy.TIME: "the time exit came",
}
"""What nobody else tells: a portfolio stop has its own words, and a trader knows what was asked for."""


def _hit(flight: Flight, stop: Stop) -> Noticed | None:
    """What a trader who looked elsewhere is told of an exit that went through; None where its orders closed nothing."""
    fills = [mark for mark in flight.marks if mark.step is FlightStep.FILLED]
    words, units = _DONE.get(FiredBy(flight.why)), flight.filled
    if not flight.flat or words is None or units <= 0:
        return None
    average = Price(round(sum((mark.price or 0) * mark.quantity for mark in fills) / units))
    done = "Sold" if flight.side is Side.SELL else "Bought"
    cost = "" if flight.slippage is None else f", slippage {said_money(flight.slippage)}"
    level = said_price(flight.level, flight.price_scale)
    if flight.looked is not None and flight.own is not None:
        of = stop.plan.underlying or flight.looked
        by = "" if flight.looked == of else f" by {flight.looked} while that stood still"
        level = f"{level} of {of}{by}, its own last price {said_price(flight.own, flight.price_scale)}"
    return Noticed(
        Level.INFO,
        f"{flight.instrument}: {words}",
        f"{done} {grouped(units)} at {said_price(average, flight.price_scale)} (level {level}{cost}).",
        account=flight.account,
        repeat_key=f"{flight.stop}:hit",
    )


def _hit_there(stop: Stop) -> Noticed | None:
    """The same of one that left without an order from here: by its backstop or its trigger, while prices failed, say.
    None where nothing of it was sold, or where it has left in an earlier run, which is told at the return."""
    if stop.state is not StopState.CLOSED or stop.fired_at is not None or stop.exit_average is None:
        return None
    at = said_price(stop.exit_average, stop.price_scale)
    level = said_price(stop.trigger, stop.price_scale)
    return Noticed(
        Level.INFO,
        f"{stop.key.instrument}: the stop was hit at the broker",
        f"{'Sold' if stop.side is Side.SELL else 'Bought'} at {at} by the order that rested there (level {level}).",
        account=stop.key.account,
        repeat_key=f"{stop.id}:hit",
    )


def _us(found: _Recording, at_ns: int) -> int:
    return (at_ns - found.zero_ns) // 1_000


def _level(stop: Stop, shot: Shot) -> Price:
    """What the trader wanted to be out at: the stop's level, the target, or the price at the time."""
    if stop.fired_by is FiredBy.TARGET and stop.plan.target is not None:
        return stop.plan.target
    if stop.fired_by not in (None, FiredBy.STOP):
        return shot.price
    alone = shot.looked is None and stop.plan.last_trigger is not None
    return stop.plan.last_trigger if alone and stop.plan.last_trigger is not None else stop.trigger


_SOURCES = {
    TriggerSource.DOUBLE_LAST: "the second trade in a row",
    TriggerSource.MID: "mid of bid and ask",
}


def _source(stop: Stop, shot: Shot) -> str:
    """What decided, where it was not the last price at the level."""
    source = stop.plan.source
    if stop.fired_by not in (None, FiredBy.STOP, FiredBy.TARGET) or source in (TriggerSource.LAST, TriggerSource.NONE):
        return ""
    if shot.looked is None:
        return f"the last price alone, after {stop.plan.longest_wait} s"
    if source is TriggerSource.BID_ASK:
        return "the best bid" if stop.side is Side.SELL else "the best ask"
    return _SOURCES.get(source, str(shot.looked))


def _decided(found: _Recording) -> int:
    return next(mark.at_us for mark in found.marks if mark.step is FlightStep.DECIDED)


def _cause(us: int, decided: int, shot: Shot) -> str:
    """`us`: from the price to the last byte, `decided` of them to the decision."""
    if us <= SLOW_US:
        return ""
    if shot.held == HELD_BY_RATE:
        return shot.held
    if shot.held:
        return f"{shot.held}; decided after {decided} µs"
    began = (shot.began_ns - shot.readable_ns) // 1_000
    longest = max(decided, began - decided, us - began)
    if longest == decided:
        return f"{decided} µs until its price was looked at: other prices of the frame came first, or the loop was held"
    if longest == began - decided:
        return f"{longest} µs until its turn came: other exits of the frame went first"
    return f"{longest} µs in its own write: another thread held the interpreter, or the machine was busy"
