"""What the engine leaves behind of a stop: journal, audit trail, alarms. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Any, Protocol

from app.domain.errors import AppError
from app.domain.events import AuditEntry, Event, Level, Noticed
from app.domain.ids import BrokerOrderId, Nanos, StopId, Tag
from app.domain.order import OrderRequest, Side
from app.domain.stop import Stop, is_backstop
from app.engine.debts import Debts
from app.engine.gtt_book import GttJournal
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

    async def closed_by(self, stop: StopId, side: Side) -> int:
        """Units that a stop's exits have closed, less what went back."""
        ...

    async def unseen(self, stop: StopId, side: Side, before: Nanos) -> int:
        """Units of its exits of before a moment that may have filled unheard: nobody saw their orders end."""
        ...

    @property
    def gtt_backstops(self) -> GttJournal:
        """Triggers that rest at the broker behind stops."""
        ...


@dataclass(frozen=True, slots=True)
class _Owed:
    """What the journal could not take when it was asked to."""

    entry: AuditEntry
    stop: Stop | None = None
    """None: a line of the audit trail alone."""
    intents: tuple[OrderRequest, ...] = ()
    number: int = 0
    """In which order the states of stops came about."""


class StopRecord:
    """Writes for one account's stops. What cannot be written holds no exit back, and is written later."""

    def __init__(self, journal: StopJournal, clock: Clock, publish: Callable[[Event], None]) -> None:
        self._journal = journal
        self._clock = clock
        self._publish = publish
        self._running: set[asyncio.Task[None]] = set()
        self._debts = Debts(self._write, "the journal's debts")
        self._numbers = count(1)
        self._written: dict[StopId, tuple[int, Stop]] = {}
        """The newest state of each stop that is on disk."""
        self._turns: dict[StopId, asyncio.Lock] = {}
        """One write of a stop after the other."""
        self._tags: dict[StopId, set[Tag]] = {}
        """Of the orders of each stop that this run has handed to the journal."""

    @property
    def owes(self) -> int:
        """Entries that wait for the journal to take them."""
        return len(self._debts)

    async def save(self, stop: Stop, what: str, detail: str, *intents: OrderRequest) -> None:
        """The stop as it now stands, durable when this returns. Raises StorageError."""
        await self._write(_Owed(self._entry(stop, what, detail), stop, intents, next(self._numbers)))
        self._hand_over(stop, intents)

    def unwritten(self, stop: Stop, orders: Sequence[OrderRequest]) -> tuple[OrderRequest, ...]:
        """Those that the journal was not given yet; what rests at the exchange was written down when it was placed."""
        known = self._tags.get(stop.id, set())
        return tuple(one for one in orders if one.tag not in known and not is_backstop(one.tag))

    async def closed_by(self, stop: Stop) -> int:
        """Units that its exits had closed when the journal last heard of them. Raises StorageError."""
        return await self._journal.closed_by(stop.id, stop.side)

    async def unseen(self, stop: Stop, before: Nanos) -> int:
        """Units of its exits of before a moment that may have filled unheard. Raises StorageError."""
        return await self._journal.unseen(stop.id, stop.side, before)

    async def keep(self, stop: Stop, what: str, detail: str, *intents: OrderRequest) -> None:
        """The same where a journal that cannot write must hold nothing back: said aloud, owed, and on."""
        entry = _Owed(self._entry(stop, what, detail), stop, intents, next(self._numbers))
        self._hand_over(stop, intents)
        try:
            await self._write(entry)
        except AppError as failure:
            self.alarm(stop, "The journal cannot be written.", failure.next_step, str(failure))
            self._debts.owe(entry)

    def begin_keeping(self, stop: Stop, what: str, detail: str) -> None:
        """The same, and nobody waits for it."""
        self._run(self.keep(stop, what, detail), f"journal {what} {stop.id}")

    async def keep_levels(self, stops: Sequence[Stop]) -> None:
        """Levels that moved, durable when this returns; a journal that cannot write is said aloud."""
        if not stops:
            return
        try:
            await self._journal.save_levels(stops, self._clock.now())
        except AppError as failure:
            self.alarm(stops[0], "The journal cannot be written.", failure.next_step, str(failure))
        else:
            for stop in stops:
                number, written = self._written.get(stop.id, (0, stop))
                if written.state is stop.state:
                    self._written[stop.id] = (number, stop)

    def note(self, stop: Stop, what: str, detail: str) -> None:
        """A line of the audit trail that nothing has to wait for."""
        self._run(self._audit(_Owed(self._entry(stop, what, detail))), f"audit {what}")

    def alarm(
        self,
        stop: Stop,
        cause: str,
        next_step: str = "",
        detail: str = "",
        *,
        key: str = "",
        order: BrokerOrderId | None = None,
    ) -> None:
        """Calls the trader. Calls of one `key` (else of one cause) take each other's place. `order`: the trader's own,
        whose cancel solves it."""
        words = f"{cause} {detail}".strip()
        self._publish(
            Noticed(
                Level.ALARM,
                f"Stop on {stop.key.instrument}",
                words if words.rstrip('"').endswith((".", "!", "?")) else f"{words}.",
                next_step,
                stop.key.account,
                f"{stop.id}:{key or cause}",
                order,
            )
        )

    def _hand_over(self, stop: Stop, orders: Sequence[OrderRequest]) -> None:
        if stop.state.is_final:
            self._tags.pop(stop.id, None)
        elif orders:
            self._tags.setdefault(stop.id, set()).update(one.tag for one in orders if one.tag is not None)

    def _entry(self, stop: Stop, what: str, detail: str) -> AuditEntry:
        return AuditEntry(self._clock.now(), stop.key.account, f"stop:{stop.id}", what, detail, stop.id)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _write(self, entry: _Owed) -> None:
        """Raises StorageError. What is written late never puts a newer state of its stop back."""
        if entry.stop is None:
            await self._journal.audit(entry.entry)
            return
        stop = entry.stop
        async with self._turns.setdefault(stop.id, asyncio.Lock()):  # what is newest is known once it is written
            newest = max(self._written.get(stop.id, (0, stop)), (entry.number, stop), key=itemgetter(0))
            await self._journal.save_stop(newest[1], entry.entry, *entry.intents)
            self._written[stop.id] = newest

    async def _audit(self, entry: _Owed) -> None:
        try:
            await self._write(entry)
        except AppError as failure:
            log.info("the audit line %s is owed: %s", entry.entry.what, failure)
            self._debts.owe(entry)
