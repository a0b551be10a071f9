"""What goes when its time is over, what stays, and that other work on the book comes in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from app.domain.errors import Damaged
from app.domain.flight import Flight
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.market import Tick
from app.domain.order import Side
from app.storage.book import Book
from app.storage.flights import SLICE as FLIGHT_SLICE
from app.storage.journal import Journal
from app.storage.retention import SLICE, Retention
from app.storage.store import Store
from app.storage.ticks import TickBlock, packed
from tests.unit.storage.samples import INFY, NIFTY, fill

TICK = Tick(INFY, 148_005, 1_000, exchange_time=990, last_quantity=7, volume=12_345, open_interest=None)


def block(instrument: InstrumentId, *received: int) -> TickBlock:
    return TickBlock(instrument, b"".join(packed(replace(TICK, received_at=at)) for at in received))


async def put_old_rows(store: Store, count: int) -> None:
    def work(c: Connection) -> None:
        for at in range(count):
            c.execute(
                text(
                    "INSERT INTO notifications (at, level, title, cause, next_step, repeat_key) "
                    "VALUES (:at, 'info', 't', '', '', '')"
                ),
                {"at": at},
            )
            c.execute(
                text(
                    "INSERT INTO sync_log (run, account, triggered_by, step, fetched, created, updated, skipped, "
                    "conflicting, started_at, error) VALUES (:run, 'a', 'm', 'completed', 0, 0, 0, 0, 0, :at, '')"
                ),
                {"run": f"r{at}", "at": at},
            )

    await store.run(work)


async def count(store: Store, table: str) -> int:
    return await store.run(lambda c: int(c.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()))  # noqa: S608


async def test_old_rows_go_and_others_are_served_between_two_slices(book: Book, book_store: Store) -> None:
    await put_old_rows(book_store, 3 * SLICE)
    await book.fills.write([(fill(1), "{}")])
    retention = Retention(book_store)
    dropping = asyncio.ensure_future(retention.drop_notifications(3 * SLICE - 10))
    left_at_each_turn = [await count(book_store, "notifications") for _ in range(3)]
    assert await dropping == 3 * SLICE - 10
    assert len(set(left_at_each_turn)) > 1  # the counts were answered while it went on
    assert await count(book_store, "notifications") == 10
    assert await retention.drop_sync_logs(5) == 5
    assert await count(book_store, "sync_log") == 3 * SLICE - 5
    assert await retention.drop_sync_logs(5) == 0
    assert await count(book_store, "fills") == 1


async def test_recorded_ticks_come_back_as_they_were(book: Book) -> None:
    await book.ticks.put([block(INFY, 1_000, 2_000), block(NIFTY, 1_500)], at=10)
    await book.ticks.put([block(INFY, 3_000)], at=11)
    assert await book.ticks.read(INFY, 0, 9_999) == [replace(TICK, received_at=at) for at in (1_000, 2_000, 3_000)]
    assert [t.received_at for t in await book.ticks.read(INFY, 2_000, 3_000)] == [2_000]
    assert [t.instrument for t in await book.ticks.read(NIFTY, 0, 9_999)] == [NIFTY]


async def test_ticks_go_by_age_and_above_the_cap_the_oldest_first(book: Book) -> None:
    for at in range(1, 11):
        await book.ticks.put([block(INFY, at)], at=at)
    assert await book.ticks.drop_before(4) == 3
    span = await book.ticks.span()
    assert (span.blocks, span.oldest) == (7, 4)
    each = span.size // 7
    assert await book.ticks.drop_above(3 * each) == 4
    assert (await book.ticks.span()).oldest == 8
    assert await book.ticks.drop_above(3 * each) == 0
    assert [t.received_at for t in await book.ticks.read(INFY, 0, 99)] == [8, 9, 10]


async def test_a_block_that_cannot_be_read_is_said_to_be_damaged(book: Book, book_store: Store) -> None:
    await book.ticks.put([block(INFY, 1)], at=1)
    await book_store.run(lambda c: c.exec_driver_sql("UPDATE tick_blocks SET data = x'00'"))
    with pytest.raises(Damaged, match="ticks of NSE:INFY"):
        await book.ticks.read(INFY, 0, 9)


async def test_recordings_of_exits_go_when_their_time_is_over(journal: Journal) -> None:
    for number in range(FLIGHT_SLICE + 30):
        stop = StopId(f"{number:012d}")
        await journal.flights.save(
            Flight(stop, AccountId("zerodha-X"), INFY, Side.SELL, number, 99_000, 98_990, "stop", (), (), None)
        )
    assert await journal.flights.drop_before(FLIGHT_SLICE + 10) == FLIGHT_SLICE + 10
    assert len(await journal.flights.recent(1_000)) == 20
