"""The form fields of an order, decoded as Kite decodes them: words name the field and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from app.simulator.bodies import decimal_number, whole_number
from app.simulator.form import ModifyForm, OrderForm
from app.simulator.refusal import Refused, bad_input

SIDES = ("BUY", "SELL")
PRODUCTS = ("CNC", "NRML", "MIS", "MTF")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", "SL-M")
VALIDITIES = ("DAY", "IOC", "TTL")
MAX_TAG = 20


def undecodable(field: str, got: str, expected: str) -> Refused:
    """The shape of every decoding error (A3)."""
    return bad_input(f"Invalid request (failed to decode {field}, got: {got} (expected {expected}))")


def whole(form: Mapping[str, str], field: str) -> int | None:
    """An integer field, None when absent or empty."""
    text = form.get(field, "")
    if text == "":
        return None
    try:
        return whole_number(text)
    except ValueError:
        raise undecodable(field, text, "integer") from None


def decimal(form: Mapping[str, str], field: str) -> Decimal | None:
    """A decimal field, None when absent or empty."""
    text = form.get(field, "")
    if text == "":
        return None
    try:
        return decimal_number(text)
    except ValueError:
        raise undecodable(field, text, "decimal") from None


def price(form: Mapping[str, str], field: str, scale: int) -> int | None:
    """A price in the listing's unit, of which `scale` are a rupee. Finer ones cannot lie on any tick."""
    value = decimal(form, field)
    if value is None:
        return None
    scaled = value * scale
    if scaled != scaled.to_integral_value():
        raise bad_input(f"Invalid `{field}`: {value} is not a multiple of the tick size.")
    return int(scaled)


def choice(form: Mapping[str, str], field: str, choices: tuple[str, ...], default: str | None = None) -> str:
    """One of a fixed set of words."""
    text = form.get(field, "") or default
    if text not in choices:
        raise bad_input(f"Invalid `{field}`.")
    return text


def order_form(form: Mapping[str, str], variety: str = "regular", scale: int = 100) -> OrderForm:
    """Decodes a placement; checks only what needs no instrument. `scale`: units of its prices in a rupee."""
    exchange, tradingsymbol = form.get("exchange", ""), form.get("tradingsymbol", "")
    if not exchange:
        raise bad_input("Invalid `exchange`.")
    if not tradingsymbol:
        raise bad_input("Invalid `tradingsymbol`.")
    quantity = whole(form, "quantity")
    if quantity is None:
        raise bad_input("Invalid `quantity`.")
    if len(form.get("tag", "")) > MAX_TAG:
        raise bad_input(f"Invalid `tag`: at most {MAX_TAG} characters are allowed.")
    autoslice = form.get("autoslice", "false").lower()
    if autoslice not in ("true", "false"):
        raise undecodable("autoslice", form["autoslice"], "boolean")
    return OrderForm(
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        side=choice(form, "transaction_type", SIDES),
        quantity=quantity,
        product=choice(form, "product", (*PRODUCTS, "CO") if variety == "co" else PRODUCTS),
        order_type=choice(form, "order_type", ORDER_TYPES),
        price=price(form, "price", scale) or 0,
        trigger_price=price(form, "trigger_price", scale) or 0,
        validity=choice(form, "validity", VALIDITIES, "DAY"),
        disclosed_quantity=whole(form, "disclosed_quantity") or 0,
        market_protection=decimal(form, "market_protection"),
        tag=form.get("tag") or None,
        autoslice=autoslice == "true",
        variety=variety,
        validity_ttl=whole(form, "validity_ttl") or 0,
        iceberg_legs=whole(form, "iceberg_legs") or 0,
        iceberg_quantity=whole(form, "iceberg_quantity") or 0,
        auction_number=form.get("auction_number", ""),
    )


def modify_form(form: Mapping[str, str], scale: int = 100) -> ModifyForm:
    """Decodes a modification. `scale`: units of its prices in a rupee."""
    return ModifyForm(
        quantity=whole(form, "quantity"),
        price=price(form, "price", scale),
        trigger_price=price(form, "trigger_price", scale),
        order_type=choice(form, "order_type", ORDER_TYPES) if form.get("order_type") else None,
        validity=choice(form, "validity", VALIDITIES) if form.get("validity") else None,
        disclosed_quantity=whole(form, "disclosed_quantity"),
        market_protection=decimal(form, "market_protection"),
    )
