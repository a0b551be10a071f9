"""Upstox's JSON to our types. Pure: no I/O, no clock. What goes the other way is in `requests`.

Quantities are counted as Upstox counts them: units in shares and their derivatives, lots in commodities (place order,
quantity) and in currencies, whose list has lots of 1; there `Position.multiplier` carries the contract's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from app.brokers.base import OrderCost, Profile
from app.brokers.rows import IST, PRICE_SCALE, Row, to_nanos, to_price, to_traded_price
from app.brokers.upstox.keys import ORDER_EXCHANGES, Directory, kind_by_symbol, market_of_key, segment_of
from app.domain.errors import BadAnswer
from app.domain.fill import Charges, Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos, Tag
from app.domain.instrument import Exchange, InstrumentKind, Product, Segment
from app.domain.margin import MarginUse, SegmentFunds
from app.domain.market import Interval
from app.domain.money import round_paisa
from app.domain.order import Order, OrderKind, OrderStatus, Side, Validity, Variety
from app.domain.portfolio import Funds, Holding, Position, PositionKey

BROKER = "upstox"

INTERVALS: Mapping[Interval, tuple[str, str, int]] = {
    Interval.MINUTE: ("minutes", "1", 28),
    Interval.MINUTES_3: ("minutes", "3", 28),
    Interval.MINUTES_5: ("minutes", "5", 28),
    Interval.MINUTES_15: ("minutes", "15", 28),
    Interval.MINUTES_30: ("minutes", "30", 89),
    Interval.HOUR: ("hours", "1", 89),
    Interval.DAY: ("days", "1", 3650),
}
"""Upstox's unit and number of an interval, and days that one request may span: a month, a quarter, a decade (historical
candle data v3), each a little less, so that no month is too short for it."""

_STATUS: Mapping[str, OrderStatus] = {
    "put order req received": OrderStatus.SUBMITTED,
    "validation pending": OrderStatus.SUBMITTED,
    "open pending": OrderStatus.SUBMITTED,
    "after market order req received": OrderStatus.SUBMITTED,
    "modify after market order req received": OrderStatus.SUBMITTED,
    "trigger pending": OrderStatus.TRIGGER_PENDING,
    "cancel pending": OrderStatus.CANCEL_PENDING,
    "complete": OrderStatus.FILLED,
    "cancelled": OrderStatus.CANCELLED,
    "cancelled after market order": OrderStatus.CANCELLED,
    "rejected": OrderStatus.REJECTED,
}
_ALIVE = frozenset({"open", "modified", "not modified", "modify pending", "modify validation pending", "not cancelled"})
"""Alive, and what else they mean depends on the order: see `_status`."""

_PRODUCTS: Mapping[str, tuple[Product, Product]] = {
    "D": (Product.CNC, Product.NRML),
    "I": (Product.MIS, Product.MIS),
    "MTF": (Product.MTF, Product.MTF),
    "CO": (Product.MIS, Product.MIS),
    "OCO": (Product.MIS, Product.MIS),
}
"""Upstox's product as ours: of shares, and of everything else. Cover and bracket orders end with the day."""


def exchange_of(row: Row) -> Exchange:
    """Of an order, trade or position. Raises BadAnswer."""
    found = ORDER_EXCHANGES.get(str(row.data.get("exchange")))
    if found is None:
        raise row.bad("exchange")
    return found


def product_of(row: Row, key: str) -> Product:
    """Upstox has one word for delivery and carried derivatives. Raises BadAnswer."""
    pair = _PRODUCTS.get(str(row.data.get("product")))
    if pair is None:
        raise row.bad("product")
    return pair[0] if market_of_key(key).cash else pair[1]


def symbol_of(row: Row) -> str:
    """Rows carry it under two names."""
    return row.maybe_text("trading_symbol") or row.text("tradingsymbol")


def key_of(row: Row) -> str:
    """Rows carry the instrument key as `instrument_token`, streams under both names."""
    return row.maybe_text("instrument_token") or row.text("instrument_key")


def moment(row: Row, name: str) -> Nanos | None:
    """A time in either of the forms that Upstox uses: `2026-11-25 09:15:00` and `25-Nov-2026 09:15:00`."""
    value = row.data.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise row.bad(name)
    try:
        return to_nanos(value)
    except ValueError:
        pass
    try:
        day = datetime.strptime(value, "%d-%b-%Y %H:%M:%S").replace(tzinfo=IST)
    except ValueError:
        raise row.bad(name) from None
    since = day - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000


