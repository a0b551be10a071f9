"""What the sync remembers: leases, plans, data sets, days, failures, conflicts, figures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from app.domain.errors import Denied
from app.domain.events import SyncProgressed, SyncStep
from app.domain.fill import Source
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.sync import (
    Backfill,
    Conflicts,
    DataSet,
    DataSetState,
    ErrorClass,
    OpenDay,
    SyncFigures,
    SyncPlan,
    identified,
)
from app.runtime.process import ProcessMark, own_process
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.leases import Lease
from app.storage.migrations import Version
from app.storage.migrations.book import v0001_first
from app.storage.store import open_store
from tests.unit.storage.samples import INFY, KEY, A, B, fill, trade

NOW = 1_000_000


def lease(run: str = "r1", owner: ProcessMark | None = None, until: int = NOW + 300) -> Lease:
    return Lease(A, run, owner or own_process(), SyncStep.STARTED, until)


def dead_process() -> ProcessMark:
    """A process that was, with its number still free or taken by another."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    mark = replace(own_process(), pid=child.pid, started="the day before")
    child.stdin.close()
    child.wait()
    return mark


async def test_a_living_owners_lease_stands_in_the_way(book: Book) -> None:
    assert await book.leases.take(lease(), NOW) is None
    assert await book.leases.take(lease("r2"), NOW) == lease()
    assert await book.leases.take(lease(), NOW) is None  # its own
    await book.leases.release(A, "r2")
    assert await book.leases.load() == [A]
    await book.leases.release(A, "r1")
    assert await book.leases.load() == []
    assert await book.leases.take(lease("r2"), NOW) is None


async def test_a_lease_is_void_when_it_ran_out(book: Book) -> None:
    await book.leases.take(lease(), NOW)
    assert await book.leases.take(lease("r2", until=NOW + 900), NOW + 300) is None
    assert not await book.leases.renew(lease("r1", until=NOW + 600))  # the first run learns that it lost it


async def test_a_renewed_lease_stands_longer(book: Book) -> None:
    await book.leases.take(lease(), NOW)
    later = replace(lease(), step=SyncStep.SAVING, expires_at=NOW + 600)
    assert await book.leases.renew(later)
    assert await book.leases.take(lease("r2"), NOW + 400) == later


async def test_a_dead_owners_lease_is_void_though_another_process_has_its_number(book: Book) -> None:
    dead = dead_process()
    assert not dead.alive
    await book.leases.take(lease(owner=dead), NOW)
    assert await book.leases.take(lease("r2"), NOW) is None
    await book.leases.take(
        Lease(B, "r3", replace(own_process(), started="another life"), SyncStep.SAVING, NOW + 9), NOW
    )
    assert [found.account for found in await book.leases.clear_void(NOW)] == [B]
    assert await book.leases.load() == [A]


async def test_plans_and_days_come_back(book: Book) -> None:
    plan = SyncPlan(A, True, 900, 480, 600, (Segment.COMMODITY,), Conflicts.BROKER)
    await book.sync_plans.save(replace(plan, begins=1))
    await book.sync_plans.save(plan)
    assert await book.sync_plans.load() == {A: plan}
    await book.sync_days.note(A, ["2026-11-19", "2026-11-20"])
    await book.sync_days.synced(A, "2026-11-19", 5)
    await book.sync_days.synced(A, "2026-11-20", 6, "closing sync")
    await book.sync_days.synced(A, "2026-11-20", 7)  # another run of a closed day opens nothing
    await book.sync_days.note(A, ["2026-11-20"])
    assert await book.sync_days.open() == [OpenDay(A, "2026-11-19", 5)]
    assert await book.sync_days.open(before="2026-11-19") == []
    assert await book.sync_days.is_closed(A, "2026-11-20")
    assert not await book.sync_days.is_closed(A, "2026-11-18")
    assert await book.sync_days.newest(A) == "2026-11-20"
    job = Backfill(A, "2026-01-01", "2026-11-20", "2026-11-19", 7)
    await book.backfills.save(replace(job, fills=1))
    await book.backfills.save(job)
    assert await book.backfills.load() == [job]
    assert not job.done
    assert replace(job, next_day="2025-12-31").done


async def test_a_failed_try_leaves_what_is_known_of_the_last_good_one(book: Book) -> None:
    good = DataSetState(A, DataSet.TRADES, 10, 10, 25, 130, 1, ErrorClass.NONE, "")
    await book.data_sets.save([good])
    await book.data_sets.save(
        [
            replace(good, tried_at=20, good_at=None, rows=0, took_ms=0, error_class=ErrorClass.SERVER, error="down"),
            DataSetState(A, DataSet.HOLDINGS, 20, None, 0, 0, 2, ErrorClass.NETWORK, "gone"),
        ]
    )
    assert await book.data_sets.load() == [
        replace(good, tried_at=20, error_class=ErrorClass.SERVER, error="down"),
        DataSetState(A, DataSet.HOLDINGS, 20, None, 0, 0, 2, ErrorClass.NETWORK, "gone"),
    ]


