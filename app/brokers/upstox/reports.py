"""Upstox's reports and its calendar as our types. Pure.

The history of trades knows neither order nor time nor product (charges, historical trades); what it does not know is
said in each `PastFill`. Dates of the P&L report are written day first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from app.brokers.documents import encode_json
from app.brokers.parts import HolidayKind, MarketDay, PastFill, RealisedRow, SessionTiming
from app.brokers.rows import IST, PRICE_SCALE, Row
from app.brokers.upstox.keys import MARKETS, Directory, Market, contract_symbol, segment_of
from app.brokers.upstox.mapping import BROKER, traded_price
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Charges, Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos, instrument_id
from app.domain.instrument import INDEX_UNDERLYINGS, InstrumentKind, Product, Segment
from app.domain.money import round_paisa
from app.domain.order import Side
from app.runtime.clock import from_datetime

PAGE_SIZE = 1000
REPORT_PAGE = 5000
"""The most rows that a page of the P&L report carries."""

FUNDS_SEGMENT = "MF"
"""Mutual funds stand in the same list; they are no trades at an exchange."""

_SEGMENTS: Mapping[Segment, str] = {
    Segment.EQUITY: "EQ",
    Segment.FUTURES: "FO",
    Segment.OPTIONS: "FO",
    Segment.COMMODITY: "COM",
    Segment.CURRENCY: "CD",
}

_BY_WORDS: Mapping[tuple[str, str], str] = {
    ("NSE", "EQ"): "NSE_EQ",
    ("NSE", "FO"): "NSE_FO",
    ("NSE", "CD"): "NCD_FO",
    ("NSE", "COM"): "NSE_COM",
    ("NSCOM", "COM"): "NSE_COM",
    ("NFO", "FO"): "NSE_FO",
    ("CDS", "CD"): "NCD_FO",
    ("BSE", "EQ"): "BSE_EQ",
    ("BSE", "FO"): "BSE_FO",
    ("BSE", "CD"): "BCD_FO",
    ("BFO", "FO"): "BSE_FO",
    ("BCD", "CD"): "BCD_FO",
    ("MCX", "COM"): "MCX_FO",
}
"""Exchange and segment of a history row to the segment of instrument keys."""

_KINDS: Mapping[str, InstrumentKind] = {
    "CE": InstrumentKind.CALL,
    "PE": InstrumentKind.PUT,
    "FUT": InstrumentKind.FUTURE,
    "": InstrumentKind.FUTURE,
}


@dataclass(frozen=True, slots=True)
class Paging:
    """Where a page stands."""

    number: int
    pages: int
    total: int


def paging_of(document: Mapping[str, Any]) -> Paging:
    """The page block beside `data`; the key comes in two spellings."""
    meta = document.get("meta_data") if "meta_data" in document else document.get("metaData")
    page = Row(meta, "page block").part("page")
    return Paging(page.whole("page_number"), page.whole("total_pages"), page.whole("total_records"))


def past_fill_from_row(data: object, account: AccountId, directory: Directory) -> PastFill | None:
    """A row of the historical trades; None for a mutual fund's."""
    row = Row(data, "past trade")
    if row.data.get("segment") == FUNDS_SEGMENT:
        return None
    market = _market(row)
    day = _day(row, "trade_date")
    instrument, segment, kind = _contract(row, market, directory)
    side = row.one_of("transaction_type", Side)
    scale = PRICE_SCALE[market.exchange]
    quantity = row.whole("quantity")
    if quantity <= 0:
        raise row.bad("quantity")
    nobody = BrokerOrderId("")
    fill = Fill(
        id=FillId(BROKER, account, market.exchange, segment, day.isoformat(), nobody, row.text("trade_id"), side),
        account=account,
        instrument=instrument,
        segment=segment,
        kind=kind,
        product=Product.CNC if kind is InstrumentKind.SHARE else Product.NRML,
        side=side,
        quantity=quantity,
        price=traded_price(row, "price", scale),
        filled_at=_midnight(day),
        broker_order_id=nobody,
        price_scale=scale,
    )
    worth = None if row.data.get("amount") in (None, "") else row.number("amount")
    words = encode_json(data).decode()
    return PastFill(fill, words, order_known=False, time_known=False, product_known=False, worth=worth)


def _market(row: Row) -> Market:
    prefix = str(row.data.get("instrument_token") or "").partition("|")[0]
    words = (str(row.data.get("exchange")), str(row.data.get("segment")))
    market = MARKETS.get(prefix) or MARKETS.get(_BY_WORDS.get(words, ""))
    if market is None:
        raise row.bad("exchange", f"{words[0]} {words[1]}")
    return market


