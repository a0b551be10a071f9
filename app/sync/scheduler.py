"""Starts syncs when they are due (C6): on the accounts' clocks, by the trading calendar, one at a time an account."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta

from app.brokers.parts import HistoryBroker
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Denied
from app.domain.events import SyncProgressed, SyncStep
from app.domain.ids import AccountId, Nanos
from app.domain.sync import Backfill, ErrorClass
from app.storage.book import Book
from app.sync.history import refusal
from app.sync.schedule import Due, current_day, next_run, trading_days
from app.sync.service import SyncService
from app.sync.target import Dates, SyncTarget

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""At most this long until a clock that was set, a new account or an edited plan is noticed."""
SHORTEST = 0.02
CATCH_UP_EVERY: Nanos = 3_600 * 1_000_000_000
"""A missed day of which a history may not have everything yet is asked for again after this."""
REFUSED_EVERY: Nanos = 24 * CATCH_UP_EVERY
"""One that the broker refuses to tell of, after this."""
BACKFILL_DAYS = 7
"""A backfill's step: the range of one request, and what is read again after an interruption."""
BACKFILL_PAUSE = 2.0
BACKFILL_AGAIN, BACKFILL_AT_MOST = 60.0, 3600.0
"""Seconds until a week that failed is tried again, doubled each time."""
SECOND: Nanos = 1_000_000_000


