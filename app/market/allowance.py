"""How much of a request limit is left: sliding windows at 80 % of what a provider allows (C10). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from app.domain.broker import RateLimit

SHARE = 0.8


class Allowance:
    """Of one key. Moments are monotonic seconds, given by the caller."""

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._limits = tuple((max(1, int(limit.amount * SHARE)), limit.seconds) for limit in limits)
        self._longest = max((seconds for _, seconds in self._limits), default=0)
        self._asked: deque[float] = deque()
        self._paused_until = 0.0

    @property
    def limit(self) -> int:
        """Of the longest window."""
        return next((amount for amount, seconds in self._limits if seconds == self._longest), 0)

    def used(self, now: float) -> int:
        """Of the longest window."""
        while self._asked and self._asked[0] <= now - self._longest:
            self._asked.popleft()
        return len(self._asked)

    def room(self, now: float) -> int:
        """How many requests may leave now."""
        if now < self._paused_until:
            return 0
        self.used(now)
        return min(
            (amount - sum(at > now - seconds for at in self._asked) for amount, seconds in self._limits), default=0
        )

    def took(self, now: float) -> None:
        """One left."""
        self._asked.append(now)

    def pause(self, now: float, seconds: float) -> None:
        """The provider asked for it."""
        self._paused_until = max(self._paused_until, now + seconds)
