"""Brings a store to the newest version: a verified copy first, put back by itself when a step fails (B5)."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from app.domain.errors import AppError, StorageError
from app.runtime.secret import Secret
from app.storage.database import engine_for, translated
from app.storage.files import remove_database, sync_folder
from app.storage.migrations import Version

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_ONE_AT_A_TIME = threading.Lock()


def stored_version(connection: Connection) -> str | None:
    """The version that the file says it has; None: it is not one of ours. Same table as Alembic's own tools use."""
    try:
        rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    except DBAPIError as error:
        if "no such table" in str(error.orig):
            return None
        raise
    return str(rows[0][0]) if len(rows) == 1 else None


def upgrade(engine: Engine, versions: Sequence[Version], since: str | None) -> None:
    """Runs every version after `since` (None: all, into an empty file) in one transaction."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    pending = [version for version in versions if since is None or version.number > since]
    with engine.connect() as connection, connection.begin():
        if since is None:
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT NOT NULL PRIMARY KEY) STRICT")
        # `op` of a migration is one global of Alembic's, and the two files may be opened at the same moment.
        with _ONE_AT_A_TIME, Operations.context(MigrationContext.configure(connection)):
            for version in pending:
                version.upgrade()
        connection.exec_driver_sql("DELETE FROM alembic_version")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (versions[-1].number,))
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise StorageError(f"{len(broken)} rows would point nowhere after the upgrade.")


def migrate(path: Path, key: Secret, versions: Sequence[Version], since: str) -> Path:
    """Upgrades an existing file that nobody has open. Returns the copy of the state before, which is kept.

    Raises StorageError when a step fails; the file is then as it was.
    """
    copy = path.with_name(f"{path.name}.before-{versions[-1].number}")
    translated(path, lambda: _copy_verified(path, copy, key))
    try:
        engine = engine_for(path, key)
        translated(path, lambda: upgrade(engine, versions, since))
    except Exception as error:
        log.exception("upgrade of %s from %s failed", path.name, since)
        translated(path, lambda: _put_back(copy, path))
        words = error.cause if isinstance(error, AppError) else type(error).__name__
        raise StorageError(
            f"{path.name} could not be brought from version {since} to {versions[-1].number}; it was put back as it "
            "was and nothing is lost.",
            "Keep using the previous program, and send us the report of this failure.",
            detail=words,
        ) from error
    for older in path.parent.glob(f"{path.name}.before-*"):
        if older != copy:
            remove_database(older)
    return copy


def _copy_verified(path: Path, copy: Path, key: Secret) -> None:
    # SQLite folds the log into the file when the last connection closes, as the one that read the version did.
    log_file = path.with_name(path.name + "-wal")
    if log_file.exists() and log_file.stat().st_size:
        raise StorageError(f"{path.name} is in use by another program.", "Close it, then start again.")
    remove_database(copy)
    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    with copy.open("rb+") as file:
        file.flush()
        os.fsync(file.fileno())
    sync_folder(copy.parent)
    if _digest(path) != _digest(copy):
        raise StorageError(f"The copy of {path.name} is not the same as the file.", "Check the disk, then try again.")
    with engine_for(copy, key).connect() as connection:
        answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        connection.rollback()
    if answer != "ok":
        raise StorageError(f"The copy of {path.name} does not pass its check.", "Check the disk, then try again.")


def _put_back(copy: Path, path: Path) -> None:
    again = path.with_name(path.name + ".new")
    shutil.copyfile(copy, again)
    again.chmod(0o600)
    with again.open("rb+") as file:
        os.fsync(file.fileno())
    for name in ("-wal", "-journal"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    again.replace(path)
    sync_folder(path.parent)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()
