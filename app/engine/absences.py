"""Orders that the broker's list does not show any more (F8): a new day has a new list, and a list may lose an order.

What is missing twice, a second apart, ended with its day when it is from an earlier one; one of today is unknown, in
words. Only whole lists count: a failed read says nothing. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.domain.calendar import ist_date
from app.domain.events import Event, Level, Noticed
from app.domain.ids import BrokerOrderId
from app.domain.order import Order, OrderStatus
from app.domain.origin import placed_here
from app.engine.account import AccountState
from app.engine.exit_plan import LOOKUP_SPACING

LAG_SECONDS = 30.0
"""How long an order of today that the broker told of may be absent from its list."""


class Absences:
    """One account's. Hears every whole list."""

    def __init__(self, state: AccountState, publish: Callable[[Event], None]) -> None:
        self._state = state
        self._publish = publish
        self._since: dict[BrokerOrderId, float] = {}
        """When the reading began that first did not show an order."""
        state.on_listed.append(self._on_listed)

    def _on_listed(self, orders: Sequence[Order], began: float) -> None:
        listed = {order.broker_order_id for order in orders}
        for number, order in list(self._state.orders.items()):
            placed = order.placed_at
            earlier = placed is not None and ist_date(placed) < ist_date(self._state.clock.now())
            # One that was lost on its own day has ended with it all the same.
            told = order.status is OrderStatus.UNKNOWN and not earlier
            if number in listed or order.status.is_final or told:
                self._since.pop(number, None)
                continue
            absent = began - self._since.setdefault(number, began)
            if absent >= (LOOKUP_SPACING if earlier else LAG_SECONDS):
                self._since.pop(number)
                self._conclude(order, earlier=earlier)

    def _conclude(self, order: Order, *, earlier: bool) -> None:
        status = OrderStatus.EXPIRED if earlier else OrderStatus.UNKNOWN
        words = (
            "The broker's list is of a new day: the order ended with its own."
            if earlier
            else "The broker's list does not show this order any more; nobody says what became of it."
        )
        pending = 0 if earlier else order.pending_quantity
        self._state.claim(replace(order, status=status, status_text=words, pending_quantity=pending))
        if not earlier and placed_here(order):
            self._publish(
                Noticed(
                    Level.ALARM,
                    f"An order of {order.instrument} is missing from the broker's list",
                    f"{order.side.capitalize()} {order.quantity}, order {order.broker_order_id}, was {order.status}.",
                    "Look at the broker's own site; Stopline goes on looking.",
                    order.account,
                    f"missing:{order.broker_order_id}",
                )
            )
