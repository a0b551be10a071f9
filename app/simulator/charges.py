"""The paper exchange's own contract notes: rates by date and broker, rounding as in the samples.

Read from `resources/paper/charges.json`, which was written from the published schedules apart from the program's own
charges: each checks the other. Exact: heads are unrounded, the exchange charge holds the investor protection levy,
stamp is rounded by itself. A depository's fee for shares that leave the account stands on no contract note.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

from app.simulator.figures import number
from app.simulator.listing import Listing, samples
from app.simulator.order import Fill
from app.simulator.refusals import worth

DELIVERY, INTRADAY, FUTURE, OPTION, COMMODITY_FUTURE, COMMODITY_OPTION, CURRENCY_FUTURE, CURRENCY_OPTION = (
    "delivery",
    "intraday",
    "future",
    "option",
    "commodity future",
    "commodity option",
    "currency future",
    "currency option",
)
SHARES = (DELIVERY, INTRADAY)
FUNDED = "margin funding"
"""Of brokerage alone: a delivery on the broker's money."""
ZERODHA, UPSTOX = "zerodha", "upstox"
_PERCENT = Decimal(100)
_ROUNDING = {"rupee": Decimal(1), "paisa": Decimal("0.01")}
Rates = Sequence[Sequence[str]]
"""[in force from, fraction], newest first."""


@cache
def _schedule() -> dict[str, Any]:
    path = samples().parent / "paper" / "charges.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@cache
def _rates(head: str, first: str, second: str) -> Rates:
    """`tax` goes by segment and side, `exchange` and `protection` by exchange and segment; none: nothing is due."""
    names = ("segment", "side") if head == "tax" else ("exchange", "segment")
    for row in _schedule()[head]:
        if (row[names[0]], row[names[1]]) == (first, second):
            found: Rates = row["rates"]
            return found
    return ()


@dataclass(frozen=True, slots=True)
class Note:
    """Charges of one order, exact rupees."""

    tax: Decimal
    tax_kind: str
    exchange: Decimal
    """With the investor protection levy."""
    sebi: Decimal
    brokerage: Decimal
    stamp: Decimal
    gst: Decimal

    @property
    def total(self) -> Decimal:
        """Sum of the heads."""
        return self.tax + self.exchange + self.sebi + self.brokerage + self.stamp + self.gst

    def row(self) -> dict[str, Any]:
        """The `charges` object of the answer."""
        gst = {"igst": number(self.gst), "cgst": 0, "sgst": 0, "total": number(self.gst)}
        return {
            "transaction_tax": number(self.tax),
            "transaction_tax_type": self.tax_kind,
            "exchange_turnover_charge": number(self.exchange),
            "sebi_turnover_charge": number(self.sebi),
            "brokerage": number(self.brokerage),
            "stamp_duty": number(self.stamp),
            "gst": gst,
            "total": number(self.total),
        }


def segment_of(listing: Listing, product: str) -> str:
    """Which row of the tables an order falls in."""
    if listing.exchange in ("MCX", "NCO"):
        return COMMODITY_OPTION if listing.is_option else COMMODITY_FUTURE
    if listing.exchange in ("CDS", "BCD"):
        return CURRENCY_OPTION if listing.is_option else CURRENCY_FUTURE
    if listing.is_option:
        return OPTION
    if listing.instrument_type == "FUT":
        return FUTURE
    return INTRADAY if product in ("MIS", "CO") else DELIVERY


def rate(rates: Rates, on: date) -> Decimal:
    """In force on a day; before the first known day, the oldest known."""
    for since, fraction in rates:
        if on >= date.fromisoformat(since):
            return Decimal(fraction)
    return Decimal(rates[-1][1]) if rates else Decimal(0)


def brokerage(broker: str, segment: str, product: str, turnover: Decimal, on: date) -> Decimal:
    """Of one order: a percentage up to a flat fee, or the fee alone; never above the broker's cap."""
    plan = _schedule()["brokers"][broker]
    head = FUNDED if product == "MTF" else segment
    rows = [row for row in plan["brokerage"] if head in row["segments"]]
    row = next((row for row in rows if on >= date.fromisoformat(row["from"])), rows[-1])
    fee = Decimal(row["most"])
    if row["percent"] is not None:
        fee = min(fee, turnover * Decimal(row["percent"]) / _PERCENT)
    cap = plan.get("cap_percent")
    return fee if cap is None else min(fee, turnover * Decimal(cap) / _PERCENT)


def depository_plan(broker: str) -> Mapping[str, str]:
    """Name and fee of what the broker takes for shares that leave the account; empty where it is not told."""
    found: Mapping[str, str] = _schedule()["brokers"][broker].get("depository", {})
    return found


def depository_fee(broker: str, on: date) -> Decimal:
    """Rupees with tax for a share that leaves the demat account on a day."""
    return rate(_schedule()["brokers"][broker]["depository_fee"], on)


_TAX_KIND = {COMMODITY_FUTURE: "ctt", COMMODITY_OPTION: "ctt", CURRENCY_FUTURE: "", CURRENCY_OPTION: ""}


def levy(listing: Listing, product: str, turnover: Decimal, on: date) -> Decimal:
    """For the investors' protection; a part of the exchange charge."""
    return turnover * rate(_rates("protection", listing.exchange, segment_of(listing, product)), on)


def note(listing: Listing, product: str, side: str, turnover: Decimal, on: date, broker: str = ZERODHA) -> Note:
    """Charges of one order with this turnover in rupees (premium for options)."""
    segment, schedule = segment_of(listing, product), _schedule()
    rates = _rates("exchange", listing.exchange, segment)
    if (listing.exchange, segment) == ("BFO", OPTION) and listing.name not in schedule["bse_index_options"]:
        rates = schedule["bse_other_options"]
    exact_exchange = turnover * rate(rates, on)
    sebi = turnover * rate(schedule["sebi"], on)
    fee = brokerage(broker, segment, product, turnover, on)
    stamp = Decimal(0)
    if side == "BUY" and on >= date.fromisoformat(schedule["stamp"]["since"]):
        step = _ROUNDING[schedule["brokers"][broker]["stamp_rounding"]]
        stamp = (turnover * Decimal(schedule["stamp"]["rates"][segment])).quantize(step, ROUND_HALF_UP)
    return Note(
        tax=turnover * rate(_rates("tax", segment, side), on),
        tax_kind=_TAX_KIND.get(segment, "stt"),
        exchange=exact_exchange + levy(listing, product, turnover, on),
        sebi=sebi,
        brokerage=fee,
        stamp=stamp,
        gst=(fee + exact_exchange + sebi) * Decimal(schedule["gst"]),
    )


def of_fills(
    fills: Iterable[Fill], listings: dict[int, Listing], on: date, brokers: Mapping[str, str] | None = None
) -> int:
    """What a day's orders cost, paise, for the ledger. `brokers`: over whose wire an order came; Zerodha's when it is
    not said."""
    turnover: dict[tuple[str, int, str, str], int] = {}
    for fill in fills:
        listing = listings.get(fill.token)
        if listing is not None:
            key = (fill.order_id, fill.token, fill.product, fill.side)
            turnover[key] = turnover.get(key, 0) + worth(listing, fill.quantity, fill.price)
    total = Decimal(0)
    for (order_id, token, product, side), value in turnover.items():
        broker = (brokers or {}).get(order_id, ZERODHA)
        total += note(listings[token], product, side, Decimal(value) / 100, on, broker).total
    return int((total * 100).to_integral_value(ROUND_HALF_UP))
