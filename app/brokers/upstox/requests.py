"""What we ask of Upstox, as the bodies of its calls. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from app.brokers.rows import PRICE_SCALE
from app.brokers.upstox.keys import Directory
from app.domain.errors import Denied
from app.domain.gtt import GttKind, GttLeg, GttRequest, GttRole
from app.domain.ids import BrokerOrderId, InstrumentId, split_instrument_id
from app.domain.instrument import Exchange, Product
from app.domain.money import Price, from_minor
from app.domain.order import Order, OrderKind, OrderRequest, Validity, Variety
from app.domain.portfolio import Conversion

PROTECTION_LIMIT = 25
"""Percent; more is refused (UDAPI1159)."""

_PRODUCTS = {Product.CNC: "D", Product.NRML: "D", Product.MIS: "I", Product.MTF: "MTF"}

_GTT_PRODUCTS = (Product.CNC, Product.NRML, Product.MIS, Product.MTF)
_EXITS = (GttRole.TARGET, GttRole.STOP)
_STRATEGIES = {
    GttRole.TRIGGER: "ENTRY",
    GttRole.ENTRY: "ENTRY",
    GttRole.TARGET: "TARGET",
    GttRole.STOP: "STOPLOSS",
}

_PRICED = (OrderKind.LIMIT, OrderKind.SL)
_TRIGGERED = (OrderKind.SL, OrderKind.SL_M)
_AT_MARKET = (OrderKind.MARKET, OrderKind.SL_M)


def rupees(price: Price | None, instrument_exchange: str) -> Decimal:
    """Minor units as a JSON number in rupees; 0 for none."""
    return from_minor(price or 0, PRICE_SCALE[Exchange(instrument_exchange)])


def deny_impossible(request: OrderRequest) -> None:
    """What Upstox has no words for. Raises Denied, before anything is sent."""
    if request.variety not in (Variety.REGULAR, Variety.AMO):
        what = "cover" if request.variety is Variety.CO else request.variety.value
        raise Denied(f"Upstox takes no {what} orders.", "Use a regular order.")
    if request.validity not in (Validity.DAY, Validity.IOC):
        raise Denied(f"Upstox takes no orders with validity {request.validity.value}.", "Use DAY or IOC.")
    if request.market_protection > PROTECTION_LIMIT:
        raise Denied(
            f"Upstox takes market protection up to {PROTECTION_LIMIT} percent, not {request.market_protection}.",
            "Use less, or -1 for the broker's own band.",
        )


def order_body(request: OrderRequest, directory: Directory, *, slices: bool = False) -> dict[str, Any]:
    """The body of a placement (v3). A LIMIT without a price gets 0, for the caller to replace.

    Everything that the schema requires is there; market protection goes with every order at market, because what its
    absence means has changed once. The price stands last: the exit line patches it in.
    """
    deny_impossible(request)
    exchange = split_instrument_id(request.instrument)[0]
    body: dict[str, Any] = {
        "quantity": request.quantity,
        "product": _PRODUCTS[request.product],
        "validity": request.validity.value,
        "instrument_token": directory.instrument(request.instrument).key,
        "order_type": request.kind.value,
        "transaction_type": request.side.value,
        "disclosed_quantity": request.disclosed_quantity,
        "trigger_price": rupees(request.trigger_price if request.kind in _TRIGGERED else None, exchange),
        "is_amo": request.variety is Variety.AMO,
        "slice": slices,
    }
    if request.kind in _AT_MARKET:
        body["market_protection"] = request.market_protection
    if request.tag is not None:
        body["tag"] = request.tag
    body["price"] = rupees(request.price if request.kind in _PRICED else None, exchange)
    return body


def order_body_v2(request: OrderRequest, directory: Directory) -> dict[str, Any]:
    """The same for the older call, which knows no slices and no market protection."""
    body = order_body(request, directory)
    del body["slice"]
    body.pop("market_protection", None)
    return body


def basket_body(requests: Sequence[OrderRequest], directory: Directory) -> list[dict[str, Any]]:
    """Several orders in one request, numbered from 1 so that the answers can be told apart."""
    return [{**order_body(one, directory), "correlation_id": str(n)} for n, one in enumerate(requests, 1)]


def modify_body(known: Order, quantity: int | None, price: Price | None, trigger_price: Price | None) -> dict[str, Any]:
    """A change. Price and trigger are wanted whether they change or not; quantity is the order's total."""
    exchange = split_instrument_id(known.instrument)[0]
    new_price = known.price if price is None else price
    new_trigger = known.trigger_price if trigger_price is None else trigger_price
    body: dict[str, Any] = {
        "order_id": known.broker_order_id,
        "validity": known.validity.value,
        "order_type": known.kind.value,
        "price": rupees(new_price if known.kind in _PRICED else None, exchange),
        "trigger_price": rupees(new_trigger if known.kind in _TRIGGERED else None, exchange),
    }
    if quantity is not None:
        body["quantity"] = quantity
    if known.kind in _AT_MARKET:
        body["market_protection"] = -1
    return body


