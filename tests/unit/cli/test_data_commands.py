"""`backup`, `restore`, `doctor`: on a profile of their own, and through a workstation that runs on it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.bootstrap import build_desk
from app.cli.commands import Backup, DataCommand, Doctor, Export, Restore, RotateKeys, Tidy
from app.cli.data import run_data
from app.cli.main import parse
from app.cli.output import Output
from app.cli.passphrase import VARIABLE, Passphrases
from app.desk.data_verbs import RemoteData, data_verbs
from app.desk.desk import LocalDesk
from app.desk.export_commands import export_verbs
from app.desk.remote import ProfileLock, RemoteServer
from app.domain.exports import ExportChoice, ExportFormat, ExportKind
from app.domain.ids import AccountId
from app.runtime import redaction
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.exchange import ROOT
from tests.unit.desk.profiles import PASSPHRASE, Rows, make_profile, opened, rows

FILLS = ExportChoice(ExportKind.FILLS, "/f.JSON", ExportFormat.JSON)
DAY, DAY_AFTER = date(2026, 11, 2), date(2026, 11, 3)


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    yield
    redaction.shared().clear()


def program(profile: Path, *words: str, passphrase: str = PASSPHRASE.reveal()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "main.py", "--profile", str(profile), *words],
        cwd=ROOT,
        env={**os.environ, VARIABLE: passphrase},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


async def rows_in(profile: Path) -> Rows:
    async with opened(profile) as desk:
        return await rows(desk)


def test_a_backup_and_its_restore_into_an_empty_folder(tmp_path: Path) -> None:
    before = asyncio.run(make_profile(tmp_path / "a"))
    file = tmp_path / "kept.stopline"
    made = program(tmp_path / "a", "backup", str(file), "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["ok"], told["file"]) == (True, str(file))
    assert told["size"] == file.stat().st_size
    assert told["rows"] > 200
    once_more = program(tmp_path / "a", "backup", str(file), "--json")
    assert (once_more.returncode, json.loads(once_more.stdout)["error"]["kind"]) == (2, "Denied")
    wrong = program(tmp_path / "b", "restore", str(file), passphrase="wrong")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "passphrase" in wrong.stderr
    done = program(tmp_path / "b", "restore", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["at_next_start"] is False
    assert asyncio.run(rows_in(tmp_path / "b")) == before
    exported = program(tmp_path / "b", "export", "fills", str(tmp_path / "fills.json"), "--json")
    assert exported.returncode == 0, exported.stderr
    told = json.loads(exported.stdout)
    assert (told["rows"], told["format"]) == (len(json.loads((tmp_path / "fills.json").read_text())), "json")
    again = program(tmp_path / "b", "export", "fills", str(tmp_path / "fills.json"), "--json")
    assert (again.returncode, json.loads(again.stdout)["ok"]) == (2, False)


def test_doctor_names_a_damaged_file_and_leaves_it_where_it_is(tmp_path: Path) -> None:
    asyncio.run(make_profile(tmp_path, fills=5))
    book = tmp_path / "book.db"
    content = bytearray(book.read_bytes())
    content[20_000:20_100] = bytes(100)
    book.write_bytes(content)
    told = program(tmp_path, "doctor", "--json")
    assert told.returncode == 1, told.stderr
    assert [(f["name"], f["state"]) for f in json.loads(told.stdout)["findings"]] == [("store book.db", "failed")]
    assert book.read_bytes() == content
    assert list(tmp_path.glob("*.damaged-*")) == []
    report = tmp_path / "report.zip"
    assert program(tmp_path, "doctor", "--report", str(report)).returncode == 1
    assert b"is damaged" in zipfile.ZipFile(report).read("stopline-report/health.json")
    # Any other command sets it aside, says so to whoever asked, and says what to do.
    listed = program(tmp_path, "accounts")
    (aside,) = tmp_path.glob("book.db.damaged-*")
    assert f"It was kept as {aside}." in listed.stderr
    assert "use a backup" in listed.stderr
    assert aside.read_bytes() == content


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_doctor_on_a_full_disk_says_that_and_opens_nothing(tmp_path: Path) -> None:
    """A file that may not grow beyond a few pages is what a full disk looks like to whoever writes."""
    asyncio.run(make_profile(tmp_path, fills=5))
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("*.db")}
    limit = "import resource, runpy, signal, sys\n"
    limit += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
    limit += "sys.argv = sys.argv[1:]\nrunpy.run_path('main.py', run_name='__main__')\n"
    told = subprocess.run(
        [sys.executable, "-c", limit, "main.py", "--profile", str(tmp_path), "doctor", "--json"],
        cwd=ROOT,
        env={**os.environ, VARIABLE: PASSPHRASE.reveal()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert told.returncode == 1, told.stderr
    findings = {finding["name"]: finding for finding in json.loads(told.stdout)["findings"]}
    assert findings["store"]["state"] == "failed"
    assert "space" in findings["store"]["words"]
    assert "free" in findings["disk"]["words"]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.db")} == kept


def test_doctor_without_a_profile_does_not_start(tmp_path: Path) -> None:
    told = program(tmp_path, "doctor", "--json")
    assert told.returncode == 2
    assert json.loads(told.stdout)["ok"] is False


class Workstation:
    """A desk on a loop thread that answers on its profile's socket, as the window's process does."""

    def __init__(self, profile: Path) -> None:
        self.paths = ProfilePaths(profile)
        self.lock = ProfileLock(self.paths.lock)
        self.lock.acquire()
        self.loop = LoopThread()
        self.loop.start()
        self.desk = self.loop.submit(self._open()).result(timeout=30)
        self.server = RemoteServer(self.paths, {**data_verbs(self.desk), **export_verbs(self.desk)}, self.loop.loop)
        self.server.start()

    async def _open(self) -> LocalDesk:
        desk = await build_desk(self.paths, paper=False, guarding=False)
        await desk.session.unlock(PASSPHRASE)
        return desk

    def close(self) -> None:
        self.server.stop()
        self.loop.submit(self.desk.stop()).result(timeout=30)
        self.loop.stop()
        self.lock.release()


def asked(profile: Path, command: DataCommand, given: Secret | None = None) -> tuple[int, dict[str, object]]:
    out = Output(io.StringIO(), io.StringIO(), as_json=True)
    passphrases = Passphrases({VARIABLE: given.reveal()} if given else {}, terminal=False)
    code = asyncio.run(run_data(RemoteData(ProfilePaths(profile)), command, out, passphrases))
    assert isinstance(out.stdout, io.StringIO)
    return code, json.loads(out.stdout.getvalue())


def test_the_same_through_a_running_workstation(tmp_path: Path) -> None:
    before = asyncio.run(make_profile(tmp_path, fills=5, armed=False))
    workstation = Workstation(tmp_path)
    try:
        code, made = asked(tmp_path, Backup(tmp_path, tmp_path / "kept.stopline", as_json=True))
        assert (code, made["ok"]) == (0, True)
        code, told = asked(tmp_path, Backup(tmp_path, tmp_path / "kept.stopline", as_json=True))
        assert (code, told["ok"]) == (2, False)
        file = tmp_path / "stops.csv"
        exported = program(tmp_path, "export", "stops", str(file), "--json", "--account", "zerodha-CD5678")
        assert (exported.returncode, json.loads(exported.stdout)["rows"]) == (0, 2)
        assert file.read_text().startswith("armed_at_ist,account,")
        exported = program(tmp_path, "export", "holdings", str(tmp_path / "h.csv"), "--json", "--from", "2026-11-02")
        assert exported.returncode == 2
        assert "last read" in json.loads(exported.stdout)["error"]["cause"]
        code, found = asked(tmp_path, Doctor(tmp_path, as_json=True))
        findings = found["findings"]
        assert isinstance(findings, list)
        states = {finding["name"]: finding["state"] for finding in findings}
        assert code == 1  # the broker of the made-up account does not answer
        assert states["store book.db"] == states["store journal.db"] == states["vault"] == "ok"
        assert states["broker zerodha-AB1234"] == "failed"
        assert states["instruments Zerodha"] == "warning"
        code, told = asked(tmp_path, Tidy(tmp_path, as_json=True, notifications_days=7))
        assert (code, told["ok"], told["notifications"]) == (0, True, 0)
        view = workstation.loop.submit(workstation.desk.data.view()).result(timeout=30)
        assert (view.settings.notifications_days, view.settings.ticks_days) == (7, 30)
        code, told = asked(tmp_path, RotateKeys(tmp_path, as_json=True))
        assert (code, told["ok"]) == (2, False)  # the passphrase is asked for again, and nobody is there
        code, told = asked(tmp_path, RotateKeys(tmp_path, as_json=True), PASSPHRASE)
        assert (code, told["secrets"]) == (0, 5)
        code, done = asked(tmp_path, Restore(tmp_path, tmp_path / "kept.stopline", as_json=True))
        assert (code, done["ok"]) == (2, False)  # of another vault now: it lies outside of the backup folder
        code, done = asked(tmp_path, Restore(tmp_path, tmp_path / "kept.stopline", as_json=True), PASSPHRASE)
        assert (code, done["at_next_start"]) == (0, True)
        code, _ = asked(tmp_path, Restore(tmp_path, tmp_path / "absent", as_json=True))
        assert code == 2
    finally:
        workstation.close()
    assert asyncio.run(rows_in(tmp_path)) == before


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["backup"], Backup(Path("/p"), None, as_json=False)),
        (["backup", "/f", "--json"], Backup(Path("/p"), Path("/f"), as_json=True)),
        (["restore", "/f"], Restore(Path("/p"), Path("/f"), as_json=False)),
        (["rotate-keys", "--json"], RotateKeys(Path("/p"), as_json=True)),
        (["tidy", "--ticks-days", "5"], Tidy(Path("/p"), as_json=False, ticks_days=5)),
        (["doctor", "--json"], Doctor(Path("/p"), as_json=True)),
        (["export", "fills", "/f.JSON"], Export(Path("/p"), FILLS, as_json=False)),
        (
            [
                "export",
                "fills",
                "/f",
                "--from",
                "2026-11-02",
                "--to",
                "2026-11-03",
                "--account",
                "a",
                "--format",
                "json",
                "--json",
            ],
            Export(Path("/p"), replace(FILLS, file="/f", account=AccountId("a"), since=DAY, until=DAY_AFTER), True),
        ),
    ],
)
def test_the_command_line_is_read(words: list[str], command: DataCommand | Export) -> None:
    assert parse(["--profile", "/p", *words]) == command
    assert parse([*words, "--profile", "/p"]) == command


def test_new_keys_without_anybody_who_could_be_asked_say_what_is_missing(tmp_path: Path) -> None:
    asyncio.run(make_profile(tmp_path, fills=1, armed=False))
    workstation = Workstation(tmp_path)
    try:
        code, told = asked(tmp_path, RotateKeys(tmp_path, as_json=True))
    finally:
        workstation.close()
    error = told["error"]
    assert isinstance(error, dict)
    assert (code, error["cause"]) == (2, "The passphrase is asked for again.")
    assert VARIABLE in error["next_step"]
