"""Says aloud when the broker takes a trader's order, or that of a trigger behind a stop, and turns it down afterwards.

A placement that succeeded means only that the request was accepted: its risk checks and the exchange answer later, with
a rejected order in the book. Who has sent it and looks at the chart would go on believing in it. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.events import Event, Level, Noticed
from app.domain.ids import Tag
from app.domain.order import Order, OrderRequest, OrderStatus
from app.domain.stop import is_triggered
from app.engine.account import AccountState


class LateRefusals:
    """One account's."""

    def __init__(self, state: AccountState, publish: Callable[[Event], None]) -> None:
        self._account = state.account
        self._publish = publish
        self._sent: dict[str, OrderRequest] = {}
        state.on_order.append(self._on_order)

    def expect(self, tag: Tag, request: OrderRequest) -> None:
        """It leaves now."""
        self._sent[tag] = request

    def _on_order(self, order: Order) -> None:
        if not order.broker_order_id or order.status is not OrderStatus.REJECTED:
            return  # one that never became an order was refused to the caller's face
        if is_triggered(order.tag):
            self._tell_trigger(order)
        request = self._sent.get(order.tag or "")
        if request is None:
            return
        whole = "" if order.quantity == request.quantity else f" of {request.quantity:,}"
        self._publish(
            Noticed(
                Level.WARNING,
                "The broker refused an order after taking it",
                f"{request.side.capitalize()} {order.quantity:,}{whole} {request.instrument}: "
                f'"{order.status_text or "no reason was given"}"',
                "See the orders list for what stands.",
                self._account,
                f"refused:{order.tag}",
            )
        )

    def _tell_trigger(self, order: Order) -> None:
        """Behind a stop: whoever was away has counted on it."""
        self._publish(
            Noticed(
                Level.ALARM,
                "A trigger (GTT) behind a stop has fired, and the broker refused its order",
                f"{order.side.capitalize()} {order.quantity:,} {order.instrument}: "
                f'"{order.status_text or "no reason was given"}"',
                "The local stop stands, as long as Stopline runs; its exit may be refused for the same reason.",
                self._account,
                f"refused:{order.tag}",
            )
        )