class Scheduler:
    """Keeps the plans. Loop thread. `since` says from which day on an account has trading days to close; None: it has
    none, because it was never connected or no longer is. `last` says when its last sync ended, before this run of the
    program. `speed` says how many seconds of an account's clock pass in a real one.
    """

    def __init__(
        self,
        book: Book,
        service: SyncService,
        targets: Callable[[], Sequence[SyncTarget]],
        since: Callable[[AccountId], date | None],
        last: Callable[[AccountId], Nanos | None],
        speed: Callable[[AccountId], float] = lambda _account: 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._wake = asyncio.Event()
        self._book = book
        self._service = service
        self._targets = targets
        self._since = since
        self._stored_last = last
        self._speed = speed
        self._sleep = sleep
        self._last: dict[AccountId, Nanos] = {}
        self._noted: dict[AccountId, str] = {}
        self._closed: dict[AccountId, list[str]] = {}
        self._skipped: dict[AccountId, str] = {}
        self._caught_up: dict[AccountId, tuple[list[str], Nanos, Nanos]] = {}
        """Which missed days were asked for, when, and how long that is enough."""
        self._tasks: dict[AccountId, asyncio.Task[None]] = {}
        self._backfilling: dict[AccountId, asyncio.Task[None]] = {}
        self.due: dict[AccountId, Due | None] = {}
        """The next run of each account, as last worked out."""

    async def run(self) -> None:
        """Until it is cancelled. What was missed while the program was away is one run, not many."""
        try:
            while True:
                wait = LOOK_SECONDS
                for target in self._targets():
                    try:
                        wait = min(wait, await self.look(target))
                    except AppError as failure:
                        log.warning("the schedule of %s could not be kept: %s", target.account, failure)
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), max(SHORTEST, wait))
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Ends what is under way; a backfill goes on at the next start."""
        tasks = [*self._tasks.values(), *self._backfilling.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self, target: SyncTarget) -> float:
        """Starts what is due for one account. Real seconds until it need be looked at again."""
        account = target.account
        since = self._since(account)
        if since is None:
            self.due[account] = None
            return LOOK_SECONDS
        now = target.now()
        await self._note_days(target, since, now)
        due = self.next_of(target, now)
        self.due[account] = due
        self._resume_backfill(target)
        if due is None:
            return LOOK_SECONDS
        if due.at > now:
            return (due.at - now) / SECOND / max(self._speed(account), 0.001)
        if account in self._tasks:
            return LOOK_SECONDS  # its end is looked at
        if target.broker is None or target.paused:
            if self._skipped.get(account) == due.day:
                return LOOK_SECONDS  # said once a day; it is due as soon as somebody logs in
            self._skipped[account] = due.day
        else:
            self._last[account] = now
        task = asyncio.get_running_loop().create_task(self._go(target, due), name=f"scheduled sync {account}")
        self._tasks[account] = task
        return SHORTEST

    def next_of(self, target: SyncTarget, now: Nanos) -> Due | None:
        """The next run by the account's plan."""
        last = self._last.get(target.account, self._stored_last(target.account))
        if last is not None and last > now:
            last = None  # a clock was set back, or the exchange's day is another one: nothing of it has run
        closed = self._closed.get(target.account, ())
        return next_run(target.schedule, target.calendar, now, last, closed)

    def ran(self, progress: SyncProgressed) -> None:
        """A run of whatever origin ended: the next one counts from it, and it may have closed a day."""
        if progress.step in (SyncStep.COMPLETED, SyncStep.FAILED) and progress.operation == "today":
            self._last[progress.account] = max(self._last.get(progress.account, 0), progress.started_at)
        if progress.step is SyncStep.COMPLETED and progress.operation == "today":
            self._mark_closed(progress)
        self._noted.pop(progress.account, None)

    def _mark_closed(self, progress: SyncProgressed) -> None:
        """As the run wrote it into the book; what is due next is asked before that is read again."""
        for target in self._targets():
            if target.account == progress.account:
                day = current_day(target.schedule, target.calendar, progress.started_at)
                if day is not None and progress.started_at >= day.closes:
                    self._closed.setdefault(target.account, []).append(day.day.isoformat())

    def plan_changed(self) -> None:
        """Looks at once."""
        self._noted.clear()
        self._wake.set()

    async def settled(self) -> None:
        """Until no scheduled run is under way; for the end."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _go(self, target: SyncTarget, due: Due) -> None:
        try:
            await self._catch_up(target)
            await self._service.run(target.account, "closing" if due.closing else "scheduled")
        except AppError as failure:
            log.warning("a scheduled sync of %s did not run: %s", target.account, failure)
        except Exception:  # a bug must not end the schedule
            log.exception("a scheduled sync of %s failed by a fault of this program", target.account)
        finally:
            self._tasks.pop(target.account, None)
            self._wake.set()

    async def _catch_up(self, target: SyncTarget) -> None:
        """Days since the last sync that were never closed, from brokers that keep them: a scheduled run is incremental
        from there. Today's run follows."""
        broker = target.broker
        if broker is None or not isinstance(broker, HistoryBroker):
            return
        now = target.now()
        flagged = await self._book.sync_days.open(before=ist_date(now).isoformat(), account=target.account)
        days = [day.day for day in flagged if _kept(target, day.day)]
        asked, at, enough = self._caught_up.get(target.account, ([], 0, 0))
        if not days or (days == asked and 0 <= now - at < enough):
            return
        dates = Dates(date.fromisoformat(days[0]), date.fromisoformat(days[-1]))
        try:
            (result,) = await self._service.run(target.account, "scheduled", dates)
        except (AppError, ValueError) as failure:
            log.warning("missed days of %s could not be asked for: %s", target.account, failure)
            return
        if result.step is SyncStep.COMPLETED:
            self._caught_up[target.account] = (days, now, CATCH_UP_EVERY)
        elif result.step is SyncStep.FAILED and result.error_class is ErrorClass.CLIENT:
            self._caught_up[target.account] = (days, now, REFUSED_EVERY)  # it would be refused again

    async def _note_days(self, target: SyncTarget, since: date, now: Nanos) -> None:
        """Every trading day from `since` to today is a day that wants its closing sync."""
        day = current_day(target.schedule, target.calendar, now)
        today = day.day if day is not None else ist_date(now) - timedelta(days=1)
        as_of = f"{today.isoformat()} {0 if day is None else day.closes}"
        if self._noted.get(target.account) == as_of:
            return
        days = self._book.sync_days
        newest = await days.newest(target.account)
        begin = since if newest is None else max(since, date.fromisoformat(newest))
        plan, calendar = target.schedule, target.calendar
        await days.note(target.account, trading_days(plan, calendar, begin, today))
        if day is not None:
            await days.reopen(target.account, day.day.isoformat(), day.closes)
        known = [(ist_date(now) - timedelta(days=n)).isoformat() for n in (0, 1)]
        self._closed[target.account] = [name for name in known if await days.is_closed(target.account, name)]
        self._noted[target.account] = as_of

    # -- the past ----------------------------------------------------------------------------------------------------

    async def backfill(self, target: SyncTarget, since: date) -> None:
        """Fetches the account's past back to a day, in the background. Raises Denied when the broker keeps none."""
        until = ist_date(target.now()) - timedelta(days=1)
        if since > until:
            raise Denied("The past ends yesterday.", "Choose an earlier first day; Sync brings today's trades.")
        refused = refusal(target, Dates(since, until))
        if refused is not None:
            raise refused
        job = Backfill(target.account, since.isoformat(), until.isoformat(), until.isoformat(), 0)
        await self._book.backfills.save(job)
        self._start_backfill(target.account)

    async def stop_backfill(self, account: AccountId) -> None:
        """Ends it for good; what was fetched stays. Raises Denied when none is under way."""
        task = self._backfilling.pop(account, None)
        if task is not None:
            task.cancel()
            await self._service.cancel(account, "backfill")
            await asyncio.gather(task, return_exceptions=True)
        job = next((job for job in await self._book.backfills.load() if job.account == account), None)
        if job is None or job.done:
            raise Denied("The past of this account is not being fetched.")
        reached = (date.fromisoformat(job.next_day) + timedelta(days=1)).isoformat()
        await self._book.backfills.save(
            Backfill(account, reached, job.until, job.next_day, job.fills, "Stopped by you.")
        )

    def _resume_backfill(self, target: SyncTarget) -> None:
        """After a start, and after a login."""
        if target.broker is not None and not target.paused and target.account not in self._backfilling:
            self._start_backfill(target.account)

    def _start_backfill(self, account: AccountId) -> None:
        under_way = self._backfilling.get(account)
        if under_way is None or under_way.done():
            task = asyncio.get_running_loop().create_task(self._fill_back(account), name=f"backfill {account}")
            self._backfilling[account] = task

    async def _fill_back(self, account: AccountId) -> None:
        """A week at a time, newest first. What was fetched is fetched; where it stopped is in the book."""
        pause = BACKFILL_AGAIN
        while True:
            job = next((job for job in await self._book.backfills.load() if job.account == account), None)
            if job is None or job.done:
                return
            until = date.fromisoformat(job.next_day)
            since = max(date.fromisoformat(job.since), until - timedelta(days=BACKFILL_DAYS - 1))
            try:
                (result,) = await self._service.run(account, "backfill", Dates(since, until))
            except (AppError, ValueError) as failure:
                await self._book.backfills.save(_with_error(job, str(failure)))
                return
            if result.step is not SyncStep.COMPLETED:
                await self._book.backfills.save(_with_error(job, result.error))
                if result.error_class is ErrorClass.CLIENT:
                    return  # it would be refused again: the trader decides
                if result.step is not SyncStep.FAILED:
                    self._backfilling.pop(account, None)  # not logged in, or cancelled: goes on when it is looked at
                    return
                await self._sleep(pause)
                pause = min(2 * pause, BACKFILL_AT_MOST)
                continue
            pause = BACKFILL_AGAIN
            next_day = (since - timedelta(days=1)).isoformat()
            fills = job.fills + result.created
            await self._book.backfills.save(Backfill(account, job.since, job.until, next_day, fills))
            await self._sleep(BACKFILL_PAUSE)


def _kept(target: SyncTarget, day: str) -> bool:
    """Whether the broker can still tell of a day."""
    on = date.fromisoformat(day)
    return refusal(target, Dates(on, on)) is None


def _with_error(job: Backfill, error: str) -> Backfill:
    return Backfill(job.account, job.since, job.until, job.next_day, job.fills, error)
