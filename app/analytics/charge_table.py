"""Dated rates of every charge head, parsed from the text of `resources/charges/*.csv`.

Three kinds of file, told apart by their header: statutory and exchange rates (`head,exchange,segment,...`), a broker's
price list (`plan,segment,...`) and how much lots hold (`exchange,underlying,...`, see `contract_sizes`). A nil rate is
a row with 0: what has no row is unknown and raises, it is never zero. Rates are kept as integers in units of 10^-10, so
that charges are exact (the smallest rate is 10^-9: 0.01 a crore); a rate with more decimals is refused.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from app.analytics.contract_sizes import COLUMNS as SIZE_COLUMNS
from app.analytics.contract_sizes import ContractSizes
from app.domain.errors import AppError
from app.domain.ids import InstrumentId, split_instrument_id
from app.domain.instrument import Exchange, InstrumentKind

RATE_SCALE = 10**10
"""A fraction of 1 as an integer rate."""

_RATE_COLUMNS = ["head", "exchange", "segment", "from", "to", "side", "fraction", "base", "mark", "source"]
_PLAN_COLUMNS = ["plan", "segment", "from", "to", "kind", "fraction", "cap", "mark", "source"]
_HEADS = frozenset({"STT", "CTT", "EXCH", "IPFT", "SEBI", "STAMP", "GST"})
_OPEN_END = "9999-12-31"

_HOUSE = {
    Exchange.NSE: "NSE",
    Exchange.NFO: "NSE",
    Exchange.CDS: "NSE",
    Exchange.BSE: "BSE",
    Exchange.BFO: "BSE",
    Exchange.BCD: "BSE",
    Exchange.MCX: "MCX",
    Exchange.NCO: "NCO",
}
_FAMILY = {
    Exchange.NFO: "EQ",
    Exchange.BFO: "EQ",
    Exchange.CDS: "CUR",
    Exchange.BCD: "CUR",
    Exchange.MCX: "COM",
    Exchange.NCO: "COM",
}
_AGRI = ("COTTON", "KAPAS", "CPO", "MENTHAOIL", "CARDAMOM", "CASTORSEED", "RBDPMOLEIN", "PEPPER", "RUBBER")
"""Underlyings of agricultural contracts at MCX: no CTT, lower SEBI fee."""


class ChargesUnknown(AppError):
    """No rate is on file for a date, exchange or segment."""

    default_next_step = "The trade is shown without charges until a rate table that covers it is installed."


class BadChargeTable(AppError):
    """A rate file that cannot be read."""

    default_next_step = "Reinstall Stopline, or correct the row that is named."


@dataclass(frozen=True, slots=True)
class Rates:
    """Every rate that one class of contract pays on one day. Integers in units of 1 / RATE_SCALE."""

    tax_buy: int
    tax_sell: int
    exchange: int
    """Exchange transaction charge and investor protection levy (IPFT) together, each side."""
    sebi: int
    stamp_buy: int
    stamp_sell: int
    gst: int
    taxed: int
    """The part of exchange charge, IPFT and SEBI fee that GST is due on; it is due on all brokerage."""
    flat_brokerage: bool
    """True: the cap itself per executed order, whatever its value."""
    brokerage: int
    cap_paise: int
    """Most brokerage that one executed order pays."""


@dataclass(frozen=True, slots=True)
class _Row:
    since: str
    until: str
    side: str
    fraction: int
    base: str


@dataclass(frozen=True, slots=True)
class _PlanRow:
    since: str
    until: str
    flat: bool
    fraction: int
    cap_paise: int


def charge_class(exchange: Exchange, kind: InstrumentKind, instrument: InstrumentId) -> str:
    """Which rows of the table a contract goes by, `EQ`, `EQ_FUT`, ...: the intraday or delivery split comes later."""
    if kind is InstrumentKind.SHARE and exchange in (Exchange.NSE, Exchange.BSE):
        return "EQ"
    family = _FAMILY.get(exchange)
    if family is None or kind in (InstrumentKind.SHARE, InstrumentKind.INDEX):
        raise ChargesUnknown(f"{instrument} is not a contract that can be charged.")
    option = kind is not InstrumentKind.FUTURE
    if exchange is Exchange.BFO and option:
        symbol = split_instrument_id(instrument)[1]
        # A symbol SENSEX50... could also be SENSEX of the year 2050; until then it is the SENSEX 50.
        major = symbol.startswith(("SENSEX", "BANKEX")) and not symbol.startswith("SENSEX50")
        return "EQ_OPT_SENSEX_BANKEX" if major else "EQ_OPT_OTHER"
    if option or family != "COM":
        return f"{family}_OPT" if option else f"{family}_FUT"
    return "COM_FUT_AGRI" if split_instrument_id(instrument)[1].startswith(_AGRI) else "COM_FUT_NONAGRI"


def is_trade_for_trade(instrument: InstrumentId) -> bool:
    """NSE series BE and BZ: every trade is delivery, nothing is netted within the day."""
    exchange, symbol = split_instrument_id(instrument)
    return exchange == "NSE" and symbol.endswith(("-BE", "-BZ"))


def _chain(name: str) -> list[str]:
    """`EQ_OPT_OTHER` -> itself, `EQ_OPT`, `ANY`: the most exact row wins; a derivative never takes a share's rate."""
    parts = name.split("_")
    shortest = 2 if len(parts) > 1 and parts[1] in ("FUT", "OPT") else 1
    return ["_".join(parts[:n]) for n in range(len(parts), shortest - 1, -1)] + ["ANY"]


