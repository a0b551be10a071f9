"""Work on a whole database file that rests: check, count, copy under another key. Runs in a helper process.

The source is opened as immutable: while a store is frozen (`Store.frozen`) its file does not change, and the owner's
lock must be no hindrance to a reader that takes none. SQLCipher is used directly: a helper starts without SQLAlchemy.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlcipher3 import dbapi2

from app.domain.errors import Damaged, DiskFull, StorageError
from app.storage.container import Digests, Manifest, Member, unpack, write_container

_ROWS = 500
_FULL = 13  # SQLITE_FULL
SEALED = "sealed_"
"""Columns whose names begin so hold what the vault sealed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A database file and its key."""

    path: Path
    key: str = field(repr=False)
    """64 hex digits."""


@dataclass(frozen=True, slots=True)
class Reseal:
    """One sealed secret in its new form."""

    table: str
    row: str
    """Value of the row's `id`, or `key` of the settings."""
    column: str
    value: bytes | str = field(repr=False)

    @property
    def statement(self) -> str:
        """Takes the value and the row."""
        name = "key" if self.table == "settings" else "id"
        return f"UPDATE {self.table} SET {self.column} = ? WHERE {name} = ?"  # noqa: S608 -- our own names


@dataclass(frozen=True, slots=True)
class Plan:
    """A backup that is to be written."""

    backup: str
    made_at: int
    program: str
    target: Path
    """Its final name; until it is verified it is called `.part`."""
    lock: bytes = field(repr=False)
    key: bytes = field(repr=False)
    databases: tuple[Source, ...]
    others: tuple[Path, ...] = ()
    """Small files that go with them."""


def checked(source: Source) -> Digests:
    """Every page authenticated and every row read; rows and SHA-256 of each table. Raises Damaged, StorageError."""
    with in_words(source.path), opened(source) as connection:
        _raise_if_damaged(connection, source.path)
        return _digests(connection)


def sound(source: Source) -> None:
    """As `checked`, without counting. Raises Damaged, StorageError."""
    with in_words(source.path), opened(source) as connection:
        _raise_if_damaged(connection, source.path)


def sound_beside_log(source: Source, scratch: Path) -> None:
    """As `sound`, of a closed file that may have a log: a killed program leaves one. Looks at a copy in `scratch`,
    because whoever opens the file itself folds the log in. Raises Damaged, DiskFull, StorageError."""
    copy = scratch / source.path.name
    with in_words(source.path):
        for side in ("", "-wal"):
            beside = source.path.with_name(source.path.name + side)
            if beside.exists():
                shutil.copyfile(beside, copy.with_name(copy.name + side))
        connection = dbapi2.connect(str(copy), isolation_level=None)
        try:
            connection.execute(f"PRAGMA key = \"x'{source.key}'\"")
            _raise_if_damaged(connection, source.path)
        finally:
            connection.close()


def copy_under_key(source: Source, target: Source, reseals: Sequence[Reseal]) -> Digests:
    """A copy of a resting file under another key, with sealed secrets replaced, compared with the source row by row.

    The copy is flushed; it has no side files. Returns what both hold. Raises Damaged, DiskFull, StorageError.
    """
    before = checked(source)
    with in_words(target.path):
        shutil.copyfile(source.path, target.path)
        target.path.chmod(0o600)
        _rekey(Source(target.path, source.key), target.key, reseals)
        with target.path.open("rb+") as file:
            os.fsync(file.fileno())
    after = checked(target)
    with in_words(target.path), opened(source) as was, opened(target) as now:
        renewed = {(reseal.table, reseal.row) for reseal in reseals}
        tables = {table for table, _ in renewed}
        changed = [name for name in tables if _but_sealed(was, name, renewed) != _but_sealed(now, name, renewed)]
        changed += [name for name in before if name not in tables and before[name] != after.get(name)]
        if changed or before.keys() != after.keys():
            raise StorageError(f"The copy of {source.path.name} differs from it.", "Check the disk, then try again.")
    return after


def write_backup(plan: Plan, scratch: Path) -> Manifest:
    """Writes a backup, reads it back, opens its databases and compares rows and checksums with the originals.

    `scratch` is an empty folder of ours. Raises Damaged, DiskFull, StorageError; a file that failed is removed.
    """
    files = [source.path for source in plan.databases] + list(plan.others)
    digests = {source.path.name: checked(source) for source in plan.databases}
    members = tuple(Member(path.name, path.stat().st_size) for path in files)
    manifest = Manifest(plan.backup, plan.made_at, plan.program, members, digests)
    part = plan.target.with_name(plan.target.name + ".part")
    try:
        with in_words(plan.target):
            write_container(part, plan.lock, plan.key, manifest, files)
        keys = {source.path.name: source.key for source in plan.databases}
        read_backup(part, plan.key, plan.backup, keys, scratch)
        with in_words(plan.target):
            part.replace(plan.target)
    finally:
        part.unlink(missing_ok=True)
    return manifest


