"""Where things are: the profile's files, and the resources that ship with the program, frozen or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from app.domain.errors import StorageError

_SOURCE = Path(__file__).resolve().parent.parent.parent


def default_profile() -> Path:
    """The profile when none is named: the platform's data folder for this program."""
    return platformdirs.user_data_path("stopline", appauthor=False)


def resource(*parts: str) -> Path:
    """A file or folder that ships with the program. Raises FileNotFoundError for one that does not."""
    base = Path(getattr(sys, "_MEIPASS", _SOURCE))  # PyInstaller unpacks the resources there
    path = base.joinpath("resources", *parts)
    if not path.exists():
        raise FileNotFoundError(f"the program was shipped without resources/{'/'.join(parts)}")
    return path


def resource_texts(folder: str, pattern: str) -> list[str]:
    """The texts of a folder that ships with the program, by name."""
    return [path.read_text(encoding="utf-8") for path in sorted(resource(folder).glob(pattern))]


def provider_folders(environment: Mapping[str, str]) -> list[str]:
    """Where third parties' providers are beside the interpreter's own packages: the frozen program has no pip."""
    return [folder for folder in environment.get("STOPLINE_PROVIDERS", "").split(os.pathsep) if folder]


def program() -> list[str]:
    """The command that starts this program once more, frozen or not; arguments are appended."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    return [sys.executable, str(_SOURCE / "main.py")]


@dataclass(frozen=True, slots=True)
class ProfilePaths:
    """Every file of one profile. Nobody else puts path names together."""

    root: Path

    @property
    def book(self) -> Path:
        """Trades, instruments, candles, settings of the trader: SQLCipher."""
        return self.root / "book.db"

    @property
    def journal(self) -> Path:
        """Order intents, stops, audit trail: SQLCipher, apart from the book so that no bulk write delays a stop."""
        return self.root / "journal.db"

    @property
    def vault(self) -> Path:
        """The wrapped key and the sealed secrets."""
        return self.root / "vault.json"

    @property
    def settings(self) -> Path:
        """Settings that must be readable before the book is open."""
        return self.root / "settings.json"

    @property
    def lock(self) -> Path:
        """Held by the one process that owns the profile."""
        return self.root / "desk.lock"

    @property
    def remote_key(self) -> Path:
        """What the command line shows to the workstation on the local socket; new at every start."""
        return self.root / "desk.key"

    @property
    def remote_address(self) -> Path:
        """Where the workstation listens."""
        return self.root / "desk.address"

    @property
    def logs(self) -> Path:
        """The structured log, rotated."""
        return self.root / "logs"

    @property
    def crash(self) -> Path:
        """Crash reports, and what the interpreter wrote when it died."""
        return self.root / "crash"

    @property
    def exchange(self) -> Path:
        """The paper exchange's own folder."""
        return self.root / "exchange"

    def create(self) -> None:
        """Makes the folders, readable by their owner alone. Safe to repeat. Raises StorageError."""
        try:
            for folder in (self.root, self.logs, self.crash, self.exchange):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix":
                self.root.chmod(0o700)  # one that was there before may have been open to others
        except OSError as error:
            raise StorageError(
                f"The folder {self.root} cannot hold a profile.",
                "Name a folder that is yours with --profile.",
                detail=str(error),
            ) from error
