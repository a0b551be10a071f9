"""What closing a position at a price would leave: gross, charges, net, and the price at which net is zero. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.analytics.break_even import break_even, position_entry
from app.analytics.charge_table import ChargeTable
from app.analytics.charges import by_note, note_columns, planned_fill, total
from app.domain.fill import Fill
from app.domain.instrument import Instrument
from app.domain.money import Paise, Price, round_paisa
from app.domain.order import OrderKind, OrderRequest
from app.domain.portfolio import Position


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
        return self.gross(price) - charges_of([*self.fills, closing], self.table, self.plan, self.day)

    def break_even(self) -> Price | None:
        """The price at which closing the open part nets nothing after all charges, on a tick; None when none does."""
        opened = sum(fill.side.sign * fill.quantity for fill in self.fills)
        one_way = all(fill.side is not self.position.exit_side for fill in self.fills)
        entries = self.fills
        if not one_way or opened != self.position.quantity:
            # Carried over, or partly closed: the broker's average stands for the entries that are left.
            entries = [position_entry(self.position, self.instrument, self.day)]
        return break_even(entries, self.instrument.tick_size, self.day, self.table, self.plan)


def charges_of(fills: Sequence[Fill], table: ChargeTable, plan: str, today: str) -> Paise:
    """All charges of some fills, note by note; MIS that is open on `today` (ISO) will be squared off. Raises
    ChargesUnknown."""
    notes = by_note(fills).values()
    return sum(paise(total(note_columns(group, table, plan, today=today)).total) for group in notes)


def paise(rupees: Decimal) -> Paise:
    """Rupees to whole paise, half up."""
    return int(round_paisa(rupees) * 100)
