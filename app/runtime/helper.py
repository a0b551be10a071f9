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
import pickle
import signal
import threading
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from app.runtime.priority import settle_own_thread

T = TypeVar("T")

SLICE = 32 * 1024
"""Bytes that a body is cut into: about 10 us of copying under the interpreter lock."""

TOGETHER = 4 * SLICE
"""Bytes of small pieces that cross in one call, which costs the loop 0.2 ms whatever it carries."""

NICENESS = 10
"""Of the worker, where systems know it: behind what anybody waits for."""

log = logging.getLogger(__name__)


class HelperDied(Exception):
    """The helper process ended while it worked. The next call starts a new one."""


class Helper:
    """One worker process, started at the first call, of low priority, ended with us whatever happens to us.

    Belongs to the loop thread. Calls are served one after the other.
    """

    def __init__(self) -> None:
        self._worker: HelperProcess | None = None
        self._jobs = itertools.count(1)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(*args)` in the worker. Its exception is raised here; arguments and result are pickled.

        Raises HelperDied.
        """
        worker = self._worker = self._worker or HelperProcess()
        try:
            return await worker.call(function, *args)
        except HelperDied:
            if self._worker is worker:
                self._worker = None
            raise

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
            if self._worker is not None:
                with suppress(HelperDied):
                    await self.call(_drop, job)

    async def stop(self, patience: float = 2.0) -> None:
        """Ends the worker: politely at first, by force after `patience` seconds. A second call does nothing."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        ending = asyncio.get_running_loop().run_in_executor(None, worker.end)
        try:
            await asyncio.wait_for(asyncio.shield(ending), patience)
        except TimeoutError:
            log.warning("the helper process did not end within %.1f s", patience)
            worker.kill()
            await ending


class HelperProcess:
    """One process, the pipe to it, and the thread that waits at the pipe. Nothing of it has a name in the system (as
    the locks of the library's pool have), so a kill of both leaves nothing behind."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        # Of ordinary priority, which the process inherits.
        self._thread = ThreadPoolExecutor(1, "helper", initializer=settle_own_thread)
        self._thread.submit(self._start)

    def call(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """What the function returned or raised, or HelperDied."""
        try:
            return asyncio.wrap_future(self._thread.submit(self._ask, function, args))
        except RuntimeError as ended:  # the thread takes nothing more
            raise HelperDied("the helper process was stopped") from ended

    def end(self) -> None:
        """Waits for what it does now; what waits behind that is never done. Blocks."""
        self._thread.shutdown(cancel_futures=True)
        if self._process is not None and self._pipe is not None:
            self._process.kill()  # idle, it has nothing to put away; a polite end would take longer than its work
            self._process.join()
            self._pipe.close()

    def kill(self) -> None:
        """At once, whatever it does."""
        if self._process is not None:
            self._process.kill()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), name="helper", daemon=True)
        process.start()
        theirs.close()  # or the pipe would not break when the process ends
        self._process, self._pipe = process, ours

    def _ask(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        if self._pipe is None:
            raise HelperDied("the helper process did not start")
        question = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)
        try:
            self._pipe.send_bytes(question)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as broken:
            raise HelperDied("the helper process ended") from broken
        good, value = pickle.loads(answer)  # noqa: S301 - of our own process
        if not good:
            raise value
        result: T = value
        return result


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


def _serve(pipe: Connection) -> None:
    """The worker's life: one question after the other, until the pipe is closed."""
    _settle_in()
    while True:
        try:
            question = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(_answered(question))


def _answered(question: bytes) -> bytes:
    try:
        function, args = pickle.loads(question)  # noqa: S301 - of our own parent
        return pickle.dumps((True, function(*args)), pickle.HIGHEST_PROTOCOL)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the caller is told
        failure.add_note("In the helper process:\n" + "".join(traceback.format_tb(failure.__traceback__)).rstrip())
        try:
            return pickle.dumps((False, failure), pickle.HIGHEST_PROTOCOL)
        except Exception:  # noqa: BLE001 - a failure that cannot cross is told in words
            return pickle.dumps((False, RuntimeError(repr(failure))), pickle.HIGHEST_PROTOCOL)


def _settle_in() -> None:
    """Runs first in the worker: leave Ctrl-C to the parent, step back in priority, and die with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(max(0, NICENESS - os.nice(0)))  # whatever our own is: it is inherited
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent,), name="parent watch", daemon=True).start()


def _die_with(parent: Any) -> None:
    parent.join()
    os._exit(0)  # in the middle of its work it would not see that the pipe is broken


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
