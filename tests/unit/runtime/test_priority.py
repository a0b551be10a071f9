"""Who goes first: the loop thread, and nobody that it starts."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from app.runtime.helper import Helper
from app.runtime.loop import LoopThread
from app.storage.worker import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads inherit their priority on Linux alone")


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_what_the_loop_thread_starts_takes_no_core_from_the_window() -> None:
    ordinary = own_niceness()

    async def found() -> list[int]:
        worker, helper = Worker("book"), Helper()
        try:
            own = own_niceness()
            store, beside = await worker.call(own_niceness), await asyncio.to_thread(own_niceness)
            in_helper = await helper.call(own_niceness)
            pool = [os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in threading.enumerate()]
            return [own, store, beside, in_helper, sum(niceness < ordinary for niceness in pool)]
        finally:
            await helper.stop()
            await worker.stop(lambda: None)

    loop = LoopThread()
    loop.start()
    try:
        own, store, beside, in_helper, raised = loop.submit(found()).result(60)
    finally:
        loop.stop()
    if own == ordinary:
        pytest.skip("this user may not raise a thread")
    assert (store, beside, in_helper, raised) == (ordinary, ordinary, min(ordinary + 10, 19), 1)