def read_backup(
    path: Path, key: bytes, backup: str, keys: dict[str, str], folder: Path, newest: dict[str, str] | None = None
) -> Manifest:
    """The backup's files in `folder`, its databases opened and compared with what they held when it was made.

    `newest`: the version of each database that this program writes; None: it has just written them.
    Raises Damaged, DiskFull, StorageError.
    """
    with in_words(path):
        manifest = unpack(path, key, backup, folder)
    if manifest.digests.keys() != keys.keys():
        raise Damaged(f"The backup {path.name} does not hold the databases of a profile.", "Use another one.")
    for name, digests in manifest.digests.items():
        if checked(Source(folder / name, keys[name])) != digests:
            raise Damaged(f"{name} in the backup {path.name} is not what it was.", "Use another one.")
        if newest is not None and _version(Source(folder / name, keys[name])) > newest[name]:
            raise StorageError(
                f"The backup {path.name} was made by a newer Stopline.", "Restore it with that; nothing was changed."
            )
    return manifest


def _version(source: Source) -> str:
    """The same table as `migrate.stored_version`."""
    with opened(source) as connection:
        ((version,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(version)


@contextmanager
def opened(source: Source) -> Iterator[dbapi2.Connection]:
    """A reader of a file that rests."""
    address = f"file:{quote(str(source.path))}?immutable=1"
    connection = dbapi2.connect(address, uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA key = \"x'{source.key}'\"")
        connection.execute("PRAGMA temp_store = MEMORY")
        yield connection
    finally:
        connection.close()


def _rekey(copy: Source, key: str, reseals: Sequence[Reseal]) -> None:
    connection = dbapi2.connect(str(copy.path), isolation_level=None)
    try:
        connection.execute(f"PRAGMA key = \"x'{copy.key}'\"")
        connection.execute("PRAGMA journal_mode = DELETE")  # out of the log, which is a second file
        # The copy is thrown away when anything goes wrong, so no journal: it would hold pages under the old key.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA secure_delete = ON")  # the old sealed bytes are overwritten
        for reseal in reseals:
            if connection.execute(reseal.statement, (reseal.value, reseal.row)).rowcount != 1:
                raise StorageError(f"A sealed secret of {reseal.row} is not in the copy.", "Try again.")
        answer = connection.execute(f"PRAGMA rekey = \"x'{key}'\"").fetchall()
        if answer != [("ok",)]:
            raise StorageError(f"{copy.path.name} could not be re-keyed.", detail=str(answer))
        # As the stores keep their files: whoever opens the copy must not write to it first, the disk may be full.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _raise_if_damaged(connection: dbapi2.Connection, path: Path) -> None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # a wrong key says so here
    pages = connection.execute("PRAGMA cipher_integrity_check").fetchall()
    answer = pages or [row for row in connection.execute("PRAGMA integrity_check(5)") if row != ("ok",)]
    if answer:
        raise Damaged(f"{path.name} is damaged.", "Restore a backup.", detail=str(answer[0][0]))


def _digests(connection: dbapi2.Connection) -> Digests:
    found = {"": _sum_of(connection, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name")}
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    ).fetchall()
    return found | {str(name): _sum_of(connection, _all_rows(connection, str(name))) for (name,) in names}


def _all_rows(connection: dbapi2.Connection, table: str) -> str:
    described = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    columns = ", ".join(f'"{row[1]}"' for row in described)
    keyed = sorted((row[5], f'"{row[1]}"') for row in described if row[5])
    order = ", ".join(name for _, name in keyed) or "rowid"
    return f'SELECT {columns} FROM "{table}" ORDER BY {order}'  # noqa: S608 -- our own names


def _but_sealed(connection: dbapi2.Connection, table: str, renewed: set[tuple[str, str]]) -> list[tuple[Any, ...]]:
    """The rows of a small table with what was sealed anew left out."""
    described = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    names = [str(row[1]) for row in described]
    key = names.index("key" if table == "settings" else "id")
    sealed = [at for at, name in enumerate(names) if name.startswith(SEALED) or (table, name) == ("settings", "value")]
    rows = []
    for row in connection.execute(_all_rows(connection, table)):
        left_out = sealed if (table, str(row[key])) in renewed else []
        rows.append(tuple(None if at in left_out else value for at, value in enumerate(row)))
    return rows


def _sum_of(connection: dbapi2.Connection, query: str) -> tuple[int, str]:
    total, digest = 0, hashlib.sha256()
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(_ROWS):
        total += len(rows)
        for row in rows:
            digest.update(marshal.dumps(row, 2))  # version 2: the bytes depend on the values alone
    return total, digest.hexdigest()


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """What SQLite or the file system says about a file comes out as a StorageError."""
    try:
        yield
    except dbapi2.Error as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code == _FULL:
            raise DiskFull(f"There is no space left to write {path.name}.", detail=str(error)) from None
        if code in (11, 26):  # SQLITE_CORRUPT, SQLITE_NOTADB
            raise Damaged(f"{path.name} cannot be read.", "Restore a backup.", detail=str(error)) from None
        raise StorageError(f"{path.name} could not be read or written.", "Check the disk.", detail=str(error)) from None
    except OSError as error:
        if error.errno in (28, 122, 27):  # ENOSPC, EDQUOT, EFBIG
            raise DiskFull(f"There is no space left to write {path.name}.", detail=str(error)) from None
        raise StorageError(
            f"{path.name} could not be written.", f"Check the folder {path.parent}.", detail=str(error)
        ) from None
