"""The paper exchange's memory on disk: orders, fills, positions, sessions, clock and prices survive `kill -9`.

One SQLite file of `kind, key -> JSON`, written in transactions. A transaction that acknowledges something to a client
is synced to the disk before the answer; the others reach the operating system, which is enough to survive the death of
this process. Used on the loop thread only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
  kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID"""


class BookInUse(Exception):
    """Another process holds the state folder."""


class Book:
    """Writes are collected by `put` and `drop` and become one transaction at `commit`. Without a folder it forgets."""

    def __init__(self, folder: Path | None = None) -> None:
        self.set_aside: Path | None = None
        """Where a file went that was damaged or another client's; None when it was taken over."""
        self._pending: dict[tuple[str, str], str | None] = {}
        self._database: sqlite3.Connection | None = None
        self._path = Path()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path = folder / "book.sqlite3"
            self._database = self._open(self._path)

    @property
    def remembers(self) -> bool:
        """There is a file behind it."""
        return self._database is not None

    def put(self, kind: str, key: str, value: object) -> None:
        """Sets one record at the next commit."""
        if self._database is not None:
            self._pending[kind, key] = json.dumps(value, separators=(",", ":"))

    def drop(self, kind: str, key: str) -> None:
        """Removes one record at the next commit."""
        if self._database is not None:
            self._pending[kind, key] = None

    def commit(self, *, durable: bool = False) -> None:
        """All or nothing. `durable`: on the disk, not only with the operating system, when this returns."""
        if self._database is None or not (self._pending or durable):
            return
        self._database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for (kind, key), value in self._pending.items():
                if value is None:
                    self._database.execute("DELETE FROM record WHERE kind=? AND key=?", (kind, key))
                else:
                    self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, key, value))
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._pending.clear()

    def load(self, kind: str) -> dict[str, Any]:
        """All records of a kind, in order of their keys."""
        if self._database is None:
            return {}
        rows = self._database.execute("SELECT key, value FROM record WHERE kind=? ORDER BY key", (kind,))
        return {key: json.loads(value) for key, value in rows}

    def begin_again(self, name: str) -> None:
        """Sets the whole file aside under a name and begins an empty one."""
        if self._database is None:
            return
        self._pending.clear()
        self._database.close()
        self.set_aside = self._path.with_name(f"book.{name}-{int(time.time())}.sqlite3")
        self._path.rename(self.set_aside)
        self._database = self._connect(self._path)

    def close(self) -> None:
        """Writes what is pending and lets the file go."""
        if self._database is not None:
            self.commit(durable=True)
            self._database.close()
            self._database = None

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            return self._connect(path)
        except sqlite3.OperationalError as error:
            raise BookInUse(f"{path} is in use by another paper exchange") from error
        except sqlite3.DatabaseError:
            self.set_aside = path.with_name(f"book.damaged-{int(time.time())}.sqlite3")
            path.rename(self.set_aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return self._connect(path)

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        path.touch(mode=0o600)
        database = sqlite3.connect(path, isolation_level=None, timeout=0.5, check_same_thread=True)
        try:
            # Held until the process ends, however it ends: two exchanges never share a book.
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("BEGIN EXCLUSIVE")
            database.execute(_SCHEMA)
            database.execute("COMMIT")
            (verdict,) = database.execute("PRAGMA quick_check").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                database.close()
            raise
        return database
