"""Orders: what we ask (OrderRequest), what the broker knows (Order), and which state may follow which."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos, OrderId, Tag
from app.domain.instrument import Product
from app.domain.money import Price


class Side(StrEnum):
    """Which way."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The side that closes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1


class OrderKind(StrEnum):
    """How an order is priced."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


class Validity(StrEnum):
    """How long an order stands."""

    DAY = "DAY"
    IOC = "IOC"
    TTL = "TTL"
    """Some minutes: `valid_minutes`."""


class Variety(StrEnum):
    """How the broker handles an order."""

    REGULAR = "regular"
    AMO = "amo"
    """After market order: kept by the broker, sent to the exchange when the next session opens."""
    CO = "co"
    """Cover order: comes with a stop of its own at `trigger_price`, and is left as a whole."""
    ICEBERG = "iceberg"
    """Shown to the market leg by leg."""
    AUCTION = "auction"
    """Sells shares in the exchange's auction, for buyers who were not delivered theirs."""


class Purpose(StrEnum):
    """What a request about an order is for; decides who goes first where a broker's limit makes them wait."""

    EXIT = "exit"
    """Closes a position, or ends what would turn it round: before all others, never held back by a limit of ours."""
    REPRICE = "reprice"
    """An exit that is in the market gets another price: like an exit, but after those that are not out at all."""
    PROTECT = "protect"
    """Keeps an order at the exchange in step with the stop before it: right behind exits, and without their reserve."""
    MANUAL = "manual"
    """The trader's hand."""
    ENTRY = "entry"
    """A strategy opens a position: last."""

    @property
    def closes(self) -> bool:
        """No limit of ours holds it back, and what is kept for exits is there for it."""
        return self in (Purpose.EXIT, Purpose.REPRICE)


class OrderStatus(StrEnum):
    """Where an order is. `UNKNOWN`: sent, and nobody has said yet whether it exists."""

    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    PARTIALLY_FILLED = "partially filled"
    FILLED = "filled"
    CANCEL_PENDING = "cancel pending"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DENIED = "denied"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """No further fill is expected. (A late fill may still follow a cancel.)"""
        return self in FINAL


FINAL = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.DENIED, OrderStatus.EXPIRED}
)

_WORKED = frozenset(
    {
        OrderStatus.OPEN,
        OrderStatus.TRIGGER_PENDING,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCEL_PENDING,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
    }
)
"""What a broker that has the order may say of it. News in between may be missed."""

_LATE_FILLS = frozenset({OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED})
"""The exchange may have traded before it saw the cancel."""

NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.SUBMITTED: _WORKED | {OrderStatus.UNKNOWN, OrderStatus.DENIED},
    OrderStatus.UNKNOWN: _WORKED | {OrderStatus.SUBMITTED, OrderStatus.DENIED},
    OrderStatus.OPEN: _WORKED - {OrderStatus.OPEN} | {OrderStatus.UNKNOWN},
    OrderStatus.TRIGGER_PENDING: _WORKED - {OrderStatus.TRIGGER_PENDING} | {OrderStatus.UNKNOWN},
    OrderStatus.PARTIALLY_FILLED: frozenset(
        {
            OrderStatus.FILLED,
            OrderStatus.CANCEL_PENDING,
            OrderStatus.CANCELLED,
            OrderStatus.EXPIRED,
            OrderStatus.UNKNOWN,
        }
    ),
    OrderStatus.CANCEL_PENDING: _WORKED - {OrderStatus.CANCEL_PENDING} | {OrderStatus.UNKNOWN},
    OrderStatus.CANCELLED: _LATE_FILLS,
    OrderStatus.EXPIRED: _LATE_FILLS,
    OrderStatus.FILLED: frozenset(),
    OrderStatus.REJECTED: frozenset(),
    OrderStatus.DENIED: frozenset(),
}
"""Legal successors, the one table of an order's life. `UNKNOWN` follows where the broker's list has lost an order,
`DENIED` where it never had it. News that is not in the table is taken all the same, for the broker is the truth; it is
logged, and told to the trader."""


_BEFORE_IT_STOOD = frozenset({OrderStatus.SUBMITTED, OrderStatus.UNKNOWN, OrderStatus.EXPIRED})


