"""One click brings every connected account's trades, positions, holdings and funds home (C1)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.analytics.charge_table import ChargeTable
from app.brokers.base import BrokerSession
from app.domain.errors import AppError, RateLimited, SessionExpired
from app.domain.events import (
    BookChanged,
    Event,
    FundsChanged,
    HoldingsChanged,
    Level,
    Noticed,
    SyncProgressed,
    SyncStep,
)
from app.domain.ids import AccountId, Nanos
from app.domain.money import from_minor
from app.runtime.clock import Clock, to_datetime
from app.storage.book import Book
from app.sync.apply import Applied, Fetched, apply, rebuild
from app.sync.diff import Conflict
from app.sync.patience import Patience

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

log = logging.getLogger(__name__)

LEASE_SECONDS = 300.0
"""The longest that one account's sync may take. That no other process syncs the profile is the profile lock's doing."""


@dataclass(frozen=True, slots=True)
class SyncTarget:
    """One connected account as the sync sees it."""

    account: AccountId
    broker: BrokerSession | None
    """None: not logged in, which is skipped and not a failure (C6)."""
    clock: Clock
    """The account's exchange time."""


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
        on_dead: Callable[[AccountId, SessionExpired], Coroutine[Any, Any, None]],
        on_result: Callable[[SyncProgressed], Coroutine[Any, Any, None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._book = book
        self._charges = charges
        self._targets = targets
        self._publish = publish
        self._on_dead = on_dead
        self._on_result = on_result
        self._sleep = sleep
        self._running: dict[AccountId, _Run] = {}

    async def rebuild(self) -> None:
        """Finishes what a crash left between fills and trades. For the program's start."""
        self._warn_uncharged(None, await rebuild(self._book, self._charges))

    async def run(self, account: AccountId | None = None, trigger: str = "manual") -> tuple[SyncProgressed, ...]:
        """Syncs one account or all. An account whose sync is under way is not started twice; its result is shared.

        Returns the last word of each. A failure is in there, in words. Raises StorageError when not even that can be
        written.
        """
        run = uuid.uuid4().hex[:12]
        tasks = []
        for target in self._targets():
            if account is None or target.account == account:
                under_way = self._running.get(target.account)
                if under_way is None:
                    under_way = self._running[target.account] = _Run()
                    under_way.task = asyncio.get_running_loop().create_task(
                        self._account(target, run, trigger, under_way), name=f"sync {target.account}"
                    )
                tasks.append(under_way.task)
        return tuple(await asyncio.gather(*(asyncio.shield(task) for task in tasks if task is not None)))

    async def cancel(self) -> None:
        """Ends every sync that still reads; one that already saves finishes. Returns when all have ended."""
        runs = list(self._running.values())
        for run in runs:
            if not run.saving and run.task is not None:
                run.task.cancel()
        await asyncio.gather(*(run.task for run in runs if run.task is not None), return_exceptions=True)

    async def _account(self, target: SyncTarget, run: str, trigger: str, mark: _Run) -> SyncProgressed:
        progress = SyncProgressed(run, target.account, SyncStep.STARTED, trigger, started_at=target.clock.now())
        try:
            progress = await self._outcome(target, progress, mark)
            mark.saving = True  # the last word is written whole too
            await self._finish(progress)
        finally:
            self._running.pop(target.account, None)
        return progress

    async def _outcome(self, target: SyncTarget, progress: SyncProgressed, mark: _Run) -> SyncProgressed:
        """The last word of a sync, whatever happens in it."""

        def ended(step: SyncStep, error: str = "") -> SyncProgressed:
            return replace(progress, step=step, ended_at=target.clock.now(), error=error)

        try:
            await self._tell(progress)
            if target.broker is None:
                return ended(SyncStep.SKIPPED, "The account is not logged in.")
            async with asyncio.timeout(LEASE_SECONDS):
                await self._tell(progress := replace(progress, step=SyncStep.FETCHING))
                fetched = await self._fetch(target.broker, target)
                progress = replace(progress, step=SyncStep.SAVING, fetched=len(fetched.fills))
                mark.saving = True  # from here on it is written whole
                await self._tell(progress)
                applied = await apply(self._book, target.account, fetched, self._charges)
        except asyncio.CancelledError:
            return ended(SyncStep.CANCELLED, "Cancelled.")
        except SessionExpired as dead:
            await self._on_dead(target.account, dead)
            return ended(SyncStep.FAILED, str(dead))
        except AppError as failure:
            return ended(SyncStep.FAILED, str(failure))
        except TimeoutError:
            return ended(SyncStep.FAILED, f"The sync took longer than {LEASE_SECONDS:.0f} s. Try again later.")
        progress = replace(
            progress,
            created=applied.created,
            updated=applied.updated,
            skipped=applied.skipped,
            conflicting=len(applied.conflicts),
        )
        self._announce(target.account, fetched, applied)
        return ended(SyncStep.COMPLETED)

    async def _fetch(self, broker: BrokerSession, target: SyncTarget) -> Fetched:
        """Trades, positions, holdings and funds, read together; nothing is written unless all came."""
        patience = Patience(
            self._sleep, on_pause=lambda cause, seconds: self._say_pause(target.account, cause, seconds)
        )
        before = _day(target.clock.now())
        fills, positions, holdings, funds = await _together(
            patience.read(broker.reported_fills),
            patience.read(broker.positions),
            patience.read(broker.holdings),
            patience.read(broker.funds),
        )
        now = target.clock.now()
        return Fetched(fills, positions, holdings, funds, now, before if before == _day(now) else None)

    async def _tell(self, progress: SyncProgressed) -> None:
        self._publish(progress)
        await self._book.sync_log.append(progress)

    async def _finish(self, progress: SyncProgressed) -> None:
        if progress.step is SyncStep.FAILED:
            log.info("sync of %s failed: %s", progress.account, progress.error)
        await self._tell(progress)
        if self._on_result is not None:
            await self._on_result(progress)

    def _announce(self, account: AccountId, fetched: Fetched, applied: Applied) -> None:
        self._publish(FundsChanged(fetched.funds))
        self._publish(HoldingsChanged(account, tuple(fetched.holdings)))
        if applied.changed:
            self._publish(BookChanged(account, applied.changed))
        if applied.conflicts:
            self._publish(
                Noticed(
                    Level.WARNING,
                    f"{len(applied.conflicts)} trades differ from what the broker says now",
                    "; ".join(_story(conflict) for conflict in applied.conflicts[:5]),
                    "The book keeps what it had; compare both with the contract note.",
                    account,
                    f"sync conflict {account}",
                )
            )
        self._warn_uncharged(account, applied.uncharged)

    def _warn_uncharged(self, account: AccountId | None, uncharged: tuple[str, ...]) -> None:
        if uncharged:
            self._publish(
                Noticed(
                    Level.WARNING,
                    "Some trades are shown without charges",
                    "; ".join(uncharged[:5]),
                    "Install a rate table that covers them.",
                    account,
                    f"uncharged {account}",
                )
            )

    def _say_pause(self, account: AccountId, cause: RateLimited, seconds: float) -> None:
        self._publish(
            Noticed(
                Level.INFO,
                "The broker asks for a pause",
                cause.cause,
                f"The sync goes on in {seconds:.0f} s.",
                account,
                f"rate limit {account}",
            )
        )


class _Run:
    """One account's sync under way."""

    def __init__(self) -> None:
        self.task: asyncio.Task[SyncProgressed] | None = None
        self.saving = False


async def _together(
    a: Coroutine[Any, Any, A], b: Coroutine[Any, Any, B], c: Coroutine[Any, Any, C], d: Coroutine[Any, Any, D]
) -> tuple[A, B, C, D]:
    """All four results, or the first failure after the others were ended."""
    tasks = (asyncio.ensure_future(a), asyncio.ensure_future(b), asyncio.ensure_future(c), asyncio.ensure_future(d))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _day(at: Nanos) -> str:
    return to_datetime(at).date().isoformat()


def _story(conflict: Conflict) -> str:
    ours, theirs = conflict.ours, conflict.theirs
    return (
        f"{ours.instrument}: {ours.side.value} {ours.quantity} at {from_minor(ours.price, ours.price_scale)} here, "
        f"{theirs.side.value} {theirs.quantity} at {from_minor(theirs.price, theirs.price_scale)} there"
    )
