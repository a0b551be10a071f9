"""The loop's thread, and the threads beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.runtime.loop import LoopThread, new_event_loop


def on_its_thread(scene: Coroutine[Any, Any, None]) -> None:
    """As the window has it."""
    thread = LoopThread()
    thread.start()
    try:
        thread.submit(scene).result()
    finally:
        thread.stop()


def on_this_one(scene: Coroutine[Any, Any, None]) -> None:
    """As the guard has it."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(scene)


@pytest.mark.parametrize("run", [on_its_thread, on_this_one])
def test_dials_that_hang_keep_nothing_else_waiting(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """Without a network all connections are dialled at once, ten of each account's exits before its prices."""
    end, ran = threading.Event(), threading.Event()

    async def scene() -> None:
        hanging = [asyncio.create_task(asyncio.to_thread(end.wait)) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                await asyncio.to_thread(ran.set)
        finally:
            end.set()
            await asyncio.gather(*hanging)

    run(scene())
    assert ran.is_set()
