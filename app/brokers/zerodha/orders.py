"""Kite's orders to our types, and our requests as its forms (Kite Connect v3, orders). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from app.brokers.rows import PRICE_SCALE, Row
from app.domain.errors import OutcomeUnknown, Rejected, printable
from app.domain.ids import AccountId, BrokerOrderId, Tag, instrument_id, split_instrument_id
from app.domain.instrument import Exchange, Product
from app.domain.money import from_minor
from app.domain.order import (
    IcebergLeg,
    Order,
    OrderKind,
    OrderRequest,
    OrderStatus,
    Placement,
    Side,
    SliceOutcome,
    Validity,
    Variety,
)

_STATUS: Mapping[str, OrderStatus] = {
    "PUT ORDER REQ RECEIVED": OrderStatus.SUBMITTED,
    "VALIDATION PENDING": OrderStatus.SUBMITTED,
    "OPEN PENDING": OrderStatus.SUBMITTED,
    "AMO REQ RECEIVED": OrderStatus.SUBMITTED,
    "TRIGGER PENDING": OrderStatus.TRIGGER_PENDING,
    "CANCEL PENDING": OrderStatus.CANCEL_PENDING,
    "COMPLETE": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}
"""Statuses with one meaning. Everything else (OPEN, MODIFIED, UPDATE, what Kite may add) is alive: see `_status`."""


def order_from_row(data: object, account: AccountId) -> Order:
    """A row of the order book or of an order's history."""
    row = Row(data, "order")
    exchange = row.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    kind = row.one_of("order_type", OrderKind)
    filled = row.whole("filled_quantity")
    status = _status(row.text("status"), kind, filled)
    tag, parent = row.maybe_text("tag"), row.maybe_text("parent_order_id")
    return Order(
        account=account,
        broker_order_id=BrokerOrderId(row.text("order_id")),
        instrument=instrument_id(exchange, row.text("tradingsymbol")),
        side=row.one_of("transaction_type", Side),
        product=row.one_of("product", Product),
        kind=kind,
        status=status,
        quantity=row.whole("quantity"),
        filled_quantity=filled,
        # A cancelled row may still show a pending quantity (mocks orders.json): the status decides.
        pending_quantity=0 if status.is_final else row.whole("pending_quantity"),
        average_price=row.maybe_price("average_price", scale),
        price=row.maybe_price("price", scale),
        trigger_price=row.maybe_price("trigger_price", scale),
        tag=Tag(tag) if tag else None,
        exchange_order_id=row.maybe_text("exchange_order_id"),
        placed_at=row.maybe_time("order_timestamp"),
        updated_at=row.maybe_time("exchange_update_timestamp") or row.maybe_time("exchange_timestamp"),
        status_text=row.maybe_text("status_message"),
        validity=row.one_of("validity", Validity),
        variety=row.text("variety"),
        parent=BrokerOrderId(parent) if parent else None,
        tags=_tags(row),
        disclosed_quantity=_count(row, "disclosed_quantity"),
        cancelled_quantity=_count(row, "cancelled_quantity"),
        valid_minutes=_count(row, "validity_ttl"),
        auction_number=row.maybe_text("auction_number") or "",
        iceberg=_iceberg(row),
    )


def _count(row: Row, key: str) -> int:
    """A number that rows of an order's history leave out."""
    return 0 if row.data.get(key) is None else row.whole(key)


def _tags(row: Row) -> tuple[str, ...]:
    """`tags` may be absent, null or a list; the broker's own (`mktp`, `autoslice:<parent>`) are among them."""
    tags = row.data.get("tags")
    if tags is None:
        return ()
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise row.bad("tags")
    return tuple(tags)


def _iceberg(row: Row) -> IcebergLeg | None:
    """`meta.iceberg`; other orders have an empty `meta`, null or none."""
    meta = row.data.get("meta")
    if not meta or not isinstance(meta, Mapping) or "iceberg" not in meta:
        return None
    leg = row.part("meta").part("iceberg")
    return IcebergLeg(
        leg=leg.whole("leg"),
        legs=leg.whole("legs"),
        leg_quantity=leg.whole("leg_quantity"),
        total_quantity=leg.whole("total_quantity"),
        remaining_quantity=leg.whole("remaining_quantity"),
    )


