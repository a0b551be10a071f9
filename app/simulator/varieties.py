"""Orders that are more than one plain order (A7.2): what each variety asks for, and what it is split into. Pure.

AMO waits for the market to open. An iceberg shows one leg at a time. A cover order brings its own stop. An auction
order bids for shares that somebody failed to deliver.
"""

from __future__ import annotations

from datetime import datetime

from app.simulator import hours, refusals
from app.simulator.form import ModifyForm, OrderForm
from app.simulator.listing import Listing
from app.simulator.order import Order
from app.simulator.refusal import Refused, bad_input

LEAST_LEGS, MOST_LEGS = 2, 50
VARIETIES = ("regular", "amo", "co", "iceberg", "auction")


def is_session(listing: Listing, now: datetime) -> bool:
    """The real trading hours, also where the prices never sleep."""
    return hours.is_open(listing, now)


def check_closed(listing: Listing, now: datetime) -> None:
    """After-market orders are taken when the market is closed (the exact windows are not documented)."""
    if is_session(listing, now):
        raise Refused(400, "OrderException", "After market orders are accepted only when the market is closed.")


def check(form: OrderForm, last_price: int, listing: Listing) -> None:
    """What a variety asks of its fields. Raises Refused."""
    if form.variety == "amo" and (form.validity != "DAY" or form.autoslice):
        raise bad_input("After market orders take validity DAY only, and no autoslice.")
    if form.variety == "iceberg":
        leg_quantity(form, listing)
        if form.order_type not in ("MARKET", "LIMIT") or form.autoslice:
            raise bad_input("Iceberg orders take order types MARKET and LIMIT, and no autoslice.")
    elif form.iceberg_legs or form.iceberg_quantity:
        raise bad_input("`iceberg_legs` and `iceberg_quantity` need variety iceberg.")
    if form.variety == "co":
        if form.order_type not in ("MARKET", "LIMIT"):
            raise bad_input("Cover orders take order types MARKET and LIMIT.")
        check_cover(form.side, form.price or last_price, form.trigger_price, listing, last_price)
    if form.variety == "auction" and (form.order_type != "LIMIT" or form.side != "SELL" or form.product != "CNC"):
        raise bad_input("Auction orders are LIMIT orders that sell CNC holdings.")


def leg_quantity(form: OrderForm, listing: Listing) -> int:
    """Of one leg of an iceberg: what was asked for, or the quantity over the legs in whole lots. Raises Refused."""
    legs = form.iceberg_legs
    if not LEAST_LEGS <= legs <= MOST_LEGS:
        raise bad_input(f"Invalid `iceberg_legs`: {LEAST_LEGS} to {MOST_LEGS} are allowed.")
    lot = refusals.traded_in(listing)
    each = form.iceberg_quantity or -(-form.quantity // (legs * lot)) * lot
    if each % lot or not each * (legs - 1) < form.quantity <= each * legs:
        raise bad_input(f"Invalid `iceberg_quantity`: {form.quantity} do not make {legs} legs of {each}.")
    return each


def check_cover(side: str, price: int, trigger: int, listing: Listing, last_price: int) -> None:
    """The stop of a cover order lies on the losing side of its entry and of the last price."""
    if trigger <= 0 or trigger % listing.tick_size:
        raise bad_input("Invalid `trigger_price`: a multiple of the tick size above 0 is expected.")
    if side == "BUY" and trigger >= min(price, last_price):
        raise bad_input("Trigger price for cover buy orders should be lower than the price and the last price.")
    if side == "SELL" and trigger <= max(price, last_price):
        raise bad_input("Trigger price for cover sell orders should be higher than the price and the last price.")


def check_change(order: Order, form: ModifyForm, listing: Listing, last_price: int) -> None:
    """Of a cover order its price (while it is a waiting LIMIT) and its trigger can be changed; of an auction bid the
    price; of an iceberg's leg all but the quantity. Raises Refused.
    """
    if order.iceberg is not None:
        if form.quantity not in (None, order.quantity):
            raise bad_input("The quantity of an iceberg's leg cannot be changed.")
        return
    kind = None if form.order_type == order.order_type else form.order_type
    others = (form.quantity, kind, form.validity, form.disclosed_quantity, form.market_protection)
    stop = order.variety == "co" and order.is_stop
    refused = form.price if stop else form.trigger_price if order.auction_number else None
    if refused or any(value is not None for value in others):
        raise bad_input(f"That cannot be changed on an order of variety {order.variety}.")
    if order.variety == "co" and not order.is_stop:
        price = form.price or order.price or last_price
        check_cover(order.side, price, form.trigger_price or order.trigger_price, listing, last_price)
