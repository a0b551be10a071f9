"""What the broker refuses before it takes an order (A5, A7): each with its words. Pure."""

from __future__ import annotations

from decimal import Decimal

from app.simulator.figures import rupees
from app.simulator.form import OrderForm
from app.simulator.hours import CURRENCIES
from app.simulator.listing import Listing
from app.simulator.pricing import INDEX_KEYS
from app.simulator.refusal import Refused, bad_input
from app.simulator.switches import Switches

NO_PROTECTION = (
    "Market orders without market protection are not allowed via API. "
    "Please set market protection or use a Limit order."
)
MAX_PROTECTION = 100
MAX_SLICES = 10
INDEX_UNDERLYINGS = frozenset(INDEX_KEYS) | {"FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX", "SENSEX50"}
LOT_EXCHANGES = frozenset({"MCX", "CDS", "BCD", "NCO"})
"""Where the wire counts lots, not units (A7.2)."""
CURRENCY_UNITS = 1_000
"""Of the foreign currency in a lot (of the yen 100,000, priced by the hundred). The lists say 1, positions this."""
PAISE = 100
"""In a rupee: all amounts are in them."""


def is_option(listing: Listing) -> bool:
    """A call or a put."""
    return listing.instrument_type in ("CE", "PE")


def is_derivative(listing: Listing) -> bool:
    """A future or an option."""
    return listing.instrument_type in ("FUT", "CE", "PE")


def on_index(listing: Listing) -> bool:
    """A derivative of an index."""
    return listing.name in INDEX_UNDERLYINGS


def multiplier(listing: Listing) -> int:
    """Units that one unit of the wire's quantity stands for."""
    if listing.exchange in CURRENCIES:
        return CURRENCY_UNITS
    return listing.lot_size if listing.exchange in LOT_EXCHANGES else 1


def worth(listing: Listing, quantity: int, price: int) -> int:
    """Paise that a quantity of the wire is worth at a price in the listing's own unit; whole, rounded down."""
    return quantity * price * multiplier(listing) * PAISE // listing.price_scale


def price_of(listing: Listing, value: int, quantity: int) -> int:
    """The other way: the price, in the listing's own unit and rounded down, at which a quantity is worth so much."""
    return value * listing.price_scale // (quantity * multiplier(listing) * PAISE)


def check(form: OrderForm, listing: Listing | None, last_price: int, switches: Switches) -> Listing:
    """Every check that needs no account. Returns the listing; raises Refused with the words of the first failure."""
    if listing is None:
        raise bad_input(f"The instrument you are placing an order for ({form.key}) does not exist or has expired.")
    if not listing.tradable:
        raise bad_input(f"{form.tradingsymbol} is an index and cannot be traded.")
    if (form.validity == "TTL") != (form.validity_ttl > 0):
        raise bad_input("Invalid `validity_ttl`: validity TTL needs minutes, and only it takes them.")
    if form.validity == "IOC" and listing.exchange == "MCX":
        raise bad_input("Validity IOC is not allowed for API orders on MCX.")
    _check_product(form, listing)
    _check_type(form, listing, switches)
    check_quantity(form.quantity, listing, sliced=form.autoslice)
    if form.disclosed_quantity < 0 or form.disclosed_quantity > form.quantity:
        raise bad_input("Invalid `disclosed_quantity`: it must lie between 0 and the order quantity.")
    check_prices(form.side, form.order_type, form.price, form.trigger_price, listing, last_price)
    return listing


def _check_product(form: OrderForm, listing: Listing) -> None:
    if form.product == "CO":
        return
    if is_derivative(listing):
        if form.product in ("CNC", "MTF"):
            raise bad_input(f"Invalid product {form.product} for {form.exchange}: use NRML or MIS for derivatives.")
    elif form.product == "NRML":
        raise bad_input(f"Invalid product NRML for {form.exchange}: use CNC or MIS for shares.")


def _check_type(form: OrderForm, listing: Listing, switches: Switches) -> None:
    if form.order_type in ("MARKET", "SL-M"):
        check_protection(form.market_protection, switches)
    check_kind(form.order_type, listing, switches)


def check_kind(order_type: str, listing: Listing, switches: Switches) -> None:
    """MARKET on stock options and SL-M on index options do not reach the exchange."""
    stock_option = is_option(listing) and not on_index(listing) and listing.exchange in ("NFO", "BFO")
    if order_type == "MARKET" and stock_option and switches.stock_option_market == "refused":
        raise Refused(
            400, "OrderException", "Market orders are not allowed for stock options. Place a limit order instead."
        )
    if order_type == "SL-M" and is_option(listing) and on_index(listing) and switches.index_option_slm == "refused":
        raise Refused(400, "OrderException", "SL-M orders are not allowed for index options. Use an SL order instead.")


