"""SQLCipher connections: the key, the pragmas, and one translation of what SQLite says into words."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlcipher3 import dbapi2

from app.domain.errors import AppError, Damaged, DiskFull, StorageError
from app.runtime.secret import Secret

T = TypeVar("T")

BUSY_TIMEOUT_S = 2.0
"""How long to wait for a program that still holds the file; one that was killed holds nothing."""

# Primary result codes, https://www.sqlite.org/rescode.html
_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 26
_NOMEM, _PERM, _CONSTRAINT = 7, 3, 19
_IOERR_SHORT_READ, _IOERR_CORRUPTFS = 522, 8458

_RAW_KEY = re.compile(r"[0-9a-f]{64}")


class StoreKind(StrEnum):
    """Which of the profile's two files. The value is its name, and names its key in the vault."""

    BOOK = "book"
    JOURNAL = "journal"

    @property
    def file_name(self) -> str:
        """In the profile folder."""
        return f"{self.value}.db"


def engine_for(path: Path, key: Secret) -> Engine:
    """An engine whose connections are keyed, exclusive and durable. Nothing is opened yet.

    `key` is 64 hex digits: SQLCipher's raw key form, which skips its own key derivation.
    """
    if _RAW_KEY.fullmatch(key.reveal()) is None:
        raise ValueError("a database key is 64 hex digits")

    def connect() -> dbapi2.Connection:
        # Transactions are begun by us (below): the driver's implicit ones leave out DDL, so that a failed migration
        # could not be rolled back.
        connection = dbapi2.connect(str(path), timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=True)
        try:
            connection.execute(f"PRAGMA key = \"x'{key.reveal()}'\"")
            # Exclusive: two programs can never write one profile, and WAL needs no shared-memory file.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit has been flushed when it returns; NORMAL would lose the last ones with the power.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA recursive_triggers = ON")  # or REPLACE would delete past the audit's trigger
            connection.execute("PRAGMA trusted_schema = OFF")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite://", module=dbapi2, creator=connect, poolclass=NullPool, hide_parameters=True, query_cache_size=500
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def in_words(error: Exception, path: Path) -> AppError:
    """What SQLite said, for the trader. Neither statement nor values are in it: they may hold secrets."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    extended = getattr(inner, "sqlite_errorcode", None) or 0
    code, name, said = extended & 0xFF, path.name, str(inner)
    if code == _FULL or (isinstance(inner, OSError) and inner.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)):
        return DiskFull(f"There is no space left to write {name}.", detail=said)
    if code in (_NOTADB, _CORRUPT) or extended in (_IOERR_SHORT_READ, _IOERR_CORRUPTFS):
        return Damaged(
            f"{name} cannot be read.", "Stop the program and start it again: it checks the file.", detail=said
        )
    if code in (_BUSY, _LOCKED):
        return StorageError(
            f"{name} is in use by another program.", "Close the other Stopline of this profile, then try again."
        )
    if code in (_READONLY, _PERM, _CANTOPEN) or isinstance(inner, PermissionError):
        return StorageError(
            f"{name} cannot be written.", f"Check the permissions of the folder {path.parent}.", detail=said
        )
    if code == _IOERR:
        return StorageError(f"The disk failed at {name}.", "Check the disk; make a copy of the profile.", detail=said)
    if code == _CONSTRAINT:
        return StorageError(f"{name} refused a row that contradicts what it holds.", detail=said)
    if isinstance(inner, OSError):
        return StorageError(f"{name} could not be read or written.", f"Check the folder {path.parent}.", detail=said)
    return StorageError(f"{name} could not do what was asked.", detail=said)


def translated(path: Path, function: Callable[[], T]) -> T:
    """The function's result; what SQLite or the file system raises comes out as a StorageError."""
    try:
        return function()
    except DBAPIError as error:
        # From the driver's error, not SQLAlchemy's: that one carries the statement.
        raise in_words(error, path) from error.orig
    except (dbapi2.Error, OSError, OverflowError) as error:  # the last: a whole number of more than 64 bits
        raise in_words(error, path) from error
