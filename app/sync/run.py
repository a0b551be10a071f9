"""One account in one run: lease, fetch, normalise, de-duplicate, upsert, status, lease back (C1)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from app.brokers.base import ReadBroker
from app.brokers.parts import HistoryBroker, PastFill
from app.domain.calendar import ist_date
from app.domain.errors import AppError, SessionExpired
from app.domain.events import Event, SyncPaused, SyncProgressed, SyncStep
from app.domain.fill import Fill
from app.domain.ids import AccountId, FillId, Nanos
from app.domain.instrument import COUNTED_IN_LOTS
from app.domain.sync import DataSet, DataSetState, ErrorClass, identified
from app.runtime.letting_go import let_go
from app.runtime.process import own_process
from app.storage.book import Book
from app.storage.leases import Lease
from app.storage.sync_state import CLOSING_SYNC
from app.sync import announce
from app.sync.apply import Fetched, apply
from app.sync.counting import counted_in_lots
from app.sync.gathering import normalised, rows_of, together, whole
from app.sync.history import completed, read_range, refusal, without_order
from app.sync.patience import class_of
from app.sync.reader import Guard, Reader
from app.sync.rebuild import Rebuilder
from app.sync.refusals import Refusals, Skipped
from app.sync.schedule import current_day
from app.sync.target import FILE, TODAY, Dates, SyncTarget

log = logging.getLogger(__name__)

BY_ITSELF = frozenset({"scheduled", "closing", "backfill"})
"""Triggers of runs that nobody asked for."""
LEASE_SECONDS = 300
"""How long a lease stands; it is renewed at each step, and in between while a step lasts."""
RENEW_SECONDS = 60.0
LONGEST_RUN = 1_800.0
"""A run that waits for a broker's permission longer than this gives up. The next one goes on."""
SECOND: Nanos = 1_000_000_000


class LeaseLost(AppError):
    """Another process took the account over: this run must not write."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run needs."""

    book: Book
    rebuilder: Rebuilder
    guard: Guard
    publish: Callable[[Event], None]
    on_dead: Callable[[AccountId, SessionExpired, ReadBroker | None], Coroutine[Any, Any, None]]
    refusals: Refusals
    wall: Callable[[], Nanos] = time.time_ns
    """This machine's clock: leases outlive the process, whose monotonic clock does not."""