def order_from_update(data: object, account: AccountId) -> Order:
    """An order event of the ticker or a postback: an order row, whose status may also be UPDATE."""
    return order_from_row(data, account)


def _status(text: str, kind: OrderKind, filled: int) -> OrderStatus:
    """Kite's list is open-ended: what is not known to be final is alive, with fills as far as they go."""
    known = _STATUS.get(text)
    if known is not None:
        return known
    if filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    if text == "UPDATE" and kind in (OrderKind.SL, OrderKind.SL_M):
        return OrderStatus.TRIGGER_PENDING  # modified while it waits; a triggered one reports OPEN or a fill
    return OrderStatus.OPEN


def rupees(price: int, scale: int) -> str:
    """Minor units as Kite wants a price: plain decimal text."""
    return f"{from_minor(price, scale):f}"


def order_form(request: OrderRequest) -> dict[str, str]:
    """The form fields of a placement. A LIMIT without a price leaves the field out, for the caller to add."""
    exchange, symbol = split_instrument_id(request.instrument)
    scale = PRICE_SCALE[Exchange(exchange)]
    form = {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": request.side.value,
        "quantity": str(request.quantity),
        "product": request.product.value,
        "order_type": request.kind.value,
        "validity": request.validity.value,
    }
    if request.kind in (OrderKind.LIMIT, OrderKind.SL) and request.price is not None:
        form["price"] = rupees(request.price, scale)
    waits = request.kind in (OrderKind.SL, OrderKind.SL_M) or request.variety is Variety.CO
    if waits and request.trigger_price is not None:
        form["trigger_price"] = rupees(request.trigger_price, scale)
    if request.kind in (OrderKind.MARKET, OrderKind.SL_M):
        # Without it the broker refuses since 2026-04-01; ignored on LIMIT and SL.
        form["market_protection"] = str(request.market_protection)
    if request.tag is not None:
        form["tag"] = request.tag
    return form | _special(request)


def _special(request: OrderRequest) -> dict[str, str]:
    """The fields that only some varieties have; unset ones are left out, as Kite's own clients do."""
    form: dict[str, str] = {}
    if request.disclosed_quantity:
        form["disclosed_quantity"] = str(request.disclosed_quantity)
    if request.validity is Validity.TTL:
        form["validity_ttl"] = str(request.valid_minutes)
    if request.variety is Variety.ICEBERG:
        form["iceberg_legs"] = str(request.iceberg_legs)
        form["iceberg_quantity"] = str(request.quantity // max(request.iceberg_legs, 1))
    if request.variety is Variety.AUCTION:
        form["auction_number"] = request.auction_number
    if request.autoslice:
        form["autoslice"] = "true"
    return form


def placement_from(data: object) -> Placement:
    """What a placement was answered with: one order, or slices in either of the two shapes that Kite documents.

    Newer: `{"order_id": parent, "children": [...]}`. Older: the list alone. Children that went through and children
    that did not mix in one answer. Raises Rejected when no slice did, OutcomeUnknown when it cannot be read.
    """
    if isinstance(data, Mapping):
        parent, children = data.get("order_id"), data.get("children")
        if not isinstance(parent, str) or not parent:
            raise _unnumbered(data)
        if children is None:
            return Placement(BrokerOrderId(parent))
        return _sliced(BrokerOrderId(parent), children)
    return _sliced(None, data)


def _sliced(parent: BrokerOrderId | None, children: object) -> Placement:
    if not isinstance(children, list) or not children:
        raise _unnumbered(children)
    slices = tuple(_slice(child) for child in children)
    placed = [one.order for one in slices if one.order is not None]
    if not placed:
        raise Rejected("The broker refused every slice of the order.", detail=slices[0].refusal, kind="slices")
    return Placement(parent or placed[0], slices)


def _slice(child: object) -> SliceOutcome:
    if isinstance(child, Mapping):
        number, error = child.get("order_id"), child.get("error")
        if isinstance(number, str) and number:
            return SliceOutcome(BrokerOrderId(number), "")
        if isinstance(error, Mapping):
            return SliceOutcome(None, printable(str(error.get("message") or error.get("error_type") or "refused")))
    raise _unnumbered(child)


def _unnumbered(data: object) -> OutcomeUnknown:
    return OutcomeUnknown("The broker took the order and did not say its number.", detail=str(data)[:80])
