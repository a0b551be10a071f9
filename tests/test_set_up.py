"""What a newcomer types: make run, make test, and the locks that both install from."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import PySide6
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
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
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


@pytest.fixture
def set_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("set_up", ROOT / "packaging" / "set_up.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_old_python_finds_a_newer_one_or_says_what_it_needs(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert set_up.find_python() == sys.executable
    monkeypatch.setattr(sys, "version_info", (3, 10, 12, "final", 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(set_up.SetUpFailed, match=r"needs Python 3\.11 to 3\.14; python3 here is 3\.10"):
        set_up.find_python()
    newer = tmp_path / "python3.12"
    newer.write_text("#!/bin/sh\n")
    newer.chmod(0o755)
    assert set_up.find_python() == str(newer)


@pytest.mark.parametrize(("new", "sound"), [(True, "libasound2t64"), (False, "libasound2")])
def test_who_may_not_install_is_told_the_exact_command(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, new: bool, sound: str
) -> None:
    monkeypatch.setattr(set_up, "is_t64_system", lambda: new)
    monkeypatch.setattr(set_up, "privileged", lambda: None)
    with pytest.raises(set_up.SetUpFailed) as raised:
        set_up.install_system(["libasound2", "libegl1"])
    assert str(raised.value).splitlines()[-1] == (f"  sudo apt-get install -y --no-install-recommends {sound} libegl1")


def test_a_missing_library_becomes_a_package_and_an_unknown_one_is_named(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"libxcb-icccm.so.4", "libnssutil3.so", "libnss3.so", "libunheard.so.9"}
    monkeypatch.setattr(set_up, "missing_libraries", lambda: missing)
    monkeypatch.setattr(set_up, "has_fonts", lambda: False)
    packages, unknown = set_up.wanted_packages("run")
    assert packages == ["fonts-dejavu-core", "libnss3", "libxcb-icccm4"]
    assert unknown == ["libunheard.so.9"]


def test_the_tests_want_a_screen_of_their_own(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(set_up, "missing_libraries", set)
    monkeypatch.setattr(set_up, "has_fonts", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set_up.wanted_packages("run") == ([], [])
    assert set_up.wanted_packages("test") == (["xvfb"], [])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the dynamic linker")
def test_the_linker_is_asked_about_what_is_really_there(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(set_up, "venv_python", lambda: Path(sys.executable))
    qt = Path(PySide6.__file__).parent / "Qt"
    assert [name for name in set_up.QT_FILES if not (qt / name).is_file()] == []
    assert set_up.missing_libraries() == set()
    nowhere = tmp_path / "nowhere.sh"
    nowhere.write_text(
        "#!/bin/sh\nprintf '\\tlibnowhere.so.1 => not found\\n\\tlibc.so.6 => /lib/libc.so.6 (0x1)\\n'\n"
    )
    nowhere.chmod(0o755)
    nowhere.rename(tmp_path / "ldd")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert set_up.missing_libraries() == {"libnowhere.so.1"}


def test_packages_are_installed_again_when_their_lock_changes(
    set_up: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    installed: list[str] = []
    lock.write_text("one")
    monkeypatch.setattr(set_up, "VENV", tmp_path)
    monkeypatch.setattr(set_up, "LOCKS", {"run": lock, "test": lock})
    monkeypatch.setattr(set_up, "venv_python", lambda: Path(sys.executable))
    monkeypatch.setattr(set_up, "install_packages", installed.append)
    for _ in range(2):
        set_up.ensure_packages("test")
        set_up.ensure_packages("run")  # the test lock holds these too
    assert installed == ["test"]
    lock.write_text("two")
    set_up.ensure_packages("run")
    assert installed == ["test", "run"]
