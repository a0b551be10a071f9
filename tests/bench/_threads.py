"""What the threads of this process computed, and how long they waited for a core. Linux.

Time on the clock that is neither of the two, a thread slept or waited for the interpreter lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

_PER_THREAD = 6
"""Linux: the low bits of the clock that counts one thread's computing."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one thread, in nanoseconds."""

    cpu: int
    core: int
    """Waiting for a core: runnable, but another program had it."""

    def since(self, before: Spent) -> Spent:
        """The difference."""
        return Spent(self.cpu - before.cpu, self.core - before.core)


class Threads:
    """Every thread that Python knows. One reading takes 3 us a thread."""

    def __init__(self) -> None:
        self._files: dict[int, int] = {}
        self._names: dict[int, str] = {}

    def read(self) -> dict[int, Spent]:
        """By the kernel's thread id."""
        if threading.active_count() != len(self._files):
            self._look_again()
        told = {}
        for thread, file in list(self._files.items()):
            try:
                told[thread] = Spent(time.clock_gettime_ns((~thread << 3) | _PER_THREAD), _core(file))
            except OSError:  # it ended
                os.close(self._files.pop(thread))
        return told

    def computed(self) -> dict[int, int]:
        """What each has computed, alone: 1 us a thread."""
        if threading.active_count() != len(self._files):
            self._look_again()
        told = {}
        for thread in self._files:
            with suppress(OSError):  # it ended
                told[thread] = time.clock_gettime_ns((~thread << 3) | _PER_THREAD)
        return told

    def own_core(self) -> int:
        """Nanoseconds that the calling thread waited for a core, up to now."""
        thread = threading.get_native_id()
        if thread not in self._files:
            self._look_again()
        return _core(self._files[thread])

    def name(self, thread: int) -> str:
        """As Python calls it."""
        return self._names.get(thread, str(thread))

    def _look_again(self) -> None:
        known = {t.native_id: t.name for t in threading.enumerate() if t.native_id is not None}
        for gone in self._files.keys() - known.keys():
            os.close(self._files.pop(gone))
        for thread in known.keys() - self._files.keys():
            try:
                self._files[thread] = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY)
            except FileNotFoundError:  # it ended meanwhile
                continue
        self._names = known


def _core(file: int) -> int:
    return int(os.pread(file, 100, 0).split()[1])


def spent_since(before: Mapping[int, Spent], now: Mapping[int, Spent]) -> dict[int, Spent]:
    """By thread, of those that were there both times."""
    return {thread: spent.since(before[thread]) for thread, spent in now.items() if thread in before}


def place(frame: FrameType | None, depth: int = 2) -> str:
    """The innermost places, and the innermost one of ours."""
    shown: list[str] = []
    while frame is not None and len(shown) <= depth:
        if len(shown) < depth or "/app/" in frame.f_code.co_filename:
            shown.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(shown)
