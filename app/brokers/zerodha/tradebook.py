"""The tradebook file of Zerodha's Console as fills. Pure.

Columns as importers of real files read them: `symbol,isin,trade_date,exchange,segment,series,trade_type,auction,
quantity,price,trade_id,order_id,order_execution_time`, for derivatives `expiry_date` too; equity and derivatives are
files of their own. There is no product, so intraday and delivery look alike. A line that cannot be read refuses the
whole file: a part of a tradebook is not one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from app.brokers.parts import PastFill
from app.brokers.rows import PRICE_SCALE, to_nanos, to_traded_price
from app.brokers.zerodha.mapping import BROKER, market_of
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Fill, Source
from app.domain.ids import AccountId, BrokerOrderId, FillId, instrument_id
from app.domain.instrument import Exchange, Product, Segment
from app.domain.money import Price
from app.domain.order import Side

NEEDED = frozenset(
    {"symbol", "trade_date", "exchange", "segment", "trade_type", "quantity", "price", "trade_id", "order_id"}
)
_EXCHANGES = {
    ("NSE", "EQ"): Exchange.NSE,
    ("BSE", "EQ"): Exchange.BSE,
    ("NSE", "FO"): Exchange.NFO,
    ("BSE", "FO"): Exchange.BFO,
    ("NSE", "CDS"): Exchange.CDS,
    ("BSE", "CDS"): Exchange.BCD,
    ("NSE", "COM"): Exchange.NCO,
    ("MCX", "COM"): Exchange.MCX,
}
"""Console names exchange and segment; Kite has one code for both. Files that use Kite's code are taken too."""


_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
T = TypeVar("T")


def read_tradebook(text: str, account: AccountId) -> list[PastFill]:
    """Every fill of a Console tradebook CSV. Raises Denied for another file, BadAnswer that names line and column."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    columns = {name.strip().lower() for name in reader.fieldnames or ()}
    if not columns >= NEEDED:
        raise Denied(_no_tradebook(text, columns), "Download it again: Console, Reports, Tradebook, CSV.")
    found = []
    for row in reader:
        clean = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
        if not any(clean.values()):
            continue
        try:
            if any(row.get(None) or ()):  # a comma at the end is no field
                raise ValueError("it has more fields than the first line")
            found.append(_past_fill(clean, account))
        except (ValueError, BadAnswer) as odd:
            raise BadAnswer(
                f"Line {reader.line_num} of the tradebook cannot be read; nothing was imported.",
                "Download the file again, or correct the line.",
                detail=f"{odd}",
            ) from odd
    return found


def _no_tradebook(text: str, columns: set[str]) -> str:
    if not text.strip("\ufeff \t\r\n"):
        return "The file is empty."
    first = text.strip().splitlines()[0].lower()
    if all(name in first for name in NEEDED):
        return "The columns of this file are not separated by commas."
    return "This is not a tradebook of Zerodha's Console: it lacks " + ", ".join(sorted(NEEDED - columns)) + "."


def _past_fill(row: Mapping[str, str], account: AccountId) -> PastFill:
    """Raises ValueError that names the column, BadAnswer for a symbol of no market."""
    exchange = _field(row, "exchange", lambda text: _exchange(text, row["segment"]), "is no exchange known here")
    side = _field(row, "trade_type", lambda text: _SIDES[text.upper()], "is neither buy nor sell")
    day = _field(row, "trade_date", date.fromisoformat, "is no date like 2026-11-18")
    price = _field(row, "price", lambda text: _price(text, exchange), "is no price like 1500.05")
    quantity = _field(row, "quantity", _quantity, "is no whole number above nought, like 75")
    moment = row.get("order_execution_time", "").replace("T", " ")
    if moment and not moment.startswith(day.isoformat()):
        raise ValueError(f"order_execution_time: {moment!r} is not on the trade date {day.isoformat()}")
    filled_at = _field(
        {"order_execution_time": moment or f"{day.isoformat()} 00:00:00"},
        "order_execution_time", to_nanos, "is no time like 2026-11-18T09:20:11",
    )  # fmt: skip
    symbol, trade_id = _field(row, "symbol", _word, "is no symbol"), _field(row, "trade_id", _word, "is no trade id")
    segment, kind = market_of(exchange, symbol)
    order = BrokerOrderId(row["order_id"])
    fill = Fill(
        id=FillId(BROKER, account, exchange, segment, day.isoformat(), order, trade_id, side),
        account=account,
        instrument=instrument_id(exchange, symbol),
        segment=segment,
        kind=kind,
        product=Product.CNC if segment is Segment.EQUITY else Product.NRML,
        side=side,
        quantity=quantity,
        price=price,
        filled_at=filled_at,
        broker_order_id=order,
        price_scale=PRICE_SCALE[exchange],
        source=Source.FILE,
    )
    return PastFill(fill, json.dumps(dict(row)), bool(order), bool(moment), product_known=False)


def _field(row: Mapping[str, str], name: str, read: Callable[[str], T], otherwise: str) -> T:
    """One column, or ValueError in words."""
    try:
        return read(row[name])
    except (ValueError, KeyError, InvalidOperation, BadAnswer) as odd:
        raise ValueError(f"{name}: {row[name]!r} {otherwise}") from odd


def _exchange(text: str, segment: str) -> Exchange:
    return _EXCHANGES.get((text.upper(), segment.upper())) or Exchange(text.upper())


def _price(text: str, exchange: Exchange) -> Price:
    price = to_traded_price(Decimal(text), PRICE_SCALE[exchange])
    if price <= 0:
        raise ValueError(text)
    return price


def _quantity(text: str) -> int:
    amount = Decimal(text)
    quantity = int(amount)
    if quantity != amount or quantity <= 0:
        raise ValueError(text)
    return quantity


def _word(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(text)
    return text
