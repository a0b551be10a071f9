"""Fills: told apart by their identity, synced any number of times, and what the user wrote stays (C2, C4)."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace

import pytest
from sqlalchemy import Connection, event, text

from app.domain.errors import StorageError
from app.domain.fill import Fill
from app.domain.ids import BrokerOrderId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.runtime.priority import BEHIND
from app.storage.book import Book
from app.storage.fills import FillNotes, WriteCounts
from app.storage.store import Store
from tests.unit.storage.samples import DAY, INFY, NIFTY, A, B, fill, trade


def with_raw(*fills: Fill) -> list[tuple[Fill, str]]:
    return [(f, f'{{"trade_id": "{f.id.trade_id}"}}') for f in fills]


async def test_fills_come_back_exactly_with_the_brokers_words(book: Book) -> None:
    one = fill(1)
    two = fill(
        2, account=B, instrument=NIFTY, segment=Segment.FUTURES, kind=InstrumentKind.FUTURE, product=Product.NRML,
        side=Side.SELL, price_scale=10_000,
    )  # fmt: skip
    assert await book.fills.write(with_raw(one, two)) == WriteCounts(2, 0, 0)
    assert await book.fills.all() == [one, two]
    assert await book.fills.of_day(A, DAY) == {one.id: one}
    assert await book.fills.of_group(B, NIFTY, Product.NRML) == [two]
    assert await book.fills.raw(one.id) == '{"trade_id": "1"}'
    assert await book.fills.raw(fill(3).id) is None


@pytest.mark.parametrize("quantity", [2**63, 2**64, 10**30])
async def test_a_number_that_no_column_holds_is_refused_in_words_and_the_day_is_not_written(
    book: Book, quantity: int
) -> None:
    with pytest.raises(StorageError):
        await book.fills.write(with_raw(fill(1), fill(2, quantity=quantity)))
    assert await book.fills.all() == []


async def test_writing_the_same_day_again_changes_nothing(book: Book, book_store: Store) -> None:
    rows = with_raw(*(fill(n) for n in range(20)))
    await book.fills.write(rows, at=5)

    async def table() -> list[tuple[object, ...]]:
        return await book_store.run(lambda c: [tuple(r) for r in c.execute(text("SELECT * FROM fills ORDER BY id"))])

    before = await table()
    for at in (6, 7):
        assert await book.fills.write(rows, at=at) == WriteCounts(0, 0, 0)
        assert await book.fills.write([], rows, at=at) == WriteCounts(0, 0, 0)
    assert await table() == before


@pytest.mark.parametrize(
    "change",
    [
        {"side": Side.SELL},
        {"account": B},
        {"broker_order_id": BrokerOrderId("o2")},
        {"id": replace(fill(1).id, exchange="BSE")},
        {"id": replace(fill(1).id, segment="BSE-EQ")},
        {"id": replace(fill(1).id, trade_date="2026-11-17")},
        {"id": replace(fill(1).id, trade_id="01")},
        {"id": replace(fill(1).id, broker="upstox")},
    ],
    ids=str,
)
async def test_each_part_of_the_identity_tells_two_fills_apart(book: Book, change: dict[str, object]) -> None:
    assert await book.fills.write(with_raw(fill(1))) == WriteCounts(1, 0, 0)
    assert await book.fills.write(with_raw(fill(1, **change))) == WriteCounts(1, 0, 0)
    assert len(await book.fills.all()) == 2


async def test_an_update_keeps_what_the_user_wrote_and_the_creation_time(book: Book, book_store: Store) -> None:
    before = fill(1)
    await book.fills.write(with_raw(before), at=100)
    notes = FillNotes("bought the dip", ("tilt", "news, late"), "opening range", "swing")
    await book.fills.annotate(before.id, notes)
    after = replace(before, price=1, quantity=999, filled_at=7, product=Product.CNC)
    assert await book.fills.write([], [(after, "{}")], at=200) == WriteCounts(0, 1, 0)
    assert await book.fills.all() == [after]
    assert await book.fills.notes(before.id) == notes
    row = await book_store.run(lambda c: c.execute(text("SELECT created_at, updated_at, row_version FROM fills")).one())
    assert tuple(row) == (100, 200, 3)


async def test_a_deleted_fill_is_not_revived_by_a_sync(book: Book) -> None:
    gone, stays = fill(1), fill(2)
    await book.fills.write(with_raw(gone, stays))
    await book.fills.delete(gone.id)
    assert await book.fills.all() == [stays]
    assert await book.fills.of_group(A, INFY, Product.MIS) == [stays]
    # The sync still knows it, so it is not taken for a new one.
    assert gone.id in await book.fills.of_day(A, DAY)
    await book.fills.write(with_raw(gone, stays))
    await book.fills.write([], with_raw(replace(gone, price=5)))
    assert await book.fills.all() == [stays]
    await book.fills.restore(gone.id)
    assert await book.fills.all() == [replace(gone, price=5), stays]


async def test_a_withdrawn_fill_is_marked_not_deleted_and_may_return(book: Book, book_store: Store) -> None:
    one, two = fill(1), fill(2)
    await book.fills.write(with_raw(one, two))
    await book.fills.annotate(one.id, FillNotes("mine"))
    assert await book.fills.write([], [], [one.id]) == WriteCounts(0, 0, 1)
    assert await book.fills.write([], [], [one.id]) == WriteCounts(0, 0, 0)
    assert await book.fills.all() == [two]
    assert await book.fills.of_day(A, DAY) == {two.id: two}
    assert await book_store.run(lambda c: c.execute(text("SELECT count(*) FROM fills")).scalar_one()) == 2
    assert await book.fills.write(with_raw(one)) == WriteCounts(0, 1, 0)
    assert await book.fills.all() == [one, two]
    assert await book.fills.notes(one.id) == FillNotes("mine")


async def test_fills_of_one_moment_keep_the_exchanges_order(book: Book) -> None:
    at_once = [replace(fill(1), id=replace(fill(1).id, trade_id=n)) for n in ("10", "9", "100")]
    early = fill(5, filled_at=1)
    await book.fills.write(with_raw(*at_once, early))
    assert [f.id.trade_id for f in await book.fills.all()] == ["5", "9", "10", "100"]


async def test_fills_since_a_moment(book: Book) -> None:
    await book.fills.write(with_raw(*(fill(n, filled_at=n) for n in range(5)), fill(9, account=B, filled_at=9)))
    assert [f.filled_at for f in await book.fills.all(since=3)] == [3, 4, 9]
    assert [f.filled_at for f in await book.fills.all(A, 3)] == [3, 4]


async def test_changed_groups_are_remembered_until_their_trades_are_worked_out(book: Book) -> None:
    group = (A, INFY, Product.MIS)
    assert await book.fills.stale_groups() == []
    await book.fills.write(with_raw(fill(1), fill(2)))
    assert await book.fills.stale_groups() == [group]
    await book.trades.replace(*group, [trade()])
    assert await book.fills.stale_groups() == []
    await book.fills.write(with_raw(fill(1), fill(2)))
    assert await book.fills.stale_groups() == []
    # A fill converted to another product changes two groups.
    await book.fills.write([], with_raw(fill(1, product=Product.CNC)))
    assert set(await book.fills.stale_groups()) == {group, (A, INFY, Product.CNC)}
    for stale in await book.fills.stale_groups():
        await book.trades.replace(*stale, [])
    await book.fills.delete(fill(2).id)
    assert await book.fills.stale_groups() == [group]
    await book.trades.replace(*group, [])
    await book.fills.write([], [], [fill(2).id])
    assert await book.fills.stale_groups() == [group]


async def test_the_first_day_of_a_few_positions_is_found_without_reading_the_whole_book(
    book: Book, book_store: Store
) -> None:
    earlier, older = (
        replace(fill(2).id, trade_date="2026-08-03"),
        replace(fill(3, account=B).id, trade_date="2026-08-01"),
    )
    await book.fills.write(with_raw(fill(1), fill(2, id=earlier), fill(3, account=B, id=older)))
    asked: list[str] = []

    def listen(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2]))

    await book_store.run(listen)
    assert await book.fills.first_date([(A, INFY, Product.MIS), (A, NIFTY, Product.MIS)]) == "2026-08-03"
    assert await book.fills.first_date([(A, NIFTY, Product.CNC)]) is None
    (query, _) = [said for said in asked if "min(" in said]
    plan = await book_store.run(lambda c: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("[]",)).fetchall())
    assert [step.detail for step in plan if "fills" in step.detail and "SCAN" in step.detail] == []


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
async def test_after_a_burst_of_fills_the_window_is_drawn_first(book: Book, book_store: Store) -> None:
    def niceness(_: Connection) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    ordinary = os.getpriority(os.PRIO_PROCESS, os.getpid())
    await book.fills.write(with_raw(fill(1)))
    assert await book_store.run(niceness) == ordinary
    await book.fills.write(with_raw(*(fill(n) for n in range(2, 200))))
    assert await book_store.run(niceness) == ordinary + BEHIND


async def test_a_fill_that_contradicts_its_identity_is_a_bug_and_nothing_is_written(book: Book) -> None:
    wrong = replace(fill(2), side=Side.SELL)
    with pytest.raises(ValueError, match="identity"):
        await book.fills.write(with_raw(fill(1), wrong))
    assert await book.fills.all() == []


async def test_the_markets_of_the_last_weeks_are_known(book: Book) -> None:
    old, new = fill(1), fill(2)
    gold = replace(new, segment=Segment.COMMODITY, id=replace(new.id, segment="commodity", trade_date="2026-11-18"))
    await book.fills.write([(old, "{}"), (gold, "{}")])
    assert await book.fills.segments(A, old.id.trade_date) == {old.segment, Segment.COMMODITY}
    assert await book.fills.segments(A, "2026-11-18") == {Segment.COMMODITY}
    assert await book.fills.segments(B, old.id.trade_date) == set()
