"""Ledgerline's JSON to Stopline's types. Pure and strict: a missing field or an unknown word is BadAnswer, no default.

Source of the wire: ledgerline.example/docs. Amounts are decimal text in rupees, times ISO 8601 with their offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from app.brokers.base import Profile
from app.brokers.documents import encode_json
from app.brokers.parts import PastFill
from app.brokers.rows import Row
from app.domain.errors import BadAnswer, BrokerError, NotPermitted, RateLimited, Rejected, SessionExpired, Unreachable
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, instrument_id
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.money import Price
from app.domain.order import Order, OrderKind, OrderStatus, Side
from app.domain.portfolio import Funds, Holding, Position, PositionKey

T = TypeVar("T")

SCALE = 100
"""Minor units in a rupee: Ledgerline trades to the paisa."""
RETRY_AFTER = 60.0
"""Seconds to wait when the broker does not say."""

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
PRODUCTS = {"delivery": Product.CNC, "intraday": Product.MIS, "carry": Product.NRML}
KINDS = {"market": OrderKind.MARKET, "limit": OrderKind.LIMIT}
STATUSES = {
    "open": OrderStatus.OPEN,
    "done": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELLED,
    "refused": OrderStatus.REJECTED,
}
_DERIVATIVES = (Exchange.NFO, Exchange.BFO)


def word(row: Row, key: str, words: Mapping[str, T]) -> T:
    """A word of a closed list. An unknown one is a BadAnswer that names its field."""
    found = words.get(row.text(key))
    if found is None:
        raise row.bad(key)
    return found


def profile_from(data: object) -> Profile:
    """Who is logged in."""
    row = Row(data, "client")
    return Profile(row.text("id"), row.text("name"), exchanges=("NSE", "NFO"), products=tuple(PRODUCTS))


def funds_from(data: object, account: AccountId) -> Funds:
    """Cash."""
    row = Row(data, "funds answer")
    return Funds(account, row.price("available", SCALE), row.price("used", SCALE), row.price("opening_balance", SCALE))


def order_from(data: object, account: AccountId) -> Order:
    """One order, or one state of it."""
    row = Row(data, "order")
    quantity, filled = row.whole("quantity"), row.whole("filled")
    status = word(row, "status", STATUSES)
    return Order(
        account=account,
        broker_order_id=BrokerOrderId(row.text("id")),
        instrument=_instrument(row),
        side=word(row, "side", SIDES),
        product=word(row, "product", PRODUCTS),
        kind=word(row, "type", KINDS),
        status=OrderStatus.PARTIALLY_FILLED if status is OrderStatus.OPEN and filled else status,
        quantity=quantity,
        filled_quantity=filled,
        pending_quantity=quantity - filled if status is OrderStatus.OPEN else 0,
        average_price=row.maybe_price("average", SCALE),
        price=row.maybe_price("price", SCALE),
        placed_at=row.time("at"),
    )


def fill_from(data: object, account: AccountId) -> Fill:
    """One execution. Ledgerline's history has all that its day has."""
    row = Row(data, "fill")
    instrument, order = _instrument(row), BrokerOrderId(row.text("order"))
    side = word(row, "side", SIDES)
    exchange = row.one_of("exchange", Exchange)
    segment = Segment.FUTURES if exchange in _DERIVATIVES else Segment.EQUITY
    at = row.time("at")
    identity = FillId("ledgerline", account, exchange, segment, row.text("date"), order, row.text("id"), side)
    quantity, price = row.whole("quantity"), row.price("price", SCALE)
    if quantity <= 0 or price <= 0:
        raise row.bad("quantity", f"{quantity} at {price}")
    kind = InstrumentKind.FUTURE if segment is Segment.FUTURES else InstrumentKind.SHARE
    product = word(row, "product", PRODUCTS)
    return Fill(identity, account, instrument, segment, kind, product, side, quantity, price, at, order, SCALE)


def reported_fill_from(data: object, account: AccountId) -> tuple[Fill, str]:
    """The same with the broker's own words."""
    return fill_from(data, account), encode_json(data).decode()


def past_fill_from(data: object, account: AccountId) -> PastFill:
    """The same, of an earlier day."""
    return PastFill(*reported_fill_from(data, account))


def position_from(data: object, account: AccountId) -> Position:
    """One open position."""
    row = Row(data, "position")
    last = row.price("last", SCALE)
    return Position(
        PositionKey(account, _instrument(row), word(row, "product", PRODUCTS)),
        row.whole("quantity"),
        row.number("average"),
        last,
        row.price("close", SCALE),
        row.whole("bought"),
        row.number("bought_for"),
        row.whole("sold"),
        row.number("sold_for"),
    )


def holding_from(data: object, account: AccountId) -> Holding:
    """Shares in demat."""
    row = Row(data, "holding")
    quantity, coming = row.whole("quantity"), row.whole("coming")
    last: Price = row.price("last", SCALE)
    close: Price = row.price("close", SCALE)
    return Holding(account, _instrument(row), row.text("isin"), quantity, coming, row.number("average"), last, close)


def instrument_from(data: object) -> Instrument:
    """One line of the list."""
    row = Row(data, "instrument")
    exchange = row.one_of("exchange", Exchange)
    derivative = exchange in _DERIVATIVES
    return Instrument(
        id=_instrument(row),
        token=row.whole("number"),
        exchange=exchange,
        segment=Segment.FUTURES if derivative else Segment.EQUITY,
        kind=InstrumentKind.FUTURE if derivative else InstrumentKind.SHARE,
        name=row.text("name"),
        tick_size=row.price("tick", SCALE),
        lot_size=row.whole("lot"),
    )


def _instrument(row: Row) -> InstrumentId:
    return instrument_id(row.one_of("exchange", Exchange), row.text("symbol"))


def error_from(status: int, document: Any, retry_after: str) -> BrokerError | None:
    """What an error answer means; None when it is no error of Ledgerline's."""
    if not isinstance(document, dict) or not isinstance(document.get("error"), dict):
        return Unreachable("Ledgerline could not answer.", detail=f"HTTP {status}") if status >= 500 else None
    row = Row(document["error"], "error")
    code, message = row.text("code"), row.text("message")
    if status == 429:
        return RateLimited(
            "Ledgerline takes no more requests for a moment.", detail=message, retry_after=_seconds(retry_after)
        )
    if code in ("no_session", "session_over"):
        return SessionExpired("Ledgerline ended the session.", detail=message)
    if code in ("plan", "address"):
        return NotPermitted(
            "Ledgerline does not allow this key to do that.", "See Settings, API at ledgerline.example.", detail=message
        )
    if status >= 500:
        return Unreachable("Ledgerline could not answer.", detail=message)
    return Rejected("Ledgerline refused.", detail=message, kind=code)


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return RETRY_AFTER


def rows_of(document: Any, what: str) -> list[Any]:
    """The list of an answer. Raises BadAnswer: an answer without one is not an empty list."""
    found = document.get(what) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise BadAnswer(f"Ledgerline's answer has no list of {what}.", detail=type(document).__name__)
    return found
