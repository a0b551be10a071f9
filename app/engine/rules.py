"""Dated rules of order entry, read from a table: which kind an exit takes, and how far its price may reach."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from app.domain.errors import Denied
from app.domain.instrument import Instrument, InstrumentKind
from app.domain.money import Price, Rounding, to_tick
from app.domain.order import OrderKind, Side


class InstrumentClass(StrEnum):
    """Rows of the exit table."""

    SHARE = "share"
    FUTURE = "future"
    INDEX_OPTION = "index option"
    STOCK_OPTION = "stock option"


def class_of(instrument: Instrument) -> InstrumentClass:
    """Which row applies. Raises Denied for what cannot be traded."""
    if instrument.is_stock_option:
        return InstrumentClass.STOCK_OPTION
    if instrument.is_option:
        return InstrumentClass.INDEX_OPTION
    if instrument.kind is InstrumentKind.FUTURE:
        return InstrumentClass.FUTURE
    if instrument.kind is InstrumentKind.SHARE:
        return InstrumentClass.SHARE
    raise Denied(f"{instrument.symbol} is an index; it cannot be traded.", "Choose its future or an option.")


@dataclass(frozen=True, slots=True)
class ExitRule:
    """From a day on, this class exits with this kind; a limit reaches `band_percent` beyond the last price."""

    broker: str
    instrument_class: InstrumentClass
    since: date
    kind: OrderKind
    bands: tuple[tuple[Decimal, Decimal], ...]
    """(last price below, percent), ascending; the last has an infinite price."""


class ExitRules:
    """The table. Immutable."""

    def __init__(self, rules: Iterable[ExitRule]) -> None:
        self._rules = sorted(rules, key=lambda rule: rule.since, reverse=True)

    @classmethod
    def parse(cls, text: str) -> ExitRules:
        """Reads `broker,class,since,kind,bands`; bands like `100:2;500:1;*:0.5` (rupees below : percent).

        Raises ValueError naming the line.
        """
        rules = []
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
            try:
                rules.append(
                    ExitRule(
                        row["broker"],
                        InstrumentClass(row["class"]),
                        date.fromisoformat(row["since"]),
                        OrderKind(row["kind"]),
                        tuple(_band(part) for part in row["bands"].split(";")),
                    )
                )
            except (KeyError, ValueError, ArithmeticError) as failure:
                raise ValueError(f"exit rules, line {number}: {failure}") from None
        return cls(rules)

    def rule(self, broker: str, instrument: Instrument, day: date) -> ExitRule:
        """The rule in force. Raises Denied where the table has none: better refused when arming than when firing."""
        wanted = class_of(instrument)
        for rule in self._rules:
            if rule.broker == broker and rule.instrument_class is wanted and rule.since <= day:
                return rule
        raise Denied(f"There is no exit rule for a {wanted} at {broker} on {day}.", "Update Stopline.")


def _band(part: str) -> tuple[Decimal, Decimal]:
    below, _, percent = part.partition(":")
    return (Decimal("Infinity") if below == "*" else Decimal(below), Decimal(percent))


def limit_pricer(rule: ExitRule, instrument: Instrument, side: Side, widen: int = 1) -> Callable[[Price], Price]:
    """From a last price to the worst price an exit accepts: the band beyond it, on a tick, rounded towards a fill.

    `widen` multiplies the band for later attempts. Integers only: it runs between breach and write.
    """
    # Percent in basis points, thresholds in minor units, computed once when arming.
    steps = tuple(
        (None if below == Decimal("Infinity") else int(below * instrument.price_scale), int(percent * 100) * widen)
        for below, percent in rule.bands
    )
    tick = instrument.tick_size
    selling = side is Side.SELL

    def price(last: Price) -> Price:
        for below, points in steps:
            if below is None or last < below:
                reach = last * points // 10_000
                if selling:
                    return max(to_tick(last - reach, tick, Rounding.DOWN), tick)
                return to_tick(last + reach, tick, Rounding.UP)
        return last

    return price
