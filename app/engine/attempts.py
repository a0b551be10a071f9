"""What is known of one fired stop's own orders: on the wire, seen at the broker, or not accounted for. No I/O.

Accepted is not filled, and not seen is not absent: an order that the broker acknowledged and does not list yet counts
as existing for longer than one that nobody ever answered for. An attempt may be several orders (slices), each with a
tag and an answer of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from app.brokers.base import ExitReply
from app.domain.errors import AppError, Denied, NotPermitted, RateLimited, Rejected, SessionExpired, Unreachable
from app.domain.ids import BrokerOrderId, StopId, Tag
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import is_backstop, is_triggered, stop_of_tag
from app.engine.exit_plan import LOOKUP_SPACING, LOOKUPS

REFUSED = (Rejected, NotPermitted, SessionExpired, RateLimited, Denied)
"""Answers that prove that no order exists."""

ACKNOWLEDGED_LOOKUPS = 15
"""Readings of the order book that must not show an order which the broker acknowledged before it counts as absent."""

_OF_ATTEMPT = 17
"""Characters of a tag that name stop and attempt."""


@dataclass(slots=True)
class _LookUp:
    """An order that may exist."""

    enough: int
    looked_at: float
    readings: int = 0

    @property
    def absent(self) -> bool:
        return self.readings >= self.enough


class Attempts:
    """The orders of one stop. Loop thread only."""

    def __init__(self, stop: StopId, side: Side, now: Callable[[], float]) -> None:
        self._stop = stop
        self._side = side
        self._now = now
        self.orders: dict[BrokerOrderId, Order] = {}
        self._others: dict[BrokerOrderId, int] = {}
        """Units that other orders have filled in the position."""
        self._in_flight: dict[Tag, int] = {}
        """Written, and neither answered nor seen nor given up: tag to units."""
        self._unresolved: dict[Tag, _LookUp] = {}
        """Given up without an answer, or acknowledged and not yet listed: it may exist."""
        self._changing: set[Tag] = set()
        """Backstops whose change to a marketable price was written and not answered."""
        self.conversions = 0
        """How often backstops were asked to become the exit."""
        self.unchangeable = False
        """The broker refused that."""
        self.refused: AppError | None = None
        """Why an order of the last attempt came to nothing."""
        self.acted_at = now()
        """When an order was last sent or priced."""
        self._last: Mapping[Tag, int] = {}
        """Of the last attempt."""
        self._last_side = side
        self.overtaken = False
        """Since the last attempt began, somebody else has done some of what it does, or an earlier one turned up."""
        self.elsewhere = 0
        """Units of the position that others have closed since they are watched, less what they have bought anew."""

    def begin(self, orders: Iterable[Order], key: PositionKey) -> None:
        """What there is when the stop begins to be followed. What others did before says nothing of what is left."""
        for order in orders:
            self.concerns(order, key)
        self.elsewhere = 0

    def sent(self, tags: Mapping[Tag, int], side: Side | None = None) -> None:
        """An attempt was written to the wire (or waits for a connection of the exit line): units by tag. `side`: where
        it takes back what was closed twice."""
        # The stream may have told of it before the follower was there.
        self._in_flight = {tag: units for tag, units in tags.items() if not self._seen(tag)}
        self._unresolved.clear()
        self._last, self._last_side, self.overtaken = tags, side or self._side, False
        self.refused = None
        self.acted_at = self._now()

    def acted(self) -> None:
        """An order was priced or cancelled just now."""
        self.acted_at = self._now()

    def converting(self, tags: Collection[Tag]) -> None:
        """These backstops were asked to become the exit."""
        if tags:
            self._changing |= set(tags)
            self.conversions += 1
            self.acted_at = self._now()

    def answered(self, reply: ExitReply) -> tuple[str, str]:
        """Takes the broker's answer; what the audit trail says of it."""
        tag = Tag(reply.tag)
        if tag in self._changing:
            return self._changed(tag, reply)
        self._in_flight.pop(tag, None)
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

    def _changed(self, tag: Tag, reply: ExitReply) -> tuple[str, str]:
        """Of a change nothing has to be looked up by its tag: the order book shows the order as it is."""
        self._changing.discard(tag)
        self.acted_at = self._now()
        if reply.error is None:
            return "converted", f"order {reply.order}"
        # A change may be asked for again: it names its order, and nothing is doubled.
        self.unchangeable = self.unchangeable or isinstance(reply.error, Rejected)
        return "not converted", str(reply.error)

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
        tag = Tag(order.tag or "")
        self.overtaken |= order.broker_order_id not in self.orders and tag not in self._last
        self.orders[order.broker_order_id] = order
        # Seen at the broker: whatever its answer was or will be, it exists.
        if order.status is not OrderStatus.TRIGGER_PENDING:
            self._changing.discard(tag)
        self._in_flight.pop(tag, None)
        self._unresolved.pop(tag, None)
        return True

    def concerns(self, order: Order, key: PositionKey) -> bool:
        """News of an order. True when it is one of this stop's, or when anybody's has traded in its position: what was
        read of that before is old then."""
        if self.adopt(order):
            return True
        if PositionKey(order.account, order.instrument, order.product) != key:
            return False
        before = self._others.get(order.broker_order_id, 0)
        self._others[order.broker_order_id] = order.filled_quantity
        filled = order.filled_quantity > before
        if filled and stop_of_tag(order.tag) is None:  # what another stop of the position closes is its own share
            self.overtaken |= order.side is self._last_side
            self.elsewhere += (order.filled_quantity - before) * (1 if order.side is self._side else -1)
        return filled

    def knows(self, number: BrokerOrderId) -> bool:
        """An order of this stop, or another's that has traded in its position before."""
        return number in self.orders or self._others.get(number, 0) > 0

    def looked_up(self) -> list[Tag]:
        """A reading of the order book, begun at least a second after the last, has been taken in.

        The tags of orders that have just been proven absent.
        """
        now = self._now()
        gone = []
        for tag, look in self._unresolved.items():
            if now - look.looked_at < LOOKUP_SPACING:
                continue
            look.readings += 1
            look.looked_at = now
            if look.readings == look.enough:
                gone.append(tag)
        return gone

    @property
    def asked(self) -> int:
        """Units of the largest order of the last attempt; 0: it is of an earlier run."""
        return max(self._last.values(), default=0)

    @property
    def in_flight(self) -> int:
        """Units on the wire without an answer."""
        return sum(self._in_flight.values())

    @property
    def changing(self) -> bool:
        """A backstop's change has no answer yet."""
        return bool(self._changing)

    @property
    def unresolved(self) -> bool:
        """Some order may exist that nobody has seen."""
        return bool(self._unresolved)

    @property
    def lookups(self) -> int:
        """As the plan counts them: `LOOKUPS` when every such order is proven absent."""
        if all(look.absent for look in self._unresolved.values()):
            return LOOKUPS
        return min(LOOKUPS - 1, *(look.readings for look in self._unresolved.values()))

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

    @property
    def went_back(self) -> bool:
        """Some of what they closed was too much, and was taken back."""
        return any(o.side is not self._side and o.filled_quantity for o in self.orders.values())

    @property
    def filled(self) -> dict[BrokerOrderId, int]:
        """Units by order."""
        return {number: order.filled_quantity for number, order in self.orders.items()}

    @property
    def average(self) -> Price | None:
        """What the exits got for a unit; None: nothing."""
        value = sum((order.average_price or 0) * order.filled_quantity for order in self.exits)
        units = sum(order.filled_quantity for order in self.exits)
        return value // units if units else None

    @property
    def by_exchange(self) -> bool:
        """Only a backstop that nobody had changed closed anything."""
        stops = (OrderKind.SL, OrderKind.SL_M)
        return bool(self.exits) and all(
            is_triggered(o.tag) or (is_backstop(o.tag) and o.kind in stops) for o in self.exits
        )

    def how_closed(self, filled: int) -> str:
        """What ended the position (`filled`: units by our orders), for the trader."""
        if not self.by_exchange:
            return "position flat" if filled else "position was closed by another order"
        if any(is_triggered(order.tag) for order in self.exits):
            return "closed by the broker: its trigger (GTT) filled"
        return "closed by the exchange: its backstop filled"

    @property
    def closed(self) -> int:
        """Units of the position that these orders have closed."""
        return sum(o.filled_quantity * (1 if o.side is self._side else -1) for o in self.orders.values())

    def turned_down(self, last: Tag) -> AppError | str:
        """The broker's answer or words when it turned price or kind of the last attempt down; empty otherwise."""
        if isinstance(self.refused, Rejected):
            return self.refused
        for order in self.orders.values():
            of_last = order.tag is not None and order.tag[:_OF_ATTEMPT] == last[:_OF_ATTEMPT]
            if of_last and not self._of_backstop(order) and order.status is OrderStatus.REJECTED:
                return order.status_text or "The broker rejected the order."
        return ""

    @staticmethod
    def _of_backstop(order: Order) -> bool:
        return is_backstop(order.tag) or is_triggered(order.tag)

    def _seen(self, tag: Tag) -> bool:
        return any(order.tag == tag for order in self.orders.values())

    def _look_for(self, tag: Tag, *, acknowledged: bool) -> None:
        self._unresolved[tag] = _LookUp(ACKNOWLEDGED_LOOKUPS if acknowledged else LOOKUPS, self._now())
