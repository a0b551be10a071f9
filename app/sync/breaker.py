"""A broker that fails again and again is left alone for a minute (C9). The sync alone asks here: exits, order look-ups
and the feed know nothing of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from app.domain.errors import BrokerPaused
from app.domain.sync import BreakerView

FAILURES = 5
"""In a row: over all reads of a broker it is left alone as a whole, over those of one kind that kind alone is. By a
count over all reads a page that is always down beside three that answer would never be left alone."""
OPEN_SECONDS = 60.0


class Breaker:
    """Of one broker, or of one kind of its reads: closed, open after five failures in a row, half-open a minute later.
    Loop thread.

    Half-open lets one read through; the others wait for what becomes of it.
    """

    def __init__(self, broker: str, clock: Callable[[], float] = time.monotonic, reads: str = "") -> None:
        self.broker = broker
        self._reads = reads
        """Which of its reads; empty: all."""
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probe: asyncio.Future[None] | None = None

    async def enter(self) -> None:
        """Returns when a read may be tried. Raises BrokerPaused while the breaker is open."""
        while self._opened is not None:
            left = self._opened + OPEN_SECONDS - self._clock()
            if left > 0:
                what = (
                    f"reads of {self._reads} in a row failed; they are"
                    if self._reads
                    else "reads in a row failed; the broker is"
                )
                # Not how long yet: these words stand in a banner and in the log for long; `seconds` is counted down.
                raise BrokerPaused(f"{self._failures} {what} left alone for a minute.", seconds=left)
            if self._probe is None:
                self._probe = asyncio.get_running_loop().create_future()
                return
            await asyncio.shield(self._probe)

    def succeeded(self) -> None:
        """The broker answered: also a refusal is an answer."""
        self._failures = 0
        self._opened = None
        self._told()

    def failed(self) -> bool:
        """The broker did not answer, or said that it cannot. True when this opened the breaker."""
        self._failures += 1
        was_open = self._opened is not None
        if self._probe is not None or self._failures >= FAILURES:
            self._opened = self._clock()
        self._told()
        return self._opened is not None and not was_open

    def abandoned(self) -> None:
        """A read was cancelled before it came to anything: if it was the probe, another one may go."""
        self._told()

    def _told(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None and not probe.done():
            probe.set_result(None)

    @property
    def is_open(self) -> bool:
        """It lets nothing through, or one read as a probe."""
        return self._opened is not None

    def view(self) -> BreakerView:
        """As it stands."""
        if self._opened is None:
            return BreakerView(self.broker, "closed", self._failures, 0.0, self._reads)
        left = max(0.0, self._opened + OPEN_SECONDS - self._clock())
        return BreakerView(self.broker, "open" if left else "half-open", self._failures, round(left, 1), self._reads)
