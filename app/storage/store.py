"""Opens one of the profile's databases, and runs work on it. The facades `book` and `journal` are built on it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlcipher3 import dbapi2

from app.domain.errors import Damaged, StorageError, WrongKey
from app.runtime.secret import Secret
from app.storage.database import StoreKind, engine_for, translated
from app.storage.files import remove_database, set_aside, set_orphans_aside, sync_folder
from app.storage.key_check import key_check_file, key_fits, remember_key
from app.storage.migrate import migrate, stored_version, upgrade
from app.storage.migrations import NEWEST, Version
from app.storage.migrations import versions as known_versions
from app.storage.worker import Held, Worker

log = logging.getLogger(__name__)
T = TypeVar("T")

_PAGE = 4096
"""SQLCipher 4's page size. A finished file has at least one."""

_AUTOCHECKPOINT = 1000
"""Pages of log after which SQLite folds it into the file: its default."""

CHECKED_AT_OPEN = 32 * 1024 * 1024
"""Bytes up to which opening reads every page (measured: 70 MB/s, so half a second); beyond it, the length alone."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening found. The program must tell the trader when something was set aside."""

    created: bool = False
    """The file is new and empty."""
    set_aside: Path | None = None
    """Where the damaged file is now."""
    damage: str = ""
    """What was wrong with it, in words; where it is now is for the caller to add."""
    lost: bool = False
    """There was a database before, and its file is gone."""
    migrated_from: str | None = None


class HeldStore:
    """A store whose thread does nothing but what is asked here; all other work waits for the release."""

    def __init__(self, store: Store, held: Held) -> None:
        self._store = store
        self._held = held

    async def freeze(self, also: Callable[[Connection], T]) -> T:
        """As `Store.frozen`, for as long as it is held."""
        return await self._held.call(lambda: self._store.freeze_file(also))

    async def close_file(self) -> None:
        """Folds the log into the file and lets go of it. Nothing may be asked of the store before `open_file`."""
        await self._held.call(self._store.close_file)

    async def refuse(self, why: StorageError) -> None:
        """Nothing is read or written any more: what was, would be lost."""
        await self._held.call(lambda: self._store.refuse(why))

    async def open_file(self, key: Secret) -> None:
        """Takes the file up again, which may be another one by now, with its key."""
        await self._held.call(lambda: self._store.open_file(key))


