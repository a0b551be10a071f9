"""Stores that close themselves, whatever the test did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.store import Store, open_store
from tests.unit.storage.samples import KEY


@pytest.fixture
async def journal_store(tmp_path: Path) -> AsyncIterator[Store]:
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    yield store
    await store.close()


@pytest.fixture
def journal(journal_store: Store) -> Journal:
    return Journal(journal_store)


@pytest.fixture
async def book_store(tmp_path: Path) -> AsyncIterator[Store]:
    store, _ = await open_store(tmp_path, KEY, StoreKind.BOOK)
    yield store
    await store.close()


@pytest.fixture
def book(book_store: Store) -> Book:
    return Book(book_store)
