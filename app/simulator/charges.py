"""The paper exchange's own virtual contract note (POST /charges/orders): rates by date, rounding as in the samples.

Written from the published schedule, apart from the program's own charges: each checks the other. Exact:
the call answers unrounded heads, an exchange charge that holds the investor protection levy, stamp rounded by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from app.simulator.figures import number
from app.simulator.listing import Listing
from app.simulator.order import Fill
from app.simulator.refusals import multiplier

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
Rates = Sequence[tuple[str, str]]
"""(in force from, fraction), newest first."""

TAX: dict[tuple[str, str], Rates] = {
    (DELIVERY, "BUY"): (("2012-07-01", "0.001"),),
    (DELIVERY, "SELL"): (("2012-07-01", "0.001"),),
    (INTRADAY, "SELL"): (("2006-06-01", "0.00025"),),
    (FUTURE, "SELL"): (
        ("2026-04-01", "0.0005"),
        ("2024-10-01", "0.0002"),
        ("2023-04-01", "0.000125"),
        ("2013-06-01", "0.0001"),
    ),
    (OPTION, "SELL"): (
        ("2026-04-01", "0.0015"),
        ("2024-10-01", "0.001"),
        ("2023-04-01", "0.000625"),
        ("2016-06-01", "0.0005"),
    ),
    (COMMODITY_FUTURE, "SELL"): (("2013-07-01", "0.0001"),),
    (COMMODITY_OPTION, "SELL"): (("2018-01-01", "0.0005"),),
}
_NSE_SHARES: Rates = (
    ("2026-03-01", "0.000030699"),
    ("2024-10-01", "0.0000297"),
    ("2024-04-01", "0.0000322"),
    ("2023-04-01", "0.0000325"),
    ("2021-01-01", "0.0000345"),
    ("2009-10-01", "0.0000325"),
)
EXCHANGE: dict[tuple[str, str], Rates] = {
    ("NSE", DELIVERY): _NSE_SHARES,
    ("NSE", INTRADAY): _NSE_SHARES,
    ("NFO", FUTURE): (
        ("2026-03-01", "0.000018299"),
        ("2024-10-01", "0.0000173"),
        ("2024-04-01", "0.0000188"),
        ("2023-04-01", "0.000019"),
        ("2021-01-01", "0.00002"),
    ),
    ("NFO", OPTION): (
        ("2026-03-01", "0.000355299"),
        ("2024-10-01", "0.0003503"),
        ("2024-04-01", "0.000495"),
        ("2023-04-01", "0.0005"),
        ("2021-01-01", "0.00053"),
        ("2018-01-01", "0.0005"),
    ),
    ("BSE", DELIVERY): (("2022-12-01", "0.0000375"),),
    ("BSE", INTRADAY): (("2022-12-01", "0.0000375"),),
    ("BFO", FUTURE): (("2018-01-01", "0"),),
    ("BFO", OPTION): (("2024-10-01", "0.000325"),),
    ("CDS", CURRENCY_FUTURE): (("2024-10-01", "0.0000035"),),
    ("CDS", CURRENCY_OPTION): (("2024-10-01", "0.000311"),),
    ("BCD", CURRENCY_FUTURE): (("2024-10-01", "0.0000045"),),
    ("BCD", CURRENCY_OPTION): (("2018-01-01", "0.00001"),),
    ("MCX", COMMODITY_FUTURE): (("2024-10-01", "0.000021"), ("2018-01-01", "0.000026")),
    ("MCX", COMMODITY_OPTION): (("2024-10-01", "0.000418"), ("2018-01-01", "0.0005")),
}
BSE_INDEX_OPTIONS = frozenset({"SENSEX", "BANKEX"})
BSE_OTHER_OPTIONS: Rates = (("2024-10-01", "0.00005"),)
_IPFT_SHARES: Rates = (("2026-03-01", "0.000000001"), ("2023-04-01", "0.000001"), ("2009-10-01", "0.000000001"))
PROTECTION: dict[tuple[str, str], Rates] = {
    ("NSE", DELIVERY): _IPFT_SHARES,
    ("NSE", INTRADAY): _IPFT_SHARES,
    ("NFO", FUTURE): _IPFT_SHARES,
    ("NFO", OPTION): (("2026-03-01", "0.000000001"), ("2023-04-01", "0.000005"), ("2018-01-01", "0.000000001")),
    ("CDS", CURRENCY_FUTURE): (("2023-04-01", "0.0000005"),),
    ("CDS", CURRENCY_OPTION): (("2023-04-01", "0.00002"),),
}
SEBI: Rates = (
    ("2021-04-01", "0.000001"),
    ("2020-06-01", "0.0000005"),
    ("2019-04-01", "0.000001"),
    ("2017-04-01", "0.0000015"),
)
STAMP = {
    DELIVERY: "0.00015",
    INTRADAY: "0.00003",
    FUTURE: "0.00002",
    COMMODITY_FUTURE: "0.00002",
    OPTION: "0.00003",
    COMMODITY_OPTION: "0.00003",
    CURRENCY_FUTURE: "0.000001",
    CURRENCY_OPTION: "0.000001",
}
STAMP_SINCE = date(2020, 7, 1)
GST = Decimal("0.18")
FLAT_FEE = Decimal(20)
PERCENT_FEE = Decimal("0.0003")
FUNDED_FEE = Decimal("0.003")
"""Intraday shares and futures: 0.03 % or the flat fee, whichever is less; options the flat fee; delivery nothing;
margin funding 0.3 % or the flat fee.
"""


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


def brokerage(segment: str, product: str, turnover: Decimal) -> Decimal:
    """Of one order."""
    if product == "MTF":
        return min(FLAT_FEE, turnover * FUNDED_FEE)
    if segment == DELIVERY:
        return Decimal(0)
    if segment in (OPTION, COMMODITY_OPTION, CURRENCY_OPTION):
        return FLAT_FEE
    return min(FLAT_FEE, turnover * PERCENT_FEE)


_TAX_KIND = {COMMODITY_FUTURE: "ctt", COMMODITY_OPTION: "ctt", CURRENCY_FUTURE: "", CURRENCY_OPTION: ""}


def note(listing: Listing, product: str, side: str, turnover: Decimal, on: date) -> Note:
    """Charges of one order with this turnover in rupees (premium for options)."""
    segment = segment_of(listing, product)
    where = (listing.exchange, segment)
    rates = EXCHANGE.get(where, ())
    if where == ("BFO", OPTION) and listing.name not in BSE_INDEX_OPTIONS:
        rates = BSE_OTHER_OPTIONS
    exact_exchange = turnover * rate(rates, on)
    levy = turnover * rate(PROTECTION.get(where, ()), on)
    sebi = turnover * rate(SEBI, on)
    fee = brokerage(segment, product, turnover)
    stamp = Decimal(0)
    if side == "BUY" and on >= STAMP_SINCE:
        stamp = (turnover * Decimal(STAMP[segment])).quantize(Decimal(1), ROUND_HALF_UP)
    return Note(
        tax=turnover * rate(TAX.get((segment, side), ()), on),
        tax_kind=_TAX_KIND.get(segment, "stt"),
        exchange=exact_exchange + levy,
        sebi=sebi,
        brokerage=fee,
        stamp=stamp,
        gst=(fee + exact_exchange + sebi) * GST,
    )


def of_fills(fills: Iterable[Fill], listings: dict[int, Listing], on: date) -> int:
    """What a day's orders cost, paise, for the ledger."""
    turnover: dict[tuple[str, int, str, str], int] = {}
    for fill in fills:
        listing = listings.get(fill.token)
        if listing is not None:
            key = (fill.order_id, fill.token, fill.product, fill.side)
            turnover[key] = turnover.get(key, 0) + fill.quantity * fill.price * multiplier(listing)
    total = Decimal(0)
    for (_, token, product, side), value in turnover.items():
        total += note(listings[token], product, side, Decimal(value) / 100, on).total
    return int((total * 100).to_integral_value(ROUND_HALF_UP))
