"""When the look before the market opens is due: at 08:45 of each trading day, or at a start up to half an hour late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator
from datetime import date, time
from typing import Any

from app.desk.workspace import Workspace
from app.domain.calendar import Calendar, DayKind
from app.domain.events import Event, Level, Noticed, PreflightDone
from app.domain.health import PreflightReport
from app.domain.ids import Nanos
from app.domain.instrument import Segment
from app.runtime.clock import to_datetime

log = logging.getLogger(__name__)

FROM, UNTIL = time(8, 45), time(9, 15)
LOOK_SECONDS = 20.0
"""Between two looks at the clock, of the fastest account's time."""
LEAST_SECONDS = 0.2


def due(now: Nanos, calendar: Calendar, done: Collection[date]) -> date | None:
    """The day whose look is to be made now; None when it is not time, or it was made."""
    moment = to_datetime(now)
    today = moment.date()
    if today in done or not FROM <= moment.time() < UNTIL:
        return None
    return None if calendar.day_kind(today, Segment.EQUITY) is DayKind.CLOSED else today


class PreflightWatch:
    """Makes the look when it is due, until cancelled. Loop thread only."""

    def __init__(
        self,
        workspace: Workspace,
        look: Callable[[], Coroutine[Any, Any, PreflightReport]],
        publish: Callable[[Event], None],
    ) -> None:
        self._workspace = workspace
        self._look = look
        self._publish = publish
        self._done: set[date] = set()
        """Of all accounts: one that replays another day has a morning of its own."""

    async def run(self) -> None:
        """By the clocks of the accounts: a paper exchange has a morning of its own."""
        while True:
            speed = 1.0
            for now, pace, calendar in tuple(self._clocks()):
                speed = max(speed, pace)
                day = due(now, calendar, self._done)
                if day is not None:
                    self._done.add(day)
                    await self._report()
            await asyncio.sleep(max(LOOK_SECONDS / speed, LEAST_SECONDS))

    def _clocks(self) -> Iterator[tuple[Nanos, float, Calendar]]:
        for desk in self._workspace.accounts.values():
            yield desk.clock.now(), desk.clock.speed, desk.hours.calendar

    async def _report(self) -> None:
        report = await self._look()
        self._publish(PreflightDone(report))
        if report.open:
            words = "; ".join(f"{finding.name}: {finding.words}" for finding in report.open)
            step = "Open the pre-flight page."
            self._publish(
                Noticed(Level.WARNING, "Before the market opens", f"{words.rstrip('.')}.", step, None, "pre-flight")
            )
        else:
            self._publish(Noticed(Level.INFO, "Pre-flight: everything stands", "", "", None, "pre-flight"))
