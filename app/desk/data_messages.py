"""What the verbs on the profile's files answer: frozen views for window and command line."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import Nanos


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    """How long things are kept, and when a backup is made. Trades are kept for ever."""

    ticks_days: int
    ticks_megabytes: int
    """The oldest are dropped above this."""
    notifications_days: int
    sync_log_days: int
    backup_every_hours: int
    """0: only by hand."""
    backups_kept: int
    """Scheduled ones; those made by hand stay."""
    backup_folder: str = ""
    """Empty: in the profile."""
    record_ticks: bool = True
    """Of open positions, for a later replay."""
    record_also: tuple[str, ...] = ()
    """Instruments whose ticks are recorded without a position, e.g. `NSE:INFY`."""


@dataclass(frozen=True, slots=True)
class BackupMade:
    """A backup that was written, read back and compared."""

    file: str
    size: int
    """Bytes."""
    rows: int
    """In both databases; each table's count and checksum agreed."""
    made_at: Nanos


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A backup in the folder."""

    file: str
    size: int
    made_at: Nanos
    """When the file was written."""
    scheduled: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that took the profile's place, or will at the next start."""

    file: str
    made_at: Nanos
    """When the backup was made."""
    rows: int
    set_aside: str
    """Folder inside the profile where the state before is kept; empty when there was none."""
    at_next_start: bool


@dataclass(frozen=True, slots=True)
class KeyRotated:
    """What a change of the master key did."""

    secrets: int
    """Sealed anew."""
    pause_ms: int
    """For so long the journal could not be written."""
    recovery_key_ended: bool
    """There was a recovery key; make a new one."""
    backups_foreign: int
    """Files in the backup folder that another vault's key opens, or that cannot be read."""
    still_old: tuple[str, ...]
    """What was set aside earlier and still opens with its old key, if at all."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One database, every page read and authenticated."""

    name: str
    size: int
    damage: str
    """Empty: sound."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What retention dropped."""

    notifications: int
    sync_runs: int
    ticks: int
    """Blocks of a minute of one instrument."""
    ticks_oldest: Nanos | None
    """Of what is left."""


@dataclass(frozen=True, slots=True)
class DataView:
    """The profile's files, for the Data page."""

    profile: str
    book_bytes: int
    journal_bytes: int
    ticks_bytes: int
    free_bytes: int
    settings: UpkeepSettings
    backup_folder: str
    backups: tuple[BackupFile, ...]
    """Newest first."""
    has_recovery_key: bool
    asks_passphrase: bool
    """The vault has a passphrase, which a change of keys asks for."""
    set_aside: tuple[str, ...]
    restore_waits: bool
    """A restored backup takes its place at the next start."""
    ticks_oldest: Nanos | None = None
    """When the oldest recorded tick was kept."""
