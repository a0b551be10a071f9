"""The thread that owns a connection: order, cancellation, end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.domain.errors import StorageError
from app.storage.worker import Worker


async def test_work_is_done_in_order_on_one_thread() -> None:
    worker = Worker("order")
    seen: list[tuple[int, str]] = []

    def note(n: int) -> int:
        seen.append((n, threading.current_thread().name))
        return n

    results = await asyncio.gather(*(worker.call(lambda n=n: note(n)) for n in range(50)))  # type: ignore[misc]  # mypy cannot see a default's type in a lambda
    assert results == list(range(50))
    assert seen == [(n, "order") for n in range(50)]
    assert await worker.stop(lambda: None)


async def test_a_failure_reaches_the_caller_and_the_thread_goes_on() -> None:
    worker = Worker("failing")
    with pytest.raises(ZeroDivisionError):
        await worker.call(lambda: 1 // 0)
    assert await worker.call(lambda: 5) == 5
    await worker.stop(lambda: None)


async def test_what_was_asked_for_is_done_even_if_nobody_waits_any_more() -> None:
    worker = Worker("cancelled")
    gate, done = threading.Event(), threading.Event()
    first = asyncio.create_task(worker.call(gate.wait))
    second = asyncio.create_task(worker.call(done.set))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()
    assert await first
    await worker.call(lambda: None)
    assert done.is_set()
    await worker.stop(lambda: None)


async def test_stopping_does_what_is_left_then_the_last_thing_then_refuses() -> None:
    worker = Worker("stopping")
    seen: list[str] = []
    gate = threading.Event()
    waiting = [
        asyncio.create_task(worker.call(gate.wait)),
        asyncio.create_task(worker.call(lambda: seen.append("work"))),
    ]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(worker.stop(lambda: seen.append("last")))
    await asyncio.sleep(0)
    with pytest.raises(StorageError, match="closed"):
        await worker.call(lambda: None)
    gate.set()
    assert await stopping
    await asyncio.gather(*waiting)
    assert seen == ["work", "last"]
    assert await worker.stop(lambda: seen.append("twice"))
    assert seen == ["work", "last"]


@pytest.mark.expects_log("did not end within")
async def test_stopping_is_bounded() -> None:
    worker = Worker("stuck")
    gate = threading.Event()
    stuck = asyncio.create_task(worker.call(gate.wait))
    await asyncio.sleep(0)
    assert not await worker.stop(lambda: None, within=0.01)
    gate.set()
    await stuck
    assert await worker.stop(lambda: None)


@pytest.mark.expects_log("closing")
async def test_a_failure_of_the_last_thing_is_logged() -> None:
    def fails() -> None:
        raise OSError("the disk is gone")

    assert await Worker("bad end").stop(fails)
