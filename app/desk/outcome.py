"""What closing a position at a price would leave: gross, charges, net, and the price at which net is zero. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.analytics.charge_table import ChargeTable
from app.analytics.charges import by_note, note_columns, planned_fill, total
from app.domain.fill import Fill
from app.domain.instrument import Instrument
from app.domain.money import Paise, Price, Rounding, round_paisa, to_tick
from app.domain.order import OrderKind, OrderRequest
from app.domain.portfolio import Position

REACH = 4
"""A break-even price is looked for between zero and so many times the last price."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a position of today, closed at one price. Works out charges by the day's contract note."""

    position: Position
    instrument: Instrument
    fills: Sequence[Fill]
    """Today's fills of the position."""
    table: ChargeTable
    plan: str
    day: str
    """ISO trade date of the closing fill."""

    def gross(self, price: Price) -> Paise:
        """Before charges."""
        return paise(self.position.pnl_at(price))

    def net(self, price: Price) -> Paise:
        """After the charges of today's fills and of the closing one. Raises ChargesUnknown."""
        closing = planned_fill(
            OrderRequest(
                self.position.key.account,
                self.position.key.instrument,
                self.position.exit_side,
                abs(self.position.quantity),
                self.position.key.product,
                OrderKind.MARKET,
            ),
            self.instrument,
            price,
            self.day,
        )
        return self.gross(price) - charges_of([*self.fills, closing], self.table, self.plan)

    def break_even(self, last: Price) -> Price | None:
        """The price nearest to loss at which closing leaves nothing owed, on a tick; None when there is none in reach.

        Net grows with the price of a long position and falls with a short one's, so halving finds it.
        """
        tick = self.instrument.tick_size
        long = self.position.quantity > 0
        low, high = 1, max(to_tick(last * REACH, tick, Rounding.UP) // tick, 2)
        best: int | None = None
        while low <= high:
            middle = (low + high) // 2
            if self.net(middle * tick) >= 0:
                best = middle
                low, high = (low, middle - 1) if long else (middle + 1, high)
            else:
                low, high = (middle + 1, high) if long else (low, middle - 1)
        return None if best is None else best * tick


def charges_of(fills: Sequence[Fill], table: ChargeTable, plan: str) -> Paise:
    """All charges of some fills, note by note. Raises ChargesUnknown."""
    return sum(paise(total(note_columns(group, table, plan)).total) for group in by_note(fills).values())


def paise(rupees: Decimal) -> Paise:
    """Rupees to whole paise, half up."""
    return int(round_paisa(rupees) * 100)
