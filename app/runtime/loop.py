"""The one asyncio thread: brokers, feeds, engine, sync and bus live on it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from app.runtime.memory import small_pages
from app.runtime.priority import raise_own_thread, settle_own_thread

T = TypeVar("T")

log = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.0001
"""Seconds a thread may keep the interpreter while another waits. At Python's 5 ms a busy window delays a stop by as
much; at 0.1 ms the worst exit was 2.5 ms (measured, product.md)."""


BESIDE = 48
"""Threads at most for what would hold the loop up. Connections are dialled there, ten for the exits of one account, and
without a network each dial hangs for seconds: prices may not wait for those, nor the disk."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest loop of the platform: uvloop, or winloop on Windows."""
    loop: asyncio.AbstractEventLoop
    if sys.platform == "win32":
        import winloop

        loop = winloop.new_event_loop()
    else:
        import uvloop

        loop = uvloop.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(BESIDE, "beside", initializer=settle_own_thread))
    return loop


class Tasks:
    """Strong references to running tasks (asyncio keeps weak ones); failures are reported, never lost.

    Lives on the loop thread.
    """

    def __init__(self, on_bug: Callable[[BaseException], None] | None = None) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._on_bug = on_bug

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Runs a coroutine in the background under a name that a log line can show."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            log.error("task %s failed", task.get_name(), exc_info=failure)
            if self._on_bug is not None:
                self._on_bug(failure)

    async def stop(self, within: float = 2.0) -> None:
        """Cancels what still runs and waits for it, at most `within` seconds."""
        tasks = [t for t in self._running if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=within)


class LoopThread:
    """Creates the loop and its thread, and tears both down. Made and stopped by the composition root."""

    def __init__(self, name: str = "loop") -> None:
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Returns when the loop runs."""
        self._thread.start()
        self._started.wait()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        if self._loop is None:
            raise RuntimeError("the loop thread was not started")
        return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Runs a coroutine on the loop, from another thread. The caller must read the future: it holds the failure."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self, timeout: float = 5.0) -> None:
        """Cancels what is left, closes the loop, ends the thread. A second call does nothing."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.error("the loop thread did not end within %.1f s", timeout)

    def _run(self) -> None:
        raise_own_thread()
        small_pages()
        loop = new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        loop.call_soon(self._started.set)
        try:
            loop.run_forever()
        finally:
            leftover = asyncio.all_tasks(loop)
            for task in leftover:
                task.cancel()
            if leftover:
                loop.run_until_complete(asyncio.wait(leftover, timeout=2.0))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()
