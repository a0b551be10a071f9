"""Says aloud when the broker takes a trader's order and turns it down afterwards.

A placement that succeeded means only that the request was accepted: its risk checks and the exchange answer later, with
a rejected order in the book. Who has sent it and looks at the chart would go on believing in it. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.events import Event, Level, Noticed
from app.domain.ids import Tag
from app.domain.order import Order, OrderRequest, OrderStatus
from app.engine.account import AccountState


class LateRefusals:
    """One account's manual orders of this run."""

    def __init__(self, state: AccountState, publish: Callable[[Event], None]) -> None:
        self._account = state.account
        self._publish = publish
        self._sent: dict[str, OrderRequest] = {}
        state.on_order.append(self._on_order)

    def expect(self, tag: Tag, request: OrderRequest) -> None:
        """It leaves now."""
        self._sent[tag] = request

    def _on_order(self, order: Order) -> None:
        request = self._sent.get(order.tag or "")
        if request is None or not order.broker_order_id or order.status is not OrderStatus.REJECTED:
            return  # one that never became an order was refused to the caller's face
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
