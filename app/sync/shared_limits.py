"""Request limits that several machines with one key share, in Redis (C10). Beside the count in memory, never instead of
it: where Redis does not answer, each machine counts for itself, and that is said once.

`redis` is an optional package (`stopline[shared]`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError

from app.domain.errors import Denied

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_SECONDS = 1.0
AGAIN_SECONDS = 30.0
"""Until a server that did not answer is asked again."""

Counted = tuple[RateLimitItemPerSecond, str, str]
"""A window, and whose it is: broker and account."""


class SharedWindows:
    """Loop thread. Raises Denied in words when the package is missing or the address is none."""

    def __init__(self, address: str, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        if not address.startswith(("redis://", "rediss://")):
            raise Denied(
                "The address of the shared request limits is none of a Redis server.",
                "Set STOPLINE_SHARED_LIMITS to redis://HOST:PORT/DB.",
            )
        try:
            self._storage = RedisStorage(
                f"async+{address}",
                implementation="redispy",
                key_prefix="STOPLINE",
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
            )
        except ConfigurationError as missing:
            raise Denied(
                "Request limits cannot be shared: the package redis is not installed.",
                "Install stopline[shared], or unset STOPLINE_SHARED_LIMITS.",
                detail=str(missing),
            ) from missing
        self._trouble: tuple[type[Exception], ...] = (OSError, TimeoutError, *_failures(self._storage))
        self._windows = MovingWindowRateLimiter(self._storage)
        self._tell = tell
        self._clock = clock
        self._silent_since: float | None = None

    async def take(self, counted: Sequence[Counted]) -> float:
        """Counts one request in every window; 0 when all had room, else the seconds until they have, and nothing was
        counted. Also 0 while Redis does not answer: the count in memory holds."""
        if self._silent_since is not None and self._clock() - self._silent_since < AGAIN_SECONDS:
            return 0.0
        try:
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                wait = await self._take(counted)
        except self._trouble as failure:
            if self._silent_since is None:
                self._tell(f"Redis does not answer ({type(failure).__name__}).")
            self._silent_since = self._clock()
            return 0.0
        self._silent_since = None
        return wait

    async def _take(self, counted: Sequence[Counted]) -> float:
        waits = [0.0]
        for item, *names in counted:
            if not await self._windows.test(item, *names):
                stats = await self._windows.get_window_stats(item, *names)
                waits.append(max(0.001, stats.reset_time - time.time()))
        if max(waits) > 0:
            return max(waits)
        for item, *names in counted:
            await self._windows.hit(item, *names)
        return 0.0

    async def close(self) -> None:
        """Ends the connection."""
        bridge = self._storage.bridge
        if isinstance(bridge, RedispyBridge):
            await cast("Redis", bridge.get_connection()).aclose()  # typed by what all its clients share


def _failures(storage: RedisStorage) -> tuple[type[Exception], ...]:
    kinds = storage.base_exceptions
    return kinds if isinstance(kinds, tuple) else (kinds,)
