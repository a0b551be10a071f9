"""A guard's end of the connection to the desk that owns the profile, and what a window asks of a guard."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from typing import Any

import msgspec

from app.desk.companions import VERB, Greeting, Parting
from app.desk.remote import ProfileInUse, ProfileLock, Request, call, reach
from app.domain.errors import AppError, NotAnswering
from app.domain.guard import Companion, Farewell
from app.runtime.paths import ProfilePaths

HAND_BACK = "guard.hand_back"
REACH_SECONDS = 0.5
GREETING_SECONDS = 5.0
LOOK_SECONDS = 0.25
LOCK_SECONDS = 0.01
"""Between two looks whether the system has freed a dead owner's lock."""
HAND_BACK_SECONDS = 15.0
ANSWER_SECONDS = 5.0


class Gone(StrEnum):
    """How the desk that was waited for went."""

    DIED = "died"
    HAND_OVER = "hand over"
    STAND_DOWN = "stand down"
    ASKED = "asked"
    """It is there still: this process was asked to end."""
    NOBODY = "nobody"
    """Nobody answers."""


class Watch:
    """One desk that is waited for."""

    def __init__(self, paths: ProfilePaths, companion: Companion, stop: threading.Event) -> None:
        self._paths = paths
        self._companion = companion
        self._stop = stop
        self._connection: Any = None
        self.pid = 0
        """Of the desk's process."""

    def open(self) -> bool:
        """Whether a desk answers and knows that somebody waits beside it."""
        try:
            connection = reach(self._paths, time.monotonic() + REACH_SECONDS)
        except NotAnswering:
            return False
        try:
            connection.send_bytes(msgspec.json.encode(Request(VERB, msgspec.to_builtins(self._companion))))
            if not connection.poll(GREETING_SECONDS):
                raise TimeoutError
            self.pid = msgspec.json.decode(connection.recv_bytes(), type=Greeting).pid
        except (OSError, EOFError, msgspec.DecodeError):
            connection.close()  # a command's desk, or one that is just going
            return False
        self._connection = connection
        return True

    def wait(self) -> Gone:
        """Until it is gone, noticed at once."""
        try:
            while not self._stop.is_set():
                if self._connection.poll(LOOK_SECONDS):
                    told = msgspec.json.decode(self._connection.recv_bytes(), type=Parting)
                    return Gone.HAND_OVER if told.farewell is Farewell.HAND_OVER else Gone.STAND_DOWN
        except (OSError, EOFError):
            return Gone.DIED
        finally:
            self._connection.close()
        return Gone.ASKED


def take_lock(lock: ProfileLock, within: float, stop: threading.Event | None = None) -> bool:
    """The lock, as soon as the system frees it; False when it was not freed in time. Blocks."""
    deadline = time.monotonic() + within
    while stop is None or not stop.is_set():
        try:
            lock.acquire()
        except ProfileInUse:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOCK_SECONDS)  # the system does not tell when a lock is free
        else:
            return True
    return False


class Claim(StrEnum):
    """What became of a window's wish to own the profile."""

    OURS = "ours"
    GUARDED = "guarded"
    """A guard has it, and gives it back when the vault is open."""
    SHOWN = "shown"
    """Another window has it, and was brought forward."""


def claim(lock: ProfileLock, paths: ProfilePaths) -> Claim:
    """The profile's lock, or who has it. Raises ProfileInUse where its owner does not answer. Blocks."""
    if take_lock(lock, 0.0):
        return Claim.OURS
    try:
        if call(paths, "ping", timeout=ANSWER_SECONDS).get("role") == "guard":
            return Claim.GUARDED
        call(paths, "show", timeout=ANSWER_SECONDS)
    except NotAnswering as silent:
        # A guard that was just looking whether there is something to guard has let go by now.
        if take_lock(lock, 0.0):
            return Claim.OURS
        raise ProfileInUse(
            f"Stopline is already running on the profile {paths.root}.", silent.next_step, detail=silent.cause
        ) from silent
    return Claim.SHOWN


def take_back(paths: ProfilePaths, lock: ProfileLock) -> None:
    """Has the guard let go of the desk and takes its lock; the lock alone where the guard is gone meanwhile. Blocks.

    Raises ProfileInUse when somebody else owns the profile.
    """
    try:
        lock.acquire()
    except ProfileInUse:
        pass
    else:
        return
    try:
        call(paths, HAND_BACK, timeout=HAND_BACK_SECONDS)
    except NotAnswering:
        pass  # it ended in this moment, or hangs: the lock tells
    except AppError as failure:
        raise ProfileInUse(
            f"Stopline is already running on the profile {paths.root}.", "Use that window.", detail=failure.cause
        ) from failure
    if not take_lock(lock, HAND_BACK_SECONDS):
        raise ProfileInUse(
            f"The guard on the profile {paths.root} does not let go of it.",
            "End the process `main.py guard`, then try again; its stops stay armed in the journal.",
        )
