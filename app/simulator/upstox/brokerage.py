"""What an order costs at Upstox: its own brokerage on top of the exchange's and the state's charges (price list of
2026-10-08, and the reference's B9). Pure; exact rupees.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.simulator import charges
from app.simulator.charges import Note
from app.simulator.listing import Listing

MOST = Decimal(20)
"""Of one order, whatever it is."""
_FRACTION = {
    charges.INTRADAY: Decimal("0.001"),
    charges.FUTURE: Decimal("0.0005"),
    charges.COMMODITY_FUTURE: Decimal("0.0005"),
}
"""Of the turnover; what is not named costs the whole fee."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A contract note with Upstox's brokerage; `ipft` is a part of its exchange charge."""

    note: Note
    ipft: Decimal

    @property
    def transaction(self) -> Decimal:
        """The exchange's own charge."""
        return self.note.exchange - self.ipft


def cost(listing: Listing, product: str, side: str, turnover: Decimal, on: date) -> Cost:
    """Of one order with this turnover in rupees, in the core's product words."""
    plain = charges.note(listing, product, side, turnover, on)
    segment = charges.segment_of(listing, product)
    fee = min(MOST, turnover * _FRACTION[segment]) if segment in _FRACTION else MOST
    ipft = turnover * charges.rate(charges.PROTECTION.get((listing.exchange, segment), ()), on)
    note = Note(
        tax=plain.tax,
        tax_kind=plain.tax_kind,
        exchange=plain.exchange,
        sebi=plain.sebi,
        brokerage=fee,
        stamp=plain.stamp,
        gst=plain.gst + (fee - plain.brokerage) * charges.GST,
    )
    return Cost(note, ipft)
