"""A new master key for the profile: every sealed secret sealed anew, both databases re-keyed (B4).

1. A new key is wrapped in the ways of the old one, and both databases are copied under it in the folder `staging`, in
   a helper process, while everything goes on: the files rest (`Store.frozen`), what is written meanwhile goes to the
   logs beside them. The copies are compared with the originals row by row.
2. Both stores are held. Was anything written since, the copies are made again; from the third time on while the book,
   and at the very end the journal, is held. Then the files are closed, the switch is committed by one rename
   (`storage.switch`), the new files take their places and are opened.

Killed before the rename, the profile is the old one and the staging is thrown away; killed after it, the next start
finishes the renames before it opens anything. Disk full in step 1 changes nothing: the rename is all that is left.

**The engine keeps guarding.** The journal answers all through step 1. In step 2 it pauses for the renames, some ten
milliseconds, in the worst case for one copy of its own few megabytes. A stop that is hit in this pause fires as ever:
its exit was prepared and written to the journal when it was armed, its tag is in the old file and in the new one, and
the way from price to order needs no journal. What waits is the line that says so. Where an exit is on its way already,
a rotation does not begin, and waits before its switch until none is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from app.desk.data_messages import KeyRotated
from app.desk.paper import ACCOUNT
from app.desk.quotes import KEYS_OF_QUOTES
from app.desk.settle import carry_through
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied, StorageError
from app.domain.ids import AccountId
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from app.storage import switch
from app.storage.backups import backup_files, staged_head
from app.storage.container import read_lock
from app.storage.database import StoreKind, translated
from app.storage.files import SIDE_FILES
from app.storage.key_check import key_check_file, remember_key
from app.storage.sealed import Secrets, nothing_else, read_sealed, write_sealed
from app.storage.snapshot import Reseal, Source, copy_under_key
from app.storage.store import HeldStore
from app.storage.switch import STAGING, VAULT, Move, Switch
from app.vault.backup_lock import parse_lock
from app.vault.keys import MasterKeys
from app.vault.vault import Rotation
from app.vault.vault_file import save

log = logging.getLogger(__name__)

TRIES = 3
"""Copies made while everything goes on, before the last one is made with the stores held."""
EXIT_SECONDS = 60.0
"""How long the switch waits for an exit that is on its way."""


def deny_while_firing(workspace: Workspace) -> None:
    """Raises Denied: first the exits, then the housekeeping."""
    exiting = sum(desk.stops.exiting for desk in workspace.accounts.values())
    if exiting:
        raise Denied("A stop is firing.", "Try again when its position is closed.")


def keys_renewed(found: Secrets, old: MasterKeys, new: MasterKeys) -> list[Reseal]:
    """Every secret that opens with the old key, in its new form. What opens with no account's key is left alone."""
    renewed = []
    everyone = [AccountId(account) for account in found.accounts] + [ACCOUNT, KEYS_OF_QUOTES]
    for secret in found.sealed:
        for owner in [AccountId(secret.owner)] if secret.owner else everyone:
            plain = old.unsealed(owner, secret.sealed)
            if plain is not None:
                renewed.append(secret.renewed(new.seal(owner, plain)))
                break
    return renewed


