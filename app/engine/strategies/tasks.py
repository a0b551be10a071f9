"""BUY, SELL and STOPLOSS tasks of one account in one queue: exits before entries, nothing twice. Loop thread only.

The same task is never there twice, waiting or running: a strategy has one entry and one exit under way at most. A
STOPLOSS takes the strategy's waiting BUY and SELL away. An exit never waits for an entry whose answer is late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.domain.ids import StrategyId
from app.runtime.loop import Tasks


class TaskKind(StrEnum):
    """What a task does."""

    STOPLOSS = "STOPLOSS"
    SELL = "SELL"
    BUY = "BUY"

    @property
    def rank(self) -> int:
        """Exits before entries, and a stop before everything."""
        return {TaskKind.STOPLOSS: 0, TaskKind.SELL: 1, TaskKind.BUY: 2}[self]


Name = tuple[StrategyId, TaskKind, str]


@dataclass(frozen=True, slots=True)
class StrategyTask:
    """One thing to do for one strategy."""

    kind: TaskKind
    strategy: StrategyId
    run: Callable[[], Coroutine[Any, Any, object]]
    key: str = ""
    """Of a BUY: the tag of its order. The next attempt is another task."""

    @property
    def name(self) -> Name:
        """Two tasks of one name are the same task."""
        return self.strategy, self.kind, self.key


class TaskQueue:
    """One account's."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._waiting: dict[Name, StrategyTask] = {}
        self._running: set[Name] = set()
        self._pumping = False

    @property
    def waiting(self) -> list[StrategyTask]:
        """In the order in which they will begin."""
        return sorted(self._waiting.values(), key=lambda task: task.kind.rank)

    def put(self, task: StrategyTask) -> bool:
        """False: the same task is there already, and this one is not done."""
        if task.kind is TaskKind.STOPLOSS:
            self.drop(task.strategy)
        if task.name in self._waiting or task.name in self._running:
            return False
        self._waiting[task.name] = task
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)  # what is put in the same turn goes by rank
        return True

    def drop(self, strategy: StrategyId) -> None:
        """The strategy's waiting BUY and SELL are void."""
        void = (TaskKind.BUY, TaskKind.SELL)
        self._waiting = {n: t for n, t in self._waiting.items() if t.strategy != strategy or t.kind not in void}

    def _pump(self) -> None:
        self._pumping = False
        for task in self.waiting:
            del self._waiting[task.name]
            self._running.add(task.name)
            self._tasks.start(self._run(task), f"{task.kind} of strategy {task.strategy}")

    async def _run(self, task: StrategyTask) -> None:
        try:
            await task.run()
        finally:
            self._running.discard(task.name)
