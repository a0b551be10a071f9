"""Keeps a connection up: dials again with the patience that armed stops allow (E3). Loop thread only."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

from app.domain.errors import SessionExpired

RETRY_SECONDS = 2.0
RETRY_JITTER = 0.2
RETRY_CEILING = 60.0
BEHIND_SECONDS = 1.0
"""More than the jitter of two dials."""
_DOUBLINGS = 5


class Redial:
    """Runs `connect_once` over and over until stopped, or until it says that the session is dead (`gives_up`)."""

    def __init__(
        self,
        connect_once: Callable[[], Awaitable[Exception]],
        disconnected: Callable[[Exception], None],
        name: str,
        *,
        behind: bool = False,
        gives_up: bool = True,
    ) -> None:
        self._connect_once = connect_once
        """One connection from dial to end; returns why it ended."""
        self._disconnected = disconnected
        self._name = name
        self._behind = BEHIND_SECONDS if behind else 0.0
        """After the connection that stops hang on: a broker that still counts a dead one takes only one of the two."""
        self._gives_up = gives_up
        """Where it is refused as that of a dead session is: a new login brings a new feed."""
        self._urgent = False
        self._waiting = False
        """Between two dials."""
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Dials, and keeps dialling. A second call does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Ends the connection and the dialling. A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: every 2 s for ever. A long wait between two dials ends now."""
        if urgent and not self._urgent and self._waiting:
            self._again.set()
        self._urgent = urgent

    def at_once(self) -> None:
        """The next dial follows the end of this connection without a pause."""
        self._again.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            cause = await self._connect_once()
            self._disconnected(cause)
            if isinstance(cause, SessionExpired) and self._gives_up:
                return
            failures = 1 if time.monotonic() - started > 2 * RETRY_CEILING else failures + 1
            delay = RETRY_SECONDS
            if not self._urgent:
                delay = min(RETRY_SECONDS * 2 ** min(failures - 1, _DOUBLINGS), RETRY_CEILING)
            delay = delay * random.uniform(1 - RETRY_JITTER, 1 + RETRY_JITTER) + self._behind
            # Not `wait_for`: on Python 3.11 it may swallow the cancellation that ends this task.
            self._waiting = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._again.wait()
            self._waiting = False
            self._again.clear()
