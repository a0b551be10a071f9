"""Database files as a whole: set aside instead of overwritten, moved and removed with what belongs to them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database. They belong to it and move with it."""


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_database(path: Path) -> None:
    """Deletes a database that nobody needs any more (an unfinished one, an old copy), with its side files."""
    for name in ("", *SIDE_FILES):
        path.with_name(path.name + name).unlink(missing_ok=True)


def stamped(path: Path, what: str, now: datetime | None = None) -> Path:
    """A free name beside `path`: `book.db.damaged-20261114T101500Z`."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    name, n = f"{path.name}.{what}-{moment}", 1
    while (free := path.with_name(name if n == 1 else f"{name}-{n}")).exists():
        n += 1
    return free


def set_aside(path: Path, what: str = "damaged") -> Path:
    """Moves a database, with its side files, out of the way. Nothing in it is changed."""
    aside = stamped(path, what)
    # The database first: were the program killed in between, side files without a database are noticed and moved
    # too (`set_orphans_aside`), while a database without its log could pass for whole.
    path.rename(aside)
    _move_side_files(path, aside)
    sync_folder(path.parent)
    return aside


def set_orphans_aside(path: Path) -> Path | None:
    """Moves side files whose database is gone: SQLite would replay an old log into a fresh database."""
    if path.exists() or not any(path.with_name(path.name + name).exists() for name in SIDE_FILES):
        return None
    aside = stamped(path, "orphaned")
    _move_side_files(path, aside)
    sync_folder(path.parent)
    return aside


def _move_side_files(path: Path, aside: Path) -> None:
    for name in SIDE_FILES:
        side = path.with_name(path.name + name)
        if side.exists():
            side.rename(aside.with_name(aside.name + name))
