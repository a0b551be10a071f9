from __future__ import annotations

import logging
from pathlib import Path

import pytest

from app.runtime.log import Logs
from app.runtime.paths import ProfilePaths
from app.runtime.profile_log import open_log, read_settings
from app.runtime.settings import BadSettings, Settings


@pytest.fixture
def paths(tmp_path: Path) -> ProfilePaths:
    paths = ProfilePaths(tmp_path)
    paths.create()
    return paths


@pytest.mark.parametrize(
    ("text", "in_file", "on_terminal"),
    [
        ("{}", ["a step", "a doubt"], ["a step", "a doubt"]),
        ('{"log_level": "debug"}', ["a detail", "a step", "a doubt"], ["a step", "a doubt"]),
        ('{"log_level": "warning"}', ["a doubt"], ["a doubt"]),
    ],
)
@pytest.mark.expects_log("a doubt")
def test_the_log_is_as_loud_as_the_settings_say(
    text: str, in_file: list[str], on_terminal: list[str], paths: ProfilePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.settings.write_text(text)
    logs = Logs()
    assert open_log(logs, paths) is None
    said = logging.getLogger("app.engine.stops")
    said.debug("a detail")
    said.info("a step")
    said.warning("a doubt")
    logs.close()
    words = ("a detail", "a step", "a doubt")
    written, shown = (paths.logs / "stopline.jsonl").read_text(), capsys.readouterr().err
    assert [word for word in words if word in written] == in_file
    assert [word for word in words if word in shown] == on_terminal


@pytest.mark.expects_log("has a mistake")
def test_a_slip_in_the_settings_is_told_and_the_start_goes_on(paths: ProfilePaths) -> None:
    paths.settings.write_text('{"log_level": "loud"}')
    logs = Logs()
    mistake = open_log(logs, paths, "guard")
    logs.close()
    assert isinstance(mistake, BadSettings)
    assert "has a mistake" in (paths.logs / "guard.jsonl").read_text()
    assert read_settings(paths)[0] == Settings()
