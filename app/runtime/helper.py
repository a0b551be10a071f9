"""The helper process: work that would hold the interpreter lock for more than a millisecond while stops are armed.

Big answers, instrument files and the official client (whose import alone takes 0.6 s) run there. Bytes go in and come
back in small slices, because pickling ten megabytes in one piece would itself hold the lock for milliseconds.

Functions that it runs are module-level and live in modules that are cheap to import.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

SLICE = 32 * 1024
"""Bytes that a body is cut into: about 10 us of copying under the interpreter lock."""

TOGETHER = 4 * SLICE
"""Bytes of small pieces that cross in one call, which costs the loop 0.2 ms whatever it carries."""

log = logging.getLogger(__name__)


class HelperDied(Exception):
    """The helper process ended while it worked. The next call starts a new one."""


class Helper:
    """One worker process, started at the first call, of low priority, ended with us whatever happens to us.

    Belongs to the loop thread. Calls are served one after the other.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._begun: asyncio.Task[object] | None = None
        self._jobs = itertools.count(1)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(*args)` in the worker. Its exception is raised here; arguments and result are pickled."""
        pool = await self._started()
        try:
            return await asyncio.wrap_future(pool.submit(function, *args))
        except BrokenProcessPool as broken:
            if self._pool is pool:
                self._pool = None
            raise HelperDied("the helper process ended") from broken

    async def slices(
        self,
        function: Callable[..., Iterable[bytes]],
        body: bytes | bytearray | Iterable[bytes],
        *args: Any,
        reply: Callable[[bytes], bytes] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Runs `function(body, *args)` in the worker; both the body and what it yields cross in small pieces. A body
        that is in pieces already crosses in these. Others that call have their turn between two pieces. With `reply`
        the first piece is a question: it is answered with what `reply` makes of it, and not yielded here."""
        job = next(self._jobs)
        upcoming: asyncio.Future[list[bytes]] | None = None
        try:
            for parts in _bundled(_cut(body) if isinstance(body, bytes | bytearray) else iter(body)):
                await self.call(_feed, job, parts)
            await self.call(_begin, job, function, args)
            if reply is not None:
                await self.call(_answer, job, reply(await self.call(_ask, job)))
            upcoming = asyncio.ensure_future(self.call(_next, job))
            while pieces := await upcoming:
                upcoming = asyncio.ensure_future(self.call(_next, job))  # made while the caller works on these
                for piece in pieces:
                    yield piece
                    await asyncio.sleep(0)  # whatever is due comes between two pieces
        finally:
            if upcoming is not None and not upcoming.cancel() and not upcoming.cancelled():
                upcoming.exception()  # nobody waits for that piece any more
            if self._pool is not None:
                with suppress(HelperDied):
                    await self.call(_drop, job)

    async def stop(self, patience: float = 2.0) -> None:
        """Ends the worker: politely at first, by force after `patience` seconds. A second call does nothing."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        ending = asyncio.get_running_loop().run_in_executor(None, lambda: pool.shutdown(cancel_futures=True))
        try:
            await asyncio.wait_for(asyncio.shield(ending), patience)
        except TimeoutError:
            log.warning("the helper process did not end within %.1f s", patience)
            for worker in multiprocessing.active_children():
                if worker.pid in self._pids(pool):
                    worker.kill()
            await ending

    async def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=_settle_in
            )
            # On a thread of ordinary priority, which the process and the pool's own threads inherit.
            self._begun = asyncio.create_task(asyncio.to_thread(self._pool.submit, os.getpid))
        pool, begun = self._pool, self._begun
        if begun is not None and not begun.done():
            with suppress(RuntimeError):  # it was stopped meanwhile
                await asyncio.shield(begun)
            if self._pool is not pool:
                raise HelperDied("the helper process was stopped")
        return pool

    @staticmethod
    def _pids(pool: ProcessPoolExecutor) -> set[int]:
        """Of a pool that was told to shut down; the executor keeps its processes in an attribute of its own."""
        return set(getattr(pool, "_processes", None) or ())


def _cut(body: bytes | bytearray) -> Iterator[bytes]:
    view = memoryview(body)
    return (bytes(view[start : start + SLICE]) for start in range(0, len(view), SLICE))


def _bundled(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Pieces that cross together; made one bundle at a time."""
    while bundle := _bundle(pieces):
        yield bundle


def _bundle(pieces: Iterator[bytes]) -> list[bytes]:
    """The next ones, up to `TOGETHER` bytes and one piece more; none after the last."""
    bundle: list[bytes] = []
    size = 0
    for piece in pieces:
        bundle.append(piece)
        size += len(piece)
        if size >= TOGETHER:
            break
    return bundle


_bodies: dict[int, bytearray] = {}
_results: dict[int, Iterator[bytes]] = {}


def _settle_in() -> None:
    """Runs first in the worker: leave Ctrl-C to the parent, step back in priority, and die with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(10)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), name="parent watch", daemon=True).start()


def _die_with(parent: Any) -> None:
    parent.join()
    os._exit(0)  # the queues of a killed parent never report an end of file: nothing else would wake us


def _feed(job: int, pieces: list[bytes]) -> None:
    body = _bodies.setdefault(job, bytearray())
    for piece in pieces:
        body.extend(piece)


def _begin(job: int, function: Callable[..., Iterable[bytes]], args: tuple[Any, ...]) -> None:
    _results[job] = iter(function(bytes(_bodies.pop(job, b"")), *args))


def _next(job: int) -> list[bytes]:
    return _bundle(_results[job])


def _ask(job: int) -> bytes:
    return next(_results[job])


def _answer(job: int, words: bytes) -> None:
    asking = _results[job]
    if not isinstance(asking, Generator):
        raise TypeError("only a generator can be answered")
    try:
        upcoming = asking.send(words)
    except StopIteration:
        return  # nothing follows
    _results[job] = itertools.chain((upcoming,), asking)


def _drop(job: int) -> None:
    _bodies.pop(job, None)
    _results.pop(job, None)
