"""What past trades come to: the trade history by date, closed lots and charges of a financial year (B9). Pure.

Lots are matched first in, first out, by instrument, intraday apart from the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from app.simulator.charges import UPSTOX, Note
from app.simulator.demat import of_days
from app.simulator.listing import Listing
from app.simulator.order import Fill
from app.simulator.refusals import worth
from app.simulator.upstox.brokerage import cost
from app.simulator.upstox.keys import isin_of, key_of, symbol_of

SEGMENTS = ("EQ", "FO", "COM", "CD", "MF")
_OF_EXCHANGE = {
    "NSE": "EQ",
    "BSE": "EQ",
    "NFO": "FO",
    "BFO": "FO",
    "MCX": "COM",
    "NCO": "COM",
    "CDS": "CD",
    "BCD": "CD",
}
Days = Mapping[str, Iterable[Fill]]
"""Day -> its fills, in order of the days."""


@dataclass(frozen=True, slots=True)
class Dated:
    """A fill and its day."""

    day: date
    fill: Fill
    listing: Listing


@dataclass(slots=True)
class Lot:
    """What is left of an opening fill."""

    opened: Dated
    left: int


def report_segment(listing: Listing) -> str:
    """`EQ`, `FO`, `COM` or `CD`."""
    return _OF_EXCHANGE.get(listing.exchange, "EQ")


def dated(days: Days, listings: Mapping[int, Listing], segment: str | None, since: date, until: date) -> list[Dated]:
    """Fills from one day to another, both included; of contracts that are listed no more nothing can be told."""
    found = []
    for text in sorted(days):
        day = date.fromisoformat(text)
        if since <= day <= until:
            for fill in days[text]:
                listing = listings.get(fill.token)
                if listing is not None and segment in (None, report_segment(listing)):
                    found.append(Dated(day, fill, listing))
    return found


def history_row(item: Dated) -> dict[str, Any]:
    """A row of charges/historical-trades."""
    fill, listing = item.fill, item.listing
    return {
        "exchange": fill.exchange,
        "segment": report_segment(listing),
        "option_type": listing.instrument_type if listing.is_option else "",
        "quantity": fill.quantity,
        "amount": worth(listing, fill.quantity, fill.price) / 100,
        "trade_id": fill.trade_id,
        "trade_date": item.day.isoformat(),
        "transaction_type": fill.side,
        "scrip_name": listing.name if not listing.underlying else symbol_of(listing),
        "strike_price": f"{listing.strike:.2f}" if listing.is_option else "0.0",
        "expiry": listing.expiry.isoformat() if listing.expiry is not None else "",
        "price": fill.price / listing.price_scale,
        "isin": isin_of(listing),
        "symbol": symbol_of(listing),
        "instrument_token": key_of(listing),
    }


def closed_lots(items: Iterable[Dated], since: date, until: date) -> list[dict[str, Any]]:
    """Rows of trade/profit-loss/data: lots that were closed from one day to another."""
    open_lots: dict[tuple[int, str], deque[Lot]] = {}
    rows = []
    for item in items:
        kind = "intraday" if item.fill.product == "MIS" else "carried"
        lots = open_lots.setdefault((item.fill.token, kind), deque())
        left = item.fill.quantity
        while left and lots and lots[0].opened.fill.side != item.fill.side:
            lot = lots[0]
            part = min(left, lot.left)
            left -= part
            lot.left -= part
            if not lot.left:
                lots.popleft()
            if since <= item.day <= until:
                rows.append(_closed(lot.opened, item, part))
        if left:
            lots.append(Lot(item, left))
    return rows


def _closed(opened: Dated, closed: Dated, quantity: int) -> dict[str, Any]:
    bought, sold = (opened, closed) if opened.fill.side == "BUY" else (closed, opened)
    listing = closed.listing
    return {
        "quantity": float(quantity),
        "isin": isin_of(listing),
        "scrip_name": listing.name if not listing.underlying else symbol_of(listing),
        "trade_type": "OPT" if listing.is_option else "FUT" if listing.underlying else "EQ",
        "buy_date": bought.day.strftime("%d-%m-%Y"),
        "buy_average": bought.fill.price / listing.price_scale,
        "sell_date": sold.day.strftime("%d-%m-%Y"),
        "sell_average": sold.fill.price / listing.price_scale,
        "buy_amount": worth(listing, quantity, bought.fill.price) / 100,
        "sell_amount": worth(listing, quantity, sold.fill.price) / 100,
    }


def charges(items: Iterable[Dated]) -> dict[str, Any]:
    """`charges_breakdown` of trade/profit-loss/charges: a note for every order of every day."""
    items = list(items)
    demat = of_days(((item.day, item.fill, item.listing) for item in items), UPSTOX) / 100
    turnover: dict[tuple[date, str, str, str], int] = {}
    listing_of: dict[str, Listing] = {}
    for item in items:
        fill = item.fill
        key = (item.day, fill.order_id, fill.product, fill.side)
        turnover[key] = turnover.get(key, 0) + worth(item.listing, fill.quantity, fill.price)
        listing_of[fill.order_id] = item.listing
    notes: list[Note] = [
        cost(listing_of[order_id], product, side, Decimal(value) / 100, day).note
        for (day, order_id, product, side), value in turnover.items()
    ]
    heads = {
        name: float(sum((getattr(each, name) for each in notes), Decimal(0)))
        for name in ("total", "brokerage", "gst", "tax", "stamp", "exchange", "sebi")
    }
    return {
        "total": heads["total"] + demat,
        "brokerage": heads["brokerage"],
        "taxes": {"gst": heads["gst"], "stt": heads["tax"], "stamp_duty": heads["stamp"]},
        "charges": {
            "transaction": heads["exchange"],
            "clearing": 0.0,
            "others": 0.0,
            "sebi_turnover": heads["sebi"],
            "demat_transaction": demat,
        },
    }
