from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import msgspec
import pytest

from app.domain.errors import StorageError
from app.runtime.files import write_atomically
from app.runtime.settings import BadSettings, Settings, SettingsFile, describe


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_without_a_file_everything_has_its_default(file: Path) -> None:
    assert SettingsFile(file, Settings).load() == Settings()


def test_what_was_saved_is_loaded(file: Path) -> None:
    store = SettingsFile(file, Settings)
    changed = msgspec.structs.replace(store.load(), log_level="debug", paper_speed=10.0)
    store.save(changed)
    assert SettingsFile(file, Settings).load() == changed


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"log_levle": "debug"}', "log_levle"),
        ('{"log_level": "loud"}', r"\$\.log_level"),
        ('{"paper_speed": 1000}', r"\$\.paper_speed"),
        ('{"paper_feed": "replya:x"}', r"\$\.paper_feed"),
        ('{"log_level": "debug",}', "byte 22"),
    ],
)
def test_a_typo_is_refused_and_its_place_named(file: Path, content: str, place: str) -> None:
    file.write_text(content)
    with pytest.raises(BadSettings, match=place) as raised:
        SettingsFile(file, Settings).load()
    assert "delete the file" in raised.value.next_step
    assert file.read_text() == content


def test_a_file_that_cannot_be_read_is_not_taken_for_absent(file: Path) -> None:
    file.mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        SettingsFile(file, Settings).load()


def test_a_failed_save_leaves_the_old_file_and_no_debris(file: Path) -> None:
    (file / "in the way").mkdir(parents=True)  # a folder that is not empty cannot be replaced
    with pytest.raises(StorageError, match="could not be saved"):
        SettingsFile(file, Settings).save(Settings())
    assert sorted(p.name for p in file.parent.iterdir()) == ["settings.json"]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_an_atomic_write_is_private(file: Path) -> None:
    file.write_text("old")
    file.chmod(0o644)
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_file_is_made_for_people(file: Path) -> None:
    SettingsFile(file, Settings).save(Settings())
    assert file.read_text() == json.dumps(msgspec.to_builtins(Settings()), indent=2) + "\n"


def test_every_setting_has_a_default_and_a_help_text() -> None:
    told = describe(Settings)
    assert set(told) == set(Settings.__struct_fields__)
    assert all(default is not msgspec.NODEFAULT and len(text) > 20 for default, text in told.values())
