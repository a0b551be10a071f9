"""Several files of a profile replaced as one: a rotation of the keys, a restored backup.

What is to come is put together in the folder `staging`. Until then nothing of the profile has changed, and a killed
program leaves a folder that the next start throws away. The switch itself is one rename: the list of what is to be
done appears as `switch.json`. From that moment the new state is the truth, and whoever finds the list, this program or
the next start before it opens anything, does what it says; every entry may be done twice. The files are flushed before
the list is, and the list is removed when all is done.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.domain.errors import Damaged
from app.runtime.files import write_atomically
from app.storage.container import write_lock
from app.storage.database import translated
from app.storage.files import sync_folder

STAGING = "staging"
FILE_NAME = "switch.json"
VAULT = "vault.json"
_MARK = "new-vault"


@dataclass(frozen=True, slots=True)
class Move:
    """A rename inside the profile."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Switch:
    """What is to be done, in this order. All names are relative to the profile."""

    what: str
    remove: tuple[str, ...] = ()
    aside: tuple[Move, ...] = ()
    """Files of the old state that are kept. Each was there when the list was made."""
    moves: tuple[Move, ...] = ()
    """Files of the new state, out of `staging`."""
    heads: tuple[Move, ...] = ()
    """Backup files (absolute) whose head is replaced by what is in a staged file."""
    retired: tuple[str, ...] = ()
    """Vaults whose keyring entries are over."""


def staging(profile: Path) -> Path:
    """An empty folder for a new state. Raises StorageError."""
    folder = profile / STAGING

    def make() -> Path:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        return folder

    return translated(folder, make)


def commit(profile: Path, switch: Switch) -> None:
    """The moment at which the new state becomes the truth. Raises StorageError: then the old one still is."""

    def write() -> None:
        for path in (profile / STAGING).iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(profile / STAGING)
        write_atomically(profile / FILE_NAME, msgspec.json.encode(switch))

    translated(profile / FILE_NAME, write)


def pending(profile: Path) -> Switch | None:
    """A switch that was committed and is not done. Raises Damaged."""
    path = profile / FILE_NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(translated(path, path.read_bytes), type=Switch)
    except msgspec.DecodeError as error:
        raise Damaged(
            f"{FILE_NAME} of this profile cannot be read, and a change of its files is half done.",
            "Do not delete anything; send us the report.",
            detail=str(error),
        ) from error


def carry_out(profile: Path, switch: Switch) -> None:
    """Does what the list says, from wherever it was left. Raises StorageError; it can be tried again."""

    def work() -> None:
        for name in switch.remove:
            (profile / name).unlink(missing_ok=True)
        for move in switch.aside:
            source, target = profile / move.source, profile / move.target
            # What has a place there already was moved before: `source` may be the new file by now.
            if source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                source.rename(target)
                sync_folder(target.parent)
        sync_folder(profile)
        for move in switch.moves:
            source = profile / move.source
            if source.exists():
                source.replace(profile / move.target)
        sync_folder(profile)
        for head in switch.heads:
            source, backup = profile / head.source, Path(head.target)
            if source.exists() and backup.exists():
                write_lock(backup, source.read_bytes())

    translated(profile / FILE_NAME, work)


def finish(profile: Path) -> None:
    """Everything is done: the list goes, and what is left of the staging. Raises StorageError."""

    def work() -> None:
        (profile / FILE_NAME).unlink(missing_ok=True)
        sync_folder(profile)
        shutil.rmtree(profile / STAGING, ignore_errors=True)

    translated(profile / FILE_NAME, work)


def mark(folder: Path, vault_id: str) -> None:
    """Says in a staging which keyring entry was made for it. Raises StorageError."""
    translated(folder, lambda: (folder / _MARK).write_text(vault_id, encoding="utf-8"))


def abandoned(profile: Path) -> str | None:
    """The keyring entry that was made for a staging that never came to its switch; None: there is none."""
    try:
        return (profile / STAGING / _MARK).read_text(encoding="utf-8") or None
    except OSError:
        return None
