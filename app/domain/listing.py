"""A line of a broker's instrument list on its way to the store: plain values, cheap to pack and to bind.

Two hundred thousand of them cross from the helper process to the book every morning; nothing on that way needs an
`Instrument`, so none is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment

InstrumentRow = tuple[str, int, str, str, str, str, int, int, int, str | None, str | None, str]
"""id, token, exchange, segment, kind, name, tick size, lot size, price scale, expiry (ISO), strike, key."""


@dataclass(frozen=True, slots=True)
class ListPart:
    """Some lines of a list, and what was left out on the way to them."""

    rows: tuple[InstrumentRow, ...]
    lines: int = 0
    """Read since the part before, whatever became of them."""
    malformed: int = 0
    not_carried: int = 0
    """Of markets that the program does not trade, and the exchange's own test contracts."""
    first_malformed: str = ""


def is_test_contract(symbol: str) -> bool:
    """The exchange's own: `011NSETEST36DECFUT`. Nobody can trade them."""
    return "NSETEST" in symbol


def row_of(one: Instrument) -> InstrumentRow:
    """An instrument as a line."""
    return (
        one.id,
        one.token,
        one.exchange.value,
        one.segment.value,
        one.kind.value,
        one.name,
        one.tick_size,
        one.lot_size,
        one.price_scale,
        None if one.expiry is None else one.expiry.isoformat(),
        None if one.strike is None else str(one.strike),
        one.key,
    )


class InstrumentMaker:
    """Lines to instruments. What repeats (names, days, strikes) is kept once: half of the memory of a whole list."""

    def __init__(self) -> None:
        self._exchanges = {one.value: one for one in Exchange}
        self._segments = {one.value: one for one in Segment}
        self._kinds = {one.value: one for one in InstrumentKind}
        self._names: dict[str, str] = {}
        self._days: dict[str | None, date | None] = {}
        self._strikes: dict[str | None, Decimal | None] = {}

    def make(self, row: InstrumentRow, *, active: bool = True) -> Instrument:
        """One. Raises KeyError or ValueError for a line that no list of ours has made."""
        (name_id, token, exchange, segment, kind, name, tick_size, lot_size, scale, expiry, strike, key) = row
        if expiry not in self._days:
            self._days[expiry] = None if expiry is None else date.fromisoformat(expiry)
        if strike not in self._strikes:
            self._strikes[strike] = None if strike is None else Decimal(strike)
        return Instrument(
            InstrumentId(name_id),
            token,
            self._exchanges[exchange],
            self._segments[segment],
            self._kinds[kind],
            self._names.setdefault(name, name),
            tick_size,
            lot_size,
            scale,
            self._days[expiry],
            self._strikes[strike],
            active,
            key,
        )
