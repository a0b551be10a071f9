"""When the next attempt of an exit may leave: the first follow each other at once, later ones wait. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.ids import BrokerOrderId
from app.domain.order import Order

FIRST_ATTEMPTS = 3
"""Attempts that follow each other at once; each later one waits, and raises an alarm."""
FIRST_RETURNS = 8
"""Refusals in a row of what was closed twice, after which it is asked for less and less often."""
LATER_SECONDS = 2.0
LATEST_SECONDS = 30.0
"""The wait doubles up to this: a broker that refuses all day must not use up the day's orders."""
SHUT_SECONDS = 300.0
"""The same while the market is closed: what is refused in a night counts with the orders of its day."""
AUCTION_SECONDS = 1_200.0
"""So long after continuous trading has ended an exit may still get through: shares trade on in the closing auction."""
RATE_SECONDS = 1.0
"""The broker counts orders per calendar second."""


class ExitPace:
    """Of one fired stop. Loop thread only."""

    def __init__(self, now: Callable[[], float], trades: Callable[[], bool]) -> None:
        self._now = now
        self._trades = trades
        """The market trades continuously now."""
        self.sends = 0
        """Attempts that have left."""
        self._in_a_row = 0
        """Of them, those since the market opened."""
        self._refused = 0
        """How often in a row what goes back was refused."""
        self._shut: float | None = None
        """Since when the market did not trade whenever one left."""
        self.held_by: frozenset[BrokerOrderId] = frozenset()
        """Orders that hold the units which the last attempts asked for."""
        self._not_before = 0.0
        self._excess_not_before = 0.0
        """What was closed twice goes back at its own pace: however often the exit was refused, each second that a
        position stands turned round costs money."""
        self._limited_until = 0.0
        self._told: dict[str, tuple[object, ...]] = {}

    @property
    def wait(self) -> float:
        """Seconds until the next attempt may leave; 0: now."""
        self._opened()
        return max(0.0, max(self._not_before, self._limited_until) - self._now())

    @property
    def excess_wait(self) -> float:
        """Seconds until what was closed twice may go back; 0: now."""
        self._opened()
        return max(0.0, max(self._excess_not_before, self._limited_until) - self._now())

    def _opened(self) -> None:
        if self._shut is not None and self._trades():
            self._shut, self._in_a_row, self._refused = None, 0, 0
            self._not_before = self._excess_not_before = 0.0

    def first_sent(self) -> None:
        """By the hot path."""
        self.sends = self._in_a_row = 1

    def sent(self) -> None:
        """An attempt leaves now."""
        self.sends += 1
        self._in_a_row += 1
        self._not_before = self._now() + self._pause(self._in_a_row - FIRST_ATTEMPTS)

    def excess_sent(self, *, again: bool) -> None:
        """What was closed twice goes back. `again`: the last try was refused."""
        self._refused = self._refused + 1 if again else 0
        self._excess_not_before = self._now() + self._pause(max(0, self._refused - FIRST_RETURNS))

    def _pause(self, later: int) -> float:
        """Seconds after try `later` of those that wait, counted from 0; none after the tries before them."""
        now = self._now()
        self._shut = None if self._trades() else self._shut or now
        if later < 0:
            return 0.0
        night = self._shut is not None and now - self._shut >= AUCTION_SECONDS
        return min(LATER_SECONDS * (1 << min(later, 8)), SHUT_SECONDS if night else LATEST_SECONDS)

    def rate_limited(self) -> None:
        """The broker takes no more orders in this second."""
        self._limited_until = self._now() + RATE_SECONDS

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
