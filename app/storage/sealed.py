"""Where the book keeps what the vault sealed, so that a rotation of the keys finds all of it.

Columns whose names begin with `sealed_` hold sealed bytes of the row's account. A setting may hold them too, as JSON
text of hex digits; whose they are only the vault can tell. Plain SQL, for an open book and for a file that rests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from app.storage.snapshot import SEALED, Reseal, Source, opened

Execute = Callable[[str], Iterable[Any]]
"""Runs one statement and gives its rows."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """One of them, and where it lies."""

    table: str
    row: str
    column: str
    owner: str
    """The account it was sealed for; empty where only the vault can tell."""
    sealed: bytes = field(repr=False)

    def renewed(self, sealed: bytes) -> Reseal:
        """The same place with other bytes."""
        value = json.dumps(sealed.hex()) if self.table == "settings" else sealed
        return Reseal(self.table, self.row, self.column, value)


@dataclass(frozen=True, slots=True)
class Secrets:
    """All that is sealed in a book, and the accounts that there are."""

    accounts: tuple[str, ...]
    sealed: tuple[SealedSecret, ...]


def sealed_secrets(execute: Execute) -> Secrets:
    """Reads them all from an open book."""
    accounts = tuple(str(row[0]) for row in execute("SELECT id FROM accounts ORDER BY id"))
    found: list[SealedSecret] = []
    tables = [str(row[0]) for row in execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    for table in tables:
        columns = [str(row[1]) for row in execute(f'PRAGMA table_info("{table}")')]
        owner = "id" if table == "accounts" else "account"
        for column in (name for name in columns if name.startswith(SEALED)):
            query = f'SELECT id, {owner}, {column} FROM "{table}" WHERE {column} IS NOT NULL'  # noqa: S608 -- our names
            found += [SealedSecret(table, str(row[0]), column, str(row[1]), row[2]) for row in execute(query)]
    for key, value in execute("SELECT key, value FROM settings ORDER BY key"):
        sealed = _hex(str(value))
        if sealed is not None:
            found.append(SealedSecret("settings", str(key), "value", "", sealed))
    return Secrets(accounts, tuple(found))


def _hex(value: str) -> bytes | None:
    try:
        text = json.loads(value)
        return bytes.fromhex(text) if isinstance(text, str) and len(text) > 56 else None
    except ValueError:
        return None


def read_sealed(connection: Connection) -> Secrets:
    """Of an open book."""
    return sealed_secrets(connection.exec_driver_sql)


def write_sealed(reseals: Sequence[Reseal], connection: Connection) -> None:
    """Writes secrets in their new form into an open book."""
    for reseal in reseals:
        connection.exec_driver_sql(reseal.statement, (reseal.value, reseal.row))


def nothing_else(_: Connection) -> None:
    """For a store that holds nothing sealed."""


def sealed_in(book: Source) -> Secrets:
    """Of a book that rests. In a helper process. Raises Damaged, StorageError."""
    with opened(book) as connection:
        return sealed_secrets(connection.execute)
