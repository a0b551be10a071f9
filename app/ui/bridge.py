"""The one door between the window and the desk."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from app.desk.api import Desk
from app.domain.errors import AppError, Cancelled
from app.domain.events import Event, Level, Noticed
from app.domain.ids import Nanos
from app.runtime.log import correlated

T = TypeVar("T")
E = TypeVar("E", bound=Event)

log = logging.getLogger(__name__)

_GRACE_S = 0.3
"""Seconds that view coroutines get to finish by themselves when the window closes."""

_CLOSE_S = 2.0
"""Seconds that cancelled view coroutines get to end."""

_KEPT = 100
"""Notices that are kept for the first view that shows them."""


_ACTS = re.compile(
    r"\.(place|modify|cancel|take_back|arm|disarm|move|change|square_off|run|convert|authorise|set_day_limits|start|stop"
    r"|delete|create_alert|change_alert|delete_alerts|add_account|begin_login|complete_login|cancel_login|connect_by_hand"
    r"|disconnect|pause|resume|switch|unlock|lock_screen|unlock_screen|sync|retry|discard|settle|backfill|stop_backfill"
    r"|import_file|save_plan|close_day|backup|restore|rotate_key|change_passphrase|tidy|export|save_report|save_settings"
    r"|reconnect)$"
)
"""Verbs that change something: a click that a log line tells of. Reads are told at the level of debugging."""


class Submit(Protocol):
    """Runs a coroutine on the loop thread. The future holds its result or failure."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> concurrent.futures.Future[T]:
        """Any thread."""
        ...


