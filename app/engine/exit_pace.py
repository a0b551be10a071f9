"""When the next attempt of an exit may leave: the first follow each other at once, later ones wait. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.ids import BrokerOrderId
from app.domain.order import Order

FIRST_ATTEMPTS = 3
"""Attempts that follow each other at once; each later one waits, and raises an alarm."""
LATER_SECONDS = 2.0
LATEST_SECONDS = 30.0
"""The wait doubles up to this: a broker that refuses all day must not use up the day's orders."""
RATE_SECONDS = 1.0
"""The broker counts orders per calendar second."""


class ExitPace:
    """Of one fired stop. Loop thread only."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.sends = 0
        """Attempts that have left."""
        self.held_by: frozenset[BrokerOrderId] = frozenset()
        """Orders that hold the units which the last attempts asked for."""
        self._not_before = 0.0
        self._told: dict[str, tuple[object, ...]] = {}

    @property
    def wait(self) -> float:
        """Seconds until the next attempt may leave; 0: now."""
        return max(0.0, self._not_before - self._now())

    def first_sent(self) -> None:
        """By the hot path."""
        self.sends = 1

    def sent(self) -> None:
        """An attempt leaves now."""
        self.sends += 1
        later = self.sends - FIRST_ATTEMPTS
        if later >= 0:
            self._not_before = self._now() + min(LATER_SECONDS * 2 ** min(later, 8), LATEST_SECONDS)

    def excess_sent(self) -> None:
        """What was closed twice goes back."""
        self._not_before = self._now() + LATER_SECONDS

    def rate_limited(self) -> None:
        """The broker takes no more orders in this second."""
        self._not_before = max(self._not_before, self._now() + RATE_SECONDS)

    def ended(self, order: Order) -> None:
        """Whoever's: where it was in the way, the next attempt has a reason to go at once."""
        if order.status.is_final and order.broker_order_id in self.held_by:
            self.held_by -= {order.broker_order_id}
            self._not_before = min(self._not_before, self._now() + RATE_SECONDS)

    def news(self, what: str, *state: object) -> bool:
        """Whether the trader has not been told of this yet: what is wrong is told when it is known, not when the next
        order leaves, which may be half a minute later."""
        told, self._told[what] = self._told.get(what), state
        return told != state
