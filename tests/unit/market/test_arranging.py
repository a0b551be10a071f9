from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.ids import InstrumentId
from app.market.instruments import InstrumentMaster
from app.runtime.helper import Helper
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from tests.unit.market.test_search import LIST
from tests.unit.storage.samples import KEY

QUERIES = ("n", "nifty", "bank", "nifty 26000 ce", "rel", "fut", "26000", "zzz", "state bank fut")


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    made = Helper()
    yield made
    await made.stop()


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK)
    book = Book(store)
    many = [
        replace(one, id=InstrumentId(f"{one.id}X{n}"), token=n * 1_000 + place)
        for n in range(20)
        for place, one in enumerate(LIST)
    ]
    await book.instruments.replace("zerodha", None, [*LIST, *many])
    await book.instruments.replace("upstox", None, [replace(one, token=7) for one in LIST[::2]])
    yield book
    await book.close()


def found(master: InstrumentMaster) -> list[object]:
    return [master.search(query) for query in QUERIES]


async def test_arranged_in_the_helper_process_a_search_finds_the_same(book: Book, helper: Helper) -> None:
    here, there = InstrumentMaster(), InstrumentMaster(helper)
    for name in ("zerodha", "upstox", "zerodha"):
        for master in (here, there):
            await master.reload(book.instruments, name)
        assert len(here) == len(there) > 0
        assert found(here) == found(there)
        assert any(found(here))
    await book.instruments.replace("zerodha", None, [], confirmed=True)
    await book.instruments.replace("upstox", None, [], confirmed=True)
    for name in ("zerodha", "upstox"):
        await there.reload(book.instruments, name)
    assert (len(there), there.search("nifty")) == (0, [])


@pytest.mark.expects_log("they are arranged here")
async def test_a_helper_process_that_dies_leaves_no_list_unfound(book: Book, helper: Helper) -> None:
    master = InstrumentMaster(helper)
    os.kill(await helper.call(os.getpid), signal.SIGKILL)
    await master.reload(book.instruments, "zerodha")
    assert master.search("nifty")


async def test_where_stops_wait_a_list_is_there_before_it_can_be_searched(book: Book, helper: Helper) -> None:
    """The helper process may take seconds to start on a busy machine, and no stop needs a search."""
    master, whole, beside = InstrumentMaster(helper), InstrumentMaster(), list[asyncio.Task[None]]()

    def later(work: Coroutine[Any, Any, None], name: str) -> None:
        beside.append(asyncio.get_running_loop().create_task(work, name=name))

    for name in ("zerodha", "upstox"):
        await whole.reload(book.instruments, name)
        await master.load(book.instruments, name, later)
        assert master.has(name)
    assert master.get(LIST[0].id, "zerodha") == whole.get(LIST[0].id, "zerodha")
    assert not any(found(master))
    await asyncio.gather(*beside)
    assert len(master) == len(whole) > 0
    assert found(master) == found(whole)


async def test_no_account_goes_by_the_number_that_another_brokers_list_has_for_a_contract(book: Book) -> None:
    """It may be another contract's there: a stop would watch a foreign price."""
    master, listed_once, listed_twice = InstrumentMaster(), LIST[1].id, LIST[0].id
    for name in ("upstox", "zerodha"):
        await master.reload(book.instruments, name)
    assert master.get(listed_once, "upstox") is None
    assert master.get(listed_once) == master.get(listed_once, "zerodha") == LIST[1]
    assert [getattr(master.get(listed_twice, name), "token", None) for name in ("zerodha", "upstox", "nobody")] == [
        LIST[0].token,
        7,
        None,
    ]