def _contract(row: Row, market: Market, directory: Directory) -> tuple[InstrumentId, Segment, InstrumentKind]:
    expiry = _day(row, "expiry") if row.maybe_text("expiry") else None
    known = directory.by_key(str(row.data.get("instrument_token") or ""))
    # A derivative's number is given to another contract after its expiry.
    if known is not None and known.expiry == expiry:
        return known.id, known.segment, known.kind
    symbol = row.maybe_text("symbol") or row.text("scrip_name")
    if market.cash or expiry is None:
        kind = InstrumentKind.SHARE
        if not market.cash:
            raise row.bad("expiry")
        return instrument_id(market.exchange.value, symbol), segment_of(market, kind), kind
    kind_word = row.maybe_text("option_type") or ""
    if kind_word not in _KINDS:
        raise row.bad("option_type")
    kind = _KINDS[kind_word]
    # The list does not say which contracts are weekly: only indices have them, and a month's last one is the monthly.
    weekly = symbol in INDEX_UNDERLYINGS and (expiry + timedelta(days=7)).month == expiry.month
    name = contract_symbol(symbol, expiry, kind, _strike(row), weekly=weekly)
    return instrument_id(market.exchange.value, name), segment_of(market, kind), kind


def _strike(row: Row) -> Decimal | None:
    text = row.maybe_text("strike_price")
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        raise row.bad("strike_price") from None


def _day(row: Row, name: str) -> date:
    """`2026-11-24` or `24-11-2026`."""
    text = row.text(name)[:10]
    for form in ("%Y-%m-%d", "%d-%m-%Y"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=IST).date()
        except ValueError:
            continue
    raise row.bad(name)


def _midnight(day: date) -> Nanos:
    return from_datetime(datetime(day.year, day.month, day.day, tzinfo=IST))


# -- realised P&L ----------------------------------------------------------------------------------------------------


def report_query(segment: Segment, year: int, start: date | None, end: date | None) -> list[tuple[str, str]]:
    """The question for a financial year, or a part of it. Raises Denied."""
    if segment not in _SEGMENTS:
        raise Denied("There is no P&L report of an index.", "Choose what was traded on it.")
    query = [("segment", _SEGMENTS[segment]), ("financial_year", f"{year % 100:02d}{(year + 1) % 100:02d}")]
    if start is not None:
        query.append(("from_date", f"{start:%d-%m-%Y}"))
    if end is not None:
        query.append(("to_date", f"{end:%d-%m-%Y}"))
    return query


def realised_from_row(data: object) -> RealisedRow:
    """A row of the P&L report."""
    row = Row(data, "report row")
    return RealisedRow(
        name=row.text("scrip_name"),
        isin=row.maybe_text("isin") or "",
        quantity=row.number("quantity"),
        bought_on=_day(row, "buy_date"),
        buy_average=row.number("buy_average"),
        buy_amount=row.number("buy_amount"),
        sold_on=_day(row, "sell_date"),
        sell_average=row.number("sell_average"),
        sell_amount=row.number("sell_amount"),
    )


def report_charges_from(data: object) -> Charges:
    """The charges of a report."""
    row = Row(data, "report charges").part("charges_breakdown")
    taxes, more = row.part("taxes"), row.part("charges")
    nothing = Decimal(0)
    return Charges(
        brokerage=round_paisa(row.number("brokerage")),
        transaction_tax=round_paisa(taxes.number("stt")),
        exchange_charge=round_paisa(more.number("transaction") + more.number("ipft", nothing)),
        sebi_fee=round_paisa(more.number("sebi_turnover")),
        stamp_duty=round_paisa(taxes.number("stamp_duty")),
        gst=round_paisa(taxes.number("gst")),
        other=round_paisa(
            more.number("clearing", nothing)
            + more.number("others", nothing)
            + more.number("demat_transaction", nothing)
        ),
    )


# -- calendar --------------------------------------------------------------------------------------------------------


def market_day_from_row(data: object) -> MarketDay:
    """A row of the holidays."""
    row = Row(data, "holiday")
    try:
        kind = HolidayKind(row.text("holiday_type").replace("_", " ").lower())
    except ValueError:
        raise row.bad("holiday_type") from None
    opened = row.data.get("open_exchanges") or []
    if not isinstance(opened, list):
        raise row.bad("open_exchanges")
    return MarketDay(
        on=_day(row, "date"),
        description=row.maybe_text("description") or "",
        kind=kind,
        closed=row.texts("closed_exchanges"),
        open=tuple(timing_from_row(one) for one in opened),
    )


def timing_from_row(data: object) -> SessionTiming:
    """An exchange's session; times in milliseconds."""
    row = Row(data, "session")
    start, end = row.whole("start_time"), row.whole("end_time")
    if end <= start:
        raise BadAnswer("The broker sent a session that ends before it begins.", detail=row.text("exchange"))
    return SessionTiming(row.text("exchange"), start * 1_000_000, end * 1_000_000)
