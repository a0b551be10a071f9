"""The verbs of a profile's files and of the program's health, as `desk.api` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.desk.data_messages import BackupMade, DataView, FileCheck, KeyRotated, Restored, Tidied, UpkeepSettings
from app.domain.exports import ExportChoice, ExportMade
from app.domain.health import Finding, PreflightReport
from app.domain.ids import AccountId
from app.domain.metrics import MetricHistory
from app.domain.report import ReportMember, ReportSaved
from app.runtime.secret import Secret


class DataVerbs(Protocol):
    """The profile's files."""

    async def view(self) -> DataView:
        """Sizes, backups and settings."""
        ...

    async def save_settings(self, settings: UpkeepSettings) -> None:
        """Raises Denied for what makes no sense."""
        ...

    async def backup(self, file: str | None = None) -> BackupMade:
        """Encrypted and verified. Raises Denied for a file that is there, DiskFull, StorageError."""
        ...

    async def restore(self, file: str, passphrase: Secret | None = None) -> Restored:
        """What is there now is set aside. Raises Denied while stops are armed, WrongPassphrase, Damaged."""
        ...

    async def rotate_key(self, passphrase: Secret | None) -> KeyRotated:
        """Raises Denied while a stop is firing, WrongPassphrase, DiskFull; then nothing has changed."""
        ...

    async def change_passphrase(self, current: Secret | None, new: Secret) -> None:
        """Of the vault; backups in the folder open with the new one too. Raises WrongPassphrase."""
        ...

    async def make_recovery_key(self, current: Secret | None) -> Secret:
        """To be shown once and written down."""
        ...

    async def check_files(self) -> Sequence[FileCheck]:
        """Every page of both databases."""
        ...

    async def tidy(self) -> Tidied:
        """Retention, now."""
        ...


class HealthVerbs(Protocol):
    """What works and what does not (K1)."""

    async def look(self) -> Sequence[Finding]:
        """Everything that can be looked at, in the order in which a trader would ask."""
        ...

    async def preflight(self) -> PreflightReport:
        """The look before the market opens; a PreflightDone event brings it by itself at 08:45 on trading days."""
        ...

    async def reconnect(self, account: AccountId) -> None:
        """Drops the account's price connections and dials again. Raises Denied for an unknown account."""
        ...


class ExportVerbs(Protocol):
    """Rows for other programs."""

    async def export(self, choice: ExportChoice) -> ExportMade:
        """Raises Denied for a file that is there or a choice that makes no sense, DiskFull, StorageError."""
        ...


class MetricVerbs(Protocol):
    """Figures by day."""

    async def history(self, days: int = 30) -> MetricHistory:
        """The newest days of which there are figures, what happened a moment ago included."""
        ...


class ReportVerbs(Protocol):
    """A report to send."""

    async def preview(self) -> Sequence[ReportMember]:
        """Every file of a report of now, masked, as it would be sent."""
        ...

    async def save(self, file: str, members: Sequence[ReportMember] = ()) -> ReportSaved:
        """Writes a new zip: what was looked at, or a report of now. Raises Denied for a file that is there."""
        ...
