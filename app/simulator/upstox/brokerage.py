"""What an order costs at Upstox: its own brokerage on top of the exchange's and the state's charges (B9). Pure; exact
rupees."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.simulator import charges
from app.simulator.charges import Note
from app.simulator.listing import Listing


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
    made = charges.note(listing, product, side, turnover, on, charges.UPSTOX)
    return Cost(made, charges.levy(listing, product, turnover, on))
