"""Requests in a window of time: who asks too often waits, or is told so."""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right, insort
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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

    @property
    def used(self) -> float:
        """The share of the calls that have left or wait, from 0 to 1."""
        return (len(self._turns) - bisect_right(self._turns, time.monotonic() - self._seconds)) / self._limit

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


def seconds_asked(retry_after: str, date: str = "") -> float | None:
    """A `Retry-After` header as seconds: it is a number of them, or a date. None for anything else. Pure but for the
    clock of this machine, which is read where an answer has a date to wait for and none of its own."""
    text = retry_after.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        since = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return max(0.0, (until - since).total_seconds())
    except (ValueError, TypeError):  # no date; or one without a zone, which cannot be told from another's
        return None
