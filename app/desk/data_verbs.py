"""Backup, restore, new keys and doctor for the command line: the same verbs, whether the desk is in this process or in
a running workstation on the other end of the profile's local socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from app.desk.api import Desk
from app.desk.data_messages import BackupMade, KeyRotated, Restored, Tidied
from app.desk.remote import Verb, call
from app.domain.health import Finding
from app.domain.report import ReportSaved
from app.runtime import redaction
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret

_SECONDS = 3600.0
"""A large profile on a slow disk."""


class DataCommands(Protocol):
    """The part of a desk that these commands use. Raises AppError."""

    async def backup(self, file: str | None) -> BackupMade:
        """A verified backup; the name is an absolute path."""
        ...

    async def restore(self, file: str, passphrase: Secret | None) -> Restored:
        """A backup in the profile's place, now or at the workstation's next start."""
        ...

    async def rotate_keys(self, passphrase: Secret | None) -> KeyRotated:
        """New keys for everything; the passphrase is asked for again where there is one."""
        ...

    async def tidy(self, kept: Mapping[str, int]) -> Tidied:
        """Retention now. `kept`: fields of the settings to change first."""
        ...

    async def doctor(self) -> tuple[Finding, ...]:
        """What works and what does not."""
        ...

    async def save_report(self, file: str) -> ReportSaved:
        """A masked report to send, in a new file; a whole path."""
        ...


class DirectData:
    """A desk in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def backup(self, file: str | None) -> BackupMade:
        """As the desk does it."""
        return await self._desk.data.backup(file)

    async def restore(self, file: str, passphrase: Secret | None) -> Restored:
        """As the desk does it."""
        if passphrase is not None:
            redaction.redact(passphrase)
        return await self._desk.data.restore(file, passphrase)

    async def rotate_keys(self, passphrase: Secret | None) -> KeyRotated:
        """As the desk does it."""
        return await self._desk.data.rotate_key(passphrase)

    async def tidy(self, kept: Mapping[str, int]) -> Tidied:
        """As the desk does it."""
        if kept:
            old = (await self._desk.data.view()).settings
            new = replace(
                old,
                ticks_days=kept.get("ticks_days", old.ticks_days),
                ticks_megabytes=kept.get("ticks_megabytes", old.ticks_megabytes),
                notifications_days=kept.get("notifications_days", old.notifications_days),
                sync_log_days=kept.get("sync_log_days", old.sync_log_days),
            )
            await self._desk.data.save_settings(new)
        return await self._desk.data.tidy()

    async def doctor(self) -> tuple[Finding, ...]:
        """As the desk sees it."""
        return tuple(await self._desk.health.look())

    async def save_report(self, file: str) -> ReportSaved:
        """As the desk does it."""
        return await self._desk.reports.save(file)


class RemoteData:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def backup(self, file: str | None) -> BackupMade:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("backup", {"file": file}), BackupMade)

    async def restore(self, file: str, passphrase: Secret | None) -> Restored:
        """The same, in the workstation: the passphrase crosses the private socket only."""
        params = {"file": file, "passphrase": None if passphrase is None else passphrase.reveal()}
        return msgspec.convert(await self._call("restore", params), Restored)

    async def rotate_keys(self, passphrase: Secret | None) -> KeyRotated:
        """The same, in the workstation; stops stay watched."""
        params = {"passphrase": None if passphrase is None else passphrase.reveal()}
        return msgspec.convert(await self._call("rotate-keys", params), KeyRotated)

    async def tidy(self, kept: Mapping[str, int]) -> Tidied:
        """The same, in the workstation."""
        return msgspec.convert(await self._call("tidy", {"kept": dict(kept)}), Tidied)

    async def doctor(self) -> tuple[Finding, ...]:
        """The same, in the workstation: its feeds and its open stores are looked at."""
        return msgspec.convert(await self._call("doctor", {}), tuple[Finding, ...])

    async def save_report(self, file: str) -> ReportSaved:
        """The same, in the workstation; it writes the file itself."""
        return msgspec.convert(await self._call("report", {"file": file}), ReportSaved)

    async def _call(self, verb: str, params: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(call, self._paths, verb, params, timeout=_SECONDS)


def data_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""
    direct = DirectData(desk)

    async def backup(params: Mapping[str, Any]) -> BackupMade:
        return await direct.backup(params["file"])

    async def restore(params: Mapping[str, Any]) -> Restored:
        typed = params["passphrase"]
        return await direct.restore(params["file"], None if typed is None else Secret(typed))

    async def rotate(params: Mapping[str, Any]) -> KeyRotated:
        typed = params["passphrase"]
        return await direct.rotate_keys(None if typed is None else Secret(typed))

    async def doctor(_: Mapping[str, Any]) -> tuple[Finding, ...]:
        return await direct.doctor()

    async def tidy(params: Mapping[str, Any]) -> Tidied:
        return await direct.tidy(params["kept"])

    async def report(params: Mapping[str, Any]) -> ReportSaved:
        return await direct.save_report(params["file"])

    return {
        "report": report,
        "tidy": tidy,
        "backup": backup,
        "restore": restore,
        "rotate-keys": rotate,
        "doctor": doctor,
    }
