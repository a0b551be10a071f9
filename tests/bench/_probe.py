"""Who holds the interpreter: a thread as urgent as the loop's that wakes every millisecond and looks how long it waited
for the interpreter lock. Linux.

A timer of the kernel counts on while the thread waits, and is read without the lock: so the wait for a core is told
apart from the wait for the lock. A wait for the lock is as long as the longest hold within it, or longer: several
threads may pass the lock on to each other, and the one that has it may lose its core to another program. So what each
thread computed meanwhile is counted: none held the lock, by work of its own, for longer than that.
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

from app.runtime.priority import raise_own_thread
from tests.bench._threads import Threads, place

EVERY_NS = 1_000_000
"""Between two looks."""
STEP_NS = 50_000
"""To how much a wait is known."""
LONG_MS = 1.0
"""Waits from here on are noted with what the other threads were doing."""
LOOK_AGAIN_NS = 100_000
"""How long the lock is kept then: who computes meanwhile does so without it."""
NOTED = 20
_MONOTONIC = 1


class _Times(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Times), ("first", _Times))


@dataclass(frozen=True, slots=True)
class Wait:
    """A long one, in milliseconds."""

    lasted: float
    held: float
    """At most this long a thread of ours held the lock by its own work: it computed no longer."""
    idle: float
    """No thread of ours computed: another program had the core of the one that held the lock."""
    words: str


@dataclass(slots=True)
class Waits:
    """What was seen since it was last asked, in milliseconds."""

    looks: int = 0
    worst_ms: float = 0.0
    """For the lock."""
    over: int = 0
    """Waits for the lock above `LONG_MS`."""
    held_ms: float = 0.0
    """That one thread held the lock by its own work, at most."""
    held_over: int = 0
    """Waits in which that was above `LONG_MS`."""
    core_ms: float = 0.0
    """For a core, at worst."""
    loop_ms: float = 0.0
    """That the loop thread took to come round, at worst."""
    collection_ms: float = 0.0
    """The longest garbage collection."""
    noted: list[Wait] = field(default_factory=list)
    """The longest holds."""

    def told(self) -> dict[str, object]:
        """For the report."""
        return {
            "lock_ms": round(self.worst_ms, 2), "over_1_ms": self.over, "held_ms": round(self.held_ms, 2),
            "held_over_1_ms": self.held_over, "loop_ms": round(self.loop_ms, 2), "core_ms": round(self.core_ms, 2),
            "collection_ms": round(self.collection_ms, 2),
        }  # fmt: skip


class LockProbe:
    """Looks for as long as the process lives. `loop`: the one whose thread is looked at too."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._waits = Waits()
        self._threads = Threads()
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
            computed, waited = self._threads.computed(), self._threads.own_core()
            began = time.perf_counter_ns()
            self._libc.timerfd_settime(self._timer, 0, ctypes.byref(timer), None)
            passed = int.from_bytes(os.read(self._timer, 8), sys.byteorder)  # without the lock
            now = time.perf_counter_ns()
            waited = self._threads.own_core() - waited
            waits = self._waits
            woken = began + EVERY_NS + (passed - 1) * STEP_NS  # at this moment or up to a step later
            before = (passed - 1) * STEP_NS
            # Whoever asks for the lock sleeps in between, and needs a core again each time.
            lock_ms = max(0, now - woken - STEP_NS - max(0, waited - before)) / 1e6
            waits.looks += 1
            waits.core_ms = max(waits.core_ms, max(waited, before) / 1e6)
            waits.worst_ms = max(waits.worst_ms, lock_ms)
            if lock_ms >= LONG_MS:
                self._note(waits, lock_ms, computed)
            if self._out is None and self._loop is not None:
                self._out = time.perf_counter()
                self._loop.call_soon_threadsafe(self._back)

    def _note(self, waits: Waits, lasted: float, before: dict[int, int]) -> None:
        now = self._threads.computed()
        free = self._without_the_lock(now)
        own = threading.get_native_id()
        spent = {
            thread: (total - before[thread]) / 1e6
            for thread, total in now.items()
            if thread in before and thread not in free and thread != own
        }
        # Since the look before, so also of the millisecond in which nobody waited.
        computed = sum(spent.values())
        held = min(lasted, max(spent.values(), default=0.0))
        waits.over += 1
        waits.held_ms = max(waits.held_ms, held)
        waits.held_over += held >= LONG_MS
        waits.noted.append(Wait(lasted, held, max(0.0, lasted - computed), self._words(spent, free)))
        waits.noted.sort(key=lambda wait: -wait.held)
        del waits.noted[NOTED:]

    def _without_the_lock(self, now: dict[int, int]) -> set[int]:
        """Threads that compute while this one has the lock: in the database, in Qt, in a library that gives it up."""
        until = time.perf_counter_ns() + LOOK_AGAIN_NS
        while time.perf_counter_ns() < until:
            pass
        return {thread for thread, total in self._threads.computed().items() if total > now.get(thread, total)} - {
            threading.get_native_id()
        }

    def _words(self, spent: dict[int, float], free: set[int]) -> str:
        idents = {thread.native_id: thread.ident for thread in threading.enumerate()}
        # Words at once: the frames hold this one, which would hold them, and with them all that the program reads.
        places = {ident: place(frame) for ident, frame in sys._current_frames().items()}
        shares = [
            f"{self._threads.name(thread)} {ms:.1f} ms at {places.get(idents.get(thread) or 0, place(None))}"
            for thread, ms in sorted(spent.items(), key=lambda item: -item[1])
            if ms > 0.1
        ]
        beside = [f"{self._threads.name(thread)} without the lock" for thread in free]
        return "; ".join((*shares, *beside))

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
