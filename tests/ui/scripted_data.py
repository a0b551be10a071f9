"""The profile's files as a test wrote them; verbs are remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.desk.data_messages import (
    BackupFile,
    BackupMade,
    DataView,
    FileCheck,
    KeyRotated,
    Restored,
    Tidied,
    UpkeepSettings,
)
from app.domain.health import Finding, HealthState, PreflightReport, Remedy
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from tests.ui import scripted_market as market
from tests.ui.script import Script

SETTINGS = UpkeepSettings(30, 5120, 90, 180, 24, 14)
BACKUP = BackupFile("/p/backups/a.stopline", 1_000_000, market.NOW, scheduled=True)


class ScriptedData:
    """Implements `DataVerbs` for views."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.state = DataView(
            "/p", 9_000_000, 1_000_000, 0, 50_000_000_000, SETTINGS, "/p/backups", (), False, True, (), False
        )

    async def view(self) -> DataView:
        return self.state

    async def save_settings(self, settings: UpkeepSettings) -> None:
        await self.script.enter("save upkeep", settings)
        self.state = replace(self.state, settings=settings)

    async def backup(self, file: str | None = None) -> BackupMade:
        await self.script.enter("backup", file)
        self.state = replace(self.state, backups=(BACKUP,))
        return BackupMade(file or BACKUP.file, BACKUP.size, 1234, BACKUP.made_at)

    async def restore(self, file: str, passphrase: Secret | None = None) -> Restored:
        await self.script.enter("restore", file, passphrase)
        self.state = replace(self.state, restore_waits=True)
        return Restored(file, market.NOW, 1234, "set-aside/x", at_next_start=True)

    async def rotate_key(self, passphrase: Secret | None) -> KeyRotated:
        await self.script.enter("rotate", passphrase)
        self.state = replace(self.state, has_recovery_key=False)
        return KeyRotated(5, 20, recovery_key_ended=True, backups_foreign=0, still_old=())

    async def change_passphrase(self, current: Secret | None, new: Secret) -> None:
        await self.script.enter("change passphrase", current, new)

    async def make_recovery_key(self, current: Secret | None) -> Secret:
        await self.script.enter("recovery key", current)
        self.state = replace(self.state, has_recovery_key=True)
        return Secret("ABCD-EFGH")

    async def check_files(self) -> Sequence[FileCheck]:
        return (FileCheck("book.db", 1, ""), FileCheck("journal.db", 1, "page 7 is damaged"))

    async def tidy(self) -> Tidied:
        await self.script.enter("tidy")
        return Tidied(3, 4, 0, None)


class ScriptedHealth:
    """Implements `HealthVerbs`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.report = PreflightReport(
            market.NOW,
            (
                Finding("disk", HealthState.OK, "50.0 GB free"),
                Finding(
                    "session zerodha-1", HealthState.FAILED, "expired; 2 stops are blind", "Log in again.",
                    Remedy.LOG_IN, "zerodha-1",
                ),
                Finding("backup", HealthState.WARNING, "there is none", "Make one.", Remedy.BACK_UP),
                Finding("feed zerodha-1", HealthState.WARNING, "down", "Wait.", Remedy.RECONNECT, "zerodha-1"),
            ),
        )  # fmt: skip

    async def preflight(self) -> PreflightReport:
        await self.script.enter("preflight")
        return self.report

    async def reconnect(self, account: AccountId) -> None:
        await self.script.enter("reconnect", account)

    async def look(self) -> Sequence[Finding]:
        return (
            Finding("disk", HealthState.OK, "50.0 GB free"),
            Finding("backup", HealthState.WARNING, "there is none", "Make one."),
        )