def check_protection(protection: Decimal | None, switches: Switches) -> None:
    """-1 or above 0 to 100; 0 and omission are refused since 2026-04-01 (A5)."""
    if protection is None or protection == 0:
        if switches.protection == "required":
            raise Refused(400, switches.protection_error, NO_PROTECTION)
    elif protection != -1 and not 0 < protection <= MAX_PROTECTION:
        raise bad_input(f"Invalid `market_protection`: {protection} is not -1 or between 0 and {MAX_PROTECTION}.")


def traded_in(listing: Listing) -> int:
    """What an order's quantity is a multiple of, and each of its fills."""
    return 1 if listing.exchange in LOT_EXCHANGES else listing.lot_size


def check_quantity(quantity: int, listing: Listing, *, sliced: bool = False) -> None:
    """Positive, a multiple of the lot, not above the freeze quantity."""
    if quantity <= 0:
        raise bad_input("Invalid `quantity`: it must be above 0.")
    lot = traded_in(listing)
    if quantity % lot:
        raise bad_input(f"Invalid `quantity`: {quantity} is not a multiple of the lot size {lot}.")
    freeze = listing.freeze_quantity
    if freeze and quantity > freeze and not (sliced and quantity <= MAX_SLICES * slice_size(listing)):
        raise bad_input(
            f"Quantity {quantity} is above the freeze quantity {freeze} of {listing.tradingsymbol}. "
            "Split the order, or use autoslice."
        )


def slice_size(listing: Listing) -> int:
    """The largest whole lots that one order may carry; 0: no limit."""
    lot = traded_in(listing)
    return listing.freeze_quantity // lot * lot if lot else 0


def check_prices(side: str, order_type: str, price: int, trigger: int, listing: Listing, last_price: int) -> None:
    """On the tick, inside the circuit, and trigger and limit on the right sides of each other and of the last price."""
    if order_type in ("LIMIT", "SL"):
        _check_price("price", price, listing)
    if order_type in ("SL", "SL-M"):
        _check_price("trigger_price", trigger, listing)
        if side == "BUY" and trigger <= last_price:
            raise bad_input("Trigger price for stoploss buy orders should be higher than the last traded price.")
        if side == "SELL" and trigger >= last_price:
            raise bad_input("Trigger price for stoploss sell orders should be lower than the last traded price.")
    if order_type == "SL":
        if side == "BUY" and price < trigger:
            raise bad_input("Trigger price for stoploss buy orders cannot be above the limit price.")
        if side == "SELL" and price > trigger:
            raise bad_input("Trigger price for stoploss sell orders cannot be below the limit price.")


def _check_price(field: str, price: int, listing: Listing) -> None:
    if price <= 0:
        raise bad_input(f"Invalid `{field}`: it must be above 0.")
    if price % listing.tick_size:
        raise bad_input(
            f"Tick size for this script is {_shown(listing.tick_size, listing)}. "
            f"Kindly enter {field} in the multiple of tick size for this script."
        )
    name = "price" if field == "price" else "trigger price"
    if listing.lower_circuit and price < listing.lower_circuit:
        raise bad_input(
            f"Your order {name} is lower than the current lower circuit limit of "
            f"{rupees(listing.lower_circuit, listing.price_scale)}. Place an order within the daily range."
        )
    if listing.upper_circuit and price > listing.upper_circuit:
        raise bad_input(
            f"Your order {name} is higher than the current upper circuit limit of "
            f"{rupees(listing.upper_circuit, listing.price_scale)}. Place an order within the daily range."
        )


def _shown(tick: int, listing: Listing) -> str:
    return f"{rupees(tick, listing.price_scale):.{2 if listing.price_scale == PAISE else 4}f}"


def insufficient_funds(required: int, available: int) -> Refused:
    """A3's words. Paise."""
    return Refused(
        400,
        "MarginException",
        f"Insufficient funds. Required margin is {required / 100:.2f} but available margin is {available / 100:.2f}. "
        "Check the orderbook for open orders.",
    )


def address_refused(address: str, error_type: str) -> Refused:
    """A3's words of the static-IP rule."""
    return Refused(
        403 if error_type == "PermissionException" else 400,
        error_type,
        f"IP ({address}) is not allowed to place orders for this app. Update allowed IPs on the Kite developer "
        "console. Learn more - https://kite.trade/docs/connect/v3/",
    )
