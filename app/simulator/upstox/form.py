"""The JSON bodies of orders, decoded as Upstox decodes them: the code names what is wrong (B5, B7.2, B7.3). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.simulator.bodies import is_sane
from app.simulator.form import ModifyForm, OrderForm
from app.simulator.listing import Listing
from app.simulator.refusal import Refused
from app.simulator.switches import Switches
from app.simulator.upstox.envelope import INVALID_INPUT, refuse

SIDES = ("BUY", "SELL")
PRODUCTS = ("I", "D", "MTF", "CO", "OCO")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", "SL-M")
VALIDITIES = ("DAY", "IOC")
MAX_TAG = 40
MOST_PROTECTION = 25
AUTOMATIC = Decimal(-1)
_DISCLOSED_PARTS = 10
"""A disclosed quantity is at least a tenth."""

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """A decoded placement."""

    form: OrderForm
    slice: bool
    correlation_id: str = ""


def product_of(listing: Listing, product: str) -> str:
    """The core's product: D is delivery for shares, carry-forward for contracts."""
    if product == "D":
        return "NRML" if listing.underlying else "CNC"
    return {"I": "MIS"}.get(product, product)


def product_word(product: str) -> str:
    """The other way."""
    return {"MIS": "I", "CNC": "D", "NRML": "D"}.get(product, product)


def whole(body: Body, name: str, code: str, words: str) -> int | None:
    """An integer; None when absent. `2.0` counts as one."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, Decimal) and is_sane(value) and value == value.to_integral_value():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise refuse(code, words, path=name, value=_plain(value))
    return value


def price(body: Body, name: str, scale: int) -> int | None:
    """A price in the listing's unit, of which `scale` are a rupee; None when absent."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise refuse(INVALID_INPUT, f"Invalid {name}", path=name, value=_plain(value))
    if not is_sane(Decimal(value)):
        raise refuse(INVALID_INPUT, f"Invalid {name}", path=name, value=str(value))
    scaled = Decimal(value) * scale
    if scaled < 0 or scaled != scaled.to_integral_value():
        raise refuse(INVALID_INPUT, f"The {name} is not a multiple of the tick size", path=name, value=_plain(value))
    return int(scaled)


def choice(body: Body, name: str, choices: tuple[str, ...], missing: str, invalid: str) -> str:
    """One of a fixed set of words; `missing` and `invalid` are the codes of their absence."""
    value = body.get(name)
    if value is None or value == "":
        raise refuse(missing, f"The {name} is required", path=name)
    if not isinstance(value, str) or value not in choices:
        raise refuse(invalid, f"Invalid {name}", path=name, value=_plain(value))
    return value


def protection(body: Body, order_type: str, switches: Switches) -> Decimal | None:
    """-1 (automatic), 0 (none) or up to 25 percent. Ignored for LIMIT and SL. Raises 1158, 1159, 1160."""
    if order_type not in ("MARKET", "SL-M"):
        return None
    value = body.get("market_protection")
    if value is None:
        value = AUTOMATIC if switches.protection_default == "auto" else 0
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise refuse("UDAPI1160", "Invalid market_protection", path="market_protection", value=_plain(value))
    percent = Decimal(value)
    if percent > MOST_PROTECTION:
        words = f"The market_protection cannot be above {MOST_PROTECTION}"
        raise refuse("UDAPI1159", words, path="market_protection", value=_plain(value))
    if percent != AUTOMATIC and percent < 0:
        raise refuse("UDAPI1160", "Invalid market_protection", path="market_protection", value=_plain(value))
    if percent == 0 and switches.protection == "required":
        words = "Market orders without market protection are not allowed. Please place a limit order."
        raise refuse("UDAPI1158", words, path="market_protection", value=_plain(value))
    return percent


