"""Orders that rest at the broker for a year and fire by themselves: good till triggered (GTT).

A GTT is a trigger with an order behind it (single), two of them of which one ends the other (two-leg), or an entry
whose fill wakes a target, a stop or both (bracket). Triggered is not filled: what the broker made of the order behind
the trigger is in its leg.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.ids import AccountId, BrokerOrderId, GttId, InstrumentId, Nanos
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import OrderKind, Side


class GttKind(StrEnum):
    """How many triggers."""

    SINGLE = "single"
    TWO_LEG = "two-leg"
    """A stop and a target: the one that triggers ends the other."""
    BRACKET = "entry with exits"
    """An entry; when its order has filled, a target and a stop, or one of them, begin to wait. One ends the other."""


class GttRole(StrEnum):
    """What a leg is for."""

    TRIGGER = "trigger"
    """It waits from the beginning: the leg of a single or a two-leg."""
    ENTRY = "entry"
    TARGET = "target"
    STOP = "stop"


class GttStatus(StrEnum):
    """Where a GTT is."""

    ACTIVE = "active"
    TRIGGERED = "triggered"
    """A trigger was reached; whether the order behind it went through is in its leg."""
    DISABLED = "disabled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DELETED = "deleted"

    @property
    def can_change(self) -> bool:
        """It still waits at the broker."""
        return self is GttStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class GttLeg:
    """One trigger and the order that it sends."""

    trigger: Price
    side: Side
    quantity: int
    """Units."""
    product: Product
    price: Price
    """Worst price accepted, of the limit order that is sent; 0 where it goes at market."""
    kind: OrderKind = OrderKind.LIMIT
    role: GttRole = GttRole.TRIGGER
    gap: Price = 0
    """How far a stop trails behind the best price; 0: it stays where it is."""
    at_once: bool = False
    """An entry that does not wait; its trigger is the price when it was written."""


def as_asked(legs: tuple[GttLeg, ...]) -> tuple[GttLeg, ...]:
    """Legs as they compare with a request: the trigger of a stop that trails has moved since."""
    return tuple(replace(leg, trigger=0) if leg.gap else leg for leg in legs)


@dataclass(frozen=True, slots=True)
class GttRequest:
    """What we ask for: one leg, two with the lower trigger first, or entry, target and stop in this order. A change
    sends all of it again."""

    account: AccountId
    instrument: InstrumentId
    last_price: Price
    """When it was written; brokers tell by it from which side a trigger is reached."""
    legs: tuple[GttLeg, ...]

    @property
    def kind(self) -> GttKind:
        """By the legs."""
        if any(leg.role is not GttRole.TRIGGER for leg in self.legs):
            return GttKind.BRACKET
        return GttKind.SINGLE if len(self.legs) == 1 else GttKind.TWO_LEG


@dataclass(frozen=True, slots=True)
class GttResult:
    """What became of the order behind a trigger that was reached."""

    outcome: str
    """The broker's word: `success`, `failed`."""
    order: BrokerOrderId | None
    """None when there is no order: the trigger fired and nothing was placed."""
    triggered_at: Price | None
    """The price that reached the trigger."""
    at: Nanos | None
    refusal: str = ""
    """Why there is no order, in the broker's words: plain text from outside."""


@dataclass(frozen=True, slots=True)
class Gtt:
    """A GTT as the broker keeps it."""

    account: AccountId
    id: GttId
    instrument: InstrumentId
    kind: GttKind
    status: GttStatus
    last_price: Price
    """When it was written, or one on the same side of its trigger: some brokers tell the side alone."""
    legs: tuple[GttLeg, ...]
    results: tuple[GttResult | None, ...]
    """One for each leg; None where the trigger was not reached."""
    created_at: Nanos
    updated_at: Nanos
    expires_at: Nanos | None
    refusal: str = ""
    """Why the broker refused or disabled it, in its own words."""
    price_scale: int = 100

    @property
    def entered(self) -> bool:
        """A bracket whose entry has sent its order: from now on the exits count."""
        return self.kind is GttKind.BRACKET and self.results[0] is not None

    @property
    def failed(self) -> bool:
        """It triggered, and the order behind it was refused: the trader is not out, and nothing waits any more."""
        return any(result is not None and result.order is None for result in self.results)
