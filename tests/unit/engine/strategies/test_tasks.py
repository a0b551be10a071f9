"""The queue of BUY, SELL and STOPLOSS: exits first, nothing twice, a stop voids the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.domain.ids import StrategyId
from app.engine.strategies.tasks import StrategyTask, TaskKind, TaskQueue
from app.runtime.loop import Tasks
from tests.fakes.fast_loop import run, settle

A, B = StrategyId("A"), StrategyId("B")
BUY, SELL, STOPLOSS = TaskKind.BUY, TaskKind.SELL, TaskKind.STOPLOSS


class Bench:
    def __init__(self) -> None:
        self.tasks = Tasks()
        self.queue = TaskQueue(self.tasks)
        self.done: list[tuple[str, TaskKind]] = []
        self.gate: asyncio.Event | None = None

    def put(self, kind: TaskKind, strategy: StrategyId = A, key: str = "") -> bool:
        async def work() -> None:
            self.done.append((strategy, kind))
            if self.gate is not None:
                await self.gate.wait()

        return self.queue.put(StrategyTask(kind, strategy, work, key))


def play(script: Callable[[Bench], Awaitable[None]]) -> None:
    async def scene() -> None:
        bench = Bench()
        await script(bench)
        await bench.tasks.stop()

    run(scene())


def test_what_is_due_at_the_same_moment_goes_exits_first() -> None:
    async def script(bench: Bench) -> None:
        for kind, strategy in ((BUY, A), (SELL, B), (STOPLOSS, StrategyId("C"))):
            bench.put(kind, strategy)
        assert [task.kind for task in bench.queue.waiting] == [STOPLOSS, SELL, BUY]
        await settle()
        assert [kind for _, kind in bench.done] == [STOPLOSS, SELL, BUY]

    play(script)


@pytest.mark.parametrize("kind", list(TaskKind))
def test_the_same_task_is_neither_waiting_nor_running_twice(kind: TaskKind) -> None:
    async def script(bench: Bench) -> None:
        bench.gate = asyncio.Event()
        assert [bench.put(kind), bench.put(kind)] == [True, False]
        await settle()
        assert not bench.put(kind)
        assert bench.put(kind, B)
        bench.gate.set()
        await settle()
        assert bench.put(kind)
        await settle()
        assert bench.done == [(A, kind), (B, kind), (A, kind)]

    play(script)


def test_a_stoploss_voids_the_waiting_tasks_of_its_strategy_and_of_no_other() -> None:
    async def script(bench: Bench) -> None:
        bench.put(BUY, key="M1")
        bench.put(SELL)
        bench.put(BUY, B, "M2")
        bench.put(STOPLOSS)
        await settle()
        assert bench.done == [(A, STOPLOSS), (B, BUY)]

    play(script)


def test_an_exit_does_not_wait_for_an_entry_whose_answer_is_late() -> None:
    async def script(bench: Bench) -> None:
        bench.gate = asyncio.Event()
        bench.put(BUY)
        await settle()
        bench.put(SELL)
        await settle()
        assert bench.done == [(A, BUY), (A, SELL)]

    play(script)


def test_the_next_attempt_of_an_entry_is_another_task() -> None:
    async def script(bench: Bench) -> None:
        bench.gate = asyncio.Event()
        assert bench.put(BUY, key="M1")
        await settle()
        assert bench.put(BUY, key="M2")

    play(script)
