"""How much a lot of a contract holds, where brokers count lots. Pure.

Orders, fills and positions of commodities and currencies count lots; everything that is money goes by units: a lot of
crude oil at 6,000 is worth 6,000 x 100 barrels. What the broker tells with its positions (`Position.multiplier`) goes
before the dated table; where neither knows, nothing is worked out, because every figure would be wrong by the size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from app.domain.fill import Fill
from app.domain.ids import AccountId, InstrumentId, split_instrument_id
from app.domain.instrument import COUNTED_IN_LOTS, Exchange
from app.domain.portfolio import Position

COLUMNS = ["exchange", "underlying", "since", "until", "size", "brokers", "mark", "source"]
"""Of the table. `since` and `until`: the first and last month of expiry that the size is of."""

Told = Mapping[tuple[AccountId, InstrumentId], int]
"""What an account's broker said of a contract."""

NOTHING_TOLD: Told = {}

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKS = "123456789OND"
_CONTRACT = re.compile(r"(.+?)(\d\d)(?:([A-Z]{3})|([1-9OND])\d\d)(?:FUT|\d+(?:\.\d+)?(?:CE|PE))")
"""Underlying, year, month (or a week's month and day), then what it is."""
_MONTH = re.compile(r"\d{4}-\d\d")
_OPEN_END = "9999-12"


@dataclass(frozen=True, slots=True)
class SizeRow:
    """A size, of the contracts that expire within some months, at some brokers."""

    since: str
    until: str
    size: int
    brokers: frozenset[str]


class ContractSizes:
    """The dated table. Immutable."""

    def __init__(self, rows: Mapping[tuple[str, str], Sequence[SizeRow]]) -> None:
        self._rows = rows

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, str]]) -> ContractSizes:
        """Of a file with `COLUMNS`. Raises ValueError naming the row."""
        found: dict[tuple[str, str], list[SizeRow]] = {}
        for number, row in enumerate(rows, start=2):
            key = (Exchange(row["exchange"]).value, row["underlying"])
            made = SizeRow(
                row["since"], row["until"] or _OPEN_END, int(row["size"]), frozenset(row["brokers"].split("+"))
            )
            months = all(_MONTH.fullmatch(month) for month in (made.since, made.until))
            if key[0] not in COUNTED_IN_LOTS or not months or made.since > made.until or made.size <= 0:
                raise ValueError(f"row {number}: {key[0]} {key[1]}")
            if any(made.since <= other.until and other.since <= made.until for other in found.get(key, ())):
                raise ValueError(f"row {number}: two sizes of {key[0]} {key[1]} at once")
            found.setdefault(key, []).append(made)
        return cls(found)

    def listed(self, broker: str, instrument: InstrumentId) -> int | None:
        """By the table; None where it does not know."""
        exchange, symbol = split_instrument_id(instrument)
        if exchange not in COUNTED_IN_LOTS:
            return 1
        contract = _contract(symbol)
        if contract is None:
            return None
        underlying, month = contract
        rows = self._rows.get((exchange, underlying), ())
        return next((r.size for r in rows if r.since <= month <= r.until and broker in r.brokers), None)


@lru_cache(4096)
def _contract(symbol: str) -> tuple[str, str] | None:
    """(underlying, month of expiry) by the symbol; None for what is no contract."""
    found = _CONTRACT.fullmatch(symbol)
    if found is None:
        return None
    name, year, month, week = found.groups()
    if month is not None and month not in _MONTHS:
        return None
    number = _WEEKS.index(week) + 1 if month is None else _MONTHS.index(month) + 1
    return name, f"20{year}-{number:02d}"


def told_by(positions: Iterable[Position]) -> Told:
    """What a reading of positions says of sizes."""
    return {
        (position.key.account, position.key.instrument): position.multiplier
        for position in positions
        if position.multiplier > 0 and split_instrument_id(position.key.instrument)[0] in COUNTED_IN_LOTS
    }


def in_units(fill: Fill, size: int) -> Fill:
    """The same deal, counted in units: what charges and P&L are worked out of."""
    return fill if size == 1 else replace(fill, quantity=fill.quantity * size)


class Sizer:
    """Sizes by what was told, else by the table; answers are remembered. Owned by its maker."""

    def __init__(self, table: ContractSizes, told: Told = NOTHING_TOLD) -> None:
        self._table = table
        self._told = told
        self._known: dict[tuple[AccountId, InstrumentId], int | None] = {}

    def of(self, fill: Fill) -> int | None:
        """Units that one of its quantity holds; None: not known."""
        return self.size(fill.account, fill.instrument, fill.id.broker)

    def size(self, account: AccountId, instrument: InstrumentId, broker: str) -> int | None:
        """Units that a lot of the contract holds; None: not known."""
        key = (account, instrument)
        if key not in self._known:
            self._known[key] = self._told.get(key) or self._table.listed(broker, instrument)
        return self._known[key]

    def split(self, fills: Iterable[Fill]) -> tuple[list[Fill], list[Fill]]:
        """The fills in units, and those, as they are, whose size is not known."""
        sized: list[Fill] = []
        unsized: list[Fill] = []
        for fill in fills:
            size = self.of(fill)
            if size is None:
                unsized.append(fill)
            else:
                sized.append(in_units(fill, size))
        return sized, unsized