class Bridge(QObject):
    """Verbs go down through `call`, events come up through `raised`.

    Lives on the GUI thread, whose loop is qasync's. Only `_hand_over` runs on the loop thread. `close` must come
    before any view is deleted: a signal of a dead QObject raises in the thread that emits it.
    """

    raised = Signal(object)
    """Every event of the desk, queued by Qt because the emitter is the loop thread."""

    failed = Signal(object)
    """A `Noticed` made here, of a verb that failed and whose view does not show the failure itself."""

    def __init__(self, desk: Desk | None, submit: Submit, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._desk = desk
        self._submit = submit
        self._loop = loop
        self._tasks: set[asyncio.Future[Any]] = set()
        self._handlers: dict[type[Event], list[Callable[[Any], object]]] = {}
        self._listening = self._closed = False
        self.began: Nanos = time.time_ns()
        """What was told before then is not of this run."""
        self._unheard: deque[Noticed] = deque(maxlen=_KEPT)
        """Notices that came before any view could show them, e.g. of a damaged file found by the unlock."""
        self.raised.connect(self._dispatch, Qt.ConnectionType.QueuedConnection)

    @property
    def desk(self) -> Desk:
        """The verbs. Each is a coroutine of the loop thread: hand it to `call`."""
        if self._desk is None:
            raise RuntimeError("the desk was not built yet")
        return self._desk

    def attach(self, desk: Desk) -> None:
        """The desk, where the window was painted before it was built."""
        self._desk = desk

    def call(self, verb: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Runs a verb on the loop thread; its answer is awaited here.

        It is handed over at once, not when somebody awaits: a click counts although its view goes in the same moment,
        and no verb is left behind unbegun. Whoever goes away stops waiting; the verb itself runs on, because an order
        that was begun is finished. Everything that it logs, and its requests to the broker, carry one id (K1).
        """
        run = _correlated(verb)
        try:
            submitted = self._submit(run)
        except RuntimeError:  # the loop thread has ended, and with it the desk
            run.close()
            submitted = concurrent.futures.Future()
            submitted.set_exception(Cancelled("The desk has ended."))
        submitted.add_done_callback(lambda _: _put_away(verb))
        future = asyncio.wrap_future(submitted, loop=self._loop)
        future.add_done_callback(_read)
        answer = asyncio.shield(future)
        answer.add_done_callback(_forgive)
        return answer

    def start(self, work: Coroutine[Any, Any, object] | asyncio.Future[Any], name: str = "") -> asyncio.Future[Any]:
        """Keeps a view's coroutine, or the answer of a verb. Failures are shown: the trader's in words, ours as a bug.

        What is handed to such a coroutine is an answer of `call`, never a coroutine: cancelled before its first step,
        it would leave that behind.
        """
        task = work if isinstance(work, asyncio.Future) else self._loop.create_task(work, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        if self._closed:  # a timer of a view that goes: the loop may end before its answer comes
            task.cancel()
        return task

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> None:
        """`handler` is called on the GUI thread with every event of exactly this type."""
        self._handlers.setdefault(kind, []).append(handler)
        if kind is Noticed:
            while self._unheard:  # once the view that asks is whole
                self.raised.emit(self._unheard.popleft())

    def unsubscribe(self, handler: Callable[[Any], object]) -> None:
        """Forgets a handler; an unknown one is ignored."""
        for handlers in self._handlers.values():
            if handler in handlers:
                handlers.remove(handler)

    def listen(self) -> None:
        """Events arrive from now on."""
        if not self._listening:
            self._listening = True
            self.desk.listen(self._hand_over)

    async def close(self) -> None:
        """No further event arrives, no view coroutine runs on. A second call does nothing."""
        if self._listening:
            self._listening = False
            self.desk.unlisten(self._hand_over)
        self._handlers.clear()
        self._closed = True
        mine = asyncio.current_task()
        if others := self._tasks - {mine}:  # what a closing view has just begun (forget a login, close a chart)
            await asyncio.wait(others, timeout=_GRACE_S)
        if others := self._tasks - {mine}:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=_CLOSE_S)

    def report(self, failure: BaseException) -> None:
        """Shows a failure as a notice. A bug is logged with its trace and said to be one."""
        if isinstance(failure, Cancelled):
            return
        notice = as_notice(failure)
        if not isinstance(failure, AppError):
            log.error("a view failed", exc_info=failure)
        self.failed.emit(notice)

    def _hand_over(self, event: Event) -> None:
        """Loop thread. `emit` posts to the GUI thread's queue and returns."""
        if self._listening:
            self.raised.emit(event)

    @Slot(object)
    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Noticed) and not self._handlers.get(Noticed):
            self._unheard.append(event)
        for handler in tuple(self._handlers.get(type(event), ())):
            try:
                handler(event)
            except Exception as failure:  # noqa: BLE001  one bad view must not cost another its event
                if _is_of_a_closed_view(failure):
                    self.unsubscribe(handler)
                else:
                    self.report(failure)

    def _finished(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            failure = task.exception()
            if failure is not None and _is_of_a_closed_view(failure):
                self._left_behind(failure)
            elif failure is not None:
                self.report(failure)

    def _left_behind(self, failure: BaseException) -> None:
        """A page was closed while it waited for an answer: no bug, but what failed for the trader is still told."""
        log.debug("a page was closed before its answer came", exc_info=failure)
        before = failure.__context__
        while before is not None and not isinstance(before, AppError):
            before = before.__context__
        if before is not None:
            self.report(before)


def _is_of_a_closed_view(failure: BaseException) -> bool:
    """PySide has no type of its own for a widget that Qt has deleted, only these words."""
    return isinstance(failure, RuntimeError) and "already deleted" in str(failure)


def _put_away(coroutine: Coroutine[Any, Any, object]) -> None:
    """The loop thread may end before a verb has begun; Python complains of a coroutine that nobody awaited."""
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()


async def _correlated(coroutine: Coroutine[Any, Any, T]) -> T:
    """On the loop thread: what comes of one click carries one id."""
    with correlated():
        name = getattr(coroutine, "__qualname__", "")
        level = logging.INFO if _ACTS.search(name) else logging.DEBUG
        log.log(level, "click: %s", name)
        return await coroutine


def as_notice(failure: BaseException) -> Noticed:
    """A failure in words for the trader."""
    if isinstance(failure, AppError):
        cause = f'{failure.cause} "{failure.detail}"' if failure.detail else failure.cause
        return Noticed(Level.WARNING, cause, next_step=failure.next_step, repeat_key=f"error:{failure.cause}")
    kind = type(failure).__name__
    return Noticed(
        Level.ALARM,
        "Something in the window went wrong that should not.",
        cause=f"Internal error: {kind}.",
        next_step="Armed stops are not affected. The log has the details for a report.",
        repeat_key=f"bug:{kind}",
    )


def _read(future: asyncio.Future[Any]) -> None:
    """Marks a failure as read: whoever awaits gets it; when the view is gone, the log does."""
    if future.cancelled():
        return
    failure = future.exception()
    if failure is not None and not isinstance(failure, AppError):
        log.error("a verb of the desk failed", exc_info=failure)


def _forgive(answer: asyncio.Future[Any]) -> None:
    """Of an answer that nobody waits for any more: `_read` has told its failure."""
    if not answer.cancelled():
        answer.exception()
