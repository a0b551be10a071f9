"""What is known of one fired stop's own orders: on the wire, seen at the broker, or not accounted for. No I/O.

Accepted is not filled, and not seen is not absent: an order that the broker acknowledged and does not list yet counts
as existing for longer than one that nobody ever answered for.
"""

from __future__ import annotations

from collections.abc import Callable

from app.brokers.base import ExitReply
from app.domain.errors import AppError, Denied, NotPermitted, RateLimited, Rejected, SessionExpired, Unreachable
from app.domain.ids import BrokerOrderId, StopId, Tag
from app.domain.order import Order, OrderStatus, Side
from app.domain.stop import stop_of_tag
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS

REFUSED = (Rejected, NotPermitted, SessionExpired, RateLimited, Denied)
"""Answers that prove that no order exists."""

ACKNOWLEDGED_LOOKUPS = 15
"""Readings of the order book that must not show an order which the broker acknowledged before it counts as absent."""


class Attempts:
    """The orders of one stop. Loop thread only."""

    def __init__(self, stop: StopId, side: Side, now: Callable[[], float]) -> None:
        self._stop = stop
        self._side = side
        self._now = now
        self.orders: dict[BrokerOrderId, Order] = {}
        self.in_flight: Tag | None = None
        """Written, and neither answered nor seen nor given up."""
        self.unresolved: Tag | None = None
        """Given up without an answer, or acknowledged and not yet listed: it may exist."""
        self.refused: AppError | None = None
        """Why the last attempt came to nothing."""
        self.acted_at = now()
        """When an order was last sent or priced."""
        self._acknowledged = False
        self._lookups = 0
        self._looked_up_at = 0.0

    def sent(self, tag: Tag) -> None:
        """An attempt was written to the wire (or waits for a connection of the exit line)."""
        # The stream may have told of it before the follower was there.
        self.in_flight = None if self._seen(tag) else tag
        self.unresolved = None
        self.refused = None
        self.acted_at = self._now()

    def answered(self, reply: ExitReply) -> tuple[str, str]:
        """Takes the broker's answer; what the audit trail says of it."""
        tag = Tag(reply.tag)
        if self.in_flight == tag:
            self.in_flight = None
        if reply.error is None:
            if not self._seen(tag):
                self._look_for(tag, acknowledged=True)
            return "acknowledged", f"order {reply.order}"
        if isinstance(reply.error, REFUSED):
            self.refused = reply.error
            return "refused", str(reply.error)
        if isinstance(reply.error, Unreachable):
            return "not sent", str(reply.error)
        if not self._seen(tag):
            self._look_for(tag, acknowledged=False)
        return "unknown", str(reply.error)

    def presume_sent(self, tag: Tag) -> bool:
        """An earlier run may have sent this attempt: it is looked up first. False: it is known already."""
        if self._seen(tag):
            return False
        self._look_for(tag, acknowledged=False)
        return True

    def adopt(self, order: Order) -> bool:
        """News of an order. True when it is one of this stop's."""
        if stop_of_tag(order.tag) != self._stop:
            return False
        self.orders[order.broker_order_id] = order
        # Seen at the broker: whatever its answer was or will be, it exists.
        if order.tag == self.in_flight:
            self.in_flight = None
        if order.tag == self.unresolved:
            self.unresolved = None
        return True

    def looked_up(self) -> Tag | None:
        """A reading of the order book, begun at least a second after the last, has been taken in.

        The tag of an order that has just been proven absent, else None.
        """
        now = self._now()
        if self.unresolved is None or now - self._looked_up_at < LOOKUP_SPACING:
            return None
        self._lookups += 1
        self._looked_up_at = now
        return self.unresolved if self._lookups == self._enough else None

    @property
    def lookups(self) -> int:
        """As the plan counts them: `LOOKUPS` when the order is proven absent."""
        return LOOKUPS if self._lookups >= self._enough else min(self._lookups, LOOKUPS - 1)

    @property
    def in_order(self) -> tuple[Order, ...]:
        """Oldest attempt first."""
        return tuple(sorted(self.orders.values(), key=lambda order: order.tag or ""))

    @property
    def live(self) -> frozenset[BrokerOrderId]:
        """Orders that may still fill."""
        return frozenset(number for number, order in self.orders.items() if not order.status.is_final)

    @property
    def exits(self) -> tuple[Order, ...]:
        """Those that closed something of the position."""
        return tuple(o for o in self.in_order if o.side is self._side and o.filled_quantity)

    def turned_down(self, last: Tag) -> str:
        """The broker's words when it turned the last attempt's price or kind down; empty otherwise."""
        if isinstance(self.refused, Rejected):
            return str(self.refused)
        for order in self.orders.values():
            if order.tag == last and order.status is OrderStatus.REJECTED:
                return order.status_text or "The broker rejected the order."
        return ""

    @property
    def _enough(self) -> int:
        return ACKNOWLEDGED_LOOKUPS if self._acknowledged else LOOKUPS

    def _seen(self, tag: Tag) -> bool:
        return any(order.tag == tag for order in self.orders.values())

    def _look_for(self, tag: Tag, *, acknowledged: bool) -> None:
        self.unresolved = tag
        self._acknowledged = acknowledged
        self._lookups = 0
        self._looked_up_at = self._now()
