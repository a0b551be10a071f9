"""Kite's JSON to our types and back. Pure: no I/O, no clock.

Quantities are counted as Kite counts them: units on NSE, BSE, NFO and BFO; lots on MCX, CDS, BCD and NCO (Kite
Connect, orders), where `Position.multiplier` carries the contract's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.brokers.base import OrderCost, Profile
from app.brokers.rows import PRICE_SCALE, Row, to_decimal, to_exact_price, to_nanos, to_price
from app.brokers.zerodha import refusals
from app.domain.errors import BadAnswer
from app.domain.fill import Charges, Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Tag, instrument_id, split_instrument_id
from app.domain.instrument import Exchange, InstrumentKind, Product, Segment
from app.domain.market import Candle, Interval
from app.domain.money import from_minor, round_paisa
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side, Validity
from app.domain.portfolio import Funds, Holding, Position, PositionKey

BROKER = "zerodha"

broker_error = refusals.broker_error
"""Error answers belong to the mapping too; they have a module of their own for length."""

INTERVALS: Mapping[Interval, tuple[str, int]] = {
    Interval.MINUTE: ("minute", 60),
    Interval.MINUTES_3: ("3minute", 100),
    Interval.MINUTES_5: ("5minute", 100),
    Interval.MINUTES_15: ("15minute", 200),
    Interval.MINUTES_30: ("30minute", 200),
    Interval.HOUR: ("60minute", 400),
    Interval.DAY: ("day", 2000),
}
"""Kite's name of an interval, and the most days one request may span (Kite Connect, historical data)."""

_STATUS: Mapping[str, OrderStatus] = {
    "PUT ORDER REQ RECEIVED": OrderStatus.SUBMITTED,
    "VALIDATION PENDING": OrderStatus.SUBMITTED,
    "OPEN PENDING": OrderStatus.SUBMITTED,
    "AMO REQ RECEIVED": OrderStatus.SUBMITTED,
    "TRIGGER PENDING": OrderStatus.TRIGGER_PENDING,
    "CANCEL PENDING": OrderStatus.CANCEL_PENDING,
    "COMPLETE": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}
"""Statuses with one meaning. Everything else (OPEN, MODIFIED, UPDATE, what Kite may add) is alive: see `_status`."""


def order_from_row(data: object, account: AccountId) -> Order:
    """A row of the order book or of an order's history."""
    row = Row(data, "order")
    exchange = row.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    kind = row.one_of("order_type", OrderKind)
    filled = row.whole("filled_quantity")
    status = _status(row.text("status"), kind, filled)
    tag = row.maybe_text("tag")
    return Order(
        account=account,
        broker_order_id=BrokerOrderId(row.text("order_id")),
        instrument=instrument_id(exchange, row.text("tradingsymbol")),
        side=row.one_of("transaction_type", Side),
        product=row.one_of("product", Product),
        kind=kind,
        status=status,
        quantity=row.whole("quantity"),
        filled_quantity=filled,
        # A cancelled row may still show a pending quantity (mocks orders.json): the status decides.
        pending_quantity=0 if status.is_final else row.whole("pending_quantity"),
        average_price=row.maybe_price("average_price", scale),
        price=row.maybe_price("price", scale),
        trigger_price=row.maybe_price("trigger_price", scale),
        tag=Tag(tag) if tag else None,
        exchange_order_id=row.maybe_text("exchange_order_id"),
        placed_at=row.maybe_time("order_timestamp"),
        updated_at=row.maybe_time("exchange_update_timestamp") or row.maybe_time("exchange_timestamp"),
        status_text=row.maybe_text("status_message"),
        validity=row.one_of("validity", Validity),
        variety=row.text("variety"),
    )


def order_from_update(data: object, account: AccountId) -> Order:
    """An order event of the ticker or a postback: an order row, whose status may also be UPDATE."""
    return order_from_row(data, account)


def _status(text: str, kind: OrderKind, filled: int) -> OrderStatus:
    """Kite's list is open-ended: what is not known to be final is alive, with fills as far as they go."""
    known = _STATUS.get(text)
    if known is not None:
        return known
    if filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    if text == "UPDATE" and kind in (OrderKind.SL, OrderKind.SL_M):
        return OrderStatus.TRIGGER_PENDING  # modified while it waits; a triggered one reports OPEN or a fill
    return OrderStatus.OPEN