def marketable_body(
    order: BrokerOrderId, quantity: int, price: Price | None, instrument: InstrumentId
) -> dict[str, Any]:
    """A resting stop order becomes a LIMIT without a trigger. The price stands last: the exit line patches it in."""
    exchange = split_instrument_id(instrument)[0]
    return {
        "order_id": order,
        "validity": Validity.DAY.value,
        "order_type": OrderKind.LIMIT.value,
        "quantity": quantity,
        "trigger_price": rupees(None, exchange),
        "price": rupees(price, exchange),
    }


def margin_body(orders: Sequence[tuple[OrderRequest, Price]], directory: Directory) -> dict[str, Any]:
    """Orders for the margin calculator."""
    items = []
    for request, at_price in orders:
        exchange = split_instrument_id(request.instrument)[0]
        items.append(
            {
                "instrument_key": directory.instrument(request.instrument).key,
                "quantity": request.quantity,
                "product": _PRODUCTS[request.product],
                "transaction_type": request.side.value,
                "price": rupees(request.price or at_price, exchange),
            }
        )
    return {"instruments": items}


def brokerage_query(request: OrderRequest, at_price: Price, directory: Directory) -> list[tuple[str, str]]:
    """The question for an order's charges."""
    exchange = split_instrument_id(request.instrument)[0]
    return [
        ("instrument_token", directory.instrument(request.instrument).key),
        ("quantity", str(request.quantity)),
        ("product", _PRODUCTS[request.product]),
        ("transaction_type", request.side.value),
        ("price", f"{rupees(at_price, exchange):f}"),
    ]


def convert_body(conversion: Conversion, directory: Directory) -> dict[str, Any]:
    """A position's change of product."""
    return {
        "instrument_token": directory.instrument(conversion.position.instrument).key,
        "old_product": _PRODUCTS[conversion.position.product],
        "new_product": _PRODUCTS[conversion.to],
        "transaction_type": conversion.side.value,
        "quantity": conversion.quantity,
    }


def gtt_body(request: GttRequest, directory: Directory) -> dict[str, Any]:
    """A GTT: one trigger, or an entry with a target, a stop or both behind it. Upstox has no stop-and-target pair
    without an entry in front of it, and its triggers send an order at market with protection. Raises Denied for
    everything else."""
    if request.kind is GttKind.TWO_LEG:
        raise Denied(
            "Upstox keeps no pair of stop and target for a position that is open already.",
            "Place the stop alone.",
        )
    if any(leg.kind is not OrderKind.MARKET for leg in request.legs):
        raise Denied("A trigger at Upstox sends an order at market, with protection.", "Choose MARKET for its order.")
    entry = request.legs[0]
    if entry.product not in _GTT_PRODUCTS:
        raise Denied(f"Upstox takes no triggers with product {entry.product}.", "Choose another product.")
    return {
        "type": "MULTIPLE" if request.kind is GttKind.BRACKET else "SINGLE",
        "quantity": entry.quantity,
        "product": _PRODUCTS[entry.product],
        "instrument_token": directory.instrument(request.instrument).key,
        "transaction_type": entry.side.value,
        "rules": [_rule(leg, request) for leg in request.legs],
    }


def _rule(leg: GttLeg, request: GttRequest) -> dict[str, Any]:
    """One leg. What follows an entry is IMMEDIATE by its strategy: its price alone says when it fires."""
    exchange = split_instrument_id(request.instrument)[0]
    when = "ABOVE" if leg.trigger > request.last_price else "BELOW"
    rule: dict[str, Any] = {
        "strategy": _STRATEGIES[leg.role],
        "trigger_type": "IMMEDIATE" if leg.at_once or leg.role in _EXITS else when,
        "trigger_price": rupees(leg.trigger, exchange),
        "market_protection": -1,
    }
    if leg.gap:
        rule["trailing_gap"] = rupees(leg.gap, exchange)
    return rule
