"""The sync as window and command line ask for it: runs, plans, state, what is left to settle. Loop thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from app.brokers.parts import PastFill, TradebookReader
from app.desk.account import AccountDesk
from app.desk.messages import SyncRun, SyncStatus, SyncSummary
from app.desk.sync_view import account_view
from app.desk.traded import TradedMarkets
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date
from app.domain.errors import Denied
from app.domain.events import Level, Noticed, SessionState, SyncProgressed, SyncStep
from app.domain.ids import AccountId, Nanos
from app.domain.sync import Conflicts, ErrorClass, SyncPlan
from app.runtime.clock import SECOND, SystemClock
from app.runtime.helper import Helper
from app.sync.schedule import current_day
from app.sync.scheduler import Scheduler
from app.sync.service import SyncService
from app.sync.shared_limits import SharedWindows
from app.sync.target import TODAY, Dates, SyncTarget
from app.sync.trouble import ERRORS_IN_A_ROW

HOUR = 3600 * SECOND
SHORTEST_INTERVAL = 60


class SyncDesk:
    """Implements `desk.api.SyncVerbs`."""

    def __init__(self, workspace: Workspace, helper: Helper | None = None) -> None:
        self._workspace = workspace
        self._helper = helper
        self._service: SyncService | None = None
        self._scheduler: Scheduler | None = None
        self._plans: dict[AccountId, SyncPlan] | None = None
        self._loading = asyncio.Lock()
        self._shared: SharedWindows | None = None
        self._traded = TradedMarkets()
        workspace.login_ended = self.login_ended

    # -- runs --------------------------------------------------------------------------------------------------------

    async def run(
        self,
        account: AccountId | None = None,
        trigger: str = "manual",
        since: date | None = None,
        until: date | None = None,
    ) -> SyncSummary:
        """What the brokers list today, or the trades of some dates. Raises Denied when there is nothing to sync, and
        in words where a broker does not keep the dates."""
        if account is not None:
            self._workspace.account(account)
        if not self._workspace.accounts:
            raise Denied("No account is connected.", "Connect one first.")
        dates = None
        if since is not None:
            dates = Dates(since, until or max(since, ist_date(SystemClock().now())))
        elif until is not None:
            raise Denied("A range of dates needs its beginning.")
        await self._ready()
        return _summary(await self.service.run(account, trigger, dates))

    async def cancel(self) -> None:
        """Ends what still reads."""
        if self._service is not None:
            await self._service.cancel()

    async def log(self, limit: int = 200) -> Sequence[SyncRun]:
        """Newest first."""
        return [_run(row) for row in await self._workspace.book.sync_log.recent(limit)]

    async def rebuild(self) -> None:
        """Finishes what a crash left: leases of the dead, trades that lag behind their fills."""
        await self._ready()
        await self.service.rebuild()

    async def keep_schedule(self) -> None:
        """Syncs when it is due. Runs until cancelled."""
        await self._ready()
        await self.scheduler.run()

    # -- state -------------------------------------------------------------------------------------------------------

    async def status(self) -> SyncStatus:
        """Everything that the sync view shows."""
        await self._ready()
        book, service = self._workspace.book, self.service
        states, backfills = await book.data_sets.load(), await book.backfills.load()
        jobs, conflicts = await book.failed_jobs.listed(), await book.conflicts.open()
        targets = self._targets()
        now = targets[0].now() if targets else SystemClock().now()
        accounts = []
        for target in targets:
            day = current_day(target.schedule, target.calendar, target.now())
            before = (day.day if day is not None else ist_date(target.now())).isoformat()
            accounts.append(
                account_view(
                    target,
                    self._workspace.record(target.account),
                    self.scheduler.next_of(target, target.now()) if self._workspace.guarding else None,
                    service.running.get(target.account),
                    [state for state in states if state.account == target.account],
                    await book.sync_days.open(before=before, account=target.account),
                    next((job for job in backfills if job.account == target.account), None),
                    [job for job in jobs if job.account == target.account],
                    sum(conflict.ours.account == target.account for conflict in conflicts),
                )
            )
        log = book.sync_log
        return SyncStatus(
            now,
            tuple(accounts),
            service.guard.limiter.gauges(),
            tuple(breaker.view() for breaker in service.guard.breakers),
            service.guard.pauses(),
            tuple(jobs),
            tuple(conflicts),
            await log.figures(now - HOUR),
            await log.figures(now - 24 * HOUR),
            tuple(f"{alert.title}: {alert.cause}" for alert in service.alerts),
        )

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def save_plan(self, plan: SyncPlan) -> None:
        """Raises Denied when it makes no sense."""
        if plan.every_s < SHORTEST_INTERVAL:
            raise Denied("A sync each minute is the most.", "Choose a minute or more.")
        if not 0 <= plan.begins < 24 * 60 or plan.after_close_s < 0:
            raise Denied("The times of the plan do not lie within a day.")
        if not plan.segments:
            raise Denied("The plan needs a market whose close ends the day.", "Tick at least one.")
        await self._ready()
        await self._workspace.book.sync_plans.save(plan)
        self._loaded[plan.account] = plan
        record = self._workspace.record(plan.account)
        await self._workspace.save(replace(record, sync_on=plan.on, sync_every_s=plan.every_s))
        self.scheduler.plan_changed()

    async def settle(self, conflict: int, take: Conflicts) -> None:
        """The user's word on a conflict. Raises Denied when it is settled already."""
        await self.service.settle(conflict, take, SystemClock().now())

    async def retry(self, job: int) -> SyncSummary:
        """A failed job once more."""
        return _summary(await self.service.retry(job))

    async def discard(self, job: int) -> None:
        """Takes a failed job off the list."""
        await self._workspace.book.failed_jobs.discard(job)

    async def backfill(self, account: AccountId, since: date) -> None:
        """Fetches the past in the background. Raises Denied where the broker keeps none."""
        await self._ready()
        target = next((target for target in self._targets() if target.account == account), None)
        if target is None:
            raise Denied(f"There is no account {account}.", "Connect it first.")
        await self.scheduler.backfill(target, since)

    async def stop_backfill(self, account: AccountId) -> None:
        """Ends it; what was fetched stays. Raises Denied when none is under way."""
        await self._ready()
        await self.scheduler.stop_backfill(account)

    async def import_file(self, account: AccountId, path: str) -> SyncSummary:
        """A tradebook file of the broker's web site. Raises Denied and BadAnswer in words; then nothing was taken."""
        record = self._workspace.record(account)
        factory = self._workspace.factory(record.broker)
        if not isinstance(factory, TradebookReader):
            raise Denied(f"Tradebook files of {factory.info.title} are not read.", "Fetch the dates instead.")
        await self._ready()
        fills = await asyncio.to_thread(_read_file, factory, Path(path), account)
        today = ist_date(self._now(account)).isoformat()
        newest = max((past.fill.id.trade_date for past in fills), default="")
        if newest > today:
            raise Denied(
                f"The file has trades of {newest}, which is still to come; nothing was imported.", "Check its dates."
            )
        return _summary((await self.service.take_file(account, fills),))

    async def close_day(self, account: AccountId, day: str) -> None:
        """The trader has checked a flagged day."""
        target = next((target for target in self._targets() if target.account == account), None)
        if target is None:
            raise Denied(f"There is no account {account}.", "Connect it first.")
        await self._workspace.book.sync_days.synced(account, day, target.now(), "checked by the trader")

    async def login_ended(self, account: AccountId, good: bool) -> None:
        """A login or a renewal ended (C12)."""
        await self.service.refreshed(account, self._workspace.account(account).broker_time, good=good)

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def service(self) -> SyncService:
        """Made when the profile is open."""
        if self._service is None:
            workspace = self._workspace
            self._service = SyncService(
                workspace.book,
                workspace.charges,
                self._targets,
                workspace.publish,
                workspace.session_died,
                self._record,
                helper=self._helper,
            )
            self._service.guard.limiter.shared = self._shared
        return self._service

    def share_limits(self, address: str) -> None:
        """Request limits are counted in Redis too, together with other machines. Where that cannot be, it is said."""
        try:
            self._shared = SharedWindows(address, self._tell_unshared)
        except Denied as failure:
            self._workspace.publish(Noticed(Level.WARNING, failure.cause, failure.detail, failure.next_step))

    def _tell_unshared(self, why: str) -> None:
        self._workspace.publish(
            Noticed(
                Level.WARNING,
                "Request limits are not shared now",
                f"{why} This computer counts for itself, as the others do.",
                "See to the Redis server; it is asked again every half minute.",
                repeat_key="shared limits",
            )
        )

    async def close(self) -> None:
        """Ends what is held open."""
        if self._shared is not None:
            await self._shared.close()

    @property
    def scheduler(self) -> Scheduler:
        """Likewise."""
        if self._scheduler is None:
            self._scheduler = Scheduler(
                self._workspace.book,
                self.service,
                self._targets,
                self._connected_since,
                lambda account: self._workspace.record(account).last_sync,
                lambda account: self._workspace.account(account).clock.speed,
            )
        return self._scheduler

    @property
    def _loaded(self) -> dict[AccountId, SyncPlan]:
        return self._plans if self._plans is not None else {}

    async def _ready(self) -> None:
        async with self._loading:
            if self._plans is None:
                for desk in self._workspace.accounts.values():
                    await self._traded.learn(self._workspace.book, desk)
                self._plans = await self._workspace.book.sync_plans.load()

    def _plan(self, desk: AccountDesk) -> SyncPlan:
        """As the trader edited it, and up to the close of whatever the account trades."""
        record = self._workspace.record(desk.account)
        plan = self._loaded.get(desk.account) or SyncPlan(desk.account)
        markets = (*plan.segments, *sorted(set(self._traded.of(desk)) - {*plan.segments}))
        return replace(plan, on=record.sync_on, every_s=record.sync_every_s, segments=markets)

    def _targets(self) -> list[SyncTarget]:
        desks, info = self._workspace.accounts.values(), self._workspace.info
        return [self._target(desk) for desk in desks if info(self._workspace.record(desk.account).broker) is not None]

    def _target(self, desk: AccountDesk) -> SyncTarget:
        record = self._workspace.record(desk.account)
        return SyncTarget(
            desk.account,
            desk.broker if desk.active else self._workspace.readers.get(desk.account),
            desk.clock,
            self._workspace.factory(record.broker).info,
            self._plan(desk),
            desk.hours.calendar,
            record.state is SessionState.PAUSED,
            lambda: desk.broker_time,
        )

    def _connected_since(self, account: AccountId) -> date | None:
        record = self._workspace.record(account)
        if record.connected_at is None or record.state is SessionState.LOGGED_OUT:
            return None
        return ist_date(record.connected_at)

    async def _record(self, result: SyncProgressed) -> None:
        """The account's record remembers how its last sync went (A5). Five errors in a row put it in error (C11)."""
        if result.created:
            await self._traded.learn(self._workspace.book, self._workspace.account(result.account))
        record = self._workspace.record(result.account)  # from here on nobody waits: a login may bring another one
        active = self._workspace.account(result.account).active
        if result.step is SyncStep.COMPLETED:
            recovered = record.state is SessionState.ERROR and active
            record = replace(
                record,
                last_sync=result.ended_at,
                fills_synced=record.fills_synced + result.created,
                error_count=0,
                last_error="",
                state=SessionState.ACTIVE if recovered else record.state,
            )
        elif result.step is SyncStep.FAILED:
            before = record.error_count
            count = _errors_in_a_row(before, result)
            in_error = count >= ERRORS_IN_A_ROW and active and record.state is not SessionState.PAUSED
            recovered = count == 0 and record.state is SessionState.ERROR and active
            record = replace(
                record,
                syncs_failed=record.syncs_failed + 1,
                error_count=count,
                last_error=record.last_error if record.state.dead and record.last_error else result.error,
                fills_synced=record.fills_synced + result.created,
                state=SessionState.ERROR if in_error else SessionState.ACTIVE if recovered else record.state,
            )
            if before < count == ERRORS_IN_A_ROW:
                self._workspace.publish(
                    Noticed(
                        Level.ALARM,
                        "An account is in error",
                        f"{count} syncs in a row failed, the last of them with: {result.error}",
                        "Stops, exits and orders go on as before; Sync shows what failed.",
                        result.account,
                        f"account in error {result.account}",
                    )
                )
        self.scheduler.ran(result)
        due = self.scheduler.next_of(self._target(self._workspace.account(result.account)), self._now(result.account))
        await self._workspace.save(replace(record, next_sync=due.at if due is not None else None))

    def _now(self, account: AccountId) -> Nanos:
        return self._workspace.account(account).broker_time


def _errors_in_a_row(before: int, result: SyncProgressed) -> int:
    """With a run that failed. One that the broker refused a part of is no trouble of the account: the trades came
    home, or it was their past that the broker does not tell."""
    if result.trades_came:
        return 0
    past = result.operation != TODAY and result.error_class is ErrorClass.CLIENT
    return before if past else before + 1


def _read_file(reader: TradebookReader, path: Path, account: AccountId) -> Sequence[PastFill]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        raise Denied(
            f"{path.name} cannot be read.", "Choose the CSV file as it was downloaded.", detail=str(failure)
        ) from failure
    return reader.read_tradebook(text, account)


def _summary(results: Sequence[SyncProgressed]) -> SyncSummary:
    return SyncSummary(results[0].run if results else "", tuple(_run(result) for result in results))


def _run(row: SyncProgressed) -> SyncRun:
    return SyncRun(
        row.run,
        row.account,
        row.trigger,
        row.step.value,
        row.fetched,
        row.created,
        row.updated,
        row.skipped,
        row.conflicting,
        row.started_at,
        row.ended_at,
        row.error,
        row.operation,
        row.error_class.value,
        row.retries,
        row.took_ms,
    )
