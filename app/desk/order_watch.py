"""Covers for order updates that have stopped while prices go on: the order book is read until they come again.

Only brokers that tell of orders on a socket of its own can lose it alone. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, Level, Noticed
from app.engine.account import AccountState
from app.engine.reads import Haste
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

READ_SECONDS = 2.0
"""Between two readings of orders and positions: 60 requests a minute, of the 500 that a broker allows."""


class OrderWatch:
    """One account's. `stream` is what the feed reports to."""

    def __init__(self, state: AccountState, publish: Callable[[Event], None], tasks: Tasks) -> None:
        self._state = state
        self._publish = publish
        self._tasks = tasks
        self._reading: asyncio.Task[None] | None = None

    def stream(self, cause: Exception | None) -> None:
        """Order updates ended or could not begin (why), or come again (None)."""
        if cause is None:
            self.stop()
            self._tell(Level.INFO, "Order updates come by themselves again", "")
            self._tasks.start(self._read(), f"orders after their stream {self._state.account}")
        elif self._reading is None:
            self._reading = self._tasks.start(self._keep_reading(cause), f"orders without stream {self._state.account}")

    def stop(self) -> None:
        """The stream is back, or the session has ended."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()

    async def _keep_reading(self, cause: Exception) -> None:
        if await self._read():  # else the session has died, which is told by itself: prices and stops do not go on
            why = "The broker refused them." if isinstance(cause, SessionExpired) else str(cause)  # it lives
            self._tell(Level.WARNING, "Order updates have stopped", why)
        while True:
            await asyncio.sleep(READ_SECONDS)
            await self._read()

    async def _read(self) -> bool:
        """False when the session is over."""
        try:
            await self._state.read_orders(Haste.ROUTINE)
            await self._state.read_positions(Haste.ROUTINE)
        except SessionExpired:
            return False
        except AppError as failure:  # said by who reads; the next reading follows at once
            log.info("orders of %s could not be read: %s", self._state.account, failure.cause)
        return True

    def _tell(self, level: Level, title: str, cause: str) -> None:
        told = "The order book is read every two seconds until they come again; prices and stops go on."
        account = self._state.account
        self._publish(Noticed(level, title, cause, told if cause else "", account, f"order stream:{account}"))
