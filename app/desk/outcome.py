"""What closing a position at a price would leave after charges, and the price at which that is nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from app.analytics.break_even import break_even, net_at, position_entry
from app.analytics.charge_table import ChargesUnknown, ChargeTable
from app.analytics.charges import by_note, note_columns, planned_fill, total
from app.analytics.contract_sizes import in_units
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

    def open_part(self, price: Price) -> Paise:
        """Net of what is still open, closed at a price: what was won or lost in the instrument before is left out.

        By the same entries as `break_even`, where it is nothing. Without charges where they are not known.
        """
        entries = self._entries()
        try:
            return int(net_at(entries, self.day, self.table, self.plan)(price).to_integral_value(ROUND_HALF_UP))
        except ChargesUnknown:
            value = sum(fill.quantity * (price - fill.price) * fill.side.sign for fill in entries)
            return paise(Decimal(value) / self.position.price_scale)

    def day_result(self, price: Price) -> Paise | None:
        """Net of the whole day in the instrument, closed at a price; None where that is the open part alone."""
        only_opened = all(fill.side is not self.position.exit_side for fill in self.fills)
        if only_opened and not self.position.carried_quantity:
            return None
        position = self.position
        # Shares that were sold out of demat, and are bought back, are a trade like any other.
        gross = paise(position.pnl_at(price) if position.sold_shares else position.day_pnl_at(price))
        fills = self._in_units([*self.fills, self._closing(price)])
        try:
            return gross - charges_of(fills, self.table, self.plan, self.day)
        except ChargesUnknown:
            return gross

    def break_even(self) -> Price | None:
        """The price at which closing the open part nets nothing after all charges, on a tick; None when none does."""
        return break_even(self._entries(), self.instrument.tick_size, self.day, self.table, self.plan)

    def _entries(self) -> Sequence[Fill]:
        """What is open, as fills of one side, in units."""
        opened = sum(fill.side.sign * fill.quantity for fill in self.fills)
        one_way = all(fill.side is not self.position.exit_side for fill in self.fills)
        entries = self.fills
        if not one_way or opened != self.position.quantity:
            # Carried over, or partly closed: the broker's average stands for the entries that are left.
            entries = [position_entry(self.position, self.instrument, self.day)]
        return self._in_units(entries)

    def _in_units(self, fills: Iterable[Fill]) -> list[Fill]:
        """By the size that the broker told with this position."""
        return [in_units(fill, self.position.multiplier) for fill in fills]

    def _closing(self, price: Price) -> Fill:
        key, units = self.position.key, abs(self.position.quantity)
        request = OrderRequest(
            key.account, key.instrument, self.position.exit_side, units, key.product, OrderKind.MARKET
        )
        return planned_fill(request, self.instrument, price, self.day)


def charges_of(fills: Sequence[Fill], table: ChargeTable, plan: str, today: str) -> Paise:
    """All charges of some fills, which count units, note by note; MIS that is open on `today` (ISO) will be squared
    off. Raises ChargesUnknown."""
    notes = by_note(fills).values()
    return sum(paise(total(note_columns(group, table, plan, today=today)).total) for group in notes)


def paise(rupees: Decimal) -> Paise:
    """Rupees to whole paise, half up."""
    return int(round_paisa(rupees) * 100)
