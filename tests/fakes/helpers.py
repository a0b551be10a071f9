"""Helper processes that outlive the desks of many tests: a start is most of what a small backup costs."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from app.runtime import helper
from app.runtime.helper import Helper, HelperProcess

A_DESK = 2
"""A desk has one for answers and lists, and one for its files: neither waits for the other."""


class Lasting(Helper):
    """The real process, which is not ended with its desk."""

    processes: ClassVar[list[HelperProcess]] = []
    _made: ClassVar = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        number = next(self._made)
        self._jobs = itertools.count(number * 1_000_000)  # the tables of their jobs are one
        self._worker = self.processes[number % A_DESK]

    async def stop(self, patience: float = 2.0) -> None:
        """Lets go of it; one that was started in its place ends."""
        if self._worker in self.processes:
            self._worker = None
        await super().stop(patience)


@contextmanager
def lasting_helpers() -> Iterator[None]:
    """Every desk that is built meanwhile takes these."""
    Lasting.processes = [HelperProcess() for _ in range(A_DESK)]

    async def started() -> None:
        for process in Lasting.processes:
            await process.call(os.getpid)

    ordinary = helper.Helper
    helper.Helper = Lasting  # type: ignore[misc]
    try:
        asyncio.run(started())
        yield
    finally:
        helper.Helper = ordinary  # type: ignore[misc]
        for process in Lasting.processes:
            process.end()