class ChargeTable:
    """Rates by head, exchange, segment and date. Immutable after `parse`; answers are remembered."""

    def __init__(
        self,
        rates: dict[tuple[str, str, str], list[_Row]],
        plans: dict[tuple[str, str], list[_PlanRow]],
        sizes: ContractSizes,
    ) -> None:
        self.sizes = sizes
        """How much a lot of a contract holds: turnover goes by units."""
        self._rates = rates
        self._plans = plans
        self._plan_names = frozenset(plan for plan, _ in plans)
        self._known: dict[tuple[str, Exchange, str, str, str], Rates] = {}

    @classmethod
    def parse(cls, *texts: str) -> ChargeTable:
        """The table from the text of one or more files. Raises BadChargeTable naming the row that is wrong."""
        rates: dict[tuple[str, str, str], list[_Row]] = {}
        plans: dict[tuple[str, str], list[_PlanRow]] = {}
        sizes = ContractSizes({})
        for text in texts:
            reader = csv.DictReader(text.splitlines())
            columns = list(reader.fieldnames or [])
            if columns == SIZE_COLUMNS:
                try:
                    sizes = ContractSizes.of_rows(reader)
                except (ValueError, TypeError) as error:
                    raise BadChargeTable("The table of contract sizes cannot be read.", detail=str(error)) from error
                continue
            if columns not in (_RATE_COLUMNS, _PLAN_COLUMNS):
                raise BadChargeTable(f"A rate file has the columns {', '.join(columns) or 'of an empty file'}.")
            for number, row in enumerate(reader, start=2):
                try:
                    if columns == _RATE_COLUMNS:
                        _add_rate(rates, row)
                    else:
                        _add_plan(plans, row)
                except (ValueError, InvalidOperation, TypeError) as error:
                    raise BadChargeTable(f"Row {number} of a rate file cannot be read.", detail=str(error)) from error
        for rate_rows in rates.values():
            _check_overlap(rate_rows)
        for plan_rows in plans.values():
            _check_overlap(plan_rows)
        return cls(rates, plans, sizes)

    @property
    def plans(self) -> frozenset[str]:
        """Names of the price lists on file."""
        return self._plan_names

    def rates(self, plan: str, exchange: Exchange, segment: str, on: str, group: str = "") -> Rates:
        """What contracts of `segment` (`EQ_INTRADAY`, `EQ_OPT`, ...) pay on ISO date `on`. Raises ChargesUnknown.

        `group`: the BSE group of a share where it has its own exchange charge (`SME`, `X_XT_Z`, `SS_ST`).
        """
        key = (plan, exchange, segment, on, group)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._find(plan, exchange, segment, on, group)
        return found

    def _find(self, plan: str, exchange: Exchange, segment: str, on: str, group: str) -> Rates:
        house = _HOUSE[exchange]
        # Margin-funded shares are delivery to everybody but the broker.
        taxed = "EQ_DELIVERY" if segment == "EQ_MTF" else segment
        tax = self._row("CTT" if segment.startswith("COM") else "STT", house, taxed, on)
        exchange_row = self._row("EXCH", house, f"EQ_{group}" if group else segment, on)
        ipft = self._row("IPFT", house, segment, on)
        sebi = self._row("SEBI", house, segment, on)
        stamp = self._row("STAMP", house, taxed, on)
        gst = self._row("GST", house, segment, on)
        fee = self._plan_row(plan, segment, on)
        base = gst.base.split("+")
        return Rates(
            tax_buy=tax.fraction if "B" in tax.side else 0,
            tax_sell=tax.fraction if "S" in tax.side else 0,
            exchange=exchange_row.fraction + ipft.fraction,
            sebi=sebi.fraction,
            stamp_buy=stamp.fraction if "B" in stamp.side else 0,
            stamp_sell=stamp.fraction if "S" in stamp.side else 0,
            gst=gst.fraction,
            taxed=(
                ("exch" in base) * exchange_row.fraction
                + ("ipft" in base) * ipft.fraction
                + ("sebi" in base) * sebi.fraction
            ),
            flat_brokerage=fee.flat,
            brokerage=fee.fraction,
            cap_paise=fee.cap_paise,
        )

    def _row(self, head: str, house: str, segment: str, on: str) -> _Row:
        for name in _chain(segment):
            for where in (house, "ANY"):
                for row in self._rates.get((head, where, name), ()):
                    if row.since <= on <= row.until:
                        return row
        raise ChargesUnknown(f"No {_WORDS[head]} rate is on file for {house} {segment} on {on}.")

    def _plan_row(self, plan: str, segment: str, on: str) -> _PlanRow:
        if plan not in self._plan_names:
            raise ChargesUnknown(f'No price list "{plan}" is on file.')
        for name in _chain(segment):
            for row in self._plans.get((plan, name), ()):
                if row.since <= on <= row.until:
                    return row
        raise ChargesUnknown(f"The {plan} price list has no brokerage for {segment} on {on}.")


