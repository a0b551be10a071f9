"""A machine in one thread: virtual time, processes that can be killed, no thread, no real socket.

Everything runs on one event loop whose clock jumps to the next thing that happens: a minute costs milliseconds, and a
seed always takes the same course. A `Side` stands for an operating system's process: what was started inside it can be
ended between two steps, as `kill -9` does, without a single `finally` running.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import heapq
import io
import random
import secrets
import selectors
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple
from unittest import mock

from app.runtime import clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START = 1_795_581_000.0
"""Wall time at which a run begins, Unix seconds: 10:00 in India on a trading day, as the exchange's clock."""
_SIDE: contextvars.ContextVar[Side | None] = contextvars.ContextVar("side", default=None)


class Stalled(Exception):
    """Raised inside an executor's job: the result comes `seconds` later, as blocking work would."""

    def __init__(self, seconds: float, cause: BaseException | None = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.cause = cause


class Deadlock(Exception):
    """Everybody waits and nothing will ever happen."""


class Side:
    """A process. Everything that starts inside `entered` belongs to it."""

    def __init__(self, name: str, *, keeps_time: bool = False) -> None:
        self.name = name
        self.keeps_time = keeps_time
        """It runs on another machine: nobody sets its clock."""
        self.dead = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.on_death: list[Callable[[], None]] = []
        """What the operating system does then: closes its sockets, drops its locks."""
        self.context = contextvars.copy_context()
        self.context.run(_SIDE.set, self)

    def __repr__(self) -> str:
        return f"Side({self.name})"

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process."""
        loop = asyncio.get_running_loop()
        return self.context.run(lambda: loop.create_task(coroutine))


def current_side() -> Side | None:
    """Whose code is running."""
    return _SIDE.get()


class _Nothing(selectors.SelectSelector):
    """Never waits for the kernel: where nothing is ready, the clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. `network` answers `create_server`; `readers` are our sockets' callbacks by their numbers."""

    def __init__(self) -> None:
        self._jumping = _Nothing()
        super().__init__(self._jumping)
        self.network: Any = None
        self.wall_shift = 0.0
        """Seconds by which somebody has set this machine's wall clock."""
        self.graveyard: list[asyncio.Task[Any]] = []
        self.set_task_factory(_task_of_side)

    def time(self) -> float:
        return self._jumping.now

    def _check_closed(self) -> None:
        """Never an error: what is dropped after a run may still ask for a step that will not come."""

    # -- no threads

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """At once and in this thread: whatever a worker thread would do in no time. `Stalled` makes it take time."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Stalled as stalled:
            self.call_later(stalled.seconds, _fail, future, stalled.cause)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            future.set_exception(error)
        return future

    # -- no kernel

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        if isinstance(fd, int) and self.network is not None and self.network.owns(fd):
            self.network.add_reader(fd, callback, *args)
            return
        super().add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        if isinstance(fd, int) and self.network is not None and self.network.owns(fd):
            return bool(self.network.remove_reader(fd))
        return super().remove_reader(fd)

    def remove_writer(self, fd: Any) -> bool:
        if isinstance(fd, int) and self.network is not None and self.network.owns(fd):
            return False
        return super().remove_writer(fd)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return self.network.listen(protocol_factory, host, port)

    # -- death

    def next_of_all(self, callback: Callable[[], None], context: contextvars.Context) -> None:
        """Before whatever else is ready."""
        handle = self.call_soon(callback, context=context)
        self._ready.remove(handle)  # type: ignore[attr-defined]
        self._ready.appendleft(handle)  # type: ignore[attr-defined]

    def kill(self, side: Side) -> None:
        """Not one more step of it; its sockets are closed by the system."""
        side.dead = True
        for handle in self._ready:  # type: ignore[attr-defined]
            if handle._context.get(_SIDE) is side:
                handle.cancel()
        for handle in list(self._scheduled):  # type: ignore[attr-defined]
            if handle._context.get(_SIDE) is side:
                handle.cancel()
        heapq.heapify(self._scheduled)  # type: ignore[attr-defined]
        self.graveyard += side.tasks
        for close in side.on_death:
            close()


def _fail(future: asyncio.Future[Any], cause: BaseException | None) -> None:
    if not future.done():
        if cause is None:
            future.set_result(None)
        else:
            future.set_exception(cause)


def _task_of_side(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    side = _SIDE.get()
    if side is not None:
        if side.dead:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.call_soon(task.cancel)
        side.tasks.append(task)
        if len(side.tasks) > 256:
            side.tasks[:] = [t for t in side.tasks if not t.done()]
    return task


@contextmanager
def virtual_machine(seed: int) -> Iterator[VirtualLoop]:
    """A fresh loop; clocks and randomness of this process follow it and the seed while inside."""
    loop = VirtualLoop()
    chance = random.Random(f"machine {seed}")
    started = loop.time()

    def wall() -> float:
        side = _SIDE.get()
        shift = 0.0 if side is not None and side.keeps_time else loop.wall_shift  # the broker's machine is another
        return START + shift + loop.time() - started

    def wall_ns() -> int:
        return int(wall() * 1e9)

    def monotonic_ns() -> int:
        return int(loop.time() * 1e9)

    patches: list[Any] = [
        mock.patch.object(time, "time", wall),
        mock.patch.object(time, "time_ns", wall_ns),
        mock.patch.object(time, "monotonic", loop.time),
        mock.patch.object(time, "monotonic_ns", monotonic_ns),
        mock.patch.object(clock, "since_boot", monotonic_ns),
        mock.patch.object(time, "perf_counter", loop.time),
        mock.patch.object(secrets, "choice", chance.choice),
        mock.patch.object(secrets, "token_bytes", lambda n=32: chance.randbytes(n)),
        mock.patch.object(secrets, "token_hex", lambda n=32: chance.randbytes(n).hex()),
        mock.patch.object(random, "uniform", chance.uniform),
    ]
    for patch in patches:
        patch.start()
    gc.disable()  # when it would come is nobody's choice, and it costs a fifth of a run
    try:
        yield loop
    finally:
        for patch in patches:
            patch.stop()
        _bury(loop)
        gc.enable()


def forget_the_dead() -> None:
    """Once nobody holds the world of a run any more. Coroutines that refuse to end survive a collection, with all that
    they know."""
    with _silence():
        while gc.collect():
            pass
    gc.freeze()  # what outlives a run is there for all of them: the next collection need not look at it


@contextmanager
def _silence() -> Iterator[None]:
    """Coroutines of killed processes may complain of their end."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the exchange prints what goes wrong in its handlers
            yield
    finally:
        sys.unraisablehook = hook


def _bury(loop: VirtualLoop) -> None:
    """What is left is dropped silently: coroutines of killed processes end here, at garbage collection."""
    for task in (*loop.graveyard, *asyncio.all_tasks(loop)):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.graveyard.clear()
    loop.set_exception_handler(lambda *_: None)
    with _silence():
        loop._ready.clear()  # type: ignore[attr-defined]
        loop._scheduled.clear()  # type: ignore[attr-defined]
        loop.network = None
        gc.collect()  # while the loop still takes calls: what a `finally` asks of it is never run
        loop._ready.clear()  # type: ignore[attr-defined]
        loop.close()
