"""Orders that ended on an earlier day go once the broker's list is of another one: a program that runs for weeks keeps
a day of them. What an open stop has filled is still counted, so its orders stay; so do those of strategies, which may
carry a position. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from app.domain.calendar import ist_date
from app.domain.events import Event, OrdersForgotten
from app.domain.ids import StopId
from app.domain.order import Order
from app.domain.stop import Stop, stop_of_tag
from app.engine.account import AccountState

_BY_HAND = "M"
"""First letter of the tag of an order that the trader sent."""


class Yesterday:
    """One account's. Hears every whole list."""

    def __init__(self, state: AccountState, stops: Mapping[StopId, Stop], publish: Callable[[Event], None]) -> None:
        self._state = state
        self._stops = stops
        self._publish = publish
        self._day = ""
        """Of the last list that was looked at for this."""
        state.on_listed.append(self._on_listed)

    def _on_listed(self, orders: Sequence[Order], _began: float) -> None:
        today = ist_date(self._state.clock.now())
        if self._day == today.isoformat():
            return
        self._day = today.isoformat()
        listed = {order.broker_order_id for order in orders}
        gone = tuple(
            number
            for number, order in self._state.orders.items()
            if number not in listed
            and order.status.is_final
            and order.placed_at is not None
            and ist_date(order.placed_at) < today
            and not self._counts(order)
        )
        if gone:
            self._state.forget(gone)
            self._publish(OrdersForgotten(self._state.account, gone))

    def _counts(self, order: Order) -> bool:
        """Somebody still reckons with what it has filled."""
        stop = stop_of_tag(order.tag)
        if stop is not None:
            known = self._stops.get(stop)
            return known is not None and not known.state.is_final
        return order.tag is not None and not order.tag.startswith(_BY_HAND)
