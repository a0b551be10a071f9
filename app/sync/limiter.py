"""Request limits of the sync: sliding windows at 80 % of what a broker allows, per broker and per account (C10).

`limits` does the counting; where it counts is ours: in memory, on a clock that nobody can set. Exits, order look-ups
and the feed never pass here (C9).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from app.domain.broker import RateLimit
from app.domain.errors import RateLimited
from app.domain.sync import LimitGauge
from app.sync.shared_limits import SharedWindows

SHARE = 0.8
"""Of the broker's limit: the rest is for exits, look-ups and what else uses the key."""
KIND = "read"
SHORT = 5.0
"""Seconds that are waited for without a word."""


class _Memory(Storage, MovingWindowSupport):
    """Counts in this process, by a monotonic clock: the machine's wall clock may be set, and may be wrong."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._events: dict[str, deque[float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a storage out of reach would raise; this one is always there."""
        return OSError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts `amount` requests now, when they fit."""
        now = self._clock()
        events = self._kept(key, now - expiry)
        if len(events) + amount > limit:
            return False
        events.extend([now] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002 -- theirs
        """(moment of the oldest request in the window, how many there are)."""
        now = self._clock()
        events = self._kept(key, now - expiry)
        return (events[0] if events else now), len(events)

    def _kept(self, key: str, since: float) -> deque[float]:
        events = self._events.setdefault(key, deque())
        while events and events[0] <= since:
            events.popleft()
        return events

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Of fixed windows, which nobody uses here: counted like the others."""
        self.acquire_entry(key, 1 << 62, expiry, amount)
        return len(self._events[key])

    def get(self, key: str) -> int:
        """How many are counted."""
        return len(self._events.get(key, ()))

    def get_expiry(self, key: str) -> float:
        """When the oldest was counted."""
        events = self._events.get(key)
        return events[0] if events else self._clock()

    def check(self) -> bool:
        """Always there."""
        return True

    def reset(self) -> int | None:
        """Forgets everything."""
        count = len(self._events)
        self._events.clear()
        return count

    def clear(self, key: str) -> None:
        """Forgets one window."""
        self._events.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Scope:
    broker: str
    account: str


class RequestLimiter:
    """Gives turns. Loop thread."""

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._windows = MovingWindowRateLimiter(_Memory(clock))
        self._items: dict[_Scope, tuple[RateLimitItemPerSecond, ...]] = {}
        self.shared: SharedWindows | None = None
        """Where several machines with one key count together; None: nowhere."""

    async def turn(self, broker: str, account: str, allowed: Sequence[RateLimit]) -> None:
        """Returns when one more read of the account may leave. Raises RateLimited when that is not within seconds."""
        scopes = (_Scope(broker, ""), _Scope(broker, account))
        for scope in scopes:
            self._items.setdefault(scope, _items(allowed))
        while (wait := self._wait(scopes) or await self._shared_wait(scopes)) > 0:
            if wait > SHORT:
                raise RateLimited("Our own share of the broker's request limit is used up.", retry_after=wait)
            await self._sleep(wait)
        for scope in scopes:
            for item in self._items[scope]:
                self._windows.hit(item, scope.broker, scope.account)

    async def _shared_wait(self, scopes: Sequence[_Scope]) -> float:
        """The same of all machines together; 0 also means that it is counted there."""
        if self.shared is None:
            return 0.0
        return await self.shared.take([(item, s.broker, s.account) for s in scopes for item in self._items[s]])

    def _wait(self, scopes: Sequence[_Scope]) -> float:
        """Seconds until all windows have room."""
        now = self._clock()
        waits = [0.0]
        for scope in scopes:
            for item in self._items[scope]:
                if not self._windows.test(item, scope.broker, scope.account):
                    reset = self._windows.get_window_stats(item, scope.broker, scope.account).reset_time
                    waits.append(max(0.001, reset - now))
        return max(waits)

    def gauges(self) -> tuple[LimitGauge, ...]:
        """Used, allowed and time to reset of every window."""
        now = self._clock()
        found = []
        for scope, items in self._items.items():
            for item in items:
                stats = self._windows.get_window_stats(item, scope.broker, scope.account)
                used = item.amount - stats.remaining
                reset = max(0.0, stats.reset_time - now) if used else 0.0
                found.append(
                    LimitGauge(scope.broker, scope.account, item.get_expiry(), used, item.amount, round(reset, 1))
                )
        return tuple(found)


def _items(allowed: Sequence[RateLimit]) -> tuple[RateLimitItemPerSecond, ...]:
    return tuple(
        RateLimitItemPerSecond(max(1, int(limit.amount * SHARE)), limit.seconds)
        for limit in allowed
        if limit.kind == KIND
    )
