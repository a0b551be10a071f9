"""What a strategy leaves behind: its row, its timeline, its audit line, and what the trader is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.errors import AppError
from app.domain.events import AuditEntry, Event, Level, Noticed, StrategyChanged, StrategyMarked
from app.domain.ids import StrategyId
from app.domain.money import Price
from app.domain.strategy import MarkKind, Strategy, StrategyMark
from app.engine.debts import Debts
from app.engine.strategies.happenings import Armed, EntryNews, ExitOver, Happening
from app.runtime.clock import Clock
from app.runtime.loop import Tasks


class StrategyJournal(Protocol):
    """What strategies need of the journal; every call returns when the entry is durable. Raises StorageError."""

    async def save_strategy(self, strategy: Strategy, marks: Sequence[StrategyMark], entry: AuditEntry) -> None:
        """As it now stands, the points of its timeline, and the audit line: one transaction."""
        ...

    async def delete_strategy(self, strategy: StrategyId, entry: AuditEntry) -> None:
        """With its timeline."""
        ...


@dataclass(frozen=True, slots=True)
class _Owed:
    """What the journal has not taken yet."""

    strategy: StrategyId
    marks: tuple[StrategyMark, ...]
    entry: AuditEntry


class StrategyRecord:
    """Writes for one account's strategies. Loop thread only."""

    def __init__(self, journal: StrategyJournal, clock: Clock, publish: Callable[[Event], None], tasks: Tasks) -> None:
        self._journal = journal
        self._clock = clock
        self._publish = publish
        self._tasks = tasks
        self._writing: dict[StrategyId, asyncio.Task[None]] = {}
        """The last write of each: the next one waits for it."""
        self._newest: dict[StrategyId, Strategy] = {}
        self._debts = Debts(self._write, "what strategies owe the journal")

    async def save(self, strategy: Strategy, marks: Sequence[StrategyMark], what: str) -> None:
        """Durable when this returns, and told. Raises StorageError; then nothing is told."""
        entry = self._entry(strategy, what, strategy.note)
        await self._written(strategy.id)
        await self._journal.save_strategy(strategy, marks, entry)
        self._newest[strategy.id] = strategy
        self._tell(strategy, marks)

    def keep(self, strategy: Strategy, marks: Sequence[StrategyMark], what: str) -> None:
        """Told now and written soon, after what was decided before it. A journal that cannot write holds nothing back:
        said aloud, owed, and on."""
        self._newest[strategy.id] = strategy
        owed = _Owed(strategy.id, tuple(marks), self._entry(strategy, what, strategy.note))
        work = self._keep(strategy, owed, self._writing.get(strategy.id))
        self._writing[strategy.id] = self._tasks.start(work, f"journal of strategy {strategy.id}")
        self._tell(strategy, marks)

    async def _keep(self, strategy: Strategy, owed: _Owed, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._journal.save_strategy(strategy, owed.marks, owed.entry)
        except AppError as failure:
            self.tell(strategy, Level.ALARM, f"The journal cannot be written: {failure}", "journal")
            self._debts.owe(owed)

    async def _written(self, strategy: StrategyId) -> None:
        """Until nothing of it waits for the disk any more."""
        if (last := self._writing.get(strategy)) is not None:
            await asyncio.wait([last])

    async def delete(self, strategy: Strategy) -> None:
        """Raises StorageError."""
        await self._written(strategy.id)
        await self._journal.delete_strategy(strategy.id, self._entry(strategy, "deleted", strategy.plan.name))
        self._newest.pop(strategy.id, None)

    def tell(self, strategy: Strategy, level: Level, words: str, key: str = "") -> None:
        """Calls the trader."""
        plan = strategy.plan
        self._publish(
            Noticed(
                level,
                f"Strategy {plan.name or plan.instrument}",
                words[:1].upper() + words[1:],
                account=plan.account,
                repeat_key=f"strategy:{plan.id}:{key or words}",
            )
        )

    async def _write(self, owed: _Owed) -> None:
        """What is written late never puts a newer state back. Raises StorageError."""
        strategy = self._newest.get(owed.strategy)
        if strategy is not None:  # else it was deleted
            await self._journal.save_strategy(strategy, owed.marks, owed.entry)

    def _tell(self, strategy: Strategy, marks: Sequence[StrategyMark]) -> None:
        self._publish(StrategyChanged(strategy))
        for mark in marks:
            self._publish(StrategyMarked(mark))

    def _entry(self, strategy: Strategy, what: str, detail: str) -> AuditEntry:
        return AuditEntry(
            self._clock.now(), strategy.plan.account, f"strategy:{strategy.id}", what, detail, strategy.stop
        )


def marks_of(before: Strategy, after: Strategy, happening: Happening, level: Price | None) -> list[StrategyMark]:
    """The points that a happening adds to the timeline. `level`: of the stop that was armed. Pure."""

    def mark(kind: MarkKind, words: str, price: Price | None = None, quantity: int = 0) -> StrategyMark:
        return StrategyMark(after.id, after.changed_at, kind, after.state, words, price, quantity)

    marks = []
    grown = after.bought - before.bought
    if isinstance(happening, EntryNews) and grown > 0:
        done = f"{after.bought} of {after.plan.quantity}"
        marks.append(mark(MarkKind.ENTRY_FILL, f"filled {grown}, {done} so far", happening.average, grown))
    if isinstance(happening, Armed):
        words = "an exit without a level is ready" if level is None else "the stop is armed"
        marks.append(mark(MarkKind.STOP, words, level, happening.quantity))
    if isinstance(happening, ExitOver) and happening.average is not None:
        marks.append(mark(MarkKind.EXIT_FILL, f"closed {happening.quantity}", happening.average, happening.quantity))
    if after.state is not before.state or (isinstance(happening, ExitOver) and not marks):
        marks.append(mark(MarkKind.STATE, after.note or after.state.value))
    elif after.note != before.note and not marks:
        marks.append(mark(MarkKind.NOTE, after.note))
    return marks


def what_of(before: Strategy, after: Strategy, happening: Happening) -> str:
    """The audit line's words: the new state, or what happened within the old one."""
    if after.state is not before.state:
        return after.state.value
    name = type(happening).__name__
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()