def may_follow(before: OrderStatus, after: OrderStatus) -> bool:
    """Whether the table allows `after` to come next."""
    return after in NEXT[before]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What we ask of a broker. Quantity in units; adapters convert to lots where the broker counts lots."""

    account: AccountId
    instrument: InstrumentId
    side: Side
    quantity: int
    product: Product
    kind: OrderKind
    price: Price | None = None
    """Worst price accepted; LIMIT and SL."""
    trigger_price: Price | None = None
    validity: Validity = Validity.DAY
    tag: Tag | None = None
    market_protection: int = -1
    """Percent from the last price, -1 = the broker's own band. Needed with MARKET and SL-M since 2026-04-01."""
    variety: Variety = Variety.REGULAR
    iceberg_legs: int = 0
    """Legs of an iceberg."""
    autoslice: bool = False
    """The broker may cut it up where it is above the exchange's freeze quantity."""
    disclosed_quantity: int = 0
    """Units shown to the market; 0 shows all."""
    valid_minutes: int = 0
    """With validity TTL."""
    auction_number: str = ""
    """Which auction, of those offered."""


@dataclass(frozen=True, slots=True)
class IcebergLeg:
    """Which part of an iceberg an order is. The order's own quantity is the leg's."""

    leg: int
    legs: int
    leg_quantity: int
    total_quantity: int
    remaining_quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """What the broker knows of an order."""

    account: AccountId
    broker_order_id: BrokerOrderId
    instrument: InstrumentId
    side: Side
    product: Product
    kind: OrderKind
    status: OrderStatus
    quantity: int
    filled_quantity: int
    pending_quantity: int
    average_price: Price | None
    """In minor units, rounded; the exact prices are in the fills. None before the first fill."""
    price: Price | None = None
    trigger_price: Price | None = None
    tag: Tag | None = None
    id: OrderId | None = None
    """Ours, None for an order placed elsewhere."""
    exchange_order_id: str | None = None
    placed_at: Nanos | None = None
    updated_at: Nanos | None = None
    status_text: str | None = None
    """The broker's words about the status: plain text from outside, never trusted."""
    validity: Validity = Validity.DAY
    variety: str = "regular"
    parent: BrokerOrderId | None = None
    """The order that this one belongs to: of a cover order's stop, its entry."""
    tags: tuple[str, ...] = ()
    """All marks, the broker's own included (`mktp:2.00`, `autoslice:<parent>`)."""
    disclosed_quantity: int = 0
    cancelled_quantity: int = 0
    valid_minutes: int = 0
    auction_number: str = ""
    iceberg: IcebergLeg | None = None
    changes: int = 0
    """How often it was changed from here; brokers allow so many."""

    @property
    def protection(self) -> Decimal | None:
        """Percent that the broker allowed a market order, which it shows as a LIMIT; None where it was none.

        Zerodha turns a MARKET order into a limit order at last price +- the band and marks it `mktp:<percent>`.
        """
        for tag in self.tags:
            if tag.startswith("mktp:"):
                try:
                    return Decimal(tag.removeprefix("mktp:"))
                except InvalidOperation:
                    return None
        return None


@dataclass(frozen=True, slots=True)
class SliceOutcome:
    """What became of one slice of an order that the broker cut up. Exactly one of the two is set."""

    order: BrokerOrderId | None
    refusal: str
    """The broker's words."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What a broker made of one request: an order, or several slices of it."""

    order: BrokerOrderId
    """The order; of a sliced one, what its slices go by."""
    slices: tuple[SliceOutcome, ...] = ()
    """Empty where it was not cut up."""

    @property
    def refused(self) -> tuple[SliceOutcome, ...]:
        """Slices that are not there."""
        return tuple(one for one in self.slices if one.order is None)


def is_stale(known: Order, news: Order) -> bool:
    """News from before what is known: the stream and a read may cross."""
    if news.filled_quantity != known.filled_quantity:
        return news.filled_quantity < known.filled_quantity
    if news.status is OrderStatus.SUBMITTED and known.status not in _BEFORE_IT_STOOD:
        return True  # every order begins with it: overtaken on the way
    if known.status.is_final and not news.status.is_final:
        return known.status is not OrderStatus.EXPIRED  # which was our own conclusion
    if news.status is OrderStatus.SUBMITTED and known.status not in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN):
        return True  # a book that was read while it was on its way from the broker to the exchange
    return (
        known.updated_at is not None
        and news.updated_at is not None
        and news.updated_at < known.updated_at
        and not news.status.is_final
    )
