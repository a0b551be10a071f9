"""What one follower waits for: news, and the answers to what it has asked of the broker.

A change, a cancellation or an order on the long way whose answer is lost takes seconds. What must not wait for that, an
excess above all, is decided meanwhile. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine

from app.engine.exit_plan import CancelOrders, SquareOffExcess, Step, Wait


class Asking:
    """Steps under way, one of a kind."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._under_way: dict[type[Step], asyncio.Task[None]] = {}

    def news(self) -> None:
        """Something has happened: who waits looks again."""
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Until there is news, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    async def ask(self, step: Step, request: Coroutine[None, None, None], then: float = 0.0) -> None:
        """Until the request has been answered, or there is news; after that news is waited for so long (seconds).
        Raises what this or an earlier request ended with."""
        loop = asyncio.get_running_loop()
        asked = self._under_way[type(step)] = loop.create_task(request)
        heard = loop.create_task(self._news.wait())
        try:
            await asyncio.wait((asked, heard), return_when=asyncio.FIRST_COMPLETED)
        finally:
            heard.cancel()
        self.check()
        if then:
            await self.wait(then)

    def check(self) -> None:
        """Raises what a request has ended with since."""
        for kind, task in tuple(self._under_way.items()):
            if task.done():
                del self._under_way[kind]
                task.result()

    def holds(self, step: Step) -> bool:
        """Whether a step has to wait for an answer: what takes something back waits only for its like."""
        if isinstance(step, SquareOffExcess | CancelOrders):
            return type(step) in self._under_way
        return bool(self._under_way) and not isinstance(step, Wait)

    def end(self) -> None:
        """Nobody waits for the answers any more."""
        for task in self._under_way.values():
            if not task.cancel() and not task.cancelled():
                task.exception()  # read here: nobody else will
