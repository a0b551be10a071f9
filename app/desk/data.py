"""The profile's files: backups, restore, change of keys and passphrase, retention, checks. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from app.desk import upkeep
from app.desk.backups import Backups
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
from app.desk.rotation import KeyRotation
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date
from app.domain.errors import AppError, Damaged, Denied
from app.domain.events import Level, Noticed
from app.domain.ids import Nanos
from app.runtime.clock import SECOND, SystemClock
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from app.storage import switch
from app.storage.backups import SCHEDULED, backup_files, superfluous
from app.storage.database import StoreKind
from app.storage.retention import Retention
from app.storage.sealed import nothing_else
from app.storage.snapshot import Source, sound, sound_beside_log
from app.storage.store import CHECKED_AT_OPEN

log = logging.getLogger(__name__)
T = TypeVar("T")

SETTLE_SECONDS = 60.0
"""After the start: first the stops, then the housekeeping."""
LOOK_SECONDS = 600.0
HELPER_SECONDS = 30.0
"""A process of low priority on a busy machine takes its time to end."""
DAY: Nanos = 86_400 * SECOND
HOUR: Nanos = 3_600 * SECOND
MEGABYTE = 1_000_000
FLIGHT_DAYS = 3_650
"""A recording of an exit takes some kilobytes: ten years of them are kept."""
METRIC_DAYS = 730
"""Figures by day outlive the logs that they were worked out from."""
_TIDIED = "upkeep.tidied_at"
_CHECKED = "upkeep.checked_at"


class DataDesk:
    """Implements `desk.api.DataVerbs`. `helper` is a process of its own: a backup must not stand in the way of an
    answer of a broker that is parsed in the other one."""

    def __init__(self, workspace: Workspace, helper: Helper, otherwise: UpkeepSettings) -> None:
        self._workspace = workspace
        self.helper = helper
        """Of exports too."""
        self._otherwise = otherwise
        self._backups = Backups(workspace, helper)
        self._clock = SystemClock()
        self.on_settings: Callable[[UpkeepSettings], Awaitable[None]] = _nobody
        """Who else lives by the settings: the recorder of ticks."""
        self._one = asyncio.Lock()
        """One piece of work on whole files at a time."""

    # -- verbs -------------------------------------------------------------------------------------------------------

    async def view(self) -> DataView:
        """Sizes, backups and settings. Raises AppError."""
        settings = await self._settings()
        info = await asyncio.to_thread(self._workspace.vault.info)
        folder = self._folder(settings)
        profile = self._workspace.profile
        ticks = await self._workspace.book.ticks.span()

        def look() -> DataView:
            files = [
                BackupFile(
                    str(path), path.stat().st_size, path.stat().st_mtime_ns, scheduled=path.stem.endswith(SCHEDULED)
                )
                for path in reversed(backup_files(folder))
            ]
            aside = [*profile.glob("*.db.damaged-*"), *profile.glob("*.db.orphaned-*"), *profile.glob("set-aside/*")]
            return DataView(
                profile=str(profile),
                book_bytes=_size(profile / StoreKind.BOOK.file_name),
                journal_bytes=_size(profile / StoreKind.JOURNAL.file_name),
                ticks_bytes=ticks.size,
                free_bytes=shutil.disk_usage(profile).free,
                settings=settings,
                backup_folder=str(folder),
                backups=tuple(files),
                has_recovery_key=info.has_recovery_key,
                asks_passphrase=info.opens_with_passphrase,
                set_aside=tuple(sorted(str(path.relative_to(profile)) for path in aside)),
                restore_waits=switch.pending(profile) is not None,
                ticks_oldest=ticks.oldest,
            )

        return await asyncio.to_thread(look)

    async def save_settings(self, settings: UpkeepSettings) -> None:
        """Raises Denied for what makes no sense."""
        if settings.backup_folder and not Path(settings.backup_folder).is_absolute():
            raise Denied("The backup folder must be a whole path.", "Choose a folder.")
        await upkeep.save(self._workspace.book.settings, settings)
        await self.on_settings(settings)

    async def backup(self, file: str | None = None) -> BackupMade:
        """Raises AppError; a file that is not verified is not left behind."""
        folder = self._folder(await self._settings())
        return await self.alone(self._backups.make(Path(file) if file else None, folder))

    async def restore(self, file: str, passphrase: Secret | None = None) -> Restored:
        """Raises AppError; then nothing has changed."""
        return await self.alone(self._backups.restore(Path(file), passphrase))

    async def rotate_key(self, passphrase: Secret | None) -> KeyRotated:
        """Raises AppError; then nothing has changed."""
        folder = self._folder(await self._settings())
        rotation = KeyRotation(self._workspace, self.helper, folder)
        done = await self.alone(rotation.run(passphrase))
        if done.recovery_key_ended:
            self._notice(Level.WARNING, "The recovery key has ended", "It opened the old keys.", "Make a new one.")
        return done

    async def change_passphrase(self, current: Secret | None, new: Secret) -> None:
        """The backups in the folder open with the new one from now on, too. Raises AppError."""
        vault = self._workspace.vault
        await self.alone(self._wrapped_anew(lambda: vault.change_passphrase(current, new)))

    async def make_recovery_key(self, current: Secret | None) -> Secret:
        """To be shown once. Raises AppError."""
        vault = self._workspace.vault
        return await self.alone(self._wrapped_anew(lambda: vault.make_recovery_key(current)))

    async def _wrapped_anew(self, change: Callable[[], T]) -> T:
        done = await asyncio.to_thread(change)
        await self._backups.new_heads(self._folder(await self._settings()))
        return done

    async def check_files(self) -> tuple[FileCheck, ...]:
        """Every page of both databases. Raises AppError when that was not possible."""
        return await self.alone(self._check_files())

    async def check_closed(self) -> tuple[FileCheck, ...]:
        """Both files of a profile whose vault is open and whose files are not; nothing is set aside. Raises AppError
        when that was not possible; a file that is not there is not looked at."""
        workspace = self._workspace
        keys = workspace.vault.keys()
        found = []
        try:
            for kind in StoreKind:
                path = workspace.profile / kind.file_name
                if not path.exists():
                    continue
                source = Source(path, keys.database_key(kind.value).reveal())
                damage = ""
                async with self._backups.scratch() as scratch:
                    try:
                        await self.helper.call(sound_beside_log, source, scratch)
                    except Damaged as damaged:
                        damage = f'{damaged.cause} "{damaged.detail}"' if damaged.detail else damaged.cause
                found.append(FileCheck(kind.file_name, _size(path), damage))
        finally:
            keys.wipe()
        return tuple(found)

    async def tidy(self) -> Tidied:
        """Retention, now. Raises AppError."""
        settings = await self._settings()
        retention = Retention(self._workspace.book.store)
        now = self._clock.now()
        notifications = await retention.drop_notifications(now - settings.notifications_days * DAY)
        runs = await retention.drop_sync_logs(now - settings.sync_log_days * DAY)
        exits = await self._workspace.journal.flights.drop_before(now - FLIGHT_DAYS * DAY)
        await self._workspace.book.metrics.drop_before(ist_date(now - METRIC_DAYS * DAY).isoformat())
        recorded = self._workspace.book.ticks
        ticks = await recorded.drop_before(now - settings.ticks_days * DAY)
        capped = await recorded.drop_above(settings.ticks_megabytes * MEGABYTE)
        await self._workspace.book.settings.put(_TIDIED, str(now))
        log.info(
            "retention: %d notifications, %d sync runs, %d blocks of ticks, %d recordings of exits",
            notifications, runs, ticks + capped, exits,
        )  # fmt: skip
        oldest = (await recorded.span()).oldest
        if capped:
            self._notice(
                Level.INFO,
                "The oldest recorded ticks were dropped",
                f"They took more than {settings.ticks_megabytes} MB.",
                "The limit is on the Data page.",
            )
        return Tidied(notifications, runs, ticks + capped, oldest)

    # -- by itself ---------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """For as long as the profile is open: backups when due, retention and a look at large files once a day."""
        try:
            await self.on_settings(await self._settings())
        except AppError as failure:
            self._notice(Level.WARNING, "The data settings could not be read", failure.cause, failure.next_step)
        await asyncio.sleep(SETTLE_SECONDS)
        while True:
            await self.look_after()
            if not self._one.locked():
                # It is needed once a day; its memory is not to be held until then.
                await self.helper.stop(HELPER_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    async def look_after(self) -> None:
        """What is due now. What fails is said, and tried again at the next look."""
        try:
            if await self._is_due(_TIDIED, DAY):
                await self.tidy()
            settings = await self._settings()
            if settings.backup_every_hours and await self._backup_due(settings):
                await self._scheduled(settings)
            if await self._is_due(_CHECKED, DAY):
                await self._look_at_large_files()
        except Denied as denied:
            log.info("housekeeping waits: %s", denied.cause)
        except AppError as failure:
            self._notice(Level.ALARM, "The data could not be looked after", failure.cause, failure.next_step)

    async def _scheduled(self, settings: UpkeepSettings) -> None:
        folder = self._folder(settings)
        made = await self.alone(self._backups.make(None, folder, SCHEDULED))

        def prune() -> None:
            for path in superfluous(backup_files(folder), settings.backups_kept):
                path.unlink(missing_ok=True)

        await asyncio.to_thread(prune)
        log.info("scheduled backup %s", Path(made.file).name)

    async def _backup_due(self, settings: UpkeepSettings) -> bool:
        files = await asyncio.to_thread(backup_files, self._folder(settings))
        if not files:
            return True
        newest = await asyncio.to_thread(lambda: max(path.stat().st_mtime_ns for path in files))
        return self._clock.now() - newest >= settings.backup_every_hours * HOUR

    async def _look_at_large_files(self) -> None:
        """Small files were read whole when they were opened."""
        if any(_size(self._workspace.profile / kind.file_name) > CHECKED_AT_OPEN for kind in StoreKind):
            for found in await self.check_files():
                if found.damage:
                    self._notice(
                        Level.ALARM,
                        f"{found.name} is damaged",
                        found.damage,
                        "Start Stopline again: it sets the file aside. Then restore a backup.",
                    )
        await self._workspace.book.settings.put(_CHECKED, str(self._clock.now()))

    async def _check_files(self) -> tuple[FileCheck, ...]:
        workspace = self._workspace
        keys = workspace.vault.keys()
        checks = []
        try:
            for kind, store in ((StoreKind.BOOK, workspace.book.store), (StoreKind.JOURNAL, workspace.journal.store)):
                damage = ""
                async with store.frozen(nothing_else):
                    try:
                        await self.helper.call(sound, Source(store.path, keys.database_key(kind.value).reveal()))
                    except Damaged as damaged:
                        damage = f'{damaged.cause} "{damaged.detail}"' if damaged.detail else damaged.cause
                checks.append(FileCheck(kind.file_name, _size(store.path), damage))
        finally:
            keys.wipe()
        return tuple(checks)

    async def _is_due(self, key: str, every: Nanos) -> bool:
        text = await self._workspace.book.settings.get(key)
        last = int(text) if text is not None and text.isdigit() else 0
        # A moment in the future was written by a wrong clock.
        return not 0 <= self._clock.now() - last < every

    async def alone(self, work: Coroutine[None, None, T]) -> T:
        """One piece of work on whole files at a time. Raises Denied while another runs."""
        if self._one.locked():
            work.close()
            raise Denied("The profile's files are being worked on already.", "Wait until that is done.")
        async with self._one:
            return await work

    async def _settings(self) -> UpkeepSettings:
        if not self._workspace.is_open:
            return self._otherwise
        return await upkeep.load(self._workspace.book.settings, self._otherwise)

    def _folder(self, settings: UpkeepSettings) -> Path:
        return Path(settings.backup_folder) if settings.backup_folder else self._workspace.profile / "backups"

    def _notice(self, level: Level, title: str, cause: str, next_step: str) -> None:
        self._workspace.publish(Noticed(level, title, cause, next_step, repeat_key=f"data:{title}"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _nobody(_: UpkeepSettings) -> None:
    """Before the desk is put together."""
