"""How requests to each host ended, counted until somebody takes the counts away. Loop thread only.

One for the process, as the log is: adapters come and go with sessions, and third parties' bring clients of their own.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended."""

    FINE = "fine"
    AUTH = "auth"
    RATE = "rate"
    CLIENT = "client"
    SERVER = "server"
    NETWORK = "network"
    """No answer, or none that could be read."""


class Tally:
    """Counts by host and outcome."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Outcome]] = Counter()

    def answered(self, host: str, status: int) -> None:
        """An answer of whatever status."""
        self._counts[host, outcome_of(status)] += 1

    def unanswered(self, host: str) -> None:
        """None."""
        self._counts[host, Outcome.NETWORK] += 1

    def take(self) -> dict[tuple[str, Outcome], int]:
        """What was counted since the last time."""
        counts, self._counts = self._counts, Counter()
        return dict(counts)


def outcome_of(status: int) -> Outcome:
    """The class of an HTTP status (C8)."""
    if status in (401, 403):
        return Outcome.AUTH
    if status == 429:
        return Outcome.RATE
    if status >= 500:
        return Outcome.SERVER
    return Outcome.CLIENT if status >= 400 else Outcome.FINE


_SHARED = Tally()


def shared() -> Tally:
    """The process's."""
    return _SHARED