class Store:
    """One open database. `run` may be awaited from any loop; everything happens on the store's own thread."""

    def __init__(self, path: Path, worker: Worker, engine: Engine, connection: Connection) -> None:
        self.path = path
        self._worker = worker
        self._engine = engine
        self._connection = connection
        self._refusal: StorageError | None = None

    async def run(self, function: Callable[[Connection], T]) -> T:
        """The function's result; its changes are committed, flushed to disk, when this returns.

        Whatever it raises undoes its changes. Database errors arrive as StorageError.
        """
        return await self._worker.call(lambda: self._in_transaction(function))

    async def change(self, function: Callable[[Connection], object]) -> None:
        """As `run`, for work without a result."""
        await self.run(function)

    async def verify(self) -> None:
        """Reads every page. Raises Damaged. For files above `CHECKED_AT_OPEN`, when there is time."""
        answer = await self.run(_quick_check)
        if answer != "ok":
            raise Damaged(f"{self.path.name} is damaged.", "Make a backup now, then start again.", detail=answer)

    @asynccontextmanager
    async def frozen(self, also: Callable[[Connection], T]) -> AsyncIterator[T]:
        """While inside, the file itself is whole and stays as it is, for another process to read: what is written
        meanwhile goes to the log beside it, and no reader or writer waits. Yields what `also` read at that moment.
        """
        try:  # it is frozen also where nobody waits for that any more
            yield await self._worker.call(lambda: self.freeze_file(also))
        finally:
            if self._worker.is_open:  # closing folds the log into the file anyway
                await self._worker.call(self._thaw)

    @property
    def untouched(self) -> bool:
        """Nothing was written since it was frozen: the log is empty."""
        log_file = self.path.with_name(self.path.name + "-wal")
        return not log_file.exists() or log_file.stat().st_size == 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[HeldStore]:
        """The store's thread for oneself. What others ask meanwhile is done afterwards."""
        held = await self._worker.hold()
        try:
            yield HeldStore(self, held)
        finally:
            try:
                await held.call(self._thaw)
            finally:
                held.release()

    async def close(self, within: float = 10.0) -> None:
        """Finishes what was asked for, folds the log into the file, ends the thread; at most `within` seconds."""
        await self._worker.stop(self.close_file, within)

    def _in_transaction(self, function: Callable[[Connection], T]) -> T:
        def work() -> T:
            if self._refusal is not None:
                raise self._refusal
            if self._connection.closed:  # a file that was replaced could not be opened at once
                self._connection = self._engine.connect()
            with self._connection.begin():
                return function(self._connection)

        return translated(self.path, work)

    def close_file(self) -> None:
        """Only on the store's own thread."""
        # SQLite itself checkpoints and removes the log when its last connection closes.
        translated(self.path, self._connection.close)
        self._engine.dispose()

    def refuse(self, why: StorageError) -> None:
        """Only on the store's own thread, after `close_file`."""
        self._refusal = why

    def open_file(self, key: Secret) -> None:
        """Only on the store's own thread, after `close_file`. Where it fails, the next work tries it again."""
        self._engine = engine_for(self.path, key)
        self._connection = translated(self.path, self._engine.connect)

    def freeze_file(self, also: Callable[[Connection], T]) -> T:
        """Only on the store's own thread."""
        found = self._in_transaction(also)
        self._pragma("wal_autocheckpoint = 0")
        self._pragma("wal_checkpoint(TRUNCATE)")
        if not self.untouched:
            raise StorageError(f"{self.path.name} could not be brought to rest.", "Try again.")
        return found

    def _thaw(self) -> None:
        if not self._connection.closed:
            self._pragma(f"wal_autocheckpoint = {_AUTOCHECKPOINT}")

    def _pragma(self, words: str) -> None:
        # On the driver's own connection: SQLAlchemy's would begin a transaction first.
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, dbapi2.Connection):
            raise TypeError("not a connection of SQLCipher")
        translated(self.path, lambda: driver.execute(f"PRAGMA {words}").fetchall())


async def open_store(
    profile: Path,
    key: Secret,
    kind: StoreKind,
    *,
    replace_damaged: bool = True,
    versions: Sequence[Version] | None = None,
) -> tuple[Store, Opened]:
    """Opens, and when need be creates or migrates, one file of a profile.

    A file that is truncated, foreign or corrupt is moved to `book.db.damaged-<UTC>`, never overwritten; then a fresh
    one takes its place, or, without `replace_damaged`, Damaged is raised. Raises WrongKey when the file was made with
    another key (nothing is touched), StorageError when it is in use, from a newer program, or fails to migrate.
    `versions` replaces the shipped migrations (tests of the safety net).
    """
    worker = Worker(kind.value)
    path = profile / kind.file_name
    connections: list[Connection] = []

    def work() -> tuple[Engine, Opened]:
        opened = _prepare(path, key, kind, replace_damaged, versions)
        engine = engine_for(path, key)
        connections.append(translated(path, engine.connect))
        return engine, opened

    def undo() -> None:
        for connection in connections:
            connection.close()

    try:
        engine, opened = await worker.call(work)
    except BaseException:
        # Also when the caller was cancelled: the file must not stay locked by a connection that nobody holds.
        await worker.stop(undo)
        raise
    return Store(path, worker, engine, connections[0]), opened


