"""Real profiles with something in every place that a backup or a change of keys must bring along."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.bootstrap import build_desk
from app.brokers import tally
from app.desk.desk import LocalDesk
from app.desk.paper import ACCOUNT, SETTING
from app.domain.account import Endpoints
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from app.storage.accounts import AccountRecord
from app.storage.store import Store
from app.vault.keystore import Keystore
from app.vault.sealing import KdfCost
from app.vault.vault import Vault
from tests.unit.storage.samples import A, B, entry, exit_of, fill, finished_stop, stop

CHEAP = KdfCost(memory_kib=19_456, iterations=1, lanes=1)
PASSPHRASE = Secret("canary-passphrase-7f3a")
ENDPOINTS = Endpoints("https://api.test", "https://login.test", "wss://ws.test", "http://127.0.0.1:1/r")

Rows = dict[str, list[tuple[Any, ...]]]


@asynccontextmanager
async def opened(profile: Path, passphrase: Secret | None = PASSPHRASE) -> AsyncIterator[LocalDesk]:
    """The desk of a command, with the profile unlocked. What other tests of this process asked is not counted in it."""
    tally.shared().take()
    desk = await build_desk(ProfilePaths(profile), paper=False, guarding=False)
    try:
        await desk.session.unlock(passphrase)
        yield desk
    finally:
        await desk.stop()


async def make_profile(profile: Path, fills: int = 200, *, armed: bool = True) -> Rows:
    """A profile with accounts, sealed secrets, fills, stops and an audit trail; its rows."""
    paths = ProfilePaths(profile)
    paths.create()
    Vault(profile, Keystore(), CHEAP).create(PASSPHRASE, use_keyring=False)
    (profile / "settings.json").write_text('{"log_level": "info"}')
    async with opened(profile) as desk:
        workspace = desk._workspace
        vault = workspace.vault
        for account in (A, B):
            sealed = vault.seal(account, Secret(f"canary-secret of {account}"))
            token = vault.seal(account, Secret(f"canary-token of {account}"))
            await workspace.save(
                AccountRecord(account, "zerodha", ENDPOINTS, "key", sealed_secret=sealed, sealed_token=token)
            )
        paper = vault.seal(ACCOUNT, Secret("canary-paper"))
        await workspace.book.settings.put(SETTING, json.dumps(paper.hex()))
        await workspace.book.fills.write([(fill(n), "{}") for n in range(1, fills + 1)])
        await workspace.book.fills.delete(fill(3).id)
        for guarded in (stop(1) if armed else finished_stop(1), finished_stop(2)):
            await workspace.journal.save_stop(guarded, entry(), exit_of(guarded))
        await desk.sync.rebuild()
        return await rows(desk)


async def rows(desk: LocalDesk) -> Rows:
    """Every row of both databases. Sealed secrets stand there opened: their bytes change with the key."""
    workspace = desk._workspace
    found: Rows = {}
    for store in (workspace.book.store, workspace.journal.store):
        found |= {f"{store.path.name}:{name}": lines for name, lines in (await _tables(store)).items()}
    accounts = await workspace.book.accounts.load()
    opened_ = [workspace.vault.open(r.id, s).reveal() for r in accounts for s in (r.sealed_secret, r.sealed_token) if s]
    kept = await workspace.book.settings.get(SETTING)
    if kept is not None:
        opened_.append(workspace.vault.open(ACCOUNT, bytes.fromhex(json.loads(kept))).reveal())
    found["secrets"] = [(secret,) for secret in opened_]
    return found


async def _tables(store: Store) -> Rows:
    def read(connection: Any) -> Rows:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        names = [name for (name,) in connection.exec_driver_sql(query)]
        found = {}
        for name in names:
            columns = [row[1] for row in connection.exec_driver_sql(f'PRAGMA table_info("{name}")')]
            kept = ", ".join(c for c in columns if not c.startswith("sealed_"))
            lines = connection.exec_driver_sql(f'SELECT {kept} FROM "{name}"').fetchall()  # noqa: S608
            # The housekeeping's own notes, and the sealed setting, are compared apart.
            apart = (SETTING, "upkeep.tidied_at", "upkeep.checked_at")
            found[name] = sorted(tuple(line) for line in lines if name != "settings" or line[0] not in apart)
        return found

    return await store.run(read)


def left_over(profile: Path) -> list[str]:
    """Files that a change which is over must not leave behind."""
    names = ("staging", "switch.json", ".scratch")
    found = [name for name in names if (profile / name).exists()]
    return found + [path.name for path in profile.rglob("*") if path.name.endswith((".part", ".new"))]
