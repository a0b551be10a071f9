"""Who was there when: the desk's heartbeat on disk, and what its absences meant. Loop thread only.

The heartbeat is a small file of its own beside the databases: written from a helper thread every second while stops are
armed, it stands in nobody's way, and a guard or the next window reads when this one was last alive.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from app.desk.workspace import Workspace
from app.domain.errors import AppError
from app.domain.events import FeedGap, Returned
from app.domain.guard import Absence, AwayKind, AwayReport, Farewell
from app.domain.ids import AccountId, Nanos
from app.engine import away
from app.runtime.clock import SECOND, SystemClock
from app.runtime.pause import Pause

log = logging.getLogger(__name__)

IDLE_BEATS = 10
"""With nothing armed only every so many beats reaches the disk."""
SETTLE_SECONDS = 10.0
"""After prices are back, or the machine is awake: what a stop did at once is in the trail by then."""
SHORTEST_GAP: Nanos = 5 * SECOND
"""A feed that was silent for less is a line in the log, not an absence."""
_ROOM = 256
"""Bytes of a beat; the file never changes its size, so that a beat is one write in place."""


class Beat(msgspec.Struct, frozen=True):
    """The last sign of life of a desk."""

    at: Nanos
    began: Nanos
    """When that desk was opened."""
    armed: int
    line: int
    """The audit trail's last line then."""
    left: str = ""
    """How it parted (`domain.guard.Farewell`); empty while it lives, and for ever where it died."""


class BeatFile:
    """One desk's beats. Blocks: not for the loop thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Beat | None:
        """The last one; None where there is none, or none that can be read (cut short by a power cut)."""
        try:
            return msgspec.json.decode(self._path.read_bytes().rstrip(b"\0 "), type=Beat)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, beat: Beat) -> None:
        """On disk when it returns. Raises OSError."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.write(file, msgspec.json.encode(beat).ljust(_ROOM))
            os.fsync(file)
        finally:
            os.close(file)


@dataclass(slots=True, eq=False)
class _Silence:
    """No prices of an account, on any of its connections."""

    account: AccountId
    since: Nanos
    until: Nanos


class Attendance:
    """Of the opened profile. `window`: this desk's own absences are judged; a guard only beats."""

    def __init__(self, workspace: Workspace, *, window: bool) -> None:
        self._workspace = workspace
        self._window = window
        self._own = BeatFile(workspace.profile / ("desk.beat" if window else "guard.beat"))
        self._guards = BeatFile(workspace.profile / "guard.beat")
        self._clock = SystemClock()
        self._began: Nanos = 0
        self._idle = 0
        self._line = 0
        self._lost = False
        self._beaten = False
        self._writing: asyncio.Task[None] | None = None
        self._gaps: list[_Silence] = []
        """Those that are about to be told."""
        self._partly: set[int] = set()
        """Absences of which not all is known."""

    async def opened(self) -> Absence | None:
        """The files are open: the absence that ends now, where there was one."""
        self._began = now = self._clock.now()
        last = await asyncio.to_thread(self._own.read)
        self._line = line = await self._workspace.journal.absences.newest_line()
        if not self._window or last is None or (last.left and not last.armed) or not 0 <= last.at <= now:
            return None
        watched = await asyncio.to_thread(self._guards.read)
        since = watched.began if watched is not None and watched.began > last.at else None
        kind = AwayKind.CLOSED if last.left else AwayKind.CRASH
        return await self._workspace.journal.absences.add(
            Absence(0, kind, last.at, now, None, since, audit_since=last.line, audit_until=line)
        )

    async def settled(self, absence: Absence, *, whole: bool = True) -> None:
        """Recovery is done: the report is told. Not `whole`: an account whose stops are armed has no session, and what
        its broker did meanwhile nobody has seen."""
        (self._partly.discard if whole else self._partly.add)(absence.id)
        self._line = line = await self._workspace.journal.absences.newest_line()
        await self._workspace.journal.absences.settle(absence.id, line)
        self._workspace.publish(Returned(await self._report(replace(absence, audit_settled=line))))

    def beat(self, armed: int) -> None:
        """Once a second."""
        self._idle = 0 if armed else self._idle + 1
        if self._began and self._idle % IDLE_BEATS == 0 and (self._writing is None or self._writing.done()):
            self._beaten = True
            self._writing = self._workspace.tasks.start(self._write(armed), "heartbeat on disk")

    async def leave(self, armed: int, how: Farewell) -> None:
        """The last beat, before the files are closed; a guard that found nothing to guard leaves no sign."""
        if self._began and (self._window or self._beaten or armed):
            await self._write(armed, how.value)
        self._began = 0

    async def paused(self, pause: Pause) -> None:
        """The machine slept, or this process stood still."""
        absences = self._workspace.journal.absences
        line = await absences.newest_line()
        absence = Absence(0, AwayKind.SLEEP, pause.since, pause.until, audit_since=self._line, audit_until=line)
        absence = await absences.add(absence)
        await asyncio.sleep(SETTLE_SECONDS)
        await self.settled(absence)

    async def gap(self, event: FeedGap) -> None:
        """Prices of an account are back after a silence. Its connections fall silent and speak again one by one: that
        is one absence."""
        if event.until - event.since < SHORTEST_GAP:
            return
        for told in self._gaps:
            if told.account == event.account and event.since <= told.until and told.since <= event.until:
                told.since, told.until = min(told.since, event.since), max(told.until, event.until)
                return
        gap = _Silence(event.account, event.since, event.until)
        self._gaps.append(gap)
        await asyncio.sleep(SETTLE_SECONDS)
        self._gaps.remove(gap)
        # A stop may have fired within the silence, by quotes that were asked for or at the exchange.
        line = await self._workspace.journal.absences.line_before(gap.account, gap.since)
        found = Absence(0, AwayKind.FEED, gap.since, gap.until, gap.account, audit_since=line, audit_until=line)
        await self.settled(await self._workspace.journal.absences.add(found))

    async def reports(self, limit: int) -> tuple[AwayReport, ...]:
        """Newest first."""
        return tuple([await self._report(one) for one in await self._workspace.journal.absences.recent(limit)])

    async def _report(self, absence: Absence) -> AwayReport:
        last = absence.audit_settled or await self._workspace.journal.absences.newest_line()
        lines = await self._workspace.journal.absences.lines(absence.audit_since, last)
        if absence.account is not None:
            lines = [line for line in lines if line[1].account == absence.account]
        known = {stop.id: stop for desk in self._workspace.accounts.values() for stop in desk.stops.stops}
        report = away.report(absence, lines, known)
        if absence.id not in self._partly:
            return report
        words = f"{report.headline}; the rest is" if report.lines else "what happened is"
        return replace(report, headline=f"{words} not known until you log in")

    async def _write(self, armed: int, left: str = "") -> None:
        try:
            self._line = await self._workspace.journal.absences.newest_line()
            beat = Beat(self._clock.now(), self._began, armed, self._line, left)
            await asyncio.to_thread(self._own.write, beat)
        except (OSError, AppError) as failure:
            if not self._lost:
                self._lost = True
                log.warning("the heartbeat cannot be written: %s", failure)
