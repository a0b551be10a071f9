"""A broker's list of orders of which some rows could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import BadAnswer
from app.domain.ids import BrokerOrderId
from app.domain.order import Order


@dataclass(frozen=True, slots=True)
class UnreadOrder:
    """One such row, as far as it says whose it is."""

    number: BrokerOrderId | None
    """None: not even that can be read."""
    tag: str | None
    """The row's mark; empty: it says that there is none; None: it says nothing of it."""
    why: str
    """What of it could not be read."""


class PartlyRead(BadAnswer):
    """The list is not whole: an order that `orders` does not show may be there all the same."""

    def __init__(self, orders: Sequence[Order], unread: Sequence[UnreadOrder]) -> None:
        super().__init__(
            f"{len(unread)} of {len(orders) + len(unread)} orders of the broker's list cannot be read.",
            "Look at these orders at the broker's own site; a newer Stopline may know them.",
            detail="; ".join(f"{row.number}: {row.why}" for row in unread)[:400],
        )
        self.orders = tuple(orders)
        self.unread = tuple(unread)
