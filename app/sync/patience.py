"""Trying a read again, as C8 says: by the class of its failure. Never used for anything that places an order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from app.domain.errors import RateLimited, Unreachable

T = TypeVar("T")

TRIES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
JITTER = 0.2
SECONDS_PER_OPERATION = 60.0


class Patience:
    """Tries reads again after network and server failures and when told to slow down. Loop thread."""

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
        on_pause: Callable[[RateLimited, float], None] = lambda _cause, _seconds: None,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._on_pause = on_pause

    async def read(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result; its last failure when three tries were not enough.

        A dead session, a refusal and an unreadable answer are not tried again: they would fail the same way.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=self._pause,
            retry=retry_if_exception_type((Unreachable, RateLimited)),
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._bounded, operation)

    async def _bounded(self, operation: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(SECONDS_PER_OPERATION):
                return await operation()
        except TimeoutError as late:
            raise Unreachable("The broker did not answer in time.") from late

    def _pause(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome is not None else None
        if isinstance(failure, RateLimited):
            self._on_pause(failure, failure.retry_after)
            return failure.retry_after
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (state.attempt_number - 1))
        return pause * self._jitter.uniform(1 - JITTER, 1 + JITTER)
