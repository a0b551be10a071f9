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
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from app.brokers.parts import PastFill
from app.brokers.rows import PRICE_SCALE, to_nanos, to_traded_price
from app.brokers.zerodha.mapping import BROKER, market_of
from app.domain.errors import BadAnswer, Denied
from app.domain.fill import Fill, Source
from app.domain.ids import AccountId, BrokerOrderId, FillId, instrument_id
from app.domain.instrument import Exchange, Product, Segment
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


def read_tradebook(text: str, account: AccountId) -> list[PastFill]:
    """Every fill of a Console tradebook CSV. Raises Denied for another file, BadAnswer that names a line."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    columns = {name.strip().lower() for name in reader.fieldnames or ()}
    if not columns >= NEEDED:
        raise Denied(
            "This is not a tradebook of Zerodha's Console: it lacks " + ", ".join(sorted(NEEDED - columns)) + ".",
            "Download it again: Console, Reports, Tradebook, CSV.",
        )
    found = []
    for row in reader:
        clean = {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if key}
        if any(clean.values()):
            found.append(_past_fill(clean, account, reader.line_num))
    return found


def _past_fill(row: Mapping[str, str], account: AccountId, line: int) -> PastFill:
    try:
        exchange = _EXCHANGES.get((row["exchange"].upper(), row["segment"].upper())) or Exchange(
            row["exchange"].upper()
        )
        side = Side(row["trade_type"].upper())
        day = date.fromisoformat(row["trade_date"])
        amount, scale = Decimal(row["quantity"]), PRICE_SCALE[exchange]
        price = to_traded_price(Decimal(row["price"]), scale)
        moment = row.get("order_execution_time", "").replace("T", " ")
        filled_at = to_nanos(moment or f"{day.isoformat()} 00:00:00")
        quantity = int(amount)
        if quantity != amount or quantity <= 0 or not row["symbol"] or not row["trade_id"]:
            raise ValueError("no trade")
        segment, kind = market_of(exchange, row["symbol"])
    except (ValueError, KeyError, InvalidOperation, BadAnswer) as odd:
        raise BadAnswer(
            f"Line {line} of the tradebook cannot be read; nothing was imported.",
            "Download the file again, or correct the line.",
            detail=f"{odd}",
        ) from odd
    order = BrokerOrderId(row["order_id"])
    fill = Fill(
        id=FillId(BROKER, account, exchange, segment, day.isoformat(), order, row["trade_id"], side),
        account=account,
        instrument=instrument_id(exchange, row["symbol"]),
        segment=segment,
        kind=kind,
        product=Product.CNC if segment is Segment.EQUITY else Product.NRML,
        side=side,
        quantity=quantity,
        price=price,
        filled_at=filled_at,
        broker_order_id=order,
        price_scale=scale,
        source=Source.FILE,
    )
    return PastFill(fill, json.dumps(dict(row)), bool(order), bool(moment), product_known=False)
