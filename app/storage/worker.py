"""The thread that owns one database connection. Only `storage` uses it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from app.domain.errors import StorageError
from app.runtime.priority import settle_own_thread

log = logging.getLogger(__name__)
T = TypeVar("T")
_Job = tuple[Callable[[], Any], "concurrent.futures.Future[Any]"]


class Worker:
    """Runs functions one after the other on a thread of its own, in the order in which they were asked for.

    `call` may be awaited on any loop. What was handed over is done even if the caller stops waiting: an order intent
    half asked for is still written.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        # A daemon, so that a disk that hangs cannot keep the program from ending; `stop` waits for it in order.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Work can be handed over."""
        return self._open

    async def hold(self) -> Held:
        """The thread for oneself, once it is done with what was asked before. Must be released."""
        held = Held()
        serving = asyncio.ensure_future(self.call(held.serve))
        waiting = asyncio.ensure_future(held.entered())
        try:
            await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()  # refused: the store is closed
        except BaseException:
            held.release()
            raise
        finally:
            waiting.cancel()
        held.keep(serving)
        return held

    async def call(self, function: Callable[[], T]) -> T:
        """The function's result or exception, from the worker's thread."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        # Running from the start: a cancelled waiter must not take the write back.
        done.set_running_or_notify_cancel()
        with self._lock:
            if not self._open:
                raise StorageError("The store is closed.", "Unlock the profile again.")
            self._jobs.put((function, done))
        return await asyncio.wrap_future(done)

    async def stop(self, last: Callable[[], None], within: float = 10.0) -> bool:
        """Does all that was asked for, then `last`, then ends the thread. False: not `within` that many seconds."""
        with self._lock:
            if self._open:
                self._open = False
                ending: concurrent.futures.Future[None] = concurrent.futures.Future()
                ending.add_done_callback(_report)
                self._jobs.put((last, ending))
                self._jobs.put(None)
        ended, _ = await asyncio.wait([asyncio.wrap_future(self._ended)], timeout=within)
        if not ended:
            log.error("thread %s did not end within %.1f s", self._thread.name, within)
            return False
        self._thread.join(within)
        return True

    def _run(self) -> None:
        settle_own_thread()
        while (job := self._jobs.get()) is not None:
            _do(job)
            # Neither result nor traceback may live on until the next job.
            del job
        self._ended.set_result(None)


class Held:
    """A worker's thread that serves one caller alone until it is released."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._entered: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._serving: asyncio.Future[None] | None = None

    async def call(self, function: Callable[[], T]) -> T:
        """The function's result or exception, from the held thread."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        done.set_running_or_notify_cancel()
        self._jobs.put((function, done))
        return await asyncio.wrap_future(done)

    def release(self) -> None:
        """The thread goes on with what others asked. A second call does nothing."""
        self._jobs.put(None)

    async def entered(self) -> None:
        """Until the thread is ours."""
        await asyncio.wrap_future(self._entered)

    def keep(self, serving: asyncio.Future[None]) -> None:
        """Holds on to the job that serves: asyncio itself keeps weak references."""
        self._serving = serving

    def serve(self) -> None:
        """On the worker's thread."""
        if not self._entered.cancelled():
            self._entered.set_result(None)
        while (job := self._jobs.get()) is not None:
            _do(job)
            del job


def _do(job: _Job) -> None:
    function, done = job
    try:
        done.set_result(function())
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
        done.set_exception(error)


def _report(ending: concurrent.futures.Future[None]) -> None:
    error = ending.exception()
    if error is not None:
        log.error("closing a store failed: %s", error)
