"""Dated rules of order entry, read from tables: which kind an exit takes, how far its price may reach, how large one
order may be.

Four tables under `resources/rules`: `exits.csv` (kind and reach by broker and class of contract), `protection.csv`
(the exchange's limit price protection: prices further away are refused or cancelled), `freeze.csv` (freeze quantities;
one below the true figure costs only more orders) and `backstop.csv` (how a resting stop order becomes the exit).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from app.domain.errors import Denied
from app.domain.instrument import Instrument, InstrumentKind, Segment
from app.domain.money import Price
from app.domain.order import OrderKind, Side
from app.engine.pricing import NO_BOUNDS, Bounds, Reach, pricer

ANY = "*"
MAX_SLICES = 10
"""Orders that one exit may be cut into at once (brokers' order rules since 2026-04-01)."""

T = TypeVar("T")


class InstrumentClass(StrEnum):
    """Rows of the exit table."""

    SHARE = "share"
    FUTURE = "future"
    INDEX_OPTION = "index option"
    STOCK_OPTION = "stock option"
    COMMODITY_FUTURE = "commodity future"
    COMMODITY_OPTION = "commodity option"
    CURRENCY_FUTURE = "currency future"
    CURRENCY_OPTION = "currency option"


_BY_SEGMENT = {
    (Segment.COMMODITY, False): InstrumentClass.COMMODITY_FUTURE,
    (Segment.COMMODITY, True): InstrumentClass.COMMODITY_OPTION,
    (Segment.CURRENCY, False): InstrumentClass.CURRENCY_FUTURE,
    (Segment.CURRENCY, True): InstrumentClass.CURRENCY_OPTION,
}


def class_of(instrument: Instrument) -> InstrumentClass:
    """Which row applies. Raises Denied for what cannot be traded."""
    if not instrument.tradable:
        raise Denied(f"{instrument.symbol} is an index; it cannot be traded.", "Choose its future or an option.")
    special = _BY_SEGMENT.get((instrument.segment, instrument.is_option))
    if special is not None:
        return special
    if instrument.is_stock_option:
        return InstrumentClass.STOCK_OPTION
    if instrument.is_option:
        return InstrumentClass.INDEX_OPTION
    if instrument.kind is InstrumentKind.FUTURE:
        return InstrumentClass.FUTURE
    return InstrumentClass.SHARE


@dataclass(frozen=True, slots=True)
class ExitRule:
    """From a day on, this class exits with this kind; a limit reaches `band_percent` beyond the last price."""

    broker: str
    instrument_class: InstrumentClass
    since: date
    kind: OrderKind
    bands: tuple[tuple[Decimal, Decimal], ...]
    """(last price below, percent), ascending; the last has an infinite price."""
    days: int = 0
    """For contracts that expire so many days from now or later: what lies far ahead trades thinly, and the brokers
    refuse MARKET there."""


@dataclass(frozen=True, slots=True)
class _Protection:
    instrument_class: InstrumentClass
    since: date
    reaches: tuple[tuple[Decimal, Decimal, bool], ...]
    """(last price below, amount, whether it is a percentage), ascending."""


@dataclass(frozen=True, slots=True)
class _Freeze:
    exchange: str
    name: str
    since: date
    quantity: int


@dataclass(frozen=True, slots=True)
class _BackstopRule:
    broker: str
    since: date
    by_change: bool


class ExitRules:
    """The tables. Immutable."""

    def __init__(
        self,
        rules: Iterable[ExitRule],
        protections: Iterable[_Protection] = (),
        freezes: Iterable[_Freeze] = (),
        backstops: Iterable[_BackstopRule] = (),
    ) -> None:
        self._backstops = tuple(backstops)
        self._rules = sorted(rules, key=lambda rule: (rule.since, rule.days), reverse=True)
        self._protections = sorted(protections, key=lambda row: row.since, reverse=True)
        self._freezes = sorted(freezes, key=lambda row: (row.name != ANY, row.since), reverse=True)

    @classmethod
    def parse(cls, exits: str, protection: str = "", freeze: str = "", backstop: str = "") -> ExitRules:
        """Reads the tables.

        `broker,class,since,kind,bands,days` with bands like `100:2;500:1;*:0.5` (rupees below : percent); `days` may be
        missing. `class,since,reach` with reaches like `50:20;*:40%` (rupees below : rupees or percent).
        `exchange,underlying,since,quantity` in units, `*` for every underlying that has no line of its own.
        `broker,since,exit_by`, which is `change` or `replace`.

        Raises ValueError naming table and line.
        """
        return cls(
            _rows("exit rules", exits, _exit_rule),
            _rows("price protection", protection, _protection),
            _rows("freeze quantities", freeze, _freeze),
            _rows("backstops", backstop, _backstop),
        )

    def rule(self, broker: str, instrument: Instrument, day: date) -> ExitRule:
        """The rule in force. Raises Denied where the table has none: better refused when arming than when firing."""
        wanted = class_of(instrument)
        ahead = 0 if instrument.expiry is None else (instrument.expiry - day).days
        fits = [
            rule
            for rule in self._rules
            if rule.broker == broker
            and rule.instrument_class is wanted
            and rule.since <= day
            and (not rule.days or rule.days <= ahead)
        ]
        if not fits:
            raise Denied(f"There is no exit rule for a {wanted} at {broker} on {day}.", "Update Stopline.")
        return max(fits, key=lambda rule: (rule.days, rule.since))

    def converts(self, broker: str, day: date) -> bool:
        """Whether a resting stop order becomes the exit by a change. The brokers' risk checks of 2026 are not
        confirmed: where the table says `replace`, it is cancelled first and an exit is sent."""
        known = [row for row in self._backstops if row.broker == broker and row.since <= day]
        return bool(known) and max(known, key=lambda row: row.since).by_change

    def protection(self, instrument: Instrument, day: date) -> tuple[Reach, ...]:
        """How far from the last price the exchange takes a limit price; empty where only the circuit limits count."""
        wanted = class_of(instrument)
        for row in self._protections:
            if row.instrument_class is wanted and row.since <= day:
                scale = instrument.price_scale
                return tuple(
                    Reach(_threshold(below, scale), int(amount * (100 if percent else scale)), percent)
                    for below, amount, percent in row.reaches
                )
        return ()

    def slice_size(self, instrument: Instrument, day: date) -> int:
        """The largest whole lots that one order may carry, in units; 0: no limit is known."""
        for row in self._freezes:
            if row.exchange == instrument.exchange and row.name in (instrument.name, ANY) and row.since <= day:
                lot = max(instrument.lot_size, 1)
                return row.quantity // lot * lot
        return 0

    def pricer(
        self,
        broker: str,
        instrument: Instrument,
        side: Side,
        day: date,
        *,
        widen: int = 1,
        narrow: int = 1,
        bounds: Bounds = NO_BOUNDS,
    ) -> Callable[[Price], Price]:
        """From a last price to the worst price an exit accepts, inside protection and circuit. Raises Denied."""
        rule = self.rule(broker, instrument, day)
        return limit_pricer(rule, instrument, side, widen, narrow, self.protection(instrument, day), bounds)


def limit_pricer(
    rule: ExitRule,
    instrument: Instrument,
    side: Side,
    widen: int = 1,
    narrow: int = 1,
    protection: tuple[Reach, ...] = (),
    bounds: Bounds = NO_BOUNDS,
) -> Callable[[Price], Price]:
    """From a last price to the worst price an exit accepts: the band beyond it, on a tick, rounded towards a fill.

    `widen` multiplies the band for later attempts, `narrow` divides it where the exchange refused it. Integers only: it
    runs between breach and write.
    """
    # Percent in basis points, thresholds in minor units, computed once when arming.
    scale = instrument.price_scale
    reaches = tuple(
        Reach(_threshold(below, scale), int(percent * 100) * widen // narrow, percent=True)
        for below, percent in rule.bands
    )
    return pricer(reaches, instrument.tick_size, side is Side.SELL, protection, bounds)


def _threshold(below: Decimal, scale: int) -> Price | None:
    return None if below == Decimal("Infinity") else int(below * scale)


def _rows(table: str, text: str, read: Callable[[dict[str, str]], T]) -> list[T]:
    rows = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        try:
            rows.append(read(row))
        except (KeyError, ValueError, ArithmeticError) as failure:
            raise ValueError(f"{table}, line {number}: {failure}") from None
    return rows


def _exit_rule(row: dict[str, str]) -> ExitRule:
    return ExitRule(
        row["broker"],
        InstrumentClass(row["class"]),
        date.fromisoformat(row["since"]),
        OrderKind(row["kind"]),
        tuple((below, Decimal(percent)) for below, percent in map(_band, row["bands"].split(";"))),
        int(row.get("days") or 0),
    )


def _protection(row: dict[str, str]) -> _Protection:
    reaches = []
    for below, amount in map(_band, row["reach"].split(";")):
        reaches.append((below, Decimal(amount.removesuffix("%")), amount.endswith("%")))
    return _Protection(InstrumentClass(row["class"]), date.fromisoformat(row["since"]), tuple(reaches))


def _freeze(row: dict[str, str]) -> _Freeze:
    quantity = int(row["quantity"])
    if quantity <= 0:
        raise ValueError(f"a freeze quantity of {quantity}")
    return _Freeze(row["exchange"], row["underlying"], date.fromisoformat(row["since"]), quantity)


def _backstop(row: dict[str, str]) -> _BackstopRule:
    how = row["exit_by"]
    if how not in ("change", "replace"):
        raise ValueError(f"exit_by is {how!r}")
    return _BackstopRule(row["broker"], date.fromisoformat(row["since"]), how == "change")


def _band(part: str) -> tuple[Decimal, str]:
    below, _, amount = part.partition(":")
    return (Decimal("Infinity") if below == ANY else Decimal(below), amount)