class KeyRotation:
    """One rotation. Loop thread; made for one use."""

    def __init__(self, workspace: Workspace, helper: Helper, backups: Path) -> None:
        self._workspace = workspace
        self._helper = helper
        self._backups = backups
        self._profile = workspace.profile
        self._book = workspace.book.store
        self._journal = workspace.journal.store

    async def run(self, current: Secret | None) -> KeyRotated:
        """Raises WrongPassphrase, Denied, DiskFull, StorageError; then the profile is as it was."""
        deny_while_firing(self._workspace)
        if switch.pending(self._profile) is not None:
            raise Denied("A restored backup waits for the next start.", "Start Stopline again first.")
        vault = self._workspace.vault
        old = vault.keys()
        rotation = await asyncio.to_thread(vault.prepare_rotation, current)
        try:
            return await self._run(rotation, old)
        except BaseException:
            if switch.pending(self._profile) is None:
                vault.forget(rotation.new.vault_id)
                await asyncio.to_thread(switch.finish, self._profile)
            raise
        finally:
            old.wipe()

    async def _run(self, rotation: Rotation, old: MasterKeys) -> KeyRotated:
        began = time.monotonic()
        folder = await asyncio.to_thread(switch.staging, self._profile)
        await asyncio.to_thread(switch.mark, folder, rotation.new.vault_id)
        await asyncio.to_thread(save, folder / VAULT, rotation.new)
        heads, foreign = await asyncio.to_thread(self._stage_heads, folder, rotation, old)
        pause = None
        for _ in range(TRIES):
            async with self._book.frozen(read_sealed) as found, self._journal.frozen(nothing_else):
                resealed = keys_renewed(found, old, rotation.keys)
                await self._copy(StoreKind.BOOK, old, rotation.keys, resealed)
                await self._copy(StoreKind.JOURNAL, old, rotation.keys)
                await self._exits_done()
                async with self._book.held() as book, self._journal.held() as journal:
                    if self._book.untouched and self._journal.untouched:
                        pause = await self._switch(rotation, heads, book, journal)
            if pause is not None:
                break
            log.info("the profile was written to while its copies were made; once more")
        else:
            pause, resealed = await self._last_try(rotation, old, heads)
        return await self._done(rotation, old, len(resealed), pause or 0.0, foreign, began)

    async def _last_try(self, rotation: Rotation, old: MasterKeys, heads: Sequence[Move]) -> tuple[float, list[Reseal]]:
        """With the book held while it is copied, and then the journal too."""
        await self._exits_done()
        async with self._book.held() as book:
            resealed = keys_renewed(await book.freeze(read_sealed), old, rotation.keys)
            await self._copy(StoreKind.BOOK, old, rotation.keys, resealed)
            async with self._journal.held() as journal:
                began = time.monotonic()
                await journal.freeze(nothing_else)
                await self._copy(StoreKind.JOURNAL, old, rotation.keys)
                await self._switch(rotation, heads, book, journal)
                return time.monotonic() - began, resealed

    async def _copy(self, kind: StoreKind, old: MasterKeys, new: MasterKeys, reseals: Sequence[Reseal] = ()) -> None:
        target = self._profile / STAGING / kind.file_name
        key = new.database_key(kind.value)
        await self._helper.call(
            copy_under_key,
            Source(self._profile / kind.file_name, old.database_key(kind.value).reveal()),
            Source(target, key.reveal()),
            tuple(reseals),
        )
        await asyncio.to_thread(translated, target, lambda: remember_key(target, key))

    async def _exits_done(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + EXIT_SECONDS
        while loop.time() < deadline:
            if not any(desk.stops.exiting for desk in self._workspace.accounts.values()):
                return
            await asyncio.sleep(0.1)
        deny_while_firing(self._workspace)

    async def _switch(self, rotation: Rotation, heads: Sequence[Move], book: HeldStore, journal: HeldStore) -> float:
        """Returns the seconds for which nothing could be read or written."""
        began = time.monotonic()
        # Whoever waits for the rotation may go away; a switch that was begun is brought to its end.
        await asyncio.shield(asyncio.ensure_future(self._switched(rotation, heads, book, journal)))
        return time.monotonic() - began

    async def _switched(self, rotation: Rotation, heads: Sequence[Move], book: HeldStore, journal: HeldStore) -> None:
        vault = self._workspace.vault
        todo = self._todo(rotation, heads)
        stores = ((book, StoreKind.BOOK), (journal, StoreKind.JOURNAL))
        for store, _ in stores:
            await store.close_file()
        try:
            await asyncio.to_thread(switch.commit, self._profile, todo)
        except BaseException:
            for store, kind in stores:
                await store.open_file(vault.database_key(kind.value))
            raise
        try:
            # The list goes before the files are opened: done again later, it would remove their logs.
            await asyncio.to_thread(carry_through, self._profile, todo, vault)
        except StorageError as failure:
            unfinished = StorageError(
                "The keys were changed, but the disk did not let the new files take their places; nothing is lost.",
                "Close Stopline and start it again at once: it ends the change first. Until then stops are not kept.",
                detail=failure.cause,
            )
            for store, _ in stores:
                await store.refuse(unfinished)
            raise unfinished from failure
        vault.adopt(rotation)
        for store, kind in stores:
            await store.open_file(vault.database_key(kind.value))

    def _todo(self, rotation: Rotation, heads: Sequence[Move]) -> Switch:
        names = [VAULT]
        for kind in StoreKind:
            names += [kind.file_name, key_check_file(Path(kind.file_name)).name]
        before = [path.name for kind in StoreKind for path in self._profile.glob(f"{kind.file_name}.before-*")]
        logs = [kind.file_name + side for kind in StoreKind for side in SIDE_FILES]
        return Switch(
            "rotation",
            remove=(*logs, *before),
            moves=tuple(Move(f"{STAGING}/{name}", name) for name in names),
            heads=tuple(heads),
            retired=(rotation.old.vault_id,),
        )

    def _stage_heads(self, folder: Path, rotation: Rotation, old: MasterKeys) -> tuple[list[Move], int]:
        """New heads for the backups that the old key opens; how many others there are."""
        heads: list[Move] = []
        foreign = 0
        for path in backup_files(self._backups):
            try:
                lock = parse_lock(read_lock(path)).rewrapped(old, rotation.keys, rotation.new)
            except AppError as failure:
                log.info("%s keeps its own key: %s", path.name, failure.cause)
                foreign += 1
                continue
            heads.append(staged_head(folder, path, lock.to_bytes(), len(heads)))
        return heads, foreign

    async def _done(
        self, rotation: Rotation, old: MasterKeys, resealed: int, pause: float, foreign: int, began: float
    ) -> KeyRotated:
        workspace = self._workspace
        # Writes that were waiting came from before the switch, and may have brought secrets under the old key.
        found = await self._book.run(read_sealed)
        late = keys_renewed(found, old, rotation.keys)
        if late:
            await self._book.change(partial(write_sealed, late))
        for record in await workspace.book.accounts.load():
            workspace.records[record.id] = record
        log.info(
            "the keys were changed in %.1f s; the journal paused for %.0f ms", time.monotonic() - began, pause * 1e3
        )
        aside = [path.name for pattern in ("*.db.damaged-*", "*.db.orphaned-*") for path in self._profile.glob(pattern)]
        aside += [f"set-aside/{path.name}" for path in self._profile.glob("set-aside/*")]
        return KeyRotated(
            secrets=resealed,
            pause_ms=round(pause * 1000),
            recovery_key_ended=rotation.old.recovery is not None,
            backups_foreign=foreign,
            still_old=tuple(sorted(name for name in aside if not name.endswith(SIDE_FILES))),
        )
