"""Start in order, stop in reverse: every step has a deadline and a log line, and stopping twice is stopping once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.domain.errors import Cancelled
from app.runtime.log import logger

_log = logger("lifecycle")


async def nothing() -> None:
    """For a step that has only one half."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is started and stopped. Deadlines in seconds."""

    name: str
    start: Callable[[], Awaitable[object]] = nothing
    stop: Callable[[], Awaitable[object]] = nothing
    start_within: float = 30.0
    stop_within: float = 5.0


class StartFailed(Exception):
    """A step did not start in time."""


class Lifecycle:
    """Runs steps on one event loop. What was started is stopped, whatever happened in between."""

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        self._steps = list(steps)
        self._started: list[Step] = []
        self._turn = asyncio.Lock()
        self._stopping = False
        self._stop: asyncio.Task[None] | None = None
        self._current: asyncio.Future[object] | None = None

    def add(self, step: Step) -> None:
        """Appends a step; it starts with the next `start`, after all that were added before."""
        self._steps.append(step)

    async def start(self) -> None:
        """Starts every step not yet started, in order. When one fails, all are stopped again and its error is raised.

        A `stop` during the start wins: the step at hand is cut short, the rest never begins, and Cancelled is raised.
        """
        try:
            for step in self._steps:
                async with self._turn:
                    if self._stopping:
                        raise _closed_while_starting()
                    if step not in self._started:
                        await self._start(step)
        except Exception:
            await self.stop()
            raise

    async def _start(self, step: Step) -> None:
        began = time.monotonic()
        # Entered first: a step that fails half way, or is cut short, must be given the chance to clean up.
        self._started.append(step)
        limit = asyncio.timeout(step.start_within)
        try:
            async with limit:
                self._current = asyncio.ensure_future(step.start())
                await self._current
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StartFailed(f"{step.name} did not start within {step.start_within:g} s") from error
        except asyncio.CancelledError:
            if self._stopping:
                raise _closed_while_starting() from None
            raise
        finally:
            self._current = None
        _log.info("started", step=step.name, ms=_ms_since(began))

    async def stop(self) -> None:
        """Stops what was started, last first. A step that fails or overruns is logged and left behind. Idempotent."""
        self._stopping = True
        if self._current is not None:
            self._current.cancel()
        if self._stop is None:
            self._stop = asyncio.create_task(self._stop_all(), name="lifecycle stop")
        await asyncio.shield(self._stop)

    async def _stop_all(self) -> None:
        async with self._turn:
            while self._started:
                await self._stop_one(self._started.pop())

    async def _stop_one(self, step: Step) -> None:
        began = time.monotonic()
        limit = asyncio.timeout(step.stop_within)
        try:
            async with limit:
                await step.stop()
        except TimeoutError as error:
            if limit.expired():
                _log.error("did not stop in time", step=step.name, deadline_s=step.stop_within)
            else:
                _log.error("failed to stop", step=step.name, exc_info=error)
        except Exception as error:  # noqa: BLE001 -- the other steps must still be stopped
            _log.error("failed to stop", step=step.name, exc_info=error)
        else:
            _log.info("stopped", step=step.name, ms=_ms_since(began))


def _closed_while_starting() -> Cancelled:
    return Cancelled("The program was closed while it started.")


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