def order_from_row(data: object, account: AccountId, directory: Directory) -> Order:
    """A row of the order book or of an order's history, or an event of the portfolio stream."""
    row = Row(data, "order")
    exchange = exchange_of(row)
    scale = PRICE_SCALE[exchange]
    key = key_of(row)
    kind = row.one_of("order_type", OrderKind)
    filled = row.whole("filled_quantity")
    status = _status(row, kind, filled)
    quantity = row.whole("quantity")
    pending = row.data.get("pending_quantity")
    tag = row.maybe_text("tag")
    parent = row.maybe_text("parent_order_id")
    return Order(
        account=account,
        broker_order_id=BrokerOrderId(row.text("order_id")),
        instrument=directory.name(key, symbol_of(row)),
        side=row.one_of("transaction_type", Side),
        product=product_of(row, key),
        kind=kind,
        status=status,
        quantity=quantity,
        filled_quantity=filled,
        # Rows of the history have none.
        pending_quantity=0
        if status.is_final
        else quantity - filled
        if pending is None
        else row.whole("pending_quantity"),
        average_price=row.maybe_price("average_price", scale),
        price=row.maybe_price("price", scale),
        trigger_price=row.maybe_price("trigger_price", scale),
        tag=Tag(tag) if tag else None,
        exchange_order_id=row.maybe_text("exchange_order_id"),
        placed_at=moment(row, "order_timestamp"),
        updated_at=moment(row, "exchange_timestamp"),
        status_text=row.maybe_text("status_message"),
        validity=row.one_of("validity", Validity),
        variety=_variety(row),
        parent=BrokerOrderId(parent) if parent else None,
        tags=(tag,) if tag else (),
        disclosed_quantity=int(row.number("disclosed_quantity", Decimal(0))),
    )


def _variety(row: Row) -> str:
    if row.data.get("product") == "CO":
        return Variety.CO.value
    return Variety.AMO.value if row.data.get("is_amo") is True else Variety.REGULAR.value


def _status(row: Row, kind: OrderKind, filled: int) -> OrderStatus:
    text = row.text("status")
    known = _STATUS.get(text)
    if known is not None:
        return known
    if text not in _ALIVE:
        raise row.bad("status")
    if filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    if text != "open" and kind in (OrderKind.SL, OrderKind.SL_M):
        return OrderStatus.TRIGGER_PENDING  # changed while it waits; a triggered one reports open or a fill
    return OrderStatus.OPEN


def contract_of(key: str, symbol: str, directory: Directory) -> tuple[InstrumentId, Segment, InstrumentKind]:
    """(our id, segment, kind) of a contract that a row names."""
    known = directory.by_key(key)
    if known is not None:
        return known.id, known.segment, known.kind
    market = market_of_key(key)
    kind = kind_by_symbol(market, symbol)
    return directory.name(key, symbol), segment_of(market, kind), kind


def fill_from_row(data: object, account: AccountId, directory: Directory) -> Fill:
    """A row of the day's trades: one execution."""
    row = Row(data, "trade")
    exchange = exchange_of(row)
    key = key_of(row)
    instrument, segment, kind = contract_of(key, symbol_of(row), directory)
    side = row.one_of("transaction_type", Side)
    scale = PRICE_SCALE[exchange]
    order = BrokerOrderId(row.text("order_id"))
    quantity = row.whole("quantity")
    if quantity <= 0:
        raise row.bad("quantity")
    filled_at = moment(row, "exchange_timestamp") or moment(row, "order_timestamp")
    if filled_at is None:
        raise row.bad("exchange_timestamp")
    return Fill(
        id=FillId(BROKER, account, exchange, segment, day_of(filled_at), order, row.text("trade_id"), side),
        account=account,
        instrument=instrument,
        segment=segment,
        kind=kind,
        product=product_of(row, key),
        side=side,
        quantity=quantity,
        price=traded_price(row, "average_price", scale),
        filled_at=filled_at,
        broker_order_id=order,
        price_scale=scale,
    )


def traded_price(row: Row, name: str, scale: int) -> int:
    """A price that something was traded at, exact. Raises BadAnswer."""
    try:
        return to_traded_price(row.number(name), scale)
    except ValueError as odd:
        raise row.bad(name, str(odd)) from None


def day_of(at: Nanos) -> str:
    """The ISO date in India."""
    return datetime.fromtimestamp(at / 1_000_000_000, IST).date().isoformat()


def position_from_row(data: object, account: AccountId, directory: Directory) -> Position:
    """A row of the short-term positions, which carries overnight and today's quantities together.

    Prices of a side without trades come as null or as an empty text.
    """
    row = Row(data, "position")
    exchange = exchange_of(row)
    scale = PRICE_SCALE[exchange]
    key = key_of(row)
    bought, sold = _or_nothing(row, "buy_value"), _or_nothing(row, "sell_value")
    return Position(
        key=PositionKey(account, directory.name(key, symbol_of(row)), product_of(row, key)),
        quantity=row.whole("quantity"),
        average_price=_or_nothing(row, "average_price"),
        last_price=row.price("last_price", scale),
        close_price=row.price("close_price", scale),
        buy_quantity=row.whole("day_buy_quantity") + row.whole("overnight_buy_quantity"),
        buy_value=bought,
        sell_quantity=row.whole("day_sell_quantity") + row.whole("overnight_sell_quantity"),
        sell_value=sold,
        multiplier=row.whole("multiplier"),
        price_scale=scale,
        carried_quantity=row.whole("overnight_buy_quantity") - row.whole("overnight_sell_quantity"),
        carried_cost=bought - _or_nothing(row, "day_buy_value") - sold + _or_nothing(row, "day_sell_value"),
    )


