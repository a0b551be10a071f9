"""What a newcomer types: make run, make test, and the locks that both install from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"run": ROOT / "requirements.lock", "test": ROOT / "tests" / "requirements.lock"}
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, set[str]]:
    """Name -> pinned versions; universal locks may pin one for each platform."""
    found: dict[str, set[str]] = {}
    for name, version in PIN.findall(lock.read_text()):
        found.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return found


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_has_hashes_and_no_addresses(kind: str) -> None:
    text = LOCKS[kind].read_text()
    assert len(pins(LOCKS[kind])) > 20
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in text
    assert "--index-url" not in text


def test_tests_run_on_the_versions_that_ship() -> None:
    shipped, tested = pins(LOCKS["run"]), pins(LOCKS["test"])
    assert {name: versions for name, versions in shipped.items() if tested.get(name) != versions} == {}


def test_every_dependency_of_the_project_is_locked() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    for wanted, lock in (
        (project["project"]["dependencies"], LOCKS["run"]),
        (project["dependency-groups"]["dev"], LOCKS["test"]),
    ):
        names = {re.split(r"[<>=!; \[]", text)[0].lower().replace("_", "-") for text in wanted}
        assert names - set(pins(lock)) == set()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are X11 and Wayland")
def test_make_run_without_a_display_says_so_in_one_line_and_installs_nothing(tmp_path: Path) -> None:
    for name in ("Makefile", "packaging/set_up.py", "app/__init__.py", "app/cli/__init__.py", "app/cli/display.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    told = subprocess.run(
        ["make", "--no-print-directory", "-s", "run", f"PYTHON={sys.executable}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = [line for line in told.stderr.splitlines() if not line.startswith("make: ***")]
    assert told.returncode != 0
    assert told.stdout == ""
    assert len(lines) == 1
    assert lines[0].startswith("No display: neither DISPLAY nor WAYLAND_DISPLAY is set.")
    assert not (tmp_path / ".venv").exists()


def test_make_lists_its_targets() -> None:
    told = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "check", "bench", "soak", "screenshots", "package", "clean"):
        assert f"make {target} " in told
