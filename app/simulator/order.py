"""Orders and fills as the paper exchange keeps them, and the rows that Kite shows of them (A7.5, A16)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from app.simulator.figures import number, rupees
from app.simulator.listing import scale_of

PUT_RECEIVED = "PUT ORDER REQ RECEIVED"
VALIDATION_PENDING = "VALIDATION PENDING"
OPEN_PENDING = "OPEN PENDING"
OPEN = "OPEN"
TRIGGER_PENDING = "TRIGGER PENDING"
MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
MODIFY_PENDING = "MODIFY PENDING"
MODIFIED = "MODIFIED"
CANCEL_PENDING = "CANCEL PENDING"
COMPLETE = "COMPLETE"
CANCELLED = "CANCELLED"
REJECTED = "REJECTED"
AMO_RECEIVED = "AMO REQ RECEIVED"
UPDATE = "UPDATE"
FINAL = frozenset({COMPLETE, CANCELLED, REJECTED})

APP_ID = 1234
"""The paper exchange has one registered app."""


@dataclass(slots=True)
class Order:
    """One order. Prices in paise, quantity in the units of the wire; times as printed. Changed by OrderSystem only."""

    order_id: str
    token: int
    exchange: str
    tradingsymbol: str
    side: str
    quantity: int
    product: str
    order_type: str
    price: int
    trigger_price: int
    validity: str
    disclosed_quantity: int
    tag: str | None
    market_protection: float
    placed_by: str
    order_timestamp: str
    received_ns: int
    """Monotonic nanoseconds of this process when the request's bytes had been read; for measurements."""
    variety: str = "regular"
    status: str = PUT_RECEIVED
    status_message: str | None = None
    exchange_order_id: str | None = None
    exchange_timestamp: str | None = None
    exchange_update_timestamp: str | None = None
    parent_order_id: str | None = None
    system_tags: list[str] = field(default_factory=list)
    filled: int = 0
    cancelled: int = 0
    value: int = 0
    """Sum of quantity × price of its fills, paise."""
    modified: bool = False
    modifications: int = 0
    limit: int = 0
    """What it may trade at: the given price, or the protection price of a MARKET or triggered SL-M order. Paise."""
    working: bool = False
    """At the exchange and able to trade."""
    triggered: bool = False
    rests: bool = False
    """It met no acceptable price and waits as a maker."""
    change: dict[str, int | str | float] | None = None
    """A modification in flight."""
    cancelling: bool = False
    held: int = 0
    """Units that a scripted fault keeps from filling until it is released."""
    broker: str = "zerodha"
    """Over whose wire it came."""
    own_app: bool = True
    """Placed with the app's own key; else on another terminal."""
    waiting: bool = False
    """Taken while the market is closed; on its way when it opens."""
    validity_ttl: int = 0
    """Minutes, of validity TTL."""
    expires_at: float = 0.0
    """Exchange time in Unix seconds at which a TTL order ends; 0: never."""
    iceberg: dict[str, int] | None = None
    """Of one leg: leg, legs, leg_quantity, total_quantity, remaining_quantity."""
    auction_number: str = ""
    """It bids in an auction and does not meet the book."""

    @property
    def left(self) -> int:
        """Units still to fill."""
        return self.quantity - self.filled - self.cancelled

    @property
    def final(self) -> bool:
        """Nothing more can happen."""
        return self.status in FINAL

    @property
    def is_stop(self) -> bool:
        """SL or SL-M."""
        return self.order_type in ("SL", "SL-M")

    @property
    def key(self) -> str:
        """`NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    def record(self) -> dict[str, Any]:
        """As it is kept on disk."""
        return asdict(self)

    def row(self, market_row: str = "LIMIT") -> dict[str, Any]:
        """A row of GET /orders."""
        tags = ([self.tag] if self.tag else []) + self.system_tags
        shown, scale = self.order_type, scale_of(self.token)
        if shown == "MARKET" and self.limit and market_row == "LIMIT":
            shown = "LIMIT"
        auction = {"auction_number": self.auction_number} if self.auction_number else {}
        return {
            **auction,
            "account_id": self.placed_by,
            "placed_by": self.placed_by,
            "order_id": self.order_id,
            "exchange_order_id": self.exchange_order_id,
            "parent_order_id": self.parent_order_id,
            "status": self.status,
            "status_message": self.status_message,
            "status_message_raw": self.status_message,
            "order_timestamp": self.order_timestamp,
            "exchange_update_timestamp": self.exchange_update_timestamp,
            "exchange_timestamp": self.exchange_timestamp,
            "variety": self.variety,
            "modified": self.modified,
            "exchange": self.exchange,
            "tradingsymbol": self.tradingsymbol,
            "instrument_token": self.token,
            "order_type": shown,
            "transaction_type": self.side,
            "validity": self.validity,
            "validity_ttl": self.validity_ttl,
            "product": self.product,
            "quantity": self.quantity,
            "disclosed_quantity": self.disclosed_quantity,
            "price": rupees(self.limit if shown == "LIMIT" and self.order_type == "MARKET" else self.price, scale),
            "trigger_price": rupees(self.trigger_price, scale),
            "average_price": self.average_price(),
            "filled_quantity": self.filled,
            # a cancelled row keeps what was pending, beside what was cancelled (A7.5)
            "pending_quantity": self.quantity - self.filled if self.status != REJECTED else 0,
            "cancelled_quantity": self.cancelled,
            "market_protection": 0 if shown != self.order_type else number(self.market_protection),
            "meta": {"iceberg": self.iceberg} if self.iceberg else {},
            "tag": self.tag,
            "tags": tags or None,
            "guid": None,
        }

    def average_price(self) -> int | float:
        """Of its fills, unrounded rupees; 0 before the first."""
        return number(self.value / self.filled / scale_of(self.token)) if self.filled else 0

    def history_row(self, market_row: str) -> dict[str, Any]:
        """A row of GET /orders/{id}: fewer fields, and token 1 in the first (A7.5)."""
        row = self.row(market_row)
        for absent in (
            "account_id",
            "status_message_raw",
            "exchange_update_timestamp",
            "validity_ttl",
            "market_protection",
            "meta",
            "tags",
            "guid",
        ):
            del row[absent]
        if self.status == PUT_RECEIVED:
            row["instrument_token"] = 1
        return row

    def update(self, status: str, market_row: str, api_secret: str) -> dict[str, Any]:
        """An order update of the stream: the order without tags and modified, with user, app and checksum (A16)."""
        row = self.row(market_row)
        del row["tags"], row["modified"], row["account_id"], row["validity_ttl"]
        row["status"] = status
        row["user_id"] = self.placed_by
        row["app_id"] = APP_ID if self.own_app else 0
        row["unfilled_quantity"] = self.left
        signed = f"{self.order_id}{self.order_timestamp}{api_secret}"
        row["checksum"] = hashlib.sha256(signed.encode()).hexdigest()
        return row


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution."""

    trade_id: str
    order_id: str
    exchange_order_id: str
    token: int
    exchange: str
    tradingsymbol: str
    product: str
    side: str
    quantity: int
    price: int
    fill_timestamp: str
    order_time: str
    filled_ns: int = 0

    def record(self) -> dict[str, Any]:
        """As it is kept on disk."""
        return asdict(self)

    def row(self) -> dict[str, Any]:
        """A row of GET /trades; `order_timestamp` is the time alone."""
        return {
            "trade_id": self.trade_id,
            "order_id": self.order_id,
            "exchange": self.exchange,
            "tradingsymbol": self.tradingsymbol,
            "instrument_token": self.token,
            "product": self.product,
            "average_price": rupees(self.price, scale_of(self.token)),
            "quantity": self.quantity,
            "exchange_order_id": self.exchange_order_id,
            "transaction_type": self.side,
            "fill_timestamp": self.fill_timestamp,
            "order_timestamp": self.order_time,
            "exchange_timestamp": self.fill_timestamp,
        }
