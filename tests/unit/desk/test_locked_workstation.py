"""Commands on a workstation that waits for its passphrase: each says that, and none takes a locked profile for an empty
one."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app import bootstrap
from app.bootstrap import build_desk
from app.cli.commands import COULD_NOT_START, DataCommand, DeskCommand
from app.cli.main import parse
from app.cli.output import Output
from app.desk.data_verbs import RemoteData, data_verbs
from app.desk.remote import RemoteServer
from app.desk.verbs import RemoteDesk, remote_verbs
from app.runtime.paths import ProfilePaths
from app.vault.vault import Vault
from tests.unit.desk.profiles import CHEAP, PASSPHRASE

COMMANDS = (
    ["accounts"],
    ["accounts", "pause", "zerodha-AB1234"],
    ["accounts", "disconnect", "zerodha-AB1234"],
    ["sync"],
    ["sync", "--account", "zerodha-AB1234"],
    ["sync", "--account", "zerodha-AB1234", "--file", "SECRET"],
    ["connect", "zerodha", "--api-key", "k", "--api-secret-file", "SECRET"],
    ["instruments", "sync"],
    ["instruments", "stats"],
    ["flatten"],
    ["flatten", "--yes"],
    ["flights"],
    ["portfolio-stop"],
    ["portfolio-stop", "--loss", "20000"],
    ["quotes"],
    ["metrics"],
    ["export", "fills", "NEW"],
    ["backup", "NEW"],
    ["tidy"],
    ["rotate-keys"],
)


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[ProfilePaths]:
    paths = ProfilePaths(tmp_path / "profile")
    paths.create()
    await asyncio.to_thread(Vault(paths.root, cost=CHEAP).create, PASSPHRASE, use_keyring=False)
    desk = await build_desk(paths, paper=False, guarding=False)
    verbs = {**remote_verbs(desk, lambda: None), **data_verbs(desk)}
    server = RemoteServer(paths, verbs, asyncio.get_running_loop())
    server.start()
    yield paths
    await asyncio.to_thread(server.stop)
    await desk.stop()


async def test_each_command_says_that_the_profile_is_locked(locked: ProfilePaths, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    await asyncio.to_thread(secret.write_text, "s3cret\n")
    places = {"SECRET": str(secret), "NEW": str(tmp_path / "new")}
    for words in COMMANDS:
        command = parse([*(places.get(word, word) for word in words), "--json", "--profile", str(locked.root)])
        out = Output(io.StringIO(), io.StringIO(), as_json=True)
        if isinstance(command, DataCommand):
            code = await bootstrap._data_command(RemoteData(locked), command, out)
        else:
            assert isinstance(command, DeskCommand)
            code = await bootstrap._command(RemoteDesk(locked), command, out)
        assert isinstance(out.stdout, io.StringIO)
        told = json.loads(out.stdout.getvalue())
        assert (words, code, told["ok"]) == (words, COULD_NOT_START, False), told
        assert (words, told["error"]["kind"], told["error"]["next_step"]) == (
            words,
            "VaultLocked",
            "Unlock the profile first.",
        )
    assert not (tmp_path / "new").exists()
