"""Staying awake: asked of the system by a program that ends when its input does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from app.runtime.awake import KeepAwake, MayFallAsleep, command_for
from app.runtime.notify import command_for as notice_for
from app.runtime.notify import notify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system's program is stood in for by a script")


def stand_in(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's program, for a machine without it."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


async def test_it_is_held_until_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = tmp_path / "held"
    stand_in(tmp_path, "systemd-inhibit", f'echo "$@" > {held}; cat; rm {held}', monkeypatch)
    awake = KeepAwake()
    await awake.hold("2 stops are armed")
    await awake.hold("2 stops are armed")
    assert awake.held
    assert "--what=sleep:idle" in held.read_text()
    await awake.release()
    await awake.release()
    assert not held.exists()


async def test_a_system_that_refuses_is_said_to_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "systemd-inhibit", "echo 'Access denied' >&2; exit 1", monkeypatch)
    awake = KeepAwake()
    with pytest.raises(MayFallAsleep, match="did not take the request") as raised:
        await awake.hold("a stop is armed")
    assert raised.value.detail == "Access denied"
    assert not awake.held


async def test_a_system_without_the_program_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MayFallAsleep, match="has no systemd-inhibit"):
        await KeepAwake("linux").hold("a stop is armed")
    assert await notify("Stop hit", "75 sold") is False


def test_each_system_has_its_own_means() -> None:
    assert command_for("darwin", "a stop")[0] == "caffeinate"
    assert command_for("win32", "a stop") == ()
    assert notice_for("darwin", 'say "x"', "y", urgent=True)[2].endswith('with title "say \\"x\\"" sound name "Sosumi"')


async def test_a_word_on_the_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "said"
    stand_in(tmp_path, "notify-send", f'echo "$@" > {said}', monkeypatch)
    assert await notify("Stop hit", "75 sold", urgent=True)
    assert "--urgency=critical Stop hit 75 sold" in said.read_text()