_WORDS = {
    "STT": "securities transaction tax",
    "CTT": "commodities transaction tax",
    "EXCH": "exchange charge",
    "IPFT": "investor protection levy",
    "SEBI": "SEBI fee",
    "STAMP": "stamp duty",
    "GST": "GST",
}


def _rate(text: str) -> int:
    scaled = Decimal(text) * RATE_SCALE
    if scaled != int(scaled) or scaled < 0:
        raise ValueError(f"{text} is not a rate")
    return int(scaled)


def _period(row: dict[str, str]) -> tuple[str, str]:
    since, until = row["from"], row["to"] or _OPEN_END
    for day in (since, until):
        if len(day) != 10 or day[4] != "-" or day[7] != "-" or not day.replace("-", "").isdigit():
            raise ValueError(f"{day} is not a date")
    if since > until:
        raise ValueError(f"{since} is after {until}")
    return since, until


def _add_rate(rates: dict[tuple[str, str, str], list[_Row]], row: dict[str, str]) -> None:
    if row["head"] not in _HEADS or row["side"] not in ("B", "S", "BS"):
        raise ValueError(f"{row['head']} {row['side']}")
    since, until = _period(row)
    key = (row["head"], row["exchange"], row["segment"])
    rates.setdefault(key, []).append(_Row(since, until, row["side"], _rate(row["fraction"]), row["base"]))


def _add_plan(plans: dict[tuple[str, str], list[_PlanRow]], row: dict[str, str]) -> None:
    if row["kind"] not in ("flat", "percent"):
        raise ValueError(row["kind"])
    since, until = _period(row)
    flat = row["kind"] == "flat"
    fraction = 0 if flat else _rate(row["fraction"])
    cap = Decimal(row["cap"]) * 100
    if cap != int(cap):
        raise ValueError(f"{row['cap']} is not an amount of paise")
    plans.setdefault((row["plan"], row["segment"]), []).append(_PlanRow(since, until, flat, fraction, int(cap)))


def _check_overlap(rows: list[_Row] | list[_PlanRow]) -> None:
    spans = sorted((row.since, row.until) for row in rows)
    for (_, until), (since, _) in pairwise(spans):
        if since <= until:
            raise BadChargeTable(f"Two rates are on file for the same thing on {since}.")
