"""Guards that wait beside this desk, each on a connection of the local socket that it keeps open.

When this process dies the system closes them: a guard knows at once. When it is left in order, each is told how.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from app.domain.guard import Companion, Farewell
from app.runtime.log import logger

_log = logger("desk.companions")

VERB = "beside"
"""The request that keeps its connection."""
LOOK_SECONDS = 0.25
"""How soon a thread that serves a guard notices that this process is leaving."""


class Greeting(msgspec.Struct, frozen=True):
    """What a guard is told first."""

    pid: int


class Parting(msgspec.Struct, frozen=True):
    """What it is told last."""

    farewell: Farewell


class Companions:
    """`attend` runs on a thread of each connection; the rest on the loop thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._here: dict[int, Companion] = {}
        self._guard = threading.Lock()
        self._farewell: Farewell | None = None
        self._left = threading.Condition(self._guard)
        self.changed: Callable[[tuple[Companion, ...]], None] | None = None
        """Called on the loop thread when one came or went."""

    @property
    def here(self) -> tuple[Companion, ...]:
        """Those that wait now."""
        with self._guard:
            return tuple(self._here.values())

    def attend(self, connection: Connection[Any, Any], params: Mapping[str, Any]) -> None:
        """One guard, until it goes or we do. Raises OSError, EOFError when it goes without a word."""
        try:
            companion = msgspec.convert(params, Companion)
        except msgspec.ValidationError as error:
            raise EOFError(f"not a guard of ours: {error}") from error
        connection.send_bytes(msgspec.json.encode(Greeting(os.getpid())))
        self._set(id(connection), companion)
        try:
            while self._farewell is None:
                if connection.poll(LOOK_SECONDS):
                    connection.recv_bytes()  # it has nothing to say: this is the end of it
            connection.send_bytes(msgspec.json.encode(Parting(self._farewell)))
        finally:
            self._set(id(connection), None)

    def part(self, how: Farewell, within: float = 2.0) -> None:
        """Tells every guard how this process leaves; returns when they know. Blocks: not for the loop thread."""
        with self._left:
            self._farewell = self._farewell or how
            if not self._left.wait_for(lambda: not self._here, within):
                _log.warning("a guard was not told in time", how=how)

    def _set(self, number: int, companion: Companion | None) -> None:
        with self._left:
            if companion is not None:
                self._here[number] = companion
            else:
                self._here.pop(number, None)
                self._left.notify_all()
            here = tuple(self._here.values())
        _log.info("guards beside this desk", pids=[one.pid for one in here])
        if self.changed is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.changed, here)
