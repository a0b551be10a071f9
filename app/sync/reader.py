"""Reads of one run: each waits for its turn, asks the breaker, is tried again by its class, and is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.domain.broker import RateLimit
from app.domain.errors import AppError, BrokerPaused, RateLimited, Unreachable
from app.domain.ids import AccountId
from app.domain.sync import DataSet, ErrorClass, SyncPause
from app.sync.breaker import Breaker
from app.sync.limiter import RequestLimiter
from app.sync.patience import LONGEST_WAIT, SECONDS_PER_OPERATION, Patience, asked_wait, class_of

T = TypeVar("T")

LONGEST_HOLD = 3_600.0
"""Seconds for which a broker is left alone because it asked for that. One that asks for years is asked each hour."""

_BROKERS_FAULT = frozenset({ErrorClass.SERVER, ErrorClass.NETWORK, ErrorClass.ANSWER})


@dataclass(slots=True)
class Counted:
    """One data set's read: what it took. Owned by its run."""

    took_ms: int = 0
    retries: int = 0
    rate_limited: int = 0
    failure: AppError | None = None
    """The last one; None once it was read."""


@dataclass(slots=True)
class Readings:
    """All of a run's."""

    by_set: dict[DataSet, Counted] = field(default_factory=dict)

    @property
    def retries(self) -> int:
        """Of all data sets."""
        return sum(counted.retries for counted in self.by_set.values())

    @property
    def rate_limited(self) -> int:
        """Of all data sets."""
        return sum(counted.rate_limited for counted in self.by_set.values())


class Guard:
    """What all runs share: the limiter, a breaker for each broker, and who waits for what. Loop thread."""

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sleep = sleep
        self._clock = clock
        self.limiter = RequestLimiter(sleep, clock)
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._pauses: dict[tuple[AccountId, DataSet], tuple[str, float]] = {}
        self._holds: dict[AccountId, tuple[DataSet, str, float]] = {}
        """For whom a broker wants to be left alone: of what it said so, in which words, until when."""

    def breaker(self, broker: str, reads: str = "") -> Breaker:
        """Of one broker, or of one kind of its reads."""
        return self._breakers.setdefault((broker, reads), Breaker(broker, self._clock, reads))

    @property
    def breakers(self) -> Sequence[Breaker]:
        """Those of brokers that were ever asked, and those of one kind of reads that are open."""
        return [breaker for (_, reads), breaker in self._breakers.items() if not reads or breaker.is_open]

    def pause(self, account: AccountId, data_set: DataSet, cause: str, seconds: float) -> None:
        """A read waits because the broker asked it to."""
        self._pauses[account, data_set] = (cause, self._clock() + seconds)

    def unpause(self, account: AccountId, data_set: DataSet) -> None:
        """It waits no longer."""
        self._pauses.pop((account, data_set), None)

    def hold(self, account: AccountId, data_set: DataSet, cause: str, seconds: float) -> None:
        """The broker asked for longer than a run can wait: no run asks it before that."""
        held = min(seconds, LONGEST_HOLD)
        # Not how long yet: these words stand in a banner and in the log for long; `retry_after` is counted down.
        words = f"{cause} It is left alone for {held / 60:.0f} minutes, as it asked."
        self._holds[account] = (data_set, words, self._clock() + held)

    def held(self, account: AccountId) -> RateLimited | None:
        """Why the broker is not asked now; None when it does not want to be left alone."""
        held = self._holds.get(account)
        if held is None:
            return None
        left = held[2] - self._clock()
        if left <= 0:
            del self._holds[account]
            return None
        return RateLimited(
            held[1],
            "The sync goes on by itself afterwards; orders, exits and prices are not held up by this.",
            retry_after=left,
        )

    def pauses(self) -> tuple[SyncPause, ...]:
        """With the seconds that are left."""
        now = self._clock()
        waiting = [(account, data_set, *told) for (account, data_set), told in self._pauses.items()]
        waiting += [(account, *told) for account, told in self._holds.items() if told[2] > now]
        return tuple(
            SyncPause(account, data_set, cause, round(max(0.0, until - now), 1))
            for account, data_set, cause, until in waiting
        )


class Reader:
    """One account's reads in one run. Loop thread."""

    def __init__(
        self,
        guard: Guard,
        broker: str,
        account: AccountId,
        limits: Sequence[RateLimit],
        on_wait: Callable[[DataSet, BaseException, float], None],
        on_open: Callable[[str], None],
    ) -> None:
        self._guard = guard
        self._breaker = guard.breaker(broker)
        self._broker = broker
        self._account = account
        self._limits = limits
        self._on_wait = on_wait
        self._on_open = on_open
        self.readings = Readings()

    async def read(self, data_set: DataSet, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result. Raises its last failure, and BrokerPaused while the breaker is open."""
        counted = self.readings.by_set.setdefault(data_set, Counted())
        patience = Patience(self._guard.sleep, on_wait=lambda cause, seconds: self._waits(data_set, cause, seconds))
        began = time.perf_counter()
        try:
            answer = await patience.read(lambda: self._once(operation, data_set))
        except BrokerPaused:
            if counted.failure is not None:
                raise counted.failure from None  # what failed before the broker was left alone says why
            raise
        except AppError as failure:
            counted.failure = failure
            raise
        else:
            counted.failure = None
            return answer
        finally:
            self._guard.unpause(self._account, data_set)
            counted.took_ms += int((time.perf_counter() - began) * 1000)
            counted.retries += patience.retries
            counted.rate_limited += patience.rate_limited

    async def _once(self, operation: Callable[[], Awaitable[T]], data_set: DataSet) -> T:
        self._guard.unpause(self._account, data_set)
        own = self._guard.breaker(self._broker, data_set.value)
        if (held := self._guard.held(self._account)) is not None:
            raise held
        await self._guard.limiter.turn(self._broker, self._account, self._limits)
        await self._breaker.enter()
        try:
            await own.enter()
        except BaseException:
            self._breaker.abandoned()
            raise
        counted = self.readings.by_set[data_set]
        try:
            answer = await _in_time(operation)
        except AppError as told:
            failure = self._heeded(told, data_set)
            counted.failure = failure
            if class_of(failure) not in _BROKERS_FAULT:
                self._breaker.succeeded()
                own.succeeded()
            else:
                own.failed()
                if self._breaker.failed():
                    self._on_open(self._broker)
            if failure is told:
                raise
            raise failure from told
        except BaseException:
            self._breaker.abandoned()  # a run that was cancelled proves nothing
            own.abandoned()
            raise
        self._breaker.succeeded()
        own.succeeded()
        return answer

    def _heeded(self, failure: AppError, data_set: DataSet) -> AppError:
        """What a broker that asks for a long wait comes to; any other failure as it is."""
        asked = asked_wait(failure)
        if asked is None or asked <= LONGEST_WAIT:
            return failure
        self._guard.hold(self._account, data_set, failure.cause, asked)
        return failure if not isinstance(failure, RateLimited) else self._guard.held(self._account) or failure

    def _waits(self, data_set: DataSet, cause: BaseException, seconds: float) -> None:
        self._guard.pause(self._account, data_set, str(cause), seconds)
        self._on_wait(data_set, cause, seconds)


async def _in_time(operation: Callable[[], Awaitable[T]]) -> T:
    """A try that takes as long as a whole operation may is a failure of the broker, and counts as one."""
    try:
        async with asyncio.timeout(SECONDS_PER_OPERATION):
            return await operation()
    except TimeoutError as late:
        raise Unreachable("The broker did not answer in time.") from late
