"""Work on thousands of fills that holds up neither a firing stop nor the window: a little of it at a time.

What is long runs neither at once on the loop thread nor at full speed in another one: the window gives up the
interpreter a thousand times a paint, and each time would wait for a thread that computes without a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

SOME = 25
"""Fills of a turn of the loop: at most 0.3 ms of work on each."""
BUSY = 0.001
"""Seconds of work after which there is a pause."""
PAUSE = 0.001
"""Seconds for everybody else."""


async def some_at_a_time(items: Iterable[T], size: int = SOME) -> AsyncIterator[list[T]]:
    """All items, `size` a turn of the loop."""
    waiting = iter(items)
    some = list(islice(waiting, size))
    busy_until = time.perf_counter() + BUSY
    while some:
        yield some
        some = list(islice(waiting, size))
        if some and time.perf_counter() > busy_until:
            await asyncio.sleep(PAUSE)
            busy_until = time.perf_counter() + BUSY
        elif some:
            await asyncio.sleep(0)
