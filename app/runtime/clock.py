"""Time. Every account lives by its exchange's clock; for a live account that is the system's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Protocol

from app.domain.ids import Nanos

IST = timezone(timedelta(hours=5, minutes=30), "IST")
"""Indian Standard Time: no daylight saving since 1945, so a fixed offset is exact."""

SECOND: Nanos = 1_000_000_000


def since_boot() -> Nanos:
    """A clock that nobody sets, and that goes on while the machine sleeps."""
    if sys.platform == "linux":
        at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":
        # Here this one counts sleep, and Python's own monotonic clock (mach_absolute_time) does not.
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    else:
        at = time.monotonic_ns()  # counts sleep already
    return at


class Clock(Protocol):
    """Where a component gets its time from."""

    def now(self) -> Nanos:
        """The moment, in nanoseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Nanos:
        """Wall time of this machine."""
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class _Reading:
    exchange: Nanos
    at: Nanos
    """By `clock`."""
    speed: float
    clock: Callable[[], Nanos]


class AccountClock:
    """An account's exchange time: follows the system clock until a reading of the exchange's own is set.

    A paper exchange may run faster than life and on another day. Reads are lock-free (one immutable reading), so any
    thread may call `now`. It goes on while the machine sleeps: who wakes must not live in the past until the exchange
    has been asked.
    """

    def __init__(self) -> None:
        self._reading: _Reading | None = None

    def set(self, exchange_now: Nanos, speed: float = 1.0, *, sleeps: bool = False) -> None:
        """From now on time runs from `exchange_now` at `speed` times real time. `sleeps`: it stands still while the
        machine sleeps, as that of an exchange on this machine does."""
        clock = time.monotonic_ns if sleeps else since_boot
        self._reading = _Reading(exchange_now, clock(), speed, clock)

    def now(self) -> Nanos:
        """The exchange's time."""
        reading = self._reading
        if reading is None:
            return time.time_ns()
        return reading.exchange + int((reading.clock() - reading.at) * reading.speed)

    @property
    def speed(self) -> float:
        """How many exchange seconds pass in a real one."""
        return 1.0 if self._reading is None else self._reading.speed


def to_datetime(at: Nanos) -> datetime:
    """The moment as wall time in India."""
    return datetime.fromtimestamp(at / SECOND, IST)


def from_datetime(moment: datetime) -> Nanos:
    """Nanoseconds of an aware datetime. Raises ValueError for a naive one: it names no moment."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    delta = moment - epoch
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000
