"""The exchange's own time: real, shifted, or running at a multiple of real time.

Everything in the paper exchange reads the time here and nowhere else, so a Sunday evening, a replayed day and a
simulated week all work. One event loop owns it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone, tzinfo

IST_SECONDS = 19_800
IST: tzinfo = timezone(timedelta(seconds=IST_SECONDS), "IST")
"""Asia/Kolkata: +05:30 without daylight saving since 1945, so no time zone database is needed."""


def session_start(real_now: datetime) -> datetime:
    """Where the exchange's clock starts when nobody sets it and the market is always open.

    10:00 IST of the latest weekday: today when it is Monday to Friday (also early in the morning and in the evening),
    else the Friday before. From there the clock simply runs on. So a program started on a Sunday evening finds itself
    inside the continuous session (09:15 to 15:15), whatever the real hour is.
    """
    local = real_now.astimezone(IST)
    day = local - timedelta(days=max(0, local.weekday() - 4))
    return day.replace(hour=10, minute=0, second=0, microsecond=0)


class ExchangeClock:
    """Runs at `speed` times real time from `start` (None: from the real present). Speed 0 stands still.

    Built on the monotonic clock: a correction of the machine's wall clock does not move the exchange.
    """

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        if start is not None and start.tzinfo is None:
            start = start.replace(tzinfo=IST)
        self._check(speed)
        self._base = time.time() if start is None else start.timestamp()
        self._since = time.monotonic()
        self._speed = speed
        self._sleepers: set[asyncio.Future[None]] = set()
        self.jumps = 0
        """How often `set` was called; who plans ahead compares it to notice a jump."""

    @staticmethod
    def _check(speed: float) -> None:
        if not 0 <= speed <= 10_000:
            raise ValueError(f"speed must lie between 0 and 10000, got {speed}")

    def epoch(self) -> float:
        """Exchange time in Unix seconds."""
        return self._base + (time.monotonic() - self._since) * self._speed

    def now(self) -> datetime:
        """Exchange time, aware, in IST."""
        return datetime.fromtimestamp(self.epoch(), IST)

    @property
    def speed(self) -> float:
        """Exchange seconds per real second. Changing it does not move the present."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._check(value)
        self._base, self._since = self.epoch(), time.monotonic()
        self._speed = value
        self._wake()

    def set(self, now: datetime) -> None:
        """Jumps, forwards or backwards, and wakes every sleeper to look again."""
        if now.tzinfo is None:
            now = now.replace(tzinfo=IST)
        self._base, self._since = now.timestamp(), time.monotonic()
        self.jumps += 1
        self._wake()

    def set_epoch(self, epoch: float) -> None:
        """`set` in Unix seconds."""
        self.set(datetime.fromtimestamp(epoch, IST))

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, exchange_seconds: float) -> None:
        """Waits until the exchange's clock has advanced by so much; a jump over the end ends it."""
        await self._sleep_until(self.epoch() + exchange_seconds)

    async def sleep_until(self, at: datetime) -> None:
        """Waits until the exchange's clock shows `at` or later."""
        await self._sleep_until(at.timestamp())

    async def sleep_until_epoch(self, epoch: float) -> None:
        """`sleep_until` in Unix seconds."""
        await self._sleep_until(epoch)

    async def _sleep_until(self, epoch: float) -> None:
        await asyncio.sleep(0)
        while (left := epoch - self.epoch()) > 0:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.add(woken)
            try:
                # a day at most: the loop's timers do not take absurd delays
                await asyncio.wait((woken,), timeout=min(left / self._speed, 86_400.0) if self._speed else None)
            finally:
                self._sleepers.discard(woken)
