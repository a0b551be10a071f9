"""The folder of backups: names, order, heads, and which may go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from app.domain.errors import AppError, Denied
from app.storage.container import read_lock, write_lock
from app.storage.database import translated
from app.storage.switch import STAGING, Move

SUFFIX = ".stopline"
SCHEDULED = "scheduled"
BY_HAND = "by-hand"


def backup_name(made_at: datetime, by: str) -> str:
    """`20261125T101500Z-scheduled.stopline`: names sort by time."""
    return f"{made_at.strftime('%Y%m%dT%H%M%SZ')}-{by}{SUFFIX}"


def backup_files(folder: Path) -> list[Path]:
    """Every backup, oldest first; a folder that is not there holds none. Raises StorageError."""
    if not folder.is_dir():
        return []
    return translated(folder, lambda: sorted(path for path in folder.iterdir() if path.suffix == SUFFIX))


def superfluous(files: Sequence[Path], keep: int) -> list[Path]:
    """Scheduled backups beyond the newest `keep`. Those made by hand are their maker's."""
    scheduled = [path for path in files if path.stem.endswith(SCHEDULED)]
    return scheduled[: max(0, len(scheduled) - keep)]


def staged_head(folder: Path, backup: Path, lock: bytes, number: int) -> Move:
    """A new head for a backup, ready in a staging; a switch puts it in place."""
    name = f"head-{number}"
    translated(folder, lambda: (folder / name).write_bytes(lock))
    return Move(f"{STAGING}/{name}", str(backup.resolve()))


def replace_head(backup: Path, lock: bytes) -> None:
    """At once. Raises StorageError."""
    translated(backup, lambda: write_lock(backup, lock))


def head(backup: Path) -> bytes | None:
    """A backup's head; None when the file is none of ours or cannot be read."""
    try:
        return read_lock(backup)
    except AppError:
        return None


def room_for(target: Path) -> None:
    """Raises Denied when a backup of this name must not be written, StorageError when it cannot."""
    if target.exists():
        raise Denied(f"{target} is there already; nothing is overwritten.", "Choose another name.")
    translated(target, lambda: target.parent.mkdir(parents=True, exist_ok=True, mode=0o700))
