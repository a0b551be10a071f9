"""What the window and the command line are told about the services that only some brokers have."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.domain.ids import AccountId, BrokerOrderId, Nanos
from app.domain.margin import BasketMargin, PlannedNote


@dataclass(frozen=True, slots=True)
class BasketPlan:
    """What several orders would block and cost together, by the broker's own calculators. Rupees."""

    margin: BasketMargin | None
    """None where the broker computes no margin of a basket; `lacks` says so."""
    notes: tuple[PlannedNote, ...]
    """Charges, one line for each order and in their order."""
    available: Decimal
    """Money that is there now."""
    lacks: str = ""
    """What the broker does not tell, in words."""

    @property
    def charges(self) -> Decimal:
        """Of all of them."""
        return sum((note.total for note in self.notes), Decimal(0))


@dataclass(frozen=True, slots=True)
class NotedOrder:
    """An order that was done, with the charges that its contract note will have."""

    order: BrokerOrderId
    note: PlannedNote


@dataclass(frozen=True, slots=True)
class ContractNote:
    """The virtual contract note of today: every order that was filled, with its charges by head."""

    account: AccountId
    lines: tuple[NotedOrder, ...]
    computed_by: str
    """Who computed it: the broker's contract note, or its brokerage calculator order by order."""

    @property
    def total(self) -> Decimal:
        """All charges, rupees."""
        return sum((line.note.total for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True)
class Approval:
    """A login that waits for the trader's yes on the phone."""

    account: AccountId
    until: Nanos
    notified: str
    """Where the broker sends the token to, as registered there; empty: nowhere."""
