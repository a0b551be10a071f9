"""Rate limits of A4, on real time: this is about the client's behaviour, not about the day that is replayed.

The order limit counts calendar seconds of the server's clock; the others are sliding seconds. Times are passed in.
"""

from __future__ import annotations

from collections import deque

from app.simulator.refusal import Refused

PER_SECOND = {"quote": 1, "historical": 3, "other": 10}
ORDERS_PER_SECOND = 10
ORDERS_PER_MINUTE = 400
ORDERS_PER_DAY = 5000


def too_many(message: str = "Too many requests") -> Refused:
    """429 as observed: NetworkException."""
    return Refused(429, "NetworkException", message)


class Limits:
    """Counts the requests of one client (one api_key, one account)."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self._second = -1
        self._in_second = 0
        self._minute: deque[float] = deque()

    def request(self, kind: str, now: float) -> None:
        """A request of kind quote, historical or other at `now` (any clock in seconds). Raises Refused."""
        recent = self._recent.setdefault(kind, deque())
        while recent and recent[0] <= now - 1.0:
            recent.popleft()
        if len(recent) >= PER_SECOND[kind]:
            raise too_many()
        recent.append(now)

    def order(self, now: float, placed_today: int, *, placement: bool) -> None:
        """An order request at `now` (Unix seconds). Only placements count for the minute and the day."""
        second = int(now)
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        if self._in_second > ORDERS_PER_SECOND:
            raise too_many()
        if not placement:
            return
        while self._minute and self._minute[0] <= now - 60.0:
            self._minute.popleft()
        if len(self._minute) >= ORDERS_PER_MINUTE:
            raise too_many("Maximum allowed order requests exceeded")
        if placed_today >= ORDERS_PER_DAY:
            raise too_many("Maximum allowed order requests exceeded")
        self._minute.append(now)
