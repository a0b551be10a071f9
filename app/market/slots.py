"""Who gives way when the broker takes no further stream of this user: never the connection that stops hang on.

A broker may count a connection that died for a while longer. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from app.domain.events import FeedState
from app.domain.ids import AccountId
from app.market.lane import Lane

log = logging.getLogger(__name__)


class Slots:
    """One account's places at the broker."""

    def __init__(self, account: AccountId, gave_way: Callable[[Lane], None]) -> None:
        self._account = account
        self._gave_way = gave_way
        self.kept_free = False
        """A connection gave way, and no other than the guarding one may dial."""
        self._endings: set[asyncio.Task[None]] = set()

    def refused(self, lane: Lane, lanes: Sequence[Lane]) -> None:
        """The broker refused this one: where stops hang on it, the last of the others lets go at once."""
        if lane.number != 0:
            return
        other = next((one for one in reversed(lanes) if one.number and one.is_connected), None)
        if other is None:
            return
        log.info("price connection %d of %s gives way to the one that stops hang on", other.number, self._account)
        self.kept_free = True
        ending = asyncio.get_running_loop().create_task(self._end(other), name=f"price connection of {self._account}")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, lane: Lane) -> None:
        await lane.stop(FeedState.DOWN)
        self._gave_way(lane)

    def taken(self) -> bool:
        """The guarding connection stands. True: those that gave way dial again."""
        was, self.kept_free = self.kept_free, False
        return was

    async def stop(self) -> None:
        """The session has ended."""
        self.kept_free = False
        await asyncio.gather(*self._endings, return_exceptions=True)
