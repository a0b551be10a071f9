"""Requests in a window of time: who asks too often waits, or is told so."""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right, insort

from app.domain.errors import RateLimited


class Window:
    """At most `limit` calls in any `seconds`; more wait their turn, first come, first served. Loop thread.

    The last `kept` of them are for urgent calls, which also pass those that wait.
    """

    def __init__(self, limit: int, seconds: float = 1.0, kept: int = 0, patience: float = math.inf) -> None:
        self._limit = limit
        self._seconds = seconds
        self._kept = kept
        self._patience = patience
        self._turns: list[float] = []
        """When calls leave or left, ascending; those of the last `seconds` and those that wait."""

    async def turn(self, *, urgent: bool = False) -> None:
        """Returns when the caller may send. Raises RateLimited when that is further away than `patience` seconds."""
        now = time.monotonic()
        del self._turns[: bisect_right(self._turns, now - self._seconds)]
        ahead = bisect_right(self._turns, now) if urgent else len(self._turns)
        room = self._limit if urgent else self._limit - self._kept
        at = max(now, self._turns[ahead - room] + self._seconds) if ahead >= room else now
        if at - now > self._patience:
            raise RateLimited(
                f"{self._limit} requests in {self._seconds / 60:.0f} minutes are used up.", retry_after=at - now
            )
        insort(self._turns, at)
        if at > now:
            await asyncio.sleep(at - now)
