"""How much of a broker's limits on orders is used up."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.events import Event
from app.domain.ids import AccountId


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit: requests that count now, and how many the broker takes in so many seconds."""

    seconds: int
    used: int
    allowed: int


@dataclass(frozen=True, slots=True)
class OrderUseChanged(Event):
    """Of one account; the shortest limit first."""

    account: AccountId
    limits: tuple[LimitUse, ...]
    waiting: int
    """Requests that wait for their turn."""
