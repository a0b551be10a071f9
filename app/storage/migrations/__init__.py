"""Numbered changes of the two files' tables. Each version is an Alembic script; they are imported, not searched for
on disk, so that the frozen program has them too. Importing this package costs nothing: versions are loaded when needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.storage.database import StoreKind

NEWEST = {StoreKind.BOOK: "0012", StoreKind.JOURNAL: "0012"}
"""What this program writes. Kept here apart from the versions, so that a store that is up to date opens without
importing Alembic; a test holds the two together."""


@dataclass(frozen=True, slots=True)
class Version:
    """One step: its number, and what it does (with `alembic.op`) inside the transaction of the whole upgrade."""

    number: str
    upgrade: Callable[[], None]


def versions(kind: StoreKind) -> Sequence[Version]:
    """All versions of one file, oldest first. Imports Alembic."""
    if kind is StoreKind.BOOK:
        from app.storage.migrations import book

        return book.VERSIONS
    from app.storage.migrations import journal

    return journal.VERSIONS
