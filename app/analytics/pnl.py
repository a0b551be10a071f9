"""Profit and loss from fills: round trips, net of charges. Pure, exact, first in, first out.

A trade is a round trip: from the fill that opens a flat position in (account, instrument, product) to the fill that
makes it flat again, with everything added and taken off in between. A fill that goes through zero ends one trade and
opens the next; its charges are split by quantity, to the paisa. A round trip that is still open shows as up to two
trades: what is closed already, matched first in, first out (`closed_at` is its latest exit), and the open rest
(`closed_at` None). Nothing is lost or counted twice: the charges of all trades add up to those of all fills.

Money is in minor units of the instrument inside, in paise at the end (exact while `price_scale` is 100; otherwise each
trade is rounded half up).
"""

from __future__ import annotations

from collections.abc import Sequence

from app.analytics.charges import charges_of
from app.domain.fill import Fill, Trade
from app.domain.ids import Nanos
from app.domain.money import Paise, Price
from app.domain.order import Side


def trades_of(ordered: Sequence[Fill], columns: Sequence[list[int]]) -> list[Trade]:
    """Round trips in order of opening, those that are open included, from fills `in_time` and their charges as columns
    of paise, head by head (`note_columns`).

    The columns are used up: fills that go through zero add entries at their end.
    """
    rounds: dict[tuple[str, str, str], _RoundTrip] = {}
    trips: list[_RoundTrip] = []
    for index, fill in enumerate(ordered):
        key = (fill.account, fill.instrument, fill.product)
        trip = rounds.get(key)
        if trip is None:
            trip = rounds[key] = _RoundTrip(fill)
            trips.append(trip)
        if fill.side is trip.side:
            trip.enter(index, fill)
            continue
        left = trip.exit(index, fill)
        if left > 0:
            continue
        del rounds[key]
        if left:
            # Through zero: the first part of the fill closed the old trade, the rest opens a new one.
            first, rest = _split(columns, index, fill.quantity + left, fill.quantity)
            trip.exits[-1] = first
            trip.exit_value += left * fill.price
            trip.exit_quantity += left
            trip = rounds[key] = _RoundTrip(fill)
            trip.enter_part(rest, -left, fill.price)
            trips.append(trip)
    return [trade for trip in trips for trade in trip.trades(columns)]


def _split(columns: Sequence[list[int]], index: int, part: int, whole: int) -> tuple[int, int]:
    """Charges of one fill in two by quantity; the indexes of both parts at the columns' ends."""
    for column in columns:
        head = column[index]
        first = (2 * head * part + whole) // (2 * whole)
        column.extend((first, head - first))
    return len(columns[0]) - 2, len(columns[0]) - 1


class _RoundTrip:
    """A trade in the making: which fills entered and left, and how much is still open."""

    __slots__ = (
        "entries",
        "entry_quantity",
        "entry_value",
        "exit_quantity",
        "exit_value",
        "exits",
        "first",
        "last",
        "side",
        "to",
    )

    def __init__(self, first: Fill) -> None:
        self.first = self.last = first
        self.side = first.side
        self.entries: list[tuple[int, int, Price]] = []
        self.entry_quantity = self.entry_value = 0
        self.exits: list[int] = []
        self.exit_quantity = self.exit_value = 0
        self.to: Nanos | None = None

    def enter(self, index: int, fill: Fill) -> None:
        self.enter_part(index, fill.quantity, fill.price)

    def enter_part(self, index: int, quantity: int, price: Price) -> None:
        self.entries.append((index, quantity, price))
        self.entry_quantity += quantity
        self.entry_value += quantity * price

    def exit(self, index: int, fill: Fill) -> int:
        """Units that stay open; negative when the fill was larger than the position."""
        self.exits.append(index)
        self.exit_quantity += fill.quantity
        self.exit_value += fill.quantity * fill.price
        self.to, self.last = fill.filled_at, fill
        return self.entry_quantity - self.exit_quantity

    def trades(self, columns: Sequence[list[int]]) -> list[Trade]:
        """The closed trade, or the closed part and the open rest."""
        if self.exit_quantity == self.entry_quantity:
            if len(self.entries) == len(self.exits) == 1:  # most trades are one fill in and one out
                entry, exit_ = self.entries[0][0], self.exits[0]
                heads = [column[entry] + column[exit_] for column in columns]
            else:
                indexes = [entry[0] for entry in self.entries] + self.exits
                heads = [sum([column[i] for i in indexes]) for column in columns]
            return [self._closed(self.entry_quantity, self.entry_value, heads)]
        if not self.exits:
            heads = [sum([column[entry[0]] for entry in self.entries]) for column in columns]
            return [self._open(self.entry_quantity, self.entry_value, heads)]
        closed = [sum([column[i] for i in self.exits]) for column in columns]
        rest = [0] * len(columns)
        left, closed_value = self.exit_quantity, 0
        for index, quantity, price in self.entries:
            used = min(left, quantity)
            left -= used
            closed_value += used * price
            for n, column in enumerate(columns):
                part = (2 * column[index] * used + quantity) // (2 * quantity)
                closed[n] += part
                rest[n] += column[index] - part
        return [
            self._closed(self.exit_quantity, closed_value, closed),
            self._open(self.entry_quantity - self.exit_quantity, self.entry_value - closed_value, rest),
        ]

    def _closed(self, quantity: int, entry_value: int, heads: Sequence[int]) -> Trade:
        gross = self.exit_value - entry_value if self.side is Side.BUY else entry_value - self.exit_value
        exit_price = (2 * self.exit_value + quantity) // (2 * quantity)
        return self._trade(quantity, entry_value, exit_price, self.to, _to_paise(gross, self.first.price_scale), heads)

    def _open(self, quantity: int, entry_value: int, heads: Sequence[int]) -> Trade:
        return self._trade(quantity, entry_value, None, None, 0, heads)

    def _trade(
        self,
        quantity: int,
        entry_value: int,
        exit_price: Price | None,
        closed_at: Nanos | None,
        gross: Paise,
        heads: Sequence[int],
    ) -> Trade:
        first = self.first
        return Trade(
            account=first.account,
            instrument=first.instrument,
            segment=first.segment,
            product=first.product,
            side=self.side,
            quantity=quantity,
            entry_price=(2 * entry_value + quantity) // (2 * quantity),
            opened_at=first.filled_at,
            exit_price=exit_price,
            closed_at=closed_at,
            gross=gross,
            charges=charges_of(heads),
            net=gross - sum(heads),
            price_scale=first.price_scale,
            broker=first.id.broker,
            kind=first.kind,
            entry_order=first.broker_order_id,
            exit_order=None if closed_at is None else self.last.broker_order_id,
            source=first.source,
        )


def in_time(fill: Fill) -> tuple[int, str, str]:
    """The order in which fills are matched: by time; within a moment by order and trade id."""
    return (fill.filled_at, fill.broker_order_id, fill.id.trade_id)


def _to_paise(minor: int, scale: int) -> Paise:
    return minor if scale == 100 else (200 * minor + scale) // (2 * scale)
