"""What the journal could not take when it was asked to: owed, and paid as soon as it can. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from app.domain.errors import AppError, DiskFull
from app.domain.events import AuditEntry

PAY_SECONDS = 1.0
"""Between two tries, once one has failed."""
PAY_TRIES = 30
"""Of what the journal refuses though the disk has room."""

log = logging.getLogger(__name__)


class Debt(Protocol):
    """Something to be written, with its line of the audit trail."""

    @property
    def entry(self) -> AuditEntry:
        """The line."""
        ...


D = TypeVar("D", bound=Debt)


class Debts(Generic[D]):
    """The debts of one writer, paid in the order in which they came about."""

    def __init__(self, write: Callable[[D], Awaitable[None]], name: str) -> None:
        self._write = write
        """Raises StorageError."""
        self._name = name
        self._owed: deque[D] = deque()
        self._paying: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._owed)

    def owe(self, debt: D) -> None:
        """It is written later."""
        self._owed.append(debt)
        if self._paying is None or self._paying.done():
            self._paying = asyncio.get_running_loop().create_task(self._pay(), name=self._name)

    async def _pay(self) -> None:
        refused = 0
        await asyncio.sleep(PAY_SECONDS)
        while self._owed:
            debt = self._owed[0]
            try:
                await self._write(debt)  # one after the other: who dies now loses what is still owed
            except DiskFull:
                await asyncio.sleep(PAY_SECONDS)
                continue
            except AppError as failure:
                refused += 1
                if refused < PAY_TRIES:
                    await asyncio.sleep(PAY_SECONDS)
                    continue
                # The journal takes others and never this one: it must not stand in the way of those behind it.
                log.warning("%s of %s is not in the journal: %s", debt.entry.what, debt.entry.subject, failure)
            refused = 0
            self._owed.popleft()
