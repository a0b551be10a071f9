"""Checks of an order before it leaves: pure, refused in words. Never applied to exits of stops."""

from __future__ import annotations

from app.domain.errors import Denied
from app.domain.gtt import GttKind, GttRequest, GttRole
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product
from app.domain.order import OrderKind, OrderRequest, Side, Validity, Variety
from app.domain.portfolio import Conversion

_DERIVATIVES = frozenset({Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.MCX, Exchange.NCO})

_EXIT_ROLES = ([GttRole.TARGET], [GttRole.STOP], [GttRole.TARGET, GttRole.STOP])


def check_order(request: OrderRequest, instrument: Instrument) -> None:
    """Raises Denied for what the broker would refuse anyway, with what to change."""
    if not instrument.tradable or instrument.kind is InstrumentKind.INDEX:
        raise Denied(f"{instrument.symbol} is an index; it cannot be traded.", "Choose its future or an option.")
    if request.quantity <= 0:
        raise Denied("The quantity is zero.", "Enter at least one lot.")
    if request.quantity % instrument.lot_size:
        raise Denied(
            f"{request.quantity} is not a multiple of the lot size {instrument.lot_size}.",
            f"Enter {instrument.lot_size}, {2 * instrument.lot_size}, …",
        )
    _check_product(request, instrument)
    _check_prices(request, instrument)
    _check_variety(request, instrument)


def check_gtt(request: GttRequest, instrument: Instrument) -> None:
    """The same for a trigger that rests at the broker; each of its orders is an order to be."""
    if not request.legs:
        raise Denied("A trigger needs an order behind it.", "Enter trigger, quantity and price.")
    for leg in request.legs:
        check_order(
            OrderRequest(
                request.account, request.instrument, leg.side, leg.quantity, leg.product, leg.kind, leg.price or None
            ),
            instrument,
        )
        if leg.trigger <= 0 or leg.trigger % instrument.tick_size:
            raise Denied("The trigger is not on a tick of the instrument.", "Choose a multiple of the tick size.")
    if request.kind is GttKind.BRACKET:
        _check_bracket(request, instrument)
        return
    triggers = [leg.trigger for leg in request.legs]
    if triggers != sorted(set(triggers)):
        raise Denied("Stop and target are at the same price.", "Give the two triggers different prices.")


def _check_bracket(request: GttRequest, instrument: Instrument) -> None:
    entry, *exits = request.legs
    roles = [leg.role for leg in exits]
    if entry.role is not GttRole.ENTRY or roles not in _EXIT_ROLES:
        raise Denied("An entry has a target, a stop, or both behind it.", "Give at least one of them.")
    up = 1 if entry.side is Side.BUY else -1
    for leg in exits:
        if leg.side is entry.side or leg.quantity != entry.quantity:
            raise Denied("The exits must close what the entry opens.", "Give them the other side, and its quantity.")
        if (leg.trigger - entry.trigger) * up * (1 if leg.role is GttRole.TARGET else -1) <= 0:
            where = "beyond" if leg.role is GttRole.TARGET else "before"
            raise Denied(f"The {leg.role} must lie {where} the entry.", "Move it to the other side of the entry.")
        if leg.gap and (leg.role is not GttRole.STOP or leg.gap < 0 or leg.gap % instrument.tick_size):
            raise Denied("Only a stop trails, by whole ticks.", "Choose a multiple of the tick size.")


def check_conversion(conversion: Conversion, held: int, instrument: Instrument) -> None:
    """Raises Denied for a conversion that makes no sense of a position of `held` units, negative when short."""
    old, new = conversion.position.product, conversion.to
    if held == 0:
        raise Denied("This position is closed.", "There is nothing to convert.")
    if conversion.side is not (Side.BUY if held > 0 else Side.SELL):
        raise Denied("The position has turned meanwhile.", "Look at it again.")
    if old is new:
        raise Denied(f"The position is {old} already.", "Choose another product.")
    if not 0 < conversion.quantity <= abs(held):
        raise Denied(f"Only {abs(held)} units are there to convert.", f"Enter at most {abs(held)}.")
    if conversion.quantity % instrument.lot_size:
        raise Denied(
            f"{conversion.quantity} is not a multiple of the lot size {instrument.lot_size}.", "Convert whole lots."
        )
    if held < 0 and new is Product.CNC:
        raise Denied("Shares sold short cannot be carried.", "Buy them back today.")
    order = OrderRequest(
        conversion.position.account, instrument.id, conversion.side, conversion.quantity, new, OrderKind.MARKET
    )
    _check_product(order, instrument)


def _check_variety(request: OrderRequest, instrument: Instrument) -> None:
    if request.variety is Variety.ICEBERG:
        if request.iceberg_legs <= 1:
            raise Denied("An iceberg has at least two legs.", "Enter the number of legs.")
        if request.quantity % (request.iceberg_legs * instrument.lot_size):
            raise Denied(
                f"{request.quantity} does not divide into {request.iceberg_legs} equal legs of whole lots.",
                "Change the quantity or the number of legs.",
            )
    if request.variety is Variety.CO and not request.trigger_price:
        raise Denied("A cover order needs the trigger of its stop.", "Enter the price at which it should act.")
    if request.variety is Variety.AUCTION and not request.auction_number:
        raise Denied("An auction order names its auction.", "Choose one of those offered for the holding.")
    if request.validity is Validity.TTL and request.valid_minutes <= 0:
        raise Denied("An order for some minutes needs their number.", "Enter for how many minutes it stands.")
    if request.disclosed_quantity > request.quantity:
        raise Denied("More is disclosed than ordered.", "Disclose at most the quantity.")


def _check_product(request: OrderRequest, instrument: Instrument) -> None:
    if request.product is Product.CO:
        raise Denied("CO is what a cover order makes of MIS.", "Choose MIS.")
    derivative = instrument.exchange in _DERIVATIVES
    if derivative and request.product in (Product.CNC, Product.MTF):
        raise Denied(f"{request.product} is for shares.", "Choose NRML to carry or MIS for the day.")
    if not derivative and request.product is Product.NRML:
        raise Denied("NRML is for futures and options.", "Choose CNC for delivery or MIS for the day.")


def _check_prices(request: OrderRequest, instrument: Instrument) -> None:
    if request.kind in (OrderKind.LIMIT, OrderKind.SL):
        if not request.price or request.price <= 0:
            raise Denied("A limit order needs a price.", "Enter the worst price you accept.")
        if request.price % instrument.tick_size:
            raise Denied("The price is not on a tick of the instrument.", "Choose a multiple of the tick size.")
    if request.kind in (OrderKind.SL, OrderKind.SL_M) and not request.trigger_price:
        raise Denied("A stop order needs a trigger price.", "Enter the price at which it should act.")
    if request.trigger_price and request.trigger_price % instrument.tick_size:
        raise Denied("The trigger is not on a tick of the instrument.", "Choose a multiple of the tick size.")
    if request.kind is OrderKind.MARKET and instrument.is_stock_option:
        raise Denied("The broker takes no market orders on stock options.", "Use a limit order.")
