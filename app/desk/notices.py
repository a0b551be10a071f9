"""Notices kept: written down as they are told, read by the window and the command line. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from app.desk.messages import NoticeLine
from app.desk.workspace import Workspace
from app.domain.errors import AppError
from app.domain.events import Noticed
from app.domain.ids import Nanos
from app.runtime.clock import SystemClock

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.5
"""Many notices at once are one write."""
MOST_WAITING = 1_000
"""While the profile is locked; older ones go first."""


class NoticeDesk:
    """Implements `desk.api.NoticeVerbs`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._clock = SystemClock()
        self._heard: deque[tuple[Noticed, Nanos]] = deque(maxlen=MOST_WAITING)
        self._more = asyncio.Event()

    def heard(self, notice: Noticed) -> None:
        """On the bus."""
        self._heard.append((notice, self._clock.now()))
        self._more.set()

    async def keep(self) -> None:
        """Writes what is heard, for as long as the profile is open."""
        while True:
            await self._more.wait()
            await asyncio.sleep(GATHER_SECONDS)
            await self.write()

    async def write(self) -> None:
        """What is not written yet. What cannot be written is said in the log: a notice about it would not be either."""
        self._more.clear()
        waiting = list(self._heard)
        self._heard.clear()
        try:
            await self._workspace.book.notices.add(waiting)
        except AppError as failure:
            log.info("%d notices could not be kept: %s", len(waiting), failure)

    async def recent(self, limit: int = 500) -> Sequence[NoticeLine]:
        """Newest first, those of earlier runs too."""
        await self.write()
        return [
            NoticeLine(
                kept.id,
                kept.at,
                kept.notice.level,
                kept.notice.title,
                kept.notice.cause,
                kept.notice.next_step,
                kept.notice.account,
                kept.times,
                kept.read_at is not None,
                kept.notice.repeat_key,
            )
            for kept in await self._workspace.book.notices.recent(limit)
        ]

    async def mark_read(self) -> int:
        """The trader has looked. How many were unread."""
        await self.write()
        return await self._workspace.book.notices.mark_read(self._clock.now())
