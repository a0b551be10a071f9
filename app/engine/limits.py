"""Checks of an order before it leaves: pure, refused in words. Never applied to exits of stops."""

from __future__ import annotations

from app.domain.errors import Denied
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product
from app.domain.order import OrderKind, OrderRequest

_DERIVATIVES = frozenset({Exchange.NFO, Exchange.BFO, Exchange.CDS, Exchange.BCD, Exchange.MCX, Exchange.NCO})


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


def _check_product(request: OrderRequest, instrument: Instrument) -> None:
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
