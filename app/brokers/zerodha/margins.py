"""Kite's money answers: margins by segment, of orders and of baskets, and the virtual contract note. Pure.

Amounts stay the Decimals that the broker sent. Rates are the broker's; none is known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from app.brokers.base import OrderCost
from app.brokers.rows import PRICE_SCALE, Row, to_price
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Charges
from app.domain.ids import AccountId, instrument_id, split_instrument_id
from app.domain.instrument import Exchange, Product
from app.domain.margin import BasketMargin, Margin, MarginUse, PlannedNote, SegmentFunds
from app.domain.money import Price, from_minor, round_paisa
from app.domain.order import OrderKind, OrderRequest, Side

SEGMENTS = ("equity", "commodity")


def segment_funds_from(data: object, account: AccountId) -> tuple[SegmentFunds, ...]:
    """Both segments of `/user/margins`."""
    margins = Row(data, "margin answer")
    return tuple(_segment(margins.part(name), name, account) for name in SEGMENTS)


def _segment(row: Row, name: str, account: AccountId) -> SegmentFunds:
    enabled = row.data.get("enabled")
    if not isinstance(enabled, bool):
        raise row.bad("enabled")
    has, used = row.part("available"), row.part("utilised")
    return SegmentFunds(
        account=account,
        segment=name,
        enabled=enabled,
        net=row.number("net"),
        cash=has.number("cash"),
        opening_balance=has.number("opening_balance"),
        live_balance=has.number("live_balance"),
        collateral=has.number("collateral"),
        adhoc_margin=has.number("adhoc_margin"),
        intraday_payin=has.number("intraday_payin"),
        used=MarginUse(
            debits=used.number("debits"),
            exposure=used.number("exposure"),
            span=used.number("span"),
            option_premium=used.number("option_premium"),
            delivery=used.number("delivery", Decimal(0)),
            m2m_realised=used.number("m2m_realised"),
            m2m_unrealised=used.number("m2m_unrealised"),
            payout=used.number("payout"),
            holding_sales=used.number("holding_sales"),
            turnover=used.number("turnover"),
            liquid_collateral=used.number("liquid_collateral", Decimal(0)),
            stock_collateral=used.number("stock_collateral", Decimal(0)),
        ),
    )


def margin_from(data: object) -> Margin:
    """A margin object of a calculator."""
    row = Row(data, "margin")
    return Margin(
        total=row.number("total"),
        span=row.number("span"),
        exposure=row.number("exposure"),
        option_premium=row.number("option_premium"),
        additional=row.number("additional"),
        cash=row.number("cash"),
        var=row.number("var"),
        leverage=row.number("leverage", Decimal(0)),
    )


def basket_from(data: object, count: int) -> BasketMargin:
    """The answer of `/margins/basket` for `count` orders. Its own `charges` block is to be ignored (Kite, margins)."""
    row = Row(data, "basket margin")
    orders = row.data.get("orders")
    if not isinstance(orders, list) or len(orders) != count:
        raise row.bad("orders", "not one margin for each order")
    return BasketMargin(
        initial=margin_from(row.data.get("initial")),
        final=margin_from(row.data.get("final")),
        orders=tuple(margin_from(order) for order in orders),
    )


def notes_from(data: object, count: int | None = None) -> tuple[PlannedNote, ...]:
    """The virtual contract note of `/charges/orders`, one line for each order and in their order: it echoes no id."""
    if not isinstance(data, list) or (count is not None and len(data) != count):
        raise BadAnswer("The broker's contract note has not one line for each order.")
    return tuple(_note(row) for row in data)


def _note(data: object) -> PlannedNote:
    row = Row(data, "contract note")
    charges = row.part("charges")
    return PlannedNote(
        instrument=instrument_id(row.one_of("exchange", Exchange), row.text("tradingsymbol")),
        side=row.one_of("transaction_type", Side),
        product=row.one_of("product", Product),
        kind=row.one_of("order_type", OrderKind),
        quantity=row.whole("quantity"),
        price=row.number("price"),
        charges=Charges(
            brokerage=charges.number("brokerage"),
            transaction_tax=charges.number("transaction_tax"),
            exchange_charge=charges.number("exchange_turnover_charge"),
            sebi_fee=charges.number("sebi_turnover_charge"),
            stamp_duty=charges.number("stamp_duty"),
            gst=charges.part("gst").number("total"),
        ),
        total=charges.number("total"),
        tax=charges.maybe_text("transaction_tax_type") or "",
    )


def cost_from(margin: Margin, note: PlannedNote) -> OrderCost:
    """What one order takes, each head rounded to the paisa as a contract note prints it."""
    charges = note.charges
    return OrderCost(
        margin=to_price(margin.total, 100),
        charges=Charges(
            brokerage=round_paisa(charges.brokerage),
            transaction_tax=round_paisa(charges.transaction_tax),
            exchange_charge=round_paisa(charges.exchange_charge),
            sebi_fee=round_paisa(charges.sebi_fee),
            stamp_duty=round_paisa(charges.stamp_duty),
            gst=round_paisa(charges.gst),
        ),
        leverage=margin.leverage or Decimal(1),
    )


def margin_item(request: OrderRequest) -> dict[str, Any]:
    """One order as `/margins/orders` and `/margins/basket` want it."""
    scale = _scale(request)
    return {
        **_common(request),
        "price": from_minor(request.price or 0, scale),
        "trigger_price": from_minor(request.trigger_price or 0, scale),
    }


def note_item(request: OrderRequest, price: Price) -> dict[str, Any]:
    """One order as `/charges/orders` wants it, traded at a price. Raises Denied for no price: the broker refuses 0."""
    if price <= 0:
        raise Denied("There is no price to compute charges at.", "Give a limit price, or wait for a tick.")
    return {**_common(request), "order_id": "preview", "average_price": from_minor(price, _scale(request))}


def note_items(planned: Sequence[tuple[OrderRequest, Price]]) -> list[dict[str, Any]]:
    """The whole body."""
    return [note_item(request, price) for request, price in planned]


def _scale(request: OrderRequest) -> int:
    return PRICE_SCALE[Exchange(split_instrument_id(request.instrument)[0])]


def _common(request: OrderRequest) -> dict[str, Any]:
    exchange, symbol = split_instrument_id(request.instrument)
    return {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": request.side.value,
        "variety": request.variety.value,
        "product": request.product.value,
        "order_type": request.kind.value,
        "quantity": request.quantity,
    }
