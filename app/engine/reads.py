"""Many ask, one reads: a broker is asked once for what several followers want to know at the same moment.

Reads of one kind also keep a distance: twenty exits in a second need the positions a few times, not twenty times, and
the broker's limit of requests is shared with everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from app.brokers.parts import ReadBudget

T = TypeVar("T")

READ_SPACING = 0.25
"""Seconds between two reads of the order book, or of the positions, whoever asks."""
ROUTINE_SECONDS = 1.0
"""From one reading to a routine one, where the broker's requests run short."""
SCARCE = 0.5
"""The share of the broker's requests that is used when routine readings make room for the others."""
SPARED = 0.3
"""The share that is left from which on all keep a greater distance."""
GREATEST_DISTANCE = 40.0
"""Seconds. At it, two kinds of readings last through what Upstox counts, 2,000 requests in half an hour."""


class Haste(Enum):
    """Of who asks for a reading."""

    ROUTINE = auto()
    """It may be a second later where the broker's requests run short."""
    SOON = auto()
    URGENT = auto()
    """A position may stand the wrong way round."""


def used_share(session: object) -> float:
    """The share of the broker's requests that is used: what is left is better kept for the readings on which an order
    hangs."""
    return session.reads_used() if isinstance(session, ReadBudget) else 0.0


def distance(spacing: float, used: float) -> float:
    """Seconds between two reads where such a share of the broker's requests is used: the less is left, the greater, so
    that an exit which goes on for minutes reads less often, and never not at all."""
    left = 1 - used
    if left >= SPARED:
        return spacing
    return min(GREATEST_DISTANCE, spacing * (SPARED / left) ** 2) if left > 0 else GREATEST_DISTANCE


def _none_used() -> float:
    return 0.0


class Coalesced(Generic[T]):
    """Shares reads. Loop thread only."""

    def __init__(
        self,
        read: Callable[[], Awaitable[T]],
        name: str,
        spacing: float = 0.0,
        used: Callable[[], float] = _none_used,
    ) -> None:
        self._read = read
        self._used = used
        """The share of the broker's requests that is used."""
        self._name = name
        self._spacing = spacing
        """Seconds from the start of one read to the start of the next, while the broker's requests are plenty."""
        self._urgent = False
        """The next read waits no longer than it must."""
        self._hurry = asyncio.Event()
        """Somebody urgent has come meanwhile."""
        self._begun_at = 0.0
        self._begun = False
        self._latest: asyncio.Task[T] | None = None
        """The read that began last, under way or done."""
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def urgent(self) -> T:
        """As `fresh`, where a position may stand the wrong way round: at the distance that plenty allows."""
        self._urgent = True
        self._hurry.set()
        return await self.fresh()

    async def fresh(self) -> T:
        """The result of a read that began after this call. Raises what the read raises."""
        if self._running is None:
            self._begun = False
            self._running = self._start(None)
            return await asyncio.shield(self._running)
        if not self._begun and self._next is None:
            return await asyncio.shield(self._running)  # it still keeps its distance
        # The read under way may have begun before what the caller wants to see happened.
        if self._next is None:
            self._next = self._start(self._running)
        return await asyncio.shield(self._next)

    async def read(self, haste: Haste) -> T:
        """One of the three."""
        if haste is Haste.ROUTINE:
            return await self.routine()
        return await (self.urgent() if haste is Haste.URGENT else self.fresh())

    async def routine(self) -> T:
        """The same for who can wait: where requests run short, what others ask for in the next second will do, or a
        read at the end of it. Raises what the read raises."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while self._latest is not None and self._used() >= SCARCE:
            if self._begun_at > asked:
                return await asyncio.shield(self._latest)
            early = self._begun_at + ROUTINE_SECONDS - loop.time()
            if early <= 0:
                break
            await asyncio.sleep(early)
        return await self.fresh()

    def _start(self, after: asyncio.Task[T] | None) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(self._run(after), name=self._name)
        task.add_done_callback(_read_failure)
        return task

    async def _run(self, after: asyncio.Task[T] | None) -> T:
        try:
            if after is not None:
                await asyncio.wait([after])
                self._running, self._next = self._next, None
                self._begun = False
            await self._keep_distance()
            self._begun = True
            self._latest = asyncio.current_task()
            return await self._read()
        finally:
            # Also when it was cancelled while it waited: nobody may wait for a read that never comes.
            current = asyncio.current_task()
            if self._next is current:
                self._next = None
            elif self._next is None:
                self._running = None

    async def _keep_distance(self) -> None:
        loop = asyncio.get_running_loop()
        self._hurry.clear()
        while True:
            apart = self._spacing if self._urgent else distance(self._spacing, self._used())
            early = self._begun_at + apart - loop.time()
            if early <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(early):
                    await self._hurry.wait()
            self._hurry.clear()
        self._urgent = False
        self._begun_at = loop.time()


def _read_failure(task: asyncio.Task[T]) -> None:
    """A failure is delivered to every waiter; one that nobody waits for any more is read here."""
    if not task.cancelled():
        task.exception()
