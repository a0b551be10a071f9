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
        while (job := self._jobs.get()) is not None:
            function, done = job
            try:
                done.set_result(function())
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits for it
                done.set_exception(error)
            # Neither result nor traceback may live on until the next job.
            del job, function, done
        self._ended.set_result(None)


def _report(ending: concurrent.futures.Future[None]) -> None:
    error = ending.exception()
    if error is not None:
        log.error("closing a store failed: %s", error)