async def test_a_job_is_listed_after_its_fourth_failure_in_a_row_and_forgotten_when_it_works(book: Book) -> None:
    for at in (1, 2, 3):
        await book.failed_jobs.failed(A, "today", at, ErrorClass.SERVER, "down")
    assert await book.failed_jobs.listed() == []
    job = await book.failed_jobs.failed(A, "today", 4, ErrorClass.NETWORK, "gone")
    assert await book.failed_jobs.listed() == [job]
    assert (job.tries, job.first_failed_at, job.last_failed_at, job.error) == (4, 1, 4, "gone")
    assert await book.failed_jobs.get(job.id) == job
    await book.failed_jobs.succeeded(A, "today")
    assert await book.failed_jobs.listed() == []
    with pytest.raises(Denied, match="no longer"):
        await book.failed_jobs.get(job.id)
    with pytest.raises(Denied, match="no longer"):
        await book.failed_jobs.discard(job.id)


async def test_a_conflict_settled_for_the_book_is_not_raised_again(book: Book) -> None:
    ours, theirs = fill(1), replace(fill(1), price=5)
    await book.conflicts.found([(ours, theirs, "{}")], 9)
    await book.conflicts.found([(ours, theirs, "{}")], 10)
    (found,) = await book.conflicts.open(A)
    assert (found.ours, found.theirs, found.found_at) == (ours, theirs, 9)
    assert await book.conflicts.kept([theirs]) == set()
    assert await book.conflicts.get(found.id) == (found, "{}")
    await book.conflicts.settle(found.id, "book", 11)
    assert await book.conflicts.open() == []
    assert await book.conflicts.kept([fill(2), theirs, replace(theirs, price=6)]) == {1}
    with pytest.raises(Denied, match="settled"):
        await book.conflicts.get(found.id)


async def test_figures_add_up_what_ran(book: Book) -> None:
    done = SyncProgressed("r1", A, SyncStep.COMPLETED, "manual", 9, 5, 2, 1, started_at=10, took_ms=40, retries=1)
    failed = replace(done, run="r2", step=SyncStep.FAILED, created=0, updated=0, took_ms=100, rate_limited=2)
    await book.sync_log.append(done, failed, replace(done, run="r3", step=SyncStep.SKIPPED))
    await book.sync_log.append(replace(done, run="r4", account=B, started_at=5))
    await book.sync_log.refreshed(A, 12, good=True)
    await book.sync_log.refreshed(A, 13, good=False)
    assert await book.sync_log.figures(10) == SyncFigures(2, 1, 7, 2, 2, 1, 1, 140, 100)
    assert (await book.sync_log.figures(0, 10)).runs == 1
    assert (await book.sync_log.figures(0, account=B)).runs == 1
    assert SyncFigures(4, 1, retries=2).success_percent == 75
    assert SyncFigures(4, 1, retries=2).retry_percent == 50
    assert SyncFigures().success_percent == 100


async def test_a_trade_knows_its_orders_contract_and_source(book: Book) -> None:
    whole = trade(
        broker="zerodha", kind=InstrumentKind.CALL, entry_order=fill(1).broker_order_id, source=Source.FILE,
        exit_order=fill(2).broker_order_id,
    )  # fmt: skip
    await book.trades.replace(A, INFY, Product.MIS, [whole])
    assert (await book.trades.page()).rows == (whole,)


def test_fills_without_an_id_are_told_apart_by_what_they_are_and_how_often() -> None:
    bare = replace(fill(1), id=replace(fill(1).id, trade_id=""))
    other = replace(bare, price=bare.price + 5)
    numbered = fill(7)
    first = identified([bare, other, bare, numbered])
    assert len({f.id for f in first}) == 4
    assert first[3] is numbered
    assert all(len(f.id.trade_id) == 64 for f in first[:3])
    assert {f.id for f in identified([numbered, bare, bare, other])} == {f.id for f in first}


async def test_a_book_of_the_first_version_keeps_its_rows(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK, versions=[Version("0001", v0001_first.upgrade)])
    row = (
        "INSERT INTO fills (broker, account, exchange, id_segment, trade_date, broker_order_id, trade_id, side,"
        " instrument, segment, kind, product, quantity, price, price_scale, filled_at, raw, note, created_at,"
        " updated_at) VALUES ('zerodha', 'zerodha-AB1234', 'NSE', 'NSE-EQ', '2026-11-16', 'o1', '1', 'BUY',"
        " 'NSE:INFY', 'equity', 'share', 'MIS', 11, 148001, 100, 1001, '{}', 'mine', 5, 6)"
    )
    log = (
        "INSERT INTO sync_log (run, account, triggered_by, step, fetched, created, updated, skipped, conflicting,"
        " started_at, error) VALUES ('r1', 'zerodha-AB1234', 'manual', 'completed', 1, 1, 0, 0, 0, 7, '')"
    )
    await store.run(lambda c: [c.execute(text(statement)) for statement in (row, log)])
    await store.close()
    store, opened = await open_store(tmp_path, KEY, StoreKind.BOOK)
    try:
        assert opened.migrated_from == "0001"
        book = Book(store)
        assert await book.fills.all() == [fill(1)]
        notes = await book.fills.notes(fill(1).id)
        assert notes is not None
        assert notes.note == "mine"
        assert await book.fills.stale_groups() == [(A, INFY, Product.MIS)]  # its trades are worked out at the start
        assert [(run.run, run.operation, run.took_ms) for run in await book.sync_log.recent()] == [
            ("r1", "today", None)
        ]
    finally:
        await store.close()
