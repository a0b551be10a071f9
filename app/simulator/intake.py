"""From a decoded form to an order, and from a modification to what it changes: decisions of the order system.

Nothing here writes or announces.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from app.simulator import matching, refusals, varieties
from app.simulator import order as status
from app.simulator.figures import stamp
from app.simulator.form import ModifyForm, OrderForm
from app.simulator.listing import Listing
from app.simulator.order import Order
from app.simulator.quote import Quote
from app.simulator.refusal import Refused, bad_input
from app.simulator.switches import Switches

MAX_MODIFICATIONS = 25
_SNOWFLAKE_EPOCH_MS = 1_288_834_974_657
"""Order ids since 2025 are 19 digits: milliseconds since 2010-11-04, shifted by 22 bits (the samples decode so)."""
_LEAST_ID = 10**18
_IN_TRANSIT = frozenset({status.PUT_RECEIVED, status.VALIDATION_PENDING, status.OPEN_PENDING})

Change = dict[str, int | str | float]
"""Attribute of an order -> its new value."""


def next_order_id(now: datetime, last: int) -> int:
    """19 digits, always above the last one."""
    return max(_LEAST_ID, (int(now.timestamp() * 1000) - _SNOWFLAKE_EPOCH_MS) << 22, last + 1)


def new_order(form: OrderForm, listing: Listing, order_id: int, user_id: str, now: datetime, received_ns: int) -> Order:
    """The order that a checked form asks for, just received."""
    return Order(
        order_id=str(order_id),
        token=listing.token,
        exchange=listing.exchange,
        tradingsymbol=listing.tradingsymbol,
        side=form.side,
        quantity=form.quantity,
        product=form.product,
        order_type=form.order_type,
        price=form.price if form.order_type in ("LIMIT", "SL") else 0,
        trigger_price=form.trigger_price if form.order_type in ("SL", "SL-M") or form.variety == "co" else 0,
        validity=form.validity,
        disclosed_quantity=form.disclosed_quantity,
        tag=form.tag,
        market_protection=float(form.market_protection or 0),
        placed_by=user_id,
        order_timestamp=stamp(now),
        received_ns=received_ns,
        variety=form.variety,
        validity_ttl=form.validity_ttl,
        expires_at=now.timestamp() + form.validity_ttl * 60 if form.validity == "TTL" else 0.0,
        auction_number=form.auction_number,
    )


def set_limit(order: Order, quote: Quote) -> None:
    """What the order may trade at from now on. A MARKET order and a woken SL-M become a limit around the last price."""
    if order.order_type == "MARKET" or (order.order_type == "SL-M" and order.triggered):
        _protect(order, quote)
    elif order.order_type == "SL-M":
        order.limit = 0
    else:
        order.limit = order.price


def _protect(order: Order, quote: Quote) -> None:
    listing = quote.listing
    percent = Decimal(str(order.market_protection))
    if percent <= 0:
        paise = quote.last_price * refusals.PAISE // listing.price_scale
        percent = matching.band_percent(option=refusals.is_option(listing), last_price=paise)
    order.system_tags = [tag for tag in order.system_tags if not tag.startswith("mktp")]
    order.system_tags += ["mktp", f"mktp:{percent:.2f}"]
    limit = matching.protected_price(order.side, quote.last_price, percent, listing.tick_size)
    if listing.upper_circuit:
        limit = min(max(limit, listing.lower_circuit), listing.upper_circuit)
    order.limit = limit


def apply(order: Order, change: Change) -> None:
    """Takes a change over. A stop that changed its kind or trigger sleeps again."""
    for name, value in change.items():
        setattr(order, name, value)
    order.quantity = max(order.quantity, order.filled)  # it may have filled further meanwhile
    if "order_type" in change:
        order.triggered = False
    order.rests = False


def changeable(order: Order | None, order_id: str, verb: str) -> Order:
    """The order, when it can be modified or cancelled now. Raises Refused in words."""
    if order is None:
        raise Refused(400, "OrderException", f"Order {order_id} does not exist.")
    if order.final:
        raise Refused(400, "OrderException", f"Order cannot be {verb}. Order is {order.status.lower()}.")
    if order.status in _IN_TRANSIT or order.cancelling:
        raise Refused(400, "OrderException", f"Order cannot be {verb} as it is being processed. Try later.")
    return order


def change_of(order: Order, form: ModifyForm, quote: Quote, switches: Switches) -> Change:
    """What a modification changes. Raises Refused with the words of the first thing that is wrong with it."""
    if order.change is not None:
        raise Refused(400, "OrderException", "Order cannot be modified as another request is being processed.")
    if order.modifications >= MAX_MODIFICATIONS:
        raise Refused(400, "OrderException", "Maximum allowed order modifications exceeded.")
    listing = quote.listing
    if order.variety in ("co", "auction", "iceberg"):
        varieties.check_change(order, form, listing, quote.last_price)
    kind = form.order_type or order.order_type
    quantity = order.quantity
    if form.quantity is not None:
        quantity = form.quantity + (order.filled if switches.modify_quantity == "remaining" else 0)
    price = order.price if form.price is None else form.price
    trigger = order.trigger_price if form.trigger_price is None else form.trigger_price
    if kind in ("MARKET", "SL-M") and (kind != order.order_type or form.market_protection is not None):
        refusals.check_protection(form.market_protection, switches)
    refusals.check_kind(kind, listing, switches)
    refusals.check_quantity(quantity, listing)
    if quantity <= order.filled:
        raise bad_input(f"Invalid `quantity`: {order.filled} are filled already.")
    change: Change = {"quantity": quantity}
    if order.triggered and kind == order.order_type:
        # it is awake already: only its limit counts, its trigger cannot change any more
        refusals.check_prices(order.side, "LIMIT" if kind == "SL" else "MARKET", price, 0, listing, quote.last_price)
    else:
        refusals.check_prices(order.side, kind, price, trigger, listing, quote.last_price)
        change["order_type"] = kind
        change["trigger_price"] = trigger if kind in ("SL", "SL-M") or order.variety == "co" else 0
    change["price"] = price if kind in ("LIMIT", "SL") else 0
    if form.validity is not None:
        if form.validity == "TTL" and order.validity != "TTL":
            raise bad_input("Validity TTL can only be given when an order is placed.")
        change["validity"] = form.validity
    if form.disclosed_quantity is not None:
        change["disclosed_quantity"] = form.disclosed_quantity
    if form.market_protection is not None:
        change["market_protection"] = float(form.market_protection)
    return change
