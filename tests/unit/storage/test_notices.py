"""Notices that are kept: read or unread, merged, dropped when they have had their time."""

from __future__ import annotations

from app.domain.events import Level, Noticed
from app.storage.book import Book
from app.storage.notices import MERGED_WITHIN
from app.storage.retention import Retention
from app.storage.store import Store
from tests.unit.storage.samples import A

ALARM = Noticed(Level.ALARM, "Stops are blind", "2 stops without prices", "Log in again.", A, "blind:A")
TOLD = Noticed(Level.INFO, "A backup was made", account=None)


async def test_what_was_told_comes_back_newest_first_and_unread(book: Book) -> None:
    await book.notices.add([(ALARM, 10), (TOLD, 20), (TOLD, 30)])
    kept = await book.notices.recent()
    assert [(line.notice, line.at, line.times, line.read_at) for line in kept] == [
        (TOLD, 30, 1, None),
        (TOLD, 20, 1, None),
        (ALARM, 10, 1, None),
    ]
    assert await book.notices.unread() == 3
    assert await book.notices.recent(1) == kept[:1]


async def test_a_repeat_is_counted_and_unread_again_and_a_day_later_it_is_a_new_one(book: Book) -> None:
    await book.notices.add([(ALARM, 10)])
    assert await book.notices.mark_read(15) == 1
    await book.notices.add([(ALARM, 20)])
    (line,) = await book.notices.recent()
    assert (line.times, line.at, line.read_at) == (2, 20, None)
    await book.notices.add([(ALARM, 21 + MERGED_WITHIN)])
    assert [line.times for line in await book.notices.recent()] == [1, 2]


async def test_reading_leaves_what_comes_later_unread(book: Book) -> None:
    await book.notices.add([(ALARM, 10), (TOLD, 20)])
    assert await book.notices.mark_read(10) == 1
    assert [line.read_at for line in await book.notices.recent()] == [None, 10]
    assert await book.notices.unread() == 1


async def test_old_ones_are_dropped(book: Book, book_store: Store) -> None:
    await book.notices.add([(ALARM, 10), (TOLD, 20)])
    assert await Retention(book_store).drop_notifications(15) == 1
    assert [line.notice for line in await book.notices.recent()] == [TOLD]
