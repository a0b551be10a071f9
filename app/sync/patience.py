"""Trying a read again, as C8 says: by the class of its failure. Never used for anything that places an order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from app.domain.errors import (
    BadAnswer,
    BrokerPaused,
    Denied,
    NotPermitted,
    RateLimited,
    Rejected,
    SessionExpired,
    StorageError,
    Unreachable,
)
from app.domain.sync import ErrorClass

T = TypeVar("T")

TRIES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
JITTER = 0.2
SECONDS_PER_OPERATION = 60.0
"""All tries of one read and the pauses between them; waiting because the broker asked for it does not count."""
LONGEST_WAIT = 240.0
"""A broker that asks for more is asked again by a later run: a run has no more than its lease."""
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})

_CLASSES: tuple[tuple[type[BaseException], ErrorClass], ...] = (
    (SessionExpired, ErrorClass.AUTH),
    (RateLimited, ErrorClass.RATE_LIMIT),
    (BrokerPaused, ErrorClass.PAUSED),
    (Denied, ErrorClass.CLIENT),
    (Rejected, ErrorClass.CLIENT),
    (NotPermitted, ErrorClass.CLIENT),
    (BadAnswer, ErrorClass.ANSWER),
    (StorageError, ErrorClass.STORAGE),
)


def class_of(failure: BaseException) -> ErrorClass:
    """What a failure is, and so what is done about it."""
    if isinstance(failure, Unreachable):
        if failure.status is None:
            return ErrorClass.NETWORK
        refused = 400 <= failure.status < 500 and failure.status not in RETRYABLE
        return ErrorClass.CLIENT if refused else ErrorClass.SERVER
    for kind, name in _CLASSES:
        if isinstance(failure, kind):
            return name
    return ErrorClass.OTHER


def asked_wait(failure: BaseException) -> float | None:
    """Seconds that the broker asked to wait; None when it did not ask."""
    return failure.retry_after if isinstance(failure, RateLimited | Unreachable) else None


class Patience:
    """Tries one read again after network and server failures, and when told to slow down. Loop thread; made for one
    read and thrown away: it counts.

    `on_wait` hears of each wait that the broker asked for.
    """

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
        on_wait: Callable[[BaseException, float], None] = lambda _cause, _seconds: None,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._on_wait = on_wait
        self._spent = 0.0
        self.retries = 0
        self.rate_limited = 0

    async def read(self, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result; its last failure when three tries were not enough, or a minute.

        A dead session, a refusal and an unreadable answer are not tried again: they would fail the same way.
        """
        retrying = AsyncRetrying(
            stop=self._enough,
            wait=self._pause,
            retry=retry_if_exception(_worth_another),
            sleep=self._slept,
            reraise=True,
        )
        return await retrying(self._bounded, operation)

    async def _bounded(self, operation: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(max(0.0, SECONDS_PER_OPERATION - self._spent)):
                return await operation()
        except TimeoutError as late:
            raise Unreachable("The broker did not answer in time.") from late
        except RateLimited:
            self.rate_limited += 1
            raise
        finally:
            self._spent += loop.time() - began

    def _enough(self, state: RetryCallState) -> bool:
        failure = state.outcome.exception() if state.outcome is not None else None
        asked = None if failure is None else asked_wait(failure)
        if state.attempt_number >= TRIES or self._spent >= SECONDS_PER_OPERATION:
            return True
        return asked is not None and asked > LONGEST_WAIT

    async def _slept(self, seconds: float) -> None:
        self.retries += 1
        await self._sleep(seconds)

    def _pause(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome is not None else None
        asked = None if failure is None else asked_wait(failure)
        if failure is not None and asked is not None:
            if not self._enough(state):
                self._on_wait(failure, asked)
            return asked
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (state.attempt_number - 1))
        pause *= self._jitter.uniform(1 - JITTER, 1 + JITTER)
        self._spent += pause
        return pause


def _worth_another(failure: BaseException) -> bool:
    if isinstance(failure, Unreachable):
        return failure.status is None or failure.status in RETRYABLE
    return isinstance(failure, RateLimited)