def market_of(exchange: Exchange, symbol: str) -> tuple[Segment, InstrumentKind]:
    """Which market a contract trades in, from its exchange and Kite's symbol grammar (`...FUT`, `...CE`, `...PE`)."""
    if exchange in (Exchange.NSE, Exchange.BSE):
        return Segment.EQUITY, InstrumentKind.SHARE
    if symbol.endswith("FUT"):
        kind = InstrumentKind.FUTURE
    elif symbol.endswith("CE"):
        kind = InstrumentKind.CALL
    elif symbol.endswith("PE"):
        kind = InstrumentKind.PUT
    else:
        raise BadAnswer("The broker named a contract that is neither future nor option.", detail=f"{exchange}:{symbol}")
    if exchange in (Exchange.NFO, Exchange.BFO):
        return (Segment.FUTURES if kind is InstrumentKind.FUTURE else Segment.OPTIONS), kind
    return (Segment.CURRENCY if exchange in (Exchange.CDS, Exchange.BCD) else Segment.COMMODITY), kind


def fill_from_row(data: object, account: AccountId) -> Fill:
    """A row of `/trades`: one execution. Its `order_timestamp` is a time without a day and is not used."""
    row = Row(data, "trade")
    exchange = row.one_of("exchange", Exchange)
    symbol = row.text("tradingsymbol")
    segment, kind = market_of(exchange, symbol)
    side = row.one_of("transaction_type", Side)
    scale = PRICE_SCALE[exchange]
    when = "fill_timestamp" if row.maybe_text("fill_timestamp") else "exchange_timestamp"
    order = BrokerOrderId(row.text("order_id"))
    quantity = row.whole("quantity")
    if quantity <= 0:
        raise row.bad("quantity")
    try:
        price = to_exact_price(row.number("average_price"), scale)
    except ValueError as odd:
        raise row.bad("average_price", str(odd)) from None
    filled_at = row.time(when)
    return Fill(
        id=FillId(BROKER, account, exchange, segment, row.text(when)[:10], order, row.text("trade_id"), side),
        account=account,
        instrument=instrument_id(exchange, symbol),
        segment=segment,
        kind=kind,
        product=row.one_of("product", Product),
        side=side,
        quantity=quantity,
        price=price,
        filled_at=filled_at,
        broker_order_id=order,
        price_scale=scale,
    )


def position_from_row(data: object, account: AccountId) -> Position:
    """A row of `net`, which carries overnight and today's quantities together."""
    row = Row(data, "position")
    exchange = row.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    return Position(
        key=PositionKey(account, instrument_id(exchange, row.text("tradingsymbol")), row.one_of("product", Product)),
        quantity=row.whole("quantity"),
        average_price=row.number("average_price"),
        last_price=row.price("last_price", scale),
        close_price=row.price("close_price", scale),
        buy_quantity=row.whole("buy_quantity"),
        buy_value=row.number("buy_value"),
        sell_quantity=row.whole("sell_quantity"),
        sell_value=row.number("sell_value"),
        multiplier=row.whole("multiplier"),
        price_scale=scale,
    )


def holding_from_row(data: object, account: AccountId) -> Holding:
    """A row of the holdings."""
    row = Row(data, "holding")
    exchange = row.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    return Holding(
        account=account,
        instrument=instrument_id(exchange, row.text("tradingsymbol")),
        isin=row.maybe_text("isin") or "",
        quantity=row.whole("quantity"),
        t1_quantity=row.whole("t1_quantity"),
        average_price=row.number("average_price"),
        last_price=row.price("last_price", scale),
        close_price=row.price("close_price", scale),
    )


def funds_from(data: object, account: AccountId) -> Funds:
    """Of the equity segment (derivatives included), or of commodity where equity is off.

    The two are not added: a rupee in one does not back an order in the other.
    """
    margins = Row(data, "margin answer")
    segment = margins.part("equity")
    if segment.data.get("enabled") is not True:
        segment = margins.part("commodity")
    return Funds(
        account=account,
        available=segment.price("net", 100),
        used=segment.part("utilised").price("debits", 100),
        opening_balance=segment.part("available").price("opening_balance", 100),
    )


