"""One click brings every connected account's trades, positions, holdings and funds home (C1)."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from app.analytics.charge_table import ChargeTable
from app.brokers.base import ReadBroker
from app.brokers.parts import PastFill
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Denied, SessionExpired
from app.domain.events import Event, SyncProgressed, SyncStep
from app.domain.ids import AccountId, Nanos
from app.domain.sync import Conflicts, FailedJob
from app.runtime.helper import Helper
from app.storage.book import Book
from app.sync import announce
from app.sync.conflicts import settle
from app.sync.history import refusal
from app.sync.reader import Guard
from app.sync.rebuild import Rebuilder
from app.sync.refusals import Refusals
from app.sync.run import AccountRun, Tools
from app.sync.target import TODAY, Dates, SyncTarget, dates_of
from app.sync.trouble import Aftermath, Alert

log = logging.getLogger(__name__)

__all__ = ["SyncService", "SyncTarget"]


SCHEDULED = "scheduled"
"""The trigger of runs that nobody waits for."""


class SyncService:
    """Runs syncs, at most one an account at a time. Loop thread.

    `targets` lists the connected accounts now. `on_dead` takes over when a session turns out to be dead: it owns the
    account's state. `on_result` hears the last word of each account's run, to keep its record.
    """

    def __init__(
        self,
        book: Book,
        charges: ChargeTable,
        targets: Callable[[], Sequence[SyncTarget]],
        publish: Callable[[Event], None],
        on_dead: Callable[[AccountId, SessionExpired, ReadBroker | None], Coroutine[Any, Any, None]],
        on_result: Callable[[SyncProgressed], Coroutine[Any, Any, None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        helper: Helper | None = None,
    ) -> None:
        self._book = book
        self._rebuilder = Rebuilder(book, charges, helper)
        self._targets = targets
        self._publish = publish
        self._on_result = on_result
        self.guard = Guard(sleep, clock)
        self._refusals = Refusals(book, publish)
        self._tools = Tools(book, self._rebuilder, self.guard, publish, on_dead, self._refusals)
        self._aftermath = Aftermath(book, publish)
        self._running: dict[AccountId, _Running] = {}

    async def rebuild(self) -> None:
        """Finishes what a crash left: leases of dead owners, trades that lag behind their fills. For the start."""
        for lease in await self._book.leases.clear_void(time.time_ns()):
            log.info("the lease of a dead sync of %s was removed", lease.account)
        await self._rebuilder.look_again()
        today = max((ist_date(target.now()).isoformat() for target in self._targets()), default="")
        announce.gaps(self._publish, None, await self._rebuilder.rebuild((), today))

    @property
    def running(self) -> dict[AccountId, SyncProgressed]:
        """How far the runs under way have come."""
        return {account: running.work.progress for account, running in self._running.items()}

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Reasons to look that still stand."""
        return self._aftermath.raised

    async def run(
        self, account: AccountId | None = None, trigger: str = "manual", dates: Dates | None = None
    ) -> tuple[SyncProgressed, ...]:
        """Syncs one account or all: what the broker lists today, or a range of dates.

        An account whose sync of the same is about to begin is not started twice; its result is shared, and the
        schedule shares one that reads already. Another one waits its turn. Returns the last word of each. A failure is
        in there, in words. Raises Denied when none of them can tell of these dates, StorageError when not even the log
        can be written.
        """
        run = uuid.uuid4().hex[:12]
        targets = [target for target in self._targets() if account is None or target.account == account]
        if dates is not None:
            refusals = [refusal(target, dates) for target in targets]
            if targets and all(refusals) and refusals[0] is not None:
                raise refusals[0]
        waiting = [self._of(target, run, trigger, dates) for target in targets]
        return tuple(await asyncio.gather(*waiting))

    async def take_file(self, account: AccountId, fills: Sequence[PastFill]) -> SyncProgressed:
        """Fills of a tradebook file into the book, as a run of its own: those that are there already change nothing.
        Raises Denied for an unknown account."""
        target = next((target for target in self._targets() if target.account == account), None)
        if target is None:
            raise Denied(f"There is no account {account}.", "Connect it first.")
        return await self._of(target, uuid.uuid4().hex[:12], "file import", None, fills)

    async def _of(
        self,
        target: SyncTarget,
        run: str,
        trigger: str,
        dates: Dates | None,
        file: Sequence[PastFill] | None = None,
    ) -> SyncProgressed:
        wanted = TODAY if dates is None else str(dates)
        while (under_way := self._running.get(target.account)) is not None:
            late = under_way.work.target.broker is None and target.broker is not None  # logged in meanwhile
            same = under_way.work.progress.operation == wanted and not late and file is None
            # What reads already may have missed what the trader has just done, and means to see.
            if same and (trigger == SCHEDULED or under_way.work.progress.step is SyncStep.STARTED):
                return await asyncio.shield(under_way.task)
            await asyncio.wait([under_way.task])
        work = AccountRun(self._tools, target, run, trigger, dates, file)
        task = asyncio.get_running_loop().create_task(self._account(work), name=f"sync {target.account}")
        self._running[target.account] = _Running(work, task)
        return await asyncio.shield(task)

    async def cancel(self, account: AccountId | None = None, trigger: str | None = None) -> None:
        """Ends every sync that still reads, of one account or all, of one trigger or any; one that already saves
        finishes. Returns when all have ended."""
        runs = [
            running
            for of, running in self._running.items()
            if account in (None, of) and trigger in (None, running.work.progress.trigger)
        ]
        for running in runs:
            await running.work.begun.wait()  # a task that is cancelled before it began can say nothing
            if not running.work.saving:
                running.task.cancel()
        await asyncio.gather(*(running.task for running in runs), return_exceptions=True)

    async def _account(self, work: AccountRun) -> SyncProgressed:
        work.begun.set()
        try:
            try:
                await self._tell(work.progress)
                progress = await work.outcome()
            except asyncio.CancelledError:
                progress = work.cancelled()
            work.saving = True  # the last word is written whole too
            if progress.step is SyncStep.FAILED:
                log.info("sync of %s failed: %s", progress.account, progress.error)
            await self._tell(progress)
            if self._on_result is not None:
                await self._on_result(progress)
            await self._aftermath.of(progress)
        finally:
            self._running.pop(work.target.account, None)
        return progress

    async def _tell(self, progress: SyncProgressed) -> None:
        self._publish(progress)
        await self._book.sync_log.append(progress)

    # -- what it could not settle by itself --------------------------------------------------------------------------

    async def settle(self, conflict: int, take: Conflicts, at: Nanos) -> None:
        """The user's word on a conflict. `at`: by the machine; the account's own clock says which day it is, if it
        has one. Raises Denied when it is settled already."""
        found, _ = await self._book.conflicts.get(conflict)
        clocks = [target.now for target in self._targets() if target.account == found.ours.account]
        account = await settle(self._book, conflict, take, self._rebuilder, clocks[0]() if clocks else at)
        announce.book_changed(self._publish, account, 1)

    async def retry(self, job: int) -> tuple[SyncProgressed, ...]:
        """A failed job once more. Raises Denied when it is gone."""
        found: FailedJob = await self._book.failed_jobs.get(job)
        if all(target.account != found.account for target in self._targets()):
            raise Denied(f"There is no account {found.account} any more.", "Discard the job.")
        return await self.run(found.account, "retry", dates_of(found.job))

    async def refreshed(self, account: AccountId, at: Nanos, *, good: bool) -> None:
        """A session was begun anew, or not (C12). A record that cannot be written is said in the log."""
        if good:
            self._refusals.logged_in(account)
        try:
            await self._book.sync_log.refreshed(account, at, good=good)
            await self._aftermath.alerts(account, at)
        except AppError as failure:
            log.warning("a login was not counted: %s", failure)


class _Running:
    """One account's sync under way."""

    def __init__(self, work: AccountRun, task: asyncio.Task[SyncProgressed]) -> None:
        self.work = work
        self.task = task
