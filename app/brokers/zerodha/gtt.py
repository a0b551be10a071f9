"""Kite's resting triggers (GTT) to our types and back (Kite Connect v3, GTT). Pure."""

from __future__ import annotations

from typing import Any

from app.brokers.documents import encode_json
from app.brokers.rows import PRICE_SCALE, Row, to_decimal, to_price
from app.domain.errors import BadAnswer, Denied
from app.domain.gtt import Gtt, GttKind, GttLeg, GttRequest, GttResult, GttStatus
from app.domain.ids import AccountId, BrokerOrderId, GttId, instrument_id, split_instrument_id
from app.domain.instrument import Exchange, Product
from app.domain.money import from_minor
from app.domain.order import OrderKind, Side

LEGS = {GttKind.SINGLE: 1, GttKind.TWO_LEG: 2}


def gtt_from_row(data: object, account: AccountId) -> Gtt:
    """A trigger as `/gtt/triggers` lists it. Trigger n belongs to order n."""
    row = Row(data, "GTT")
    kind = row.one_of("type", GttKind)
    condition = row.part("condition")
    exchange = condition.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    orders = row.data.get("orders")
    triggers = condition.data.get("trigger_values")
    if not isinstance(orders, list) or not isinstance(triggers, list):
        raise row.bad("orders", "no list of orders or triggers")
    if len(orders) != LEGS[kind] or len(triggers) != LEGS[kind]:
        raise row.bad("orders", f"{len(orders)} orders and {len(triggers)} triggers of a {kind} trigger")
    rows = [Row(order, "GTT order") for order in orders]
    return Gtt(
        account=account,
        id=GttId(str(row.whole("id"))),
        instrument=instrument_id(exchange, condition.text("tradingsymbol")),
        kind=kind,
        status=row.one_of("status", GttStatus),
        last_price=condition.price("last_price", scale),
        legs=tuple(_leg(order, _trigger(value, scale), scale) for order, value in zip(rows, triggers, strict=True)),
        results=tuple(_result(order, scale) for order in rows),
        created_at=row.time("created_at"),
        updated_at=row.time("updated_at"),
        expires_at=row.maybe_time("expires_at"),
        refusal=_refusal(row),
        price_scale=scale,
    )


def trigger_id_from(data: object) -> GttId:
    """The number in the answer to a placement, change or deletion."""
    return GttId(str(Row(data, "GTT answer").whole("trigger_id")))


def check_gtt(request: GttRequest) -> None:
    """Raises Denied for what Kite does not take, before anything is sent (Kite Connect, GTT, and its support pages)."""
    if request.kind is GttKind.BRACKET:
        raise Denied("Zerodha keeps no exits that wait for an entry.", "Place the entry; then a stop and target.")
    if len(request.legs) not in LEGS.values():
        raise Denied("A trigger has one leg, or two.", "Give one trigger, or a stop and a target.")
    if any(leg.kind is not OrderKind.LIMIT for leg in request.legs):
        raise Denied("The broker sends limit orders only when a trigger fires.", "Give a limit price.")
    if any(leg.product is Product.MIS for leg in request.legs):
        raise Denied("A trigger outlives the day, an intraday position does not.", "Choose CNC or NRML.")
    if request.kind is GttKind.SINGLE:
        return
    lower, upper = request.legs
    if not lower.trigger < request.last_price < upper.trigger:
        raise Denied("Stop and target must lie on both sides of the last price.", "Move one of them across it.")
    shares = split_instrument_id(request.instrument)[0] in (Exchange.NSE, Exchange.BSE)
    if shares and any(leg.side is Side.BUY for leg in request.legs):
        raise Denied("The broker takes no stop-and-target that buys shares.", "Place one trigger that buys.")


def gtt_form(request: GttRequest) -> dict[str, str]:
    """The form of a placement or of a change, which sends everything again. `condition` and `orders` are JSON."""
    exchange, symbol = split_instrument_id(request.instrument)
    scale = PRICE_SCALE[Exchange(exchange)]
    condition = {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "trigger_values": [from_minor(leg.trigger, scale) for leg in request.legs],
        "last_price": from_minor(request.last_price, scale),
    }
    orders: list[dict[str, Any]] = [
        {
            "exchange": exchange,
            "tradingsymbol": symbol,
            "transaction_type": leg.side.value,
            "quantity": leg.quantity,
            "order_type": leg.kind.value,
            "product": leg.product.value,
            "price": from_minor(leg.price, scale),
        }
        for leg in request.legs
    ]
    return {
        "type": request.kind.value,
        "condition": encode_json(condition).decode(),
        "orders": encode_json(orders).decode(),
    }


def _trigger(value: object, scale: int) -> int:
    try:
        return to_price(to_decimal(value), scale)
    except ValueError as odd:
        raise BadAnswer("The broker sent a GTT that cannot be read.", detail=f"trigger_values: {value!r}") from odd


def _leg(order: Row, trigger: int, scale: int) -> GttLeg:
    return GttLeg(
        trigger=trigger,
        side=order.one_of("transaction_type", Side),
        quantity=order.whole("quantity"),
        product=order.one_of("product", Product),
        price=order.price("price", scale),
        kind=order.one_of("order_type", OrderKind),
    )


def _result(order: Row, scale: int) -> GttResult | None:
    """`status` may be `triggered` while the order behind it failed: only `order_result` says."""
    if order.data.get("result") is None:
        return None
    result = order.part("result")
    told = result.part("order_result")
    number = told.maybe_text("order_id")
    return GttResult(
        outcome=told.text("status"),
        order=BrokerOrderId(number) if number else None,
        triggered_at=result.maybe_price("triggered_at", scale),
        at=result.maybe_time("timestamp"),
        refusal=told.maybe_text("rejection_reason") or "",
    )


def _refusal(row: Row) -> str:
    """`meta` is an object, empty or null; a refused trigger has its reason in it."""
    meta = row.data.get("meta")
    if meta is None:
        return ""
    return row.part("meta").maybe_text("rejection_reason") or ""