def order_form(body: Body, listing: Listing, switches: Switches) -> Asked:
    """Decodes a placement of a listed instrument. Raises Refused with its code."""
    quantity = whole(body, "quantity", "UDAPI1052", "The quantity is not a whole number")
    if not quantity or quantity < 0:
        raise refuse("UDAPI1052", "The quantity cannot be zero", path="quantity", value=quantity)
    order_type = choice(body, "order_type", ORDER_TYPES, "UDAPI1004", "UDAPI1056")
    scale = listing.price_scale
    limit, trigger = price(body, "price", scale), price(body, "trigger_price", scale) or 0
    if limit is None:
        raise refuse("UDAPI1008", "The price is required", path="price")
    check_prices(order_type, limit, trigger, scale)
    tag = text(body, "tag")
    if len(tag) > MAX_TAG:
        raise refuse("UDAPI1119", f"The tag cannot be longer than {MAX_TAG} characters", path="tag", value=tag)
    disclosed = disclosed_quantity(body, quantity)
    product = choice(body, "product", PRODUCTS, INVALID_INPUT, INVALID_INPUT)
    form = OrderForm(
        exchange=listing.exchange,
        tradingsymbol=listing.tradingsymbol,
        side=choice(body, "transaction_type", SIDES, INVALID_INPUT, INVALID_INPUT),
        quantity=quantity,
        product=product_of(listing, product),
        order_type=order_type,
        price=limit,
        trigger_price=trigger,
        validity=choice(body, "validity", VALIDITIES, "UDAPI1007", "UDAPI1055"),
        disclosed_quantity=disclosed or 0,
        market_protection=protection(body, order_type, switches),
        tag=tag or None,
        autoslice=False,
    )
    return Asked(form, slice=flag(body, "slice"), correlation_id=text(body, "correlation_id"))


def disclosed_quantity(body: Body, quantity: int) -> int | None:
    """None when absent, 0, or at least a tenth of the order."""
    disclosed = whole(body, "disclosed_quantity", INVALID_INPUT, "Invalid disclosed_quantity")
    if disclosed and disclosed * _DISCLOSED_PARTS < quantity:
        words = "The disclosed quantity cannot be less than 10 % of the quantity"
        raise refuse("UDAPI1039", words, path="disclosed_quantity", value=disclosed)
    return disclosed


def modify_form(body: Body, switches: Switches, scale: int) -> ModifyForm:
    """Decodes a modification: validity, price, order type and trigger are sent always, the rest when it changes."""
    order_type = choice(body, "order_type", ORDER_TYPES, "UDAPI1004", "UDAPI1056")
    limit, trigger = price(body, "price", scale), price(body, "trigger_price", scale)
    if limit is None:
        raise refuse("UDAPI1008", "The price is required", path="price")
    if trigger is None:
        raise refuse("UDAPI1036", "The trigger price is required", path="trigger_price")
    check_prices(order_type, limit, trigger, scale)
    quantity = whole(body, "quantity", "UDAPI1052", "The quantity is not a whole number")
    if quantity is not None and quantity <= 0:
        raise refuse("UDAPI1052", "The quantity cannot be zero", path="quantity", value=quantity)
    return ModifyForm(
        quantity=quantity,
        price=limit,
        trigger_price=trigger,
        order_type=order_type,
        validity=choice(body, "validity", VALIDITIES, "UDAPI1007", "UDAPI1055"),
        disclosed_quantity=disclosed_quantity(body, quantity or 0),
        market_protection=protection(body, order_type, switches),
    )


def check_prices(order_type: str, limit: int, trigger: int, scale: int) -> None:
    """Which prices an order type takes."""
    if order_type == "LIMIT" and limit == 0:
        raise refuse("UDAPI1029", "The price is required for a LIMIT order", path="price", value=0)
    if order_type == "SL" and (limit == 0 or trigger == 0):
        raise refuse("UDAPI1031", "The price and the trigger price are required for an SL order", path="price")
    if order_type == "SL-M" and trigger == 0:
        raise refuse("UDAPI1036", "The trigger price is required for an SL-M order", path="trigger_price")
    if order_type == "SL-M" and limit:
        raise refuse("UDAPI1032", "Only the trigger price is allowed for an SL-M order", path="price")
    if order_type == "MARKET" and limit:
        raise refuse("UDAPI1030", "The price is not allowed for a MARKET order", path="price", value=limit / scale)


def text(body: Body, name: str) -> str:
    """A text, empty when absent."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refuse(INVALID_INPUT, f"Invalid {name}", path=name, value=_plain(value))
    return value


def flag(body: Body, name: str) -> bool:
    """True or false, false when absent."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise refuse(INVALID_INPUT, f"Invalid {name}", path=name, value=_plain(value))
    return value


def unknown_key(key: object, path: str = "instrument_token") -> Refused:
    """A key that is not listed."""
    return refuse("UDAPI100011", "Invalid Instrument key", path=path, value=_plain(key))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value) if is_sane(value) else str(value)
    return value
