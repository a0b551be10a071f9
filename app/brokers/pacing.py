"""Requests in a window of time: who asks too often waits, or is told so."""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right, insort
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.domain.errors import RateLimited


class Window:
    """At most `limit` calls in any `seconds`; more wait their turn, first come, first served. Loop thread.

    The last `kept` of them are for urgent calls, which also pass those that wait: whom they pass waits on.
    """

    def __init__(self, limit: int, seconds: float = 1.0, kept: int = 0, patience: float = math.inf) -> None:
        self._limit = limit
        self._seconds = seconds
        self._kept = kept
        self._patience = patience
        self._turns: list[float] = []
        """When calls left, and when urgent ones that wait will, ascending; those of the last `seconds`."""
        self._waiting: list[float] = []
        """When the others that wait hope to leave, ascending."""

    @property
    def used(self) -> float:
        """The share of the calls that have left, from 0 to 1. Those that wait are passed by urgent ones."""
        return (len(self._turns) - bisect_right(self._turns, time.monotonic() - self._seconds)) / self._limit

    async def turn(self, *, urgent: bool = False) -> None:
        """Returns when the caller may send. Raises RateLimited when that is further away than `patience` seconds."""
        now = time.monotonic()
        del self._turns[: bisect_right(self._turns, now - self._seconds)]
        if urgent:
            at = self._slot(self._turns, now, self._limit)
            self._refuse_beyond(at - now)
            insort(self._turns, at)  # it is not passed any more
            if at > now:
                await asyncio.sleep(at - now)
            return
        at = self._slot(sorted(self._turns + self._waiting), now, self._limit - self._kept)
        self._refuse_beyond(at - now)
        while at > now:
            insort(self._waiting, at)
            try:
                await asyncio.sleep(at - now)
            finally:
                self._waiting.remove(at)
            now, at = at, self._slot(self._turns, at, self._limit)
        insort(self._turns, now)

    def _slot(self, turns: Sequence[float], now: float, room: int) -> float:
        """From `now` on, the first moment at which fewer than `room` of these are less than `seconds` old."""
        return max(now, turns[-room] + self._seconds) if len(turns) >= room else now

    def _refuse_beyond(self, wait: float) -> None:
        if wait > self._patience:
            raise RateLimited(
                f"{self._limit} requests in {self._seconds / 60:.0f} minutes are used up.", retry_after=wait
            )


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
