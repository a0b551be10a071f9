"""Which order by hand closes a position: a second one beside it would turn it round. Loop thread only."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.errors import Denied
from app.domain.ids import OrderId
from app.domain.order import OrderRequest, OrderStatus
from app.domain.portfolio import PositionKey
from app.domain.stop import stop_of_tag
from app.engine.account import AccountState


class Leavings:
    """One account's. An order counts from the click on, also while nobody lists it, and when an earlier run sent it."""

    def __init__(self, state: AccountState, unsettled: Mapping[OrderRequest | str, OrderId]) -> None:
        self._state = state
        self._unsettled = unsettled
        """Orders whose outcome is not known yet."""
        self._closing: dict[PositionKey, OrderId] = {}

    def begin(self, key: PositionKey, order: OrderId) -> None:
        """From now on it is this one."""
        self._closing[key] = order

    def recall(self, request: OrderRequest, order: OrderId) -> None:
        """An earlier run has sent this one. One that waits for its trigger, in a stop's place, closes nothing yet."""
        if request.trigger_price is not None:
            return
        self._closing.setdefault(PositionKey(request.account, request.instrument, request.product), order)

    def deny_beside_exit(self, key: PositionKey) -> None:
        """Raises Denied for one beside the exit of a stop that is in the market, in a closing auction say."""
        for order in self._state.orders.of(key):
            rests = order.status is OrderStatus.TRIGGER_PENDING
            if stop_of_tag(order.tag) is not None and not rests and not order.status.is_final:
                raise Denied(
                    f"Order {order.broker_order_id} of a stop is closing this position already.",
                    "It is followed until nothing is left; see the stops list.",
                )

    def deny(self, key: PositionKey) -> None:
        """Raises Denied for a second one."""
        order = self._closing.get(key)
        if order is None:
            return
        if order in self._unsettled.values():
            raise Denied(
                "An order that closes this position is on its way, and what became of it is not known yet.",
                "Wait until the orders list says; it is looked up.",
            )
        listed = [one for one in self._state.orders.of(key) if one.id == order]  # several where it was cut up
        live = next((one for one in listed if not one.status.is_final), None)
        waits = self._state.unlisted.get(order)
        # Acknowledged a moment ago. One that the list goes on not showing is unknown, and said aloud.
        if live is not None or (not listed and waits is not None and waits.status is OrderStatus.SUBMITTED):
            which = "An order" if live is None else f"Order {live.broker_order_id}"
            raise Denied(
                f"{which} is closing this position already.", "Change that order, or cancel it and close again."
            )
