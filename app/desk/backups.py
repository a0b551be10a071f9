"""Backups of the profile and their return (B7). The long work is done in a helper process; nothing here waits for it
but the caller: the stores go on while their files are read (`Store.frozen`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from app import __version__
from app.desk.data_messages import BackupMade, Restored
from app.desk.opening import RESTORED
from app.desk.rotation import deny_while_firing, keys_renewed
from app.desk.settle import SCRATCH, carry_through
from app.desk.workspace import Workspace
from app.domain.errors import Damaged, Denied, WrongPassphrase
from app.runtime.clock import SystemClock, to_datetime
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from app.storage import switch
from app.storage.backups import BY_HAND, backup_files, backup_name, head, replace_head, room_for
from app.storage.container import Manifest, read_lock
from app.storage.database import StoreKind, translated
from app.storage.files import SIDE_FILES
from app.storage.key_check import key_check_file, remember_key
from app.storage.migrations import NEWEST
from app.storage.sealed import nothing_else, sealed_in
from app.storage.snapshot import Plan, Source, copy_under_key, read_backup, write_backup
from app.storage.switch import STAGING, VAULT, Move, Switch
from app.vault import wrapping
from app.vault.backup_lock import BackupLock, new_lock, parse_lock
from app.vault.keys import MasterKeys
from app.vault.vault import Vault
from app.vault.vault_file import VaultFile, save

log = logging.getLogger(__name__)

OTHERS = ("settings.json", "window.ini")
"""Small files of the profile that go with the databases."""


class Backups:
    """Makes and returns backups. Loop thread; one piece of work at a time is the caller's business."""

    def __init__(self, workspace: Workspace, helper: Helper) -> None:
        self._workspace = workspace
        self._helper = helper
        self._profile = workspace.profile
        self._vault: Vault = workspace.vault

    async def make(self, target: Path | None, folder: Path, by: str = BY_HAND) -> BackupMade:
        """A verified backup in a new file: `target`, or one named by the moment in `folder`.

        Raises DiskFull, StorageError, Damaged (the profile's own file is); a file that is not verified is not left
        behind. It holds up no exit, and waits for none: one whose market is locked may stand all day.
        """
        now = SystemClock().now()
        file = (target or folder / backup_name(datetime.now(UTC), by)).absolute()
        await asyncio.to_thread(room_for, file)
        book, journal = self._workspace.book.store, self._workspace.journal.store
        backup = secrets.token_hex(16)
        keys = self._vault.keys()
        try:
            lock = new_lock(await asyncio.to_thread(self._vault.file), keys, backup)
            async with self.scratch() as scratch, book.frozen(nothing_else), journal.frozen(nothing_else):
                plan = Plan(
                    backup,
                    now,
                    __version__,
                    file,
                    lock.to_bytes(),
                    lock.key(keys),
                    tuple(self._source(self._profile, kind, keys) for kind in StoreKind),
                    tuple(path for name in OTHERS if (path := self._profile / name).is_file()),
                )
                manifest = await self._helper.call(write_backup, plan, scratch)
        finally:
            keys.wipe()
        size = (await asyncio.to_thread(file.stat)).st_size
        log.info("backup %s: %d bytes, %d rows", file.name, size, _rows(manifest))
        return BackupMade(str(file), size, _rows(manifest), now)

    async def restore(self, file: Path, passphrase: Secret | None) -> Restored:
        """Puts a backup in the profile's place. What is there now is set aside in a folder of its own.

        `passphrase` is the backup's, or its recovery key; None: the keyring's entry, or the vault that is open. While
        the profile is open the change waits for the next start. Raises WrongPassphrase, Damaged, Denied while stops
        are armed or firing, DiskFull, StorageError; then nothing has changed.
        """
        self._deny_restore()
        lock = parse_lock(await asyncio.to_thread(read_lock, file))
        keys = await asyncio.to_thread(self._keys_for, lock.vault, passphrase)
        try:
            day = lock.keys_of_the_day(keys)
            folder = await asyncio.to_thread(switch.staging, self._profile)
            try:
                manifest = await self._stage(file, lock, keys, day, folder)
                todo = await asyncio.to_thread(self._todo, manifest)
                self._deny_restore()
                self._workspace.replaced = self._workspace.is_open
                await asyncio.to_thread(switch.commit, self._profile, todo)
            except BaseException:
                self._workspace.replaced = switch.pending(self._profile) is not None
                if switch.pending(self._profile) is None:
                    await asyncio.to_thread(switch.finish, self._profile)
                raise
            finally:
                day.wipe()
        finally:
            keys.wipe()
        waits = self._workspace.is_open
        if not waits:
            await asyncio.to_thread(carry_through, self._profile, todo, self._vault)
        aside = sorted({move.target.rpartition("/")[0] for move in todo.aside})
        return Restored(str(file), manifest.made_at, _rows(manifest), aside[0] if aside else "", waits)

    async def new_heads(self, folder: Path) -> None:
        """After a changed passphrase: what opened these backups before does so no longer."""

        def work() -> None:
            file = self._vault.file()
            for path in backup_files(folder):
                text = head(path)
                lock = None if text is None else parse_lock(text)
                if lock is not None and lock.vault.vault_id == file.vault_id and lock.vault != file:
                    replace_head(path, BackupLock(lock.backup, file, lock.sealed_key, lock.sealed_master).to_bytes())

        await asyncio.to_thread(work)

    def _deny_restore(self) -> None:
        deny_while_firing(self._workspace)
        desks = self._workspace.accounts.values()
        armed = sum(desk.stops.armed for desk in desks)
        if armed:
            raise Denied(
                f"{armed} {'stop is' if armed == 1 else 'stops are'} armed; a restored profile would not know of them.",
                "Disarm them first, or hand them to the broker.",
            )
        running = sum(one.state.is_running for desk in desks for one in desk.strategies.strategies)
        if running:
            raise Denied(
                f"{running} {'strategy runs' if running == 1 else 'strategies run'}; a restored profile would not know"
                " what they buy.",
                "Stop them first.",
            )
        if switch.pending(self._profile) is not None:
            raise Denied("A restored backup waits for the next start already.", "Start Stopline again first.")

    def _keys_for(self, file: VaultFile, passphrase: Secret | None) -> MasterKeys:
        if passphrase is None and self._vault.is_open and self._vault.file().vault_id == file.vault_id:
            return self._vault.keys()
        if passphrase is None:
            return self._keys_without_passphrase(file)
        try:
            return self._vault.keys_of(file, passphrase)
        except WrongPassphrase:
            if file.recovery is None:
                raise
            with contextlib.suppress(WrongPassphrase):
                return MasterKeys(wrapping.master_by_recovery(file, passphrase))
            raise

    def _keys_without_passphrase(self, file: VaultFile) -> MasterKeys:
        asked = WrongPassphrase("The backup needs its passphrase.", "Type the passphrase of the day it was made.")
        if file.keyring is None:
            raise asked
        try:
            return self._vault.keys_of(file, None)
        except (Denied, Damaged) as failure:
            if file.passphrase is None:
                raise
            raise asked from failure

    async def _stage(self, file: Path, lock: BackupLock, keys: MasterKeys, day: MasterKeys, folder: Path) -> Manifest:
        """The backup's files in the staging, under the keys that its head opens."""
        databases = {kind.file_name: day.database_key(kind.value).reveal() for kind in StoreKind}
        newest = {kind.file_name: NEWEST[kind] for kind in StoreKind}
        manifest = await self._helper.call(read_backup, file, lock.key(keys), lock.backup, databases, folder, newest)
        if day.master != keys.master:
            # Made before a rotation of the keys: its content still has the keys of the day.
            async with self.scratch() as scratch:
                for kind in StoreKind:
                    (folder / kind.file_name).rename(scratch / kind.file_name)
                    source = self._source(scratch, kind, day)
                    renewed = (
                        keys_renewed(await self._helper.call(sealed_in, source), day, keys)
                        if kind is StoreKind.BOOK
                        else []
                    )
                    target = self._source(folder, kind, keys)
                    await self._helper.call(copy_under_key, source, target, tuple(renewed))

        def finish() -> None:
            for kind in StoreKind:
                remember_key(folder / kind.file_name, keys.database_key(kind.value))
            (folder / RESTORED).write_text(str(manifest.made_at), encoding="ascii")

        await asyncio.to_thread(translated, folder, finish)
        await asyncio.to_thread(save, folder / VAULT, lock.vault)
        return manifest

    def _todo(self, manifest: Manifest) -> Switch:
        new = [VAULT, RESTORED, *(member.name for member in manifest.members)]
        new += [key_check_file(Path(kind.file_name)).name for kind in StoreKind]
        logs = [kind.file_name + side for kind in StoreKind for side in SIDE_FILES]
        where = f"set-aside/{to_datetime(SystemClock().now()).strftime('%Y%m%dT%H%M%S')}-before-restore"
        while (self._profile / where).exists():
            where += "-2"
        # The logs of open files come and go; they are never among the new files, so naming them is safe.
        there = [name for name in new if (self._profile / name).exists()]
        there += logs if there else []
        return Switch(
            "restore",
            aside=tuple(Move(name, f"{where}/{name}") for name in there),
            moves=tuple(Move(f"{STAGING}/{name}", name) for name in new),
        )

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """An empty folder in the profile for as long as it is needed. Raises StorageError."""
        folder = self._profile / SCRATCH

        def make() -> None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)

        await asyncio.to_thread(translated, folder, make)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    @staticmethod
    def _source(folder: Path, kind: StoreKind, keys: MasterKeys) -> Source:
        return Source(folder / kind.file_name, keys.database_key(kind.value).reveal())


def _rows(manifest: Manifest) -> int:
    return sum(rows for digests in manifest.digests.values() for name, (rows, _) in digests.items() if name)
