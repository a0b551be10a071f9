"""`kill -9` at random moments of a change of keys: the profile is the old or the new one, whole, and it opens.

STOPLINE_ROTATION_KILLS sets how often (10), STOPLINE_SEED where the seeds begin.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from app.bootstrap import build_desk
from app.runtime.paths import ProfilePaths
from app.storage import switch
from tests.unit.desk.profiles import PASSPHRASE, left_over, make_profile, opened, rows

KILLS = int(os.environ.get("STOPLINE_ROTATION_KILLS", "10"))
SEED = int(os.environ.get("STOPLINE_SEED", "1"))

ROTATE = """
import asyncio, os, signal, sys, time
from pathlib import Path
from tests.unit.desk.profiles import PASSPHRASE, opened

def kill_at(number):
    # Between any two calls that change a folder: the places where only some of the files are the new ones.
    left = number
    for module, name in ((os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir"), (os, "mkdir"), (os, "fsync")):
        def counted(*args, _real=getattr(module, name), **kwargs):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return _real(*args, **kwargs)
        setattr(module, name, counted)
    return lambda: number - left

async def main():
    async with opened(Path(sys.argv[1])) as desk:
        await desk.data.helper.call(len, "")  # the helper is up: what follows is the change alone
        count = kill_at(int(sys.argv[2]))
        print("begin", flush=True)
        began = time.monotonic()
        await desk.data.rotate_key(PASSPHRASE)
        print(f"{time.monotonic() - began} {count()}", flush=True)

asyncio.run(main())
"""


def rotated(profile: Path, *, call: int = 0, after: float | None = None) -> str:
    """Runs the change until it ends, or is killed: at its `call`th call of a kind, or `after` so many seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", ROTATE, str(profile), str(call)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        if after is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(after)
            process.kill()
        return process.stdout.read()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.timeout(60 + 10 * KILLS)
async def test_a_change_of_keys_that_is_killed_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    before = await make_profile(tmp_path)
    seconds, calls = (float(part) for part in rotated(tmp_path).split())
    seen = {"old": 0, "new": 0}
    for seed in range(SEED, SEED + KILLS):
        dice = random.Random(seed)
        kept = (tmp_path / "vault.json").read_bytes()
        # Even seeds between two changes of a folder, odd ones at any moment, also while the helper copies.
        if seed % 2:
            told = rotated(tmp_path, after=dice.uniform(0, 1.2 * seconds))
        else:
            told = rotated(tmp_path, call=dice.randint(1, int(calls)))
        committed = (tmp_path / switch.FILE_NAME).exists()
        async with opened(tmp_path) as desk:
            assert await rows(desk) == before, seed
        assert left_over(tmp_path) == [], seed
        changed = (tmp_path / "vault.json").read_bytes() != kept
        assert changed or not (told or committed), seed  # what was answered or committed is the new state
        seen["new" if changed else "old"] += 1
    assert sum(seen.values()) == KILLS
    async with opened(tmp_path) as desk:
        assert [found.damage for found in await desk.data.check_files()] == ["", ""]


@pytest.mark.parametrize("verb", ["rotate", "restore"])
async def test_a_kill_before_each_rename_of_the_switch_is_finished_by_the_next_start(tmp_path: Path, verb: str) -> None:
    """Not at random: every step after the commit, on one profile."""
    before = await make_profile(tmp_path, fills=5)
    async with opened(tmp_path) as desk:
        made = await desk.data.backup()
    do = rotated_here if verb == "rotate" else partial(restored_here, made.file)
    steps = 0
    for step in range(1, 40):
        states = await killed_in_switch(tmp_path, step, do)
        async with opened(tmp_path) as desk:
            assert await rows(desk) == before, step
        assert left_over(tmp_path) == []
        if states == "done":
            break
        steps = step
    assert steps >= 5
    assert os.listdir(tmp_path / "backups") == [os.path.basename(made.file)]


class Killed(BaseException):
    """Nobody catches this."""


async def killed_in_switch(profile: Path, step: int, do: Callable[[Path], Awaitable[None]]) -> str:
    """A committed change whose carrying out is cut off before its `step`th rename or deletion."""
    left = step
    real = {name: getattr(Path, name) for name in ("rename", "replace", "unlink")}

    def counted(name: str) -> Callable[..., object]:
        def call(self: Path, *args: object, **kwargs: object) -> object:
            nonlocal left
            if (profile / switch.FILE_NAME).exists():
                left -= 1
                if left == 0:
                    raise Killed
            return real[name](self, *args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(Path, name, counted(name))
        try:
            await do(profile)
        except Killed:
            return "killed"
    return "done"


async def rotated_here(profile: Path) -> None:
    async with opened(profile) as desk:
        await desk.data.rotate_key(PASSPHRASE)


async def restored_here(file: str, profile: Path) -> None:
    """As the command does it: the profile is not opened."""
    desk = await build_desk(ProfilePaths(profile), paper=False, guarding=False)
    try:
        await desk.data.restore(file, PASSPHRASE)
    finally:
        await desk.stop()
