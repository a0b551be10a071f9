from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from app.domain.errors import StorageError
from app.runtime.paths import ProfilePaths, default_profile, program, resource


def test_the_default_profile_is_in_the_platforms_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert default_profile() == tmp_path / "stopline"
    assert default_profile().name == "stopline"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_profile_is_closed_to_others_even_when_it_was_open(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "profile"
    root.mkdir(mode=0o755, parents=True)
    paths = ProfilePaths(root)
    paths.create()
    paths.create()
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (root, paths.logs, paths.crash, paths.exchange)}
    assert set(modes.values()) == {0o700}


def test_every_file_of_a_profile_is_inside_it_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    paths = ProfilePaths(tmp_path)
    files = [getattr(paths, name) for name in dir(ProfilePaths) if isinstance(getattr(ProfilePaths, name), property)]
    assert len(files) >= 8
    assert len(set(files)) == len(files)
    assert all(file.parent == tmp_path for file in files)


def test_a_frozen_program_finds_its_resources_where_it_was_unpacked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "resources" / "icons").mkdir(parents=True)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert resource("icons") == tmp_path / "resources" / "icons"


def test_a_missing_resource_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="resources/no/such"):
        resource("no", "such")


def test_the_program_starts_itself_again_frozen_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter, script = program()
    assert interpreter == sys.executable
    assert Path(script).is_file()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert program() == [sys.executable]


def test_a_folder_that_cannot_hold_a_profile_is_named(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StorageError, match="a file cannot hold a profile") as raised:
        ProfilePaths(tmp_path / "a file").create()
    assert "--profile" in raised.value.next_step
