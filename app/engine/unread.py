"""Orders that the broker lists and that cannot be read (F8): one odd row does not make the engine blind for the others.

Such an order stands as it was last known: it is not gone, and has not ended. Where it was not known, and says itself
that it bears no mark of ours, it is somebody else's, and the list is whole as far as we are concerned. Where it may be
one of ours, the readable rows are taken and the reading has failed all the same. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from app.domain.events import Event, Level, Noticed
from app.domain.ids import AccountId, BrokerOrderId
from app.domain.order import Order
from app.domain.order_list import PartlyRead, UnreadOrder


class Unread:
    """One account's."""

    def __init__(self, account: AccountId, publish: Callable[[Event], None]) -> None:
        self._account = account
        self._publish = publish
        self._told: set[UnreadOrder] = set()
        self.now: tuple[UnreadOrder, ...] = ()
        """Of the last list."""

    def stand_in(
        self, part: PartlyRead, known: Mapping[BrokerOrderId, Order], mine: Container[BrokerOrderId]
    ) -> list[Order] | None:
        """The list with what cannot be read as it was last known; None: one of ours may be among it. `mine`: numbers
        of ours that bear no mark."""
        self.now = part.unread
        for row in part.unread:
            self._tell(row)
        orders = list(part.orders)
        for row in part.unread:
            if row.number is None:
                return None
            if row.number in known:
                orders.append(known[row.number])
            elif row.tag != "" or row.number in mine:
                return None
        return orders

    def _tell(self, row: UnreadOrder) -> None:
        """Once."""
        if row in self._told:
            return
        self._told.add(row)
        name = row.number or "without a number"
        self._publish(
            Noticed(
                Level.ALARM,
                f"Order {name} cannot be read",
                f"The broker lists it with what Stopline does not know ({row.why}). All other orders are read.",
                "Look at it at the broker's own site: Stopline cannot tell whether it works or has filled.",
                self._account,
                f"unread:{name}",
            )
        )


def surprise(account: AccountId, before: Order, after: Order) -> Noticed:
    """The table of states does not allow it, and it is so: the trader may have acted on what was believed before."""
    came_alive = before.status.is_final and not after.status.is_final
    traded = after.filled_quantity > before.filled_quantity
    return Noticed(
        Level.ALARM if came_alive or traded else Level.WARNING,
        f"An order of {after.instrument} is not what it was taken for",
        f"{after.side.capitalize()} {after.quantity}: it was {before.status}, and is {after.status}"
        f" ({after.filled_quantity} filled).",
        "Compare orders and positions with the broker's own site.",
        account,
        f"surprise:{after.broker_order_id}",
    )
