"""One order on its way from the trader's or a strategy's wish to the broker's list: what is known of it, told as it
changes. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Container

from app.domain.calendar import ist_day
from app.domain.ids import BrokerOrderId, Nanos, OrderId, Tag
from app.domain.intent import Intent
from app.domain.order import Order, OrderRequest, OrderStatus, Variety
from app.engine.account import AccountState


class Placing:
    """One order of ours that the broker does not list yet."""

    def __init__(
        self, state: AccountState, request: OrderRequest, tag: Tag, meant: OrderRequest | str, since: Nanos
    ) -> None:
        self._state = state
        self.request = request
        self.tag = tag
        self.order_id = OrderId(tag)
        self.meant = meant
        """What nobody may send again before the outcome is known."""
        self.since = since
        self.left = False
        """It may be at the broker."""

    def queued(self, ahead: int) -> None:
        """It waits for its turn."""
        orders = "1 order is" if ahead == 1 else f"{ahead} orders are"
        words = f"Waits for its turn: {orders} ahead of it." if ahead else "Waits for its turn: it is the next."
        self.claim(OrderStatus.SUBMITTED, words)

    def leaving(self) -> None:
        """It goes out now."""
        self.left = True
        self.claim(OrderStatus.SUBMITTED, "Sent; the broker has not answered yet.")

    def claim(self, status: OrderStatus, words: str) -> None:
        """Shown in the list of orders until the broker's own word comes."""
        self._state.claim(unlisted(self.request, status, words, self.since))

    @property
    def listed(self) -> bool:
        """The broker's list shows it."""
        return self.order_id in self._state.numbers


def unanswered(state: AccountState, waiting: Container[OrderId | None]) -> list[Order]:
    """Today's orders by hand and of strategies that may be at the broker, and that its list does not show. `waiting`:
    those that have not left."""
    sent, today = (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN), ist_day(state.clock.now())[0]
    known = (one for one in state.unlisted.values() if (one.placed_at or 0) >= today)
    return [one for one in known if one.status in sent and one.id not in waiting]


def unlisted(request: OrderRequest, status: OrderStatus, words: str, placed_at: Nanos) -> Order:
    """What views show of an order of ours with no order of the broker's behind it."""
    return Order(
        account=request.account,
        broker_order_id=BrokerOrderId(""),
        instrument=request.instrument,
        side=request.side,
        product=request.product,
        kind=request.kind,
        status=status,
        quantity=request.quantity,
        filled_quantity=0,
        pending_quantity=0 if status.is_final else request.quantity,
        average_price=None,
        price=request.price,
        trigger_price=request.trigger_price,
        tag=request.tag,
        id=None if request.tag is None else OrderId(request.tag),
        placed_at=placed_at,
        status_text=words,
        validity=request.validity,
        variety=request.variety,
    )


def remembered(intent: Intent, number: BrokerOrderId) -> Order:
    """What an earlier run knew of an order, until the broker's list says more."""
    request = intent.request
    return Order(
        account=request.account,
        broker_order_id=number,
        instrument=request.instrument,
        side=request.side,
        product=request.product,
        kind=request.kind,
        status=intent.status,
        quantity=request.quantity,
        filled_quantity=intent.filled,
        pending_quantity=request.quantity - intent.filled,
        average_price=None,
        price=request.price,
        trigger_price=request.trigger_price,
        tag=intent.tag,
        id=intent.order_id,
        placed_at=intent.created_at,
        status_text="As the last run knew it.",
        validity=request.validity,
        variety=request.variety,
        changes=intent.changes,
    )


def more_of(order: Order, quantity: int) -> OrderRequest:
    """What an order would add to what it asks for, made so large."""
    return OrderRequest(
        order.account, order.instrument, order.side, quantity - order.quantity, order.product, order.kind
    )


def order_words(request: OrderRequest) -> str:
    """A request in the audit trail."""
    price = f" at {request.price}" if request.price is not None else ""
    special = "" if request.variety is Variety.REGULAR else f" {request.variety}"
    if request.variety is Variety.ICEBERG:
        special += f" of {request.iceberg_legs} legs"
    if request.autoslice:
        special += " in slices"
    return f"{request.side} {request.quantity} {request.instrument} {request.product} {request.kind}{price}{special}"
