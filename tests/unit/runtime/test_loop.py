"""The loop's thread, and the threads beside it."""

from __future__ import annotations

import asyncio
import threading

from app.runtime.loop import LoopThread


def test_dials_that_hang_keep_nothing_else_waiting() -> None:
    """Without a network all connections are dialled at once, ten of each account's exits before its prices."""
    end, ran = threading.Event(), threading.Event()
    thread = LoopThread()
    thread.start()

    async def scene() -> None:
        hanging = [asyncio.create_task(asyncio.to_thread(end.wait)) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                await asyncio.to_thread(ran.set)
        finally:
            end.set()
            await asyncio.gather(*hanging)

    try:
        thread.submit(scene()).result()
        assert ran.is_set()
    finally:
        thread.stop()
