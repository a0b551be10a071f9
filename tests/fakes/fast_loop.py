"""A loop whose clock jumps: what waits an hour is done at once, in the order in which it would have happened."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class FastLoop(asyncio.SelectorEventLoop):
    """For code that waits and does no I/O."""

    def __init__(self) -> None:
        self._fast = _Selector()
        super().__init__(self._fast)

    def time(self) -> float:
        return self._fast.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end on a fast loop."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(coroutine)


async def settle(turns: int = 30) -> None:
    """Lets everything run that is due now."""
    for _ in range(turns):
        await asyncio.sleep(0)