class AccountRun:
    """One account's pipeline. Loop thread; used once."""

    def __init__(
        self,
        tools: Tools,
        target: SyncTarget,
        run: str,
        trigger: str,
        dates: Dates | None,
        file: Sequence[PastFill] | None = None,
    ) -> None:
        self._tools = tools
        self.target = target
        self.dates = dates
        self._file = file
        """Fills of a tradebook file, in place of what the broker tells."""
        self.saving = False
        """From here on it is written whole: not to be cancelled."""
        self.begun = asyncio.Event()
        self._skipped = Skipped()
        self._began = time.perf_counter()
        self.progress = SyncProgressed(
            run,
            target.account,
            SyncStep.STARTED,
            trigger,
            started_at=target.now(),
            operation=FILE if file is not None else TODAY if dates is None else str(dates),
        )
        info = target.info
        self._reader = Reader(
            tools.guard,
            target.broker_name,
            target.account,
            info.rate_limits if info is not None else (),
            self._on_wait,
            lambda broker: announce.breaker_opened(tools.publish, broker, target.account),
        )

    async def outcome(self) -> SyncProgressed:
        """The last word, whatever happens; its lease is given back, also on failure. Not yet in the log."""
        if self.target.broker is None and self._file is None:
            return self._ended(SyncStep.SKIPPED, ErrorClass.NONE, "The account is not logged in.")
        if self.target.paused and self.progress.trigger in BY_ITSELF:
            return self._ended(SyncStep.SKIPPED, ErrorClass.NONE, "The account is paused.")
        refused = None if self.dates is None else refusal(self.target, self.dates)
        if refused is not None:
            return self._ended(SyncStep.SKIPPED, ErrorClass.CLIENT, str(refused))
        leases, account, run = self._tools.book.leases, self.target.account, self.progress.run
        try:
            held = await leases.take(self._lease(), self._tools.wall())
        except asyncio.CancelledError:
            await leases.release(account, run)  # what was handed to the store is done, whoever stops waiting
            return self.cancelled()
        except AppError as failure:
            return self._ended(SyncStep.FAILED, class_of(failure), str(failure))
        if held is not None:
            words = f"Another process ({held.owner.pid}) is syncing this account."
            return self._ended(SyncStep.SKIPPED, ErrorClass.NONE, words)
        try:
            return await self._guarded(self.target.broker)
        finally:
            await whole(leases.release(account, run))

    def cancelled(self) -> SyncProgressed:
        """The last word of a run that was ended."""
        return self._ended(SyncStep.CANCELLED, ErrorClass.NONE, "Cancelled.")

    async def _guarded(self, broker: ReadBroker | None) -> SyncProgressed:
        renewing = asyncio.ensure_future(self._keep_lease())
        try:
            async with asyncio.timeout(LONGEST_RUN):
                return await self._work(broker)
        except asyncio.CancelledError:
            return self.cancelled()
        except SessionExpired as dead:
            await self._noted(dead)
            await self._tools.on_dead(self.target.account, dead, broker)
            return self._ended(SyncStep.FAILED, ErrorClass.AUTH, str(dead))
        except AppError as failure:
            await self._noted(failure)
            return self._ended(SyncStep.FAILED, class_of(failure), str(failure))
        except TimeoutError:
            words = f"The sync took longer than {LONGEST_RUN / 60:.0f} minutes. Try again later."
            return self._ended(SyncStep.FAILED, ErrorClass.NETWORK, words)
        except Exception:
            # A bug: reported as one, and a failed run; the next one may go well, and nobody sits here to start it.
            log.exception("a sync of %s failed by a fault of this program", self.target.account)
            words = "Stopline itself failed here; its log says where."
            return self._ended(SyncStep.FAILED, ErrorClass.OTHER, words)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _work(self, broker: ReadBroker | None) -> SyncProgressed:
        await self._step(replace(self.progress, step=SyncStep.FETCHING))
        if self._file is not None or broker is None:
            fetched = Fetched(await self._completed(self._file or ()), None, None, None, self.target.now())
        else:
            fetched = await self._fetch(broker)
        self.saving = True
        await self._step(replace(self.progress, step=SyncStep.SAVING, fetched=len(fetched.fills or ())))
        applied = await apply(
            self._tools.book, self.target.account, fetched, self._tools.rebuilder, self.target.schedule.conflicts
        )
        self.progress = replace(
            self.progress,
            created=applied.created,
            updated=applied.updated,
            skipped=applied.skipped,
            conflicting=len(applied.conflicts),
        )
        await self._tools.book.data_sets.save(self._states(fetched))
        if fetched.fills is not None:
            await self._day_done(fetched)
        announce.applied(self._tools.publish, self.target.account, fetched, applied)
        refused = self._skipped.refused
        if self._file is None and self.dates is None:
            account, at = self.target.account, self.progress.started_at
            await self._tools.refusals.heard(account, at, rows_of(fetched), refused)
        await let_go(fetched.fills or [])
        if refused:
            self.progress = replace(self.progress, refused=tuple(refused))
            return self._ended(SyncStep.FAILED, ErrorClass.CLIENT, self._skipped.words)
        return self._ended(SyncStep.COMPLETED, ErrorClass.NONE, self._skipped.words)

    async def _fetch(self, broker: ReadBroker) -> Fetched:
        """All data sets, read together; of a range of dates the fills alone. One that is refused is left out."""
        before = ist_date(self.target.now())
        if self.dates is not None and self.dates.since < before and isinstance(broker, HistoryBroker):
            return await self._dated(broker, broker.reported_fills, self.dates, before)
        operations: dict[DataSet, Callable[[], Awaitable[Any]]] = {
            DataSet.TRADES: broker.reported_fills,
            DataSet.POSITIONS: broker.positions,
            DataSet.HOLDINGS: broker.holdings,
            DataSet.FUNDS: broker.funds,
        }
        if self.progress.trigger in BY_ITSELF:
            self._skipped.left_alone = await self._tools.refusals.left_alone(self.target.account, self.target.now())
        wanted = [name for name in operations if name not in self._skipped.left_alone]
        found = await together([self._one(name, operations[name]) for name in wanted])
        at = self.target.now()
        answers = dict(zip(wanted, found, strict=True))
        reported = answers[DataSet.TRADES]
        return Fetched(
            None if reported is None else await normalised(reported),
            answers.get(DataSet.POSITIONS),
            answers.get(DataSet.HOLDINGS),
            answers.get(DataSet.FUNDS),
            at,
            frozenset({before.isoformat()} if reported is not None and before == ist_date(at) else ()),
        )

    async def _one(self, data_set: DataSet, read: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await self._reader.read(data_set, read)
        except AppError as failure:
            if not self._skipped.takes(data_set, failure):
                raise
            return None  # logged and skipped: it would be refused again (C8)

    async def _dated(
        self,
        broker: HistoryBroker,
        reported: Callable[[], Awaitable[Sequence[tuple[Fill, str]]]],
        dates: Dates,
        today: date,
    ) -> Fetched:
        """The trades of some days. A history has few or none of today's: the broker's list of the day has them all."""
        until = min(dates.until, today)
        fills = await self._completed(await read_range(broker, self._reader, Dates(dates.since, until)))
        if dates.until >= today:
            listed = await normalised(await self._reader.read(DataSet.TRADES, reported))
            there = {without_order(fill) for fill, _ in listed}
            day = today.isoformat()  # asked first: of a long range few are of today
            past = [one for one in fills if one[0].id.trade_date != day or without_order(one[0]) not in there]
            fills = [*past, *listed]
        at = self.target.now()
        return Fetched(fills, None, None, None, at, dates.settled(ist_date(at)))

    async def _completed(self, past: Sequence[PastFill]) -> list[tuple[Fill, str]]:
        """With names for those that have none, and with what the book knows better."""
        if not all(item.fill.id.trade_id for item in past):
            named = await asyncio.to_thread(identified, [item.fill for item in past])
            past = [replace(item, fill=fill) for item, fill in zip(past, named, strict=True)]
        by_day: dict[str, list[PastFill]] = {}
        for item in await self._counted(past):
            by_day.setdefault(item.fill.id.trade_date, []).append(item)
        done: list[tuple[Fill, str]] = []
        for day, items in sorted(by_day.items()):
            done += await completed(items, await self._tools.book.fills.of_day(self.target.account, day))
        return done

    async def _counted(self, past: Sequence[PastFill]) -> Sequence[PastFill]:
        """As the day counts them. Raises Denied where it cannot be told how a file counts."""
        open_ones = [item for item in past if item.fill.id.exchange in COUNTED_IN_LOTS]
        if not open_ones:
            return past
        account, book = self.target.account, self._tools.book
        known: dict[FillId, Fill] = {}
        for day in sorted({item.fill.id.trade_date for item in open_ones}):
            known |= await book.fills.of_day(account, day)
        sizer = await self._tools.rebuilder.sizer(account)
        counted = await asyncio.to_thread(counted_in_lots, open_ones, known, sizer)
        return [*(item for item in past if item.fill.id.exchange not in COUNTED_IN_LOTS), *counted]

    # -- record ------------------------------------------------------------------------------------------------------

    async def _day_done(self, fetched: Fetched) -> None:
        """Whether this closed a trading day."""
        days, account = self._tools.book.sync_days, self.target.account
        if self._file is not None:
            there = {past.fill.id.trade_date for past in self._file}
            for day in await days.open(account=account):
                if day.day in there:
                    await days.synced(account, day.day, fetched.at, "imported file")
            return
        if self.dates is not None:
            settled = self.dates.settled(ist_date(fetched.at))  # of yesterday a history may not have everything yet
            for day in await days.open(account=account):
                if day.day in settled:
                    await days.synced(account, day.day, fetched.at, "history")
            return
        day_now = current_day(self.target.schedule, self.target.calendar, fetched.at)
        if day_now is not None:
            closing = CLOSING_SYNC if self.progress.started_at >= day_now.closes else ""
            await days.synced(account, day_now.day.isoformat(), fetched.at, closing)

    def _states(self, fetched: Fetched | None) -> list[DataSetState]:
        """What each data set's read came to. Without `fetched` nothing was saved, so nothing counts as good."""
        states = []
        rows = {} if fetched is None else rows_of(fetched)
        past = self.dates is not None and self.dates.until < ist_date(self.target.now())  # tells nothing of today
        for data_set, counted in self._reader.readings.by_set.items():
            if data_set in self._skipped.at_other_hours:
                continue  # nothing is wrong with it
            failure, good = counted.failure, data_set in rows
            words = "" if good else str(failure) if failure is not None else "Not saved: another read failed."
            states.append(
                DataSetState(
                    self.target.account,
                    data_set,
                    self.progress.started_at,
                    self.target.now() if good and not past else None,
                    rows.get(data_set, 0),
                    counted.took_ms,
                    counted.retries,
                    class_of(failure) if failure is not None else ErrorClass.NONE,
                    words,
                )
            )
        return states

    async def _noted(self, failure: AppError) -> None:
        """What failed, by data set. The failure of the record itself would hide the first one."""
        if class_of(failure) is ErrorClass.STORAGE or isinstance(failure, LeaseLost):
            return
        await self._tools.book.data_sets.save(self._states(None))

    def _ended(self, step: SyncStep, kind: ErrorClass, error: str) -> SyncProgressed:
        readings = self._reader.readings
        self.progress = replace(
            self.progress,
            step=step,
            ended_at=self.target.now(),
            error=error,
            error_class=kind,
            retries=readings.retries,
            rate_limited=readings.rate_limited,
            took_ms=int((time.perf_counter() - self._began) * 1000),
        )
        return self.progress

    async def _step(self, progress: SyncProgressed) -> None:
        self.progress = progress
        if not await self._tools.book.leases.renew(self._lease()):
            raise LeaseLost("Another process took this sync over.", "Nothing was written by this one.")
        self._tools.publish(progress)
        await self._tools.book.sync_log.append(progress)

    def _lease(self) -> Lease:
        until = self._tools.wall() + LEASE_SECONDS * SECOND
        return Lease(self.target.account, self.progress.run, own_process(), self.progress.step, until)

    async def _keep_lease(self) -> None:
        """A step may last longer than a lease, because the broker asked to wait."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._tools.book.leases.renew(self._lease())

    def _on_wait(self, data_set: DataSet, cause: BaseException, seconds: float) -> None:
        words = cause.cause if isinstance(cause, AppError) else str(cause)
        self._tools.publish(SyncPaused(self.target.account, data_set, words, seconds))
