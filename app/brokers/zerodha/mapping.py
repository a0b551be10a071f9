"""Kite's JSON to our types and back: fills, positions, holdings, prices, candles. Pure: no I/O, no clock.

Orders, resting triggers, alerts and margins have modules of their own (`orders`, `gtt`, `alerts`, `margins`).

Quantities are counted as Kite counts them: units on NSE, BSE, NFO and BFO; lots on MCX, CDS, BCD and NCO (Kite
Connect, orders), where `Position.multiplier` carries the contract's size.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.brokers.base import Profile
from app.brokers.documents import encode_json
from app.brokers.rows import PRICE_SCALE, Row, to_traded_price
from app.domain.calendar import ist_date
from app.domain.errors import BadAnswer
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, instrument_id, split_instrument_id
from app.domain.instrument import Exchange, InstrumentKind, Product, Segment
from app.domain.market import Interval
from app.domain.order import Side
from app.domain.portfolio import (
    AuctionOffer,
    Conversion,
    FundedShares,
    Funds,
    Holding,
    Position,
    PositionKey,
)

BROKER = "zerodha"

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
        price = to_traded_price(row.number("average_price"), scale)
    except ValueError as odd:
        raise row.bad("average_price", str(odd)) from None
    filled_at = row.time(when)
    day = ist_date(filled_at).isoformat()
    return Fill(
        id=FillId(BROKER, account, exchange, segment, day, order, row.text("trade_id"), side),
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


def reported_fill_from_row(data: object, account: AccountId) -> tuple[Fill, str]:
    """The same, with the row that it was made of."""
    return fill_from_row(data, account), encode_json(data).decode()


def position_from_row(data: object, account: AccountId) -> Position:
    """A row of `net`, which carries overnight and today's quantities together."""
    row = Row(data, "position")
    exchange = row.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    bought, sold = row.number("buy_value"), row.number("sell_value")
    return Position(
        key=PositionKey(account, instrument_id(exchange, row.text("tradingsymbol")), row.one_of("product", Product)),
        quantity=row.whole("quantity"),
        average_price=row.number("average_price"),
        last_price=row.price("last_price", scale),
        close_price=row.price("close_price", scale),
        buy_quantity=row.whole("buy_quantity"),
        buy_value=bought,
        sell_quantity=row.whole("sell_quantity"),
        sell_value=sold,
        multiplier=row.whole("multiplier"),
        price_scale=scale,
        carried_quantity=row.whole("overnight_quantity"),
        carried_cost=bought - row.number("day_buy_value") - sold + row.number("day_sell_value"),
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
        product=row.one_of("product", Product),
        used_quantity=_count(row, "used_quantity"),
        realised_quantity=_count(row, "realised_quantity"),
        authorised_quantity=_count(row, "authorised_quantity"),
        authorised_at=row.maybe_time("authorised_date"),
        opening_quantity=_count(row, "opening_quantity"),
        short_quantity=_count(row, "short_quantity"),
        collateral_quantity=_count(row, "collateral_quantity"),
        collateral_type=row.maybe_text("collateral_type") or "",
        discrepancy=row.data.get("discrepancy") is True,
        funded=_funded(row),
    )


def _count(row: Row, key: str) -> int:
    """A quantity that older answers leave out."""
    return 0 if row.data.get(key) is None else row.whole(key)


def _funded(row: Row) -> FundedShares | None:
    """`mtf`: zeros mean that nothing is funded."""
    if row.data.get("mtf") is None:
        return None
    part = row.part("mtf")
    funded = FundedShares(
        quantity=part.whole("quantity"),
        used_quantity=part.whole("used_quantity"),
        average_price=part.number("average_price"),
        value=part.number("value"),
        initial_margin=part.number("initial_margin"),
    )
    return funded if funded.quantity or funded.used_quantity else None


def auction_from_row(data: object, account: AccountId) -> AuctionOffer:
    """A row of the holdings that may be sold in an auction."""
    row = Row(data, "auction")
    exchange = row.one_of("exchange", Exchange)
    scale = PRICE_SCALE[exchange]
    return AuctionOffer(
        account=account,
        instrument=instrument_id(exchange, row.text("tradingsymbol")),
        auction_number=row.text("auction_number"),
        isin=row.maybe_text("isin") or "",
        quantity=row.whole("quantity"),
        average_price=row.number("average_price"),
        last_price=row.price("last_price", scale),
        close_price=row.price("close_price", scale),
    )


def conversion_form(conversion: Conversion) -> dict[str, str]:
    """The form that moves a position to another product."""
    exchange, symbol = split_instrument_id(conversion.position.instrument)
    return {
        "exchange": exchange,
        "tradingsymbol": symbol,
        "transaction_type": conversion.side.value,
        "position_type": "overnight" if conversion.overnight else "day",
        "quantity": str(conversion.quantity),
        "old_product": conversion.position.product.value,
        "new_product": conversion.to.value,
    }


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
    meta = row.data.get("meta")
    return Profile(
        user_id=row.text("user_id"),
        user_name=row.maybe_text("user_name") or row.text("user_id"),
        exchanges=row.texts("exchanges"),
        products=row.texts("products"),
        sells_freely=bool(meta.get("demat_consent")) if isinstance(meta, dict) else False,
    )
