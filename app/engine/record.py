"""What the engine leaves behind of a stop: journal, audit trail, alarms. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from app.domain.errors import AppError
from app.domain.events import AuditEntry, Event, Level, Noticed
from app.domain.ids import Nanos
from app.domain.order import OrderRequest
from app.domain.stop import Stop
from app.runtime.clock import Clock

log = logging.getLogger(__name__)


class StopJournal(Protocol):
    """What the engine needs of the journal; every call returns when the entry is durable."""

    async def save_stop(self, stop: Stop, entry: AuditEntry, *intents: OrderRequest) -> None:
        """Stop, audit line and the intents of its next exit, one for each slice: one transaction."""
        ...

    async def save_levels(self, stops: Sequence[Stop], at: Nanos) -> None:
        """Where the levels of armed stops are now; one that is not armed any more in the journal is left alone."""
        ...

    async def audit(self, *entries: AuditEntry) -> None:
        """Lines of the audit trail."""
        ...


class StopRecord:
    """Writes for one account's stops."""

    def __init__(self, journal: StopJournal, clock: Clock, publish: Callable[[Event], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._publish = publish
        self._notes: set[asyncio.Task[None]] = set()

    async def save(self, stop: Stop, what: str, detail: str, *intents: OrderRequest) -> None:
        """The stop as it now stands, durable when this returns. Raises StorageError."""
        await self._journal.save_stop(stop, self._entry(stop, what, detail), *intents)

    async def keep(self, stop: Stop, what: str, detail: str, *intents: OrderRequest) -> None:
        """The same where a journal that cannot write must hold nothing back: said aloud, and on."""
        try:
            await self.save(stop, what, detail, *intents)
        except AppError as failure:
            self.alarm(stop, "The journal cannot be written.", failure.next_step, str(failure))

    async def keep_levels(self, stops: Sequence[Stop]) -> None:
        """Levels that moved, durable when this returns; a journal that cannot write is said aloud."""
        if not stops:
            return
        try:
            await self._journal.save_levels(stops, self._clock.now())
        except AppError as failure:
            self.alarm(stops[0], "The journal cannot be written.", failure.next_step, str(failure))

    def note(self, stop: Stop, what: str, detail: str) -> None:
        """A line of the audit trail that nothing has to wait for."""
        entry = self._entry(stop, what, detail)
        task = asyncio.get_running_loop().create_task(self._audit(entry), name=f"audit {what}")
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    def alarm(self, stop: Stop, cause: str, next_step: str = "", detail: str = "") -> None:
        """Calls the trader."""
        self._publish(
            Noticed(
                Level.ALARM,
                f"Stop on {stop.key.instrument}",
                f"{cause} {detail}".strip(),
                next_step,
                stop.key.account,
                f"{stop.id}:{cause}",
            )
        )

    def _entry(self, stop: Stop, what: str, detail: str) -> AuditEntry:
        return AuditEntry(self._clock.now(), stop.key.account, f"stop:{stop.id}", what, detail, stop.id)

    async def _audit(self, entry: AuditEntry) -> None:
        try:
            await self._journal.audit(entry)
        except AppError as failure:
            log.warning("the audit line %s was not written: %s", entry.what, failure)