def profile_from(data: object) -> Profile:
    """Who is logged in."""
    row = Row(data, "profile")
    return Profile(
        user_id=row.text("user_id"),
        user_name=row.maybe_text("user_name") or row.text("user_id"),
        exchanges=_texts(row, "exchanges"),
        products=_texts(row, "products"),
    )


def _texts(row: Row, key: str) -> tuple[str, ...]:
    value = row.data.get(key)
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise row.bad(key)
    return tuple(value)


def candle_from_row(data: Any, scale: int) -> Candle:
    """`[time, open, high, low, close, volume, (oi)]`."""
    try:
        start, opened, high, low, close, volume = data[:6]
        return Candle(
            start=to_nanos(start),
            open=to_price(to_decimal(opened), scale),
            high=to_price(to_decimal(high), scale),
            low=to_price(to_decimal(low), scale),
            close=to_price(to_decimal(close), scale),
            volume=int(volume),
        )
    except (ValueError, TypeError, KeyError) as bad:
        raise BadAnswer("The broker sent a candle that cannot be read.", detail=repr(data)[:80]) from bad


def last_price_from(key: str, data: object) -> tuple[InstrumentId, int]:
    """One entry of `/quote/ltp`, whose key is `EXCHANGE:SYMBOL`."""
    exchange = split_instrument_id(InstrumentId(key))[0]
    row = Row(data, "quote")
    if exchange not in PRICE_SCALE:
        raise BadAnswer("The broker quoted an exchange that was not asked for.", detail=key)
    return InstrumentId(key), row.price("last_price", PRICE_SCALE[Exchange(exchange)])


def cost_from(margin: object, note: object) -> OrderCost:
    """What an order takes: a row of `/margins/orders`, and one of `/charges/orders` for the charges."""
    block = Row(margin, "margin")
    charges = Row(note, "contract note").part("charges")
    return OrderCost(
        margin=block.price("total", 100),
        charges=Charges(
            brokerage=round_paisa(charges.number("brokerage")),
            transaction_tax=round_paisa(charges.number("transaction_tax")),
            exchange_charge=round_paisa(charges.number("exchange_turnover_charge")),
            sebi_fee=round_paisa(charges.number("sebi_turnover_charge")),
            stamp_duty=round_paisa(charges.number("stamp_duty")),
            gst=round_paisa(charges.part("gst").number("total")),
        ),
        leverage=block.number("leverage", Decimal(1)) or Decimal(1),
    )


def rupees(price: int, scale: int) -> str:
    """Minor units as Kite wants a price: plain decimal text."""
    return f"{from_minor(price, scale):f}"


def order_form(request: OrderRequest) -> dict[str, str]:
    """The form fields of a placement. A LIMIT without a price leaves the field out, for the caller to add."""
    exchange, symbol = split_instrument_id(request.instrument)
    scale = PRICE_SCALE[Exchange(exchange)]
    form = {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": request.side.value,
        "quantity": str(request.quantity),
        "product": request.product.value,
        "order_type": request.kind.value,
        "validity": request.validity.value,
    }
    if request.kind in (OrderKind.LIMIT, OrderKind.SL) and request.price is not None:
        form["price"] = rupees(request.price, scale)
    if request.kind in (OrderKind.SL, OrderKind.SL_M) and request.trigger_price is not None:
        form["trigger_price"] = rupees(request.trigger_price, scale)
    if request.kind in (OrderKind.MARKET, OrderKind.SL_M):
        # Without it the broker refuses since 2026-04-01; ignored on LIMIT and SL.
        form["market_protection"] = str(request.market_protection)
    if request.tag is not None:
        form["tag"] = request.tag
    return form


def cost_query(request: OrderRequest, at_price: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bodies' items for `/margins/orders` and `/charges/orders`."""
    exchange, symbol = split_instrument_id(request.instrument)
    scale = PRICE_SCALE[Exchange(exchange)]
    common: dict[str, Any] = {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": request.side.value,
        "variety": "regular",
        "product": request.product.value,
        "order_type": request.kind.value,
        "quantity": request.quantity,
    }
    margin = {
        **common,
        "price": from_minor(request.price or 0, scale),
        "trigger_price": from_minor(request.trigger_price or 0, scale),
    }
    return margin, {**common, "order_id": "preview", "average_price": from_minor(at_price, scale)}