def _prepare(
    path: Path, key: Secret, kind: StoreKind, replace_damaged: bool, versions: Sequence[Version] | None
) -> Opened:
    """Leaves a sound file of the newest version at `path`, and says what that took."""
    translated(path, lambda: path.parent.mkdir(parents=True, exist_ok=True, mode=0o700))
    newest = versions[-1].number if versions else NEWEST[kind]
    opened = Opened()
    if path.exists():
        try:
            since = _check(path, key, newest)
            if since != newest:
                migrate(path, key, versions or known_versions(kind), since)
                opened = Opened(migrated_from=since)
        except Damaged as damage:
            aside = translated(path, lambda: set_aside(path))
            log.exception("%s is damaged and was set aside as %s", path.name, aside.name)
            words = f"{path.name} is damaged or not one of ours."
            if not replace_damaged:
                kept = f"{words} It was kept as {aside.name}."
                raise Damaged(kept, "Put back a backup, or go on with an empty file.", detail=damage.detail) from None
            opened = Opened(created=True, set_aside=aside, damage=words)
    else:
        opened = Opened(created=True, lost=key_check_file(path).exists())
    if opened.created:
        orphans = set_orphans_aside(path)
        if orphans is not None and opened.set_aside is None:
            opened = Opened(created=True, set_aside=orphans, damage=f"{path.name} is gone; its log is left.", lost=True)
        translated(path, lambda: _create(path, key, versions or known_versions(kind)))
    if not key_fits(path, key):
        translated(path, lambda: remember_key(path, key))
    return opened


def _check(path: Path, key: Secret, newest: str) -> str:
    """The version of a sound file. Raises Damaged, WrongKey, StorageError."""
    if not path.is_file():
        raise StorageError(f"{path.name} is not a file.", f"Look into the folder {path.parent}.")
    try:
        version = _sound_version(path, key)
    except Damaged:
        if key_fits(path, key) is not False:
            raise
        raise WrongKey(
            f"{path.name} was made with another vault than this profile's vault.json.",
            "Put back the vault.json that belongs to it; the file was not touched.",
        ) from None
    if version > newest:
        raise StorageError(
            f"{path.name} was written by a newer Stopline (version {version}, this one knows {newest}).",
            "Use the newer program; nothing was changed.",
        )
    return version


def _sound_version(path: Path, key: Secret) -> str:
    if path.stat().st_size < _PAGE:
        # SQLite takes a file without a whole page for a new, empty database, and would write into it.
        raise Damaged(f"{path.name} is too short.", detail=f"{path.stat().st_size} bytes are no database.")
    version, answer = translated(path, lambda: _read_check(engine_for(path, key), path))
    if answer != "ok":
        raise Damaged(f"{path.name} does not pass its check.", detail=answer)
    if version is None:
        raise Damaged(f"{path.name} has no version.", detail="It is not a Stopline database.")
    return version


def _read_check(engine: Engine, path: Path) -> tuple[str | None, str]:
    with engine.connect() as connection:
        answer = _length_check(connection, path)
        if answer == "ok" and path.stat().st_size <= CHECKED_AT_OPEN:
            answer = _quick_check(connection)
        version = stored_version(connection) if answer == "ok" else None
        connection.rollback()
    return version, answer


def _length_check(connection: Connection, path: Path) -> str:
    """Finds a file that was cut off, at no cost. With a log beside it the file may rightly be the shorter one."""
    log_file = path.with_name(path.name + "-wal")
    if log_file.exists() and log_file.stat().st_size:
        return "ok"
    whole = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one()) * _PAGE
    there = path.stat().st_size
    return "ok" if there >= whole else f"{there} bytes of {whole} are there."


def _quick_check(connection: Connection) -> str:
    return str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())


def _create(path: Path, key: Secret, versions: Sequence[Version]) -> None:
    """Under another name first: a database with its own name is always a finished one."""
    fresh = path.with_name(path.name + ".new")
    remove_database(fresh)
    engine = engine_for(fresh, key)
    upgrade(engine, versions, None)
    engine.dispose()
    fresh.chmod(0o600)
    fresh.replace(path)
    sync_folder(path.parent)