def _or_nothing(row: Row, name: str) -> Decimal:
    return Decimal(0) if row.data.get(name) in (None, "") else row.number(name)


def holding_from_row(data: object, account: AccountId, directory: Directory) -> Holding:
    """A row of the long-term holdings. Its `quantity` is all that is held, with what was bought and is not delivered
    yet ("the total holding qty", official client)."""
    row = Row(data, "holding")
    total, undelivered = row.whole("quantity"), row.whole("t1_quantity")
    if undelivered > total:
        raise row.bad("t1_quantity")
    exchange = exchange_of(row)
    scale = PRICE_SCALE[exchange]
    key = key_of(row)
    return Holding(
        account=account,
        instrument=directory.name(key, symbol_of(row)),
        isin=row.maybe_text("isin") or "",
        quantity=total - undelivered,
        t1_quantity=undelivered,
        average_price=row.number("average_price"),
        last_price=row.price("last_price", scale),
        close_price=row.price("close_price", scale),
        product=product_of(row, key),
        used_quantity=row.whole("cnc_used_quantity"),
        collateral_quantity=row.whole("collateral_quantity"),
        collateral_type=row.maybe_text("collateral_type") or "",
    )


def funds_from(data: object, account: AccountId) -> Funds:
    """Of funds and margin v3: one pool for all segments since 2025-07-19. Used is what cash and pledge have given."""
    free = Row(data, "funds").part("available_to_trade")
    cash = free.part("cash_available_to_trade")
    used = cash.part("margin_used").number("total")
    if free.data.get("pledge_available_to_trade") is not None:
        used += free.part("pledge_available_to_trade").part("margin_used").number("total")
    return Funds(
        account=account,
        available=free.price("total", 100),
        used=to_price(used, 100),
        opening_balance=cash.part("cash").price("opening_balance", 100),
    )


def segment_funds_from(row: Row, segment: str, account: AccountId) -> SegmentFunds:
    """One half of funds v2, which knows fewer heads than there are."""
    nothing = Decimal(0)
    used, available = row.number("used_margin"), row.number("available_margin")
    use = MarginUse(
        used, row.number("exposure_margin"), row.number("span_margin"), nothing, nothing, nothing, nothing, nothing,
        nothing, nothing, nothing, nothing,
    )  # fmt: skip
    return SegmentFunds(
        account=account,
        segment=segment,
        enabled=True,
        net=available,
        cash=row.number("notional_cash"),
        opening_balance=available + used,
        live_balance=available,
        collateral=nothing,
        adhoc_margin=row.number("adhoc_margin"),
        intraday_payin=row.number("payin_amount"),
        used=use,
    )


def profile_from(data: object) -> Profile:
    """Who is logged in."""
    row = Row(data, "profile")
    if row.data.get("is_active") is False:
        raise BadAnswer("The broker says that this account is not active.", "Log in at the broker's site.")
    return Profile(
        user_id=row.text("user_id"),
        user_name=row.maybe_text("user_name") or row.text("user_id"),
        exchanges=row.texts("exchanges"),
        products=row.texts("products"),
        sells_freely=row.data.get("poa") is True or row.data.get("ddpi") is True,
    )


def cost_from(margin: object, note: object) -> OrderCost:
    """What an order takes: the margin answer, and the brokerage answer for the charges."""
    block = Row(margin, "margin")
    return OrderCost(
        margin=block.price("final_margin" if block.data.get("final_margin") is not None else "required_margin", 100),
        charges=charges_from(Row(note, "brokerage").part("charges")),
    )


def charges_from(row: Row) -> Charges:
    """`charges` of the brokerage answer. `other_taxes` also comes in camel case; IPFT is new and may be missing."""
    taxes = row.part("taxes")
    more = row.part("other_taxes" if "other_taxes" in row.data else "otherTaxes")
    nothing = Decimal(0)
    return Charges(
        brokerage=round_paisa(row.number("brokerage")),
        transaction_tax=round_paisa(taxes.number("stt")),
        exchange_charge=round_paisa(more.number("transaction") + more.number("ipft", nothing)),
        sebi_fee=round_paisa(more.number("sebi_turnover")),
        stamp_duty=round_paisa(taxes.number("stamp_duty")),
        gst=round_paisa(taxes.number("gst")),
        other=round_paisa(more.number("clearing", nothing)),
    )
