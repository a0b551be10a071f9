"""What was sent from the ticket and whose outcome is open: locked by what was meant, never by a timer."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.events import OrderUnresolved
from app.domain.ids import OrderId
from app.domain.order import Order, OrderRequest, OrderStatus
from app.ui.views.ticket_words import Intent, fate, same

SENDING = "Sending…"
WAITING = "Waiting for its turn…"
UNKNOWN = "Outcome unknown: looking it up…"

_OPEN = frozenset({OrderStatus.UNKNOWN, OrderStatus.SUBMITTED})


@dataclass(slots=True)
class _Sent:
    """One intent on its way."""

    order: OrderId | None = None
    """Ours, once the desk has told."""
    words: str = SENDING


class OpenIntents:
    """The same intent is not sent twice while the first is open; another one may be."""

    def __init__(self) -> None:
        self._sent: dict[Intent, _Sent] = {}
        self._followed: OrderId | None = None
        """The last one that the broker took: what becomes of it is still to be told."""

    def __bool__(self) -> bool:
        return bool(self._sent)

    def begin(self, intent: Intent) -> None:
        """The button was pressed."""
        self._sent[intent] = _Sent()
        self._followed = None

    def end(self, intent: Intent, taken: OrderId | None = None) -> None:
        """Its outcome is known: not sent, or taken by the broker under our number."""
        self._sent.pop(intent, None)
        self._followed = taken

    def lost(self, intent: Intent) -> OrderId | None:
        """Nobody answered: locked until the order book has told. Our number of the order."""
        sent = self._sent.get(intent)
        if sent is not None:
            sent.words = UNKNOWN
        return None if sent is None else sent.order

    def words(self, intent: Intent | None) -> str:
        """What the button says of an intent that is open; empty: it may be sent."""
        sent = None if intent is None else self._sent.get(intent)
        return "" if sent is None else sent.words

    def unresolved(self, event: OrderUnresolved) -> None:
        """The desk looks one of them up."""
        for intent, sent in self._sent.items():
            if same(intent.request, event.request):
                sent.order, sent.words = event.order_id, UNKNOWN

    def news(self, order: Order) -> tuple[str, str]:
        """An order changed. What there is to say of it and its role; empty: nothing, or it is none of ours."""
        if order.id is not None and order.id == self._followed:
            told = fate(order)
            if told[0]:
                self._followed = None
            return told
        return self._open_news(order), "strip"

    def _open_news(self, order: Order) -> str:
        for intent, sent in list(self._sent.items()):
            if order.id is not None and sent.order == order.id:
                return self._told(intent, sent, order)
            if sent.order is None and order.status is OrderStatus.SUBMITTED and _is_of(order, intent.request):
                sent.order = order.id
                return self._told(intent, sent, order)
        return ""

    def _told(self, intent: Intent, sent: _Sent, order: Order) -> str:
        if order.status not in _OPEN:
            if sent.words != UNKNOWN:
                return ""  # its answer is on the way
            self.end(intent, None if order.status.is_final else order.id)
            what = f"{order.side.capitalize()} {order.quantity} {order.instrument.partition(':')[2]}"
            return f"Found out: {what} is {order.status}."
        if sent.words != UNKNOWN and not order.broker_order_id:
            waits = (order.status_text or "").startswith("Waits")
            sent.words = WAITING if waits else SENDING
            return (order.status_text or "") if waits else ""
        return ""


def _is_of(order: Order, request: OrderRequest) -> bool:
    """A row of ours that the broker has not numbered yet, with what was asked for."""
    mine = (order.account, order.instrument, order.side, order.quantity, order.product, order.kind, order.price)
    return not order.broker_order_id and mine == (
        request.account, request.instrument, request.side, request.quantity, request.product, request.kind,
        request.price,
    )  # fmt: skip
