"""Orders that turn up where none should be any more (F4, F5): a late exit of a stop that had ended, an exit of ours
that a crash had hidden, an order from elsewhere that crossed ours. Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from app.domain.ids import StopId
from app.domain.order import Order, OrderStatus
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopState, is_backstop, is_triggered, stop_of_tag
from app.engine.account import AccountState
from app.engine.firing import Firing
from app.engine.grouped import Grouped
from app.engine.record import StopRecord
from app.engine.watching import Watching
from app.runtime.loop import Tasks

VIGIL = 60_000_000_000
"""Nanoseconds of exchange time after a stop has closed its position during which an order that was under way before may
not turn it round."""

LIST_SECONDS = 0.1
"""In which a list that was read is taken in, however long it is."""


class LateOrders:
    """Looks at every order's news of one account."""

    def __init__(
        self,
        state: AccountState,
        record: StopRecord,
        stops: Grouped[StopId, Stop, PositionKey],
        firing: Firing,
        watching: Watching,
        changed: Callable[[Stop], None],
        follow: Callable[[Stop], None],
        held_back: Callable[[StopId], bool],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._record = record
        self._stops = stops
        self._firing = firing
        self._watching = watching
        self._changed = changed
        self._follow = follow
        self._held_back = held_back
        """Armed, and not watched because others' fills say that its units are gone: its own backstop may fill yet."""
        self._tasks = tasks
        self._earlier: set[StopId] = set()
        self._unsummed: set[StopId] = set()
        """Those of them of which a list is just being read."""
        firing.on_settled = self._on_settled
        state.on_order.append(self._on_order)

    def ended_earlier(self, stop: StopId) -> None:
        """It ended in an earlier run: its orders that are final when they are first seen belong to that end, but those
        that came after it."""
        self._earlier.add(stop)

    def _on_order(self, order: Order) -> None:
        stop = self._stops.get(stop_of_tag(order.tag) or StopId(""))
        if stop is None:
            self._on_foreign_order(order)
        elif stop.id in self._firing or not _may_move(order):
            return
        elif order.side is not stop.side:
            if stop.state.is_final:  # what went back went back twice
                self._on_order_of_ended(stop, order)
        elif rests_behind(order):
            return  # the backstop stands where it should, or is being taken back
        elif stop.state is StopState.ARMED:
            watch = self._watching.of(stop.id)
            waits = self._held_back(stop.id) if watch is None else not watch.fired
            if waits and order.tag != stop.tag():
                why = "its backstop filled" if is_backstop(order.tag) else "an order of an earlier run turned up"
                why = "its trigger (GTT) sent it" if is_triggered(order.tag) else why
                self._record.note(stop, "fired earlier", f"order {order.broker_order_id}: {why}")
                self._follow(stop)
        elif stop.state.is_final:
            self._on_order_of_ended(stop, order)

    def _on_order_of_ended(self, stop: Stop, order: Order) -> None:
        settled = self._firing.settled.setdefault(stop.id, {})
        known = order.broker_order_id in settled or _came_after(order, stop)
        if stop.id in self._earlier and order.status.is_final and not known:
            settled[order.broker_order_id] = order.filled_quantity
            if stop.id not in self._unsummed:  # what went back may stand further down in the same list
                self._unsummed.add(stop.id)
                self._tasks.start(self._sum_up(stop.id), f"what the orders of {stop.id} closed")
        elif not order.status.is_final or order.filled_quantity > settled.get(order.broker_order_id, 0):
            # What was taken back twice is the stop's own to close; what was closed twice is only taken back.
            self._late_exit(stop, f"late order {order.broker_order_id}", cleanup=order.side is stop.side)

    async def _sum_up(self, number: StopId) -> None:
        """Brokers tell the time in whole seconds: what came in the same one as the end is seen by the sum."""
        await asyncio.sleep(LIST_SECONDS)
        self._unsummed.discard(number)
        stop = self._stops[number]
        if stop.state.is_final and _closed_more(stop, self._state.orders.of(number)):
            self._late_exit(stop, "its orders have closed more than there was")

    def _late_exit(self, stop: Stop, why: str, *, cleanup: bool = True) -> None:
        self._record.alarm(stop, "A late exit order turned up after the stop had ended.", "Check the position.")
        self._clean_up(stop, why, cleanup=cleanup)

    def may_cross(self, order: Order) -> bool:
        """An order from elsewhere that works on although a stop has just closed its position: filled, it turns it
        round."""
        return order.status is not OrderStatus.TRIGGER_PENDING and any(self._crossed(order))

    def _on_foreign_order(self, order: Order) -> None:
        """An order that was under way when a stop closed its position, and filled after: two exits have crossed."""
        for stop in self._crossed(order) if order.filled_quantity else ():
            self._clean_up(stop, f"order {order.broker_order_id} filled after the position was closed")

    def _crossed(self, order: Order) -> list[Stop]:
        """Stops that closed the order's position a moment ago, when it was under way."""
        now, placed = self._state.clock.now(), order.placed_at
        if placed is None:
            return []
        return [
            stop
            for stop in self._stops.of(PositionKey(order.account, order.instrument, order.product))
            if stop.state is StopState.CLOSED
            and stop.id not in self._firing
            and stop.exit_order is not None
            and order.side is stop.side
            and placed <= (stop.closed_at or 0)
            and now - (stop.closed_at or 0) < VIGIL
        ]

    def _clean_up(self, stop: Stop, why: str, *, cleanup: bool = True) -> None:
        again = stop.closed_at if cleanup else None  # a close that is on record: it owns nothing any more
        reopened = replace(stop, state=StopState.EXITING, closed_at=again, note=why)
        self._changed(reopened)
        self._record.begin_keeping(reopened, "reopened", why)  # a crash before it is taken back must not forget it
        self._firing.follow(reopened, cleanup=cleanup)

    def _on_settled(self, stop: StopId) -> None:
        """News that came in the last moment of a follower."""
        for order in self._state.orders.of(stop):
            self._on_order(order)


def exits_among(orders: Iterable[Order]) -> list[Order]:
    """What the broker lists of a stop's exits, of this run or one before. A trigger's (GTT) order that came to nothing
    is none: that it fired is no reason of the stop's own."""
    return [
        order
        for order in orders
        if not rests_behind(order)
        and not (is_triggered(order.tag) and order.status.is_final and not order.filled_quantity)
    ]


def rests_behind(order: Order) -> bool:
    """A backstop that has not acted: no units of it are filled."""
    return is_backstop(order.tag) and not order.filled_quantity


def _may_move(order: Order) -> bool:
    """It has moved the position, or still may."""
    return bool(order.filled_quantity) or not order.status.is_final


def _came_after(order: Order, stop: Stop) -> bool:
    """It reached the broker when the stop had closed its position: nobody was there to see it."""
    return None not in (order.placed_at, stop.closed_at) and (order.placed_at or 0) > (stop.closed_at or 0)


def _closed_more(stop: Stop, own: Iterable[Order]) -> bool:
    """Its orders have closed more than there was."""
    return sum(one.filled_quantity * (1 if one.side is stop.side else -1) for one in own) > stop.quantity
