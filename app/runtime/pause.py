"""Notices that the machine slept, or that this process did not run: by clocks that go on while it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.ids import Nanos
from app.runtime.clock import since_boot

SECOND: Nanos = 1_000_000_000
LONGEST: Nanos = 5 * SECOND
"""A beat that is due every second and comes this late was not merely busy."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Three clocks at one moment."""

    wall: Nanos
    running: Nanos
    """Stands still while the machine sleeps (where the system has such a clock)."""
    since_boot: Nanos
    """Goes on while the machine sleeps."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch in which nothing of this process ran. Wall time."""

    since: Nanos
    until: Nanos
    slept: bool
    """The machine slept; else it was held up (a debugger, swapping, a frozen virtual machine)."""


def read() -> Reading:
    """The clocks now."""
    return Reading(time.time_ns(), time.monotonic_ns(), since_boot())


class PauseWatch:
    """Asked at every beat. A clock that is set (by hand, by the network) is no pause."""

    def __init__(self, now: Callable[[], Reading] = read) -> None:
        self._now = now
        self._last = now()

    def look(self) -> Pause | None:
        """The pause since the last look; None where there was none."""
        before, now = self._last, self._now()
        self._last = now
        away = now.since_boot - before.since_boot
        if away < LONGEST:
            return None
        asleep = away - (now.running - before.running)
        return Pause(now.wall - away, now.wall, slept=asleep >= SECOND)
