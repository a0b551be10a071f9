"""Who holds the interpreter: a thread as urgent as the loop's that wakes every millisecond and looks how long it waited
for the interpreter lock. Linux.

A timer of the kernel counts on while the thread waits, and is read without the lock: so the wait for a core is told
apart from the wait for the lock. A wait is as long as the longest hold within it, or longer: several threads that pass
the lock on to each other make one wait.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from types import FrameType

from app.runtime.priority import raise_own_thread

EVERY_NS = 1_000_000
"""Between two looks."""
STEP_NS = 50_000
"""To how much a wait is known."""
LONG_MS = 1.0
"""Waits from here on are noted with what the other threads were doing."""
NOTED = 20
_MONOTONIC = 1


class _Times(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Times), ("first", _Times))


@dataclass(slots=True)
class Waits:
    """What was seen since it was last asked, in milliseconds."""

    looks: int = 0
    worst_ms: float = 0.0
    """For the lock."""
    over: int = 0
    """Waits for the lock above `LONG_MS`."""
    core_ms: float = 0.0
    """For a core, at worst."""
    loop_ms: float = 0.0
    """That the loop thread took to come round, at worst."""
    collection_ms: float = 0.0
    """The longest garbage collection."""
    noted: list[tuple[float, str]] = field(default_factory=list)
    """(milliseconds, where the other threads were) of the longest ones."""

    def told(self) -> dict[str, object]:
        """For the report."""
        return {
            "lock_ms": round(self.worst_ms, 2), "over_1_ms": self.over, "looks": self.looks,
            "loop_ms": round(self.loop_ms, 2), "core_ms": round(self.core_ms, 2),
            "collection_ms": round(self.collection_ms, 2),
        }  # fmt: skip


class LockProbe:
    """Looks for as long as the process lives."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waits = Waits()
        self._out: float | None = None
        self._collection = 0.0
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(_MONOTONIC, 0)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "no timer")
        gc.callbacks.append(self._collecting)
        self._thread = threading.Thread(target=self._look, name="probe", daemon=True)
        self._thread.start()

    def take(self) -> Waits:
        """What was seen, and from now on anew."""
        waits, self._waits = self._waits, Waits()
        return waits

    def _look(self) -> None:
        raise_own_thread()
        timer = _Timer(_Times(0, STEP_NS), _Times(0, EVERY_NS))
        while True:
            began = time.perf_counter_ns()
            self._libc.timerfd_settime(self._timer, 0, ctypes.byref(timer), None)
            passed = int.from_bytes(os.read(self._timer, 8), sys.byteorder)  # without the lock
            now = time.perf_counter_ns()
            waits = self._waits
            woken = began + EVERY_NS + (passed - 1) * STEP_NS  # at this moment or up to a step later
            lock_ms = max(0, now - woken - STEP_NS) / 1e6
            waits.looks += 1
            waits.core_ms = max(waits.core_ms, (passed - 1) * STEP_NS / 1e6)
            waits.worst_ms = max(waits.worst_ms, lock_ms)
            if lock_ms >= LONG_MS:
                waits.over += 1
                waits.noted.append((round(lock_ms, 2), _elsewhere()))
                waits.noted.sort(reverse=True)
                del waits.noted[NOTED:]
            if self._out is None:
                self._out = time.perf_counter()
                self._loop.call_soon_threadsafe(self._back)

    def _back(self) -> None:
        if self._out is not None:
            self._waits.loop_ms = max(self._waits.loop_ms, (time.perf_counter() - self._out) * 1000)
        self._out = None

    def _collecting(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collection = time.perf_counter()
        else:
            took = (time.perf_counter() - self._collection) * 1000
            self._waits.collection_ms = max(self._waits.collection_ms, took)


def _elsewhere() -> str:
    """Where each other thread that does something is now."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    places = []
    for ident, frame in sys._current_frames().items():
        if ident != own and not _idle(frame):
            places.append(f"{names.get(ident, ident)}: {_place(frame)}")
    return " | ".join(places)


def _idle(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.endswith(("threading.py", "selectors.py", "queue.py")) or frame.f_code.co_name in ("_run", "_worker")


def _place(frame: FrameType | None) -> str:
    """The innermost place, and the innermost one of ours."""
    first = frame
    while frame is not None and "/app/" not in frame.f_code.co_filename:
        frame = frame.f_back
    shown = [f"{f.f_code.co_filename.rpartition('/')[2]}:{f.f_lineno}" for f in (first, frame) if f is not None]
    return " in ".join(dict.fromkeys(shown))
