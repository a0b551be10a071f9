from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from PySide6.QtCore import QObject, Signal

from app.diagnostics.crash import CrashKind, CrashReport, CrashReporter
from app.runtime import redaction
from app.runtime.secret import Secret

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def pytests_own_faulthandler(request: pytest.FixtureRequest) -> Iterator[None]:
    """Native crashes of later tests go where pytest wants them: past its capturing."""
    yield
    file = request.config.stash.get(fault_handler_stderr_fd_key, None)
    if file is not None:
        faulthandler.enable(file)


@pytest.fixture
def reporter(tmp_path: Path) -> Iterator[CrashReporter]:
    made = CrashReporter(tmp_path / "crash", "1.0")
    made.install()
    yield made
    made.uninstall()
    redaction.shared().clear()


def reports(reporter: CrashReporter) -> list[CrashReport]:
    told: list[CrashReport] = []
    reporter.listen(told.append)
    return told


def bug(text: str = "quantity was -1") -> None:
    raise ValueError(text)


@pytest.mark.expects_log("a bug.*ValueError")
def test_a_bug_on_a_thread_is_reported(reporter: CrashReporter) -> None:
    thread = threading.Thread(target=bug, name="book")
    thread.start()
    thread.join()
    (report,) = reports(reporter)
    assert report.kind is CrashKind.BUG
    assert report.title == "thread book: ValueError: quantity was -1"
    assert "in bug" in report.text
    assert Path(report.file).read_text() == report.text


@pytest.mark.expects_log("a bug.*ValueError")
def test_a_bug_in_a_task_that_nobody_awaits_is_reported(reporter: CrashReporter) -> None:
    async def main() -> None:
        reporter.watch(asyncio.get_running_loop())
        asyncio.get_running_loop().call_soon(bug)
        await asyncio.sleep(0)

    asyncio.run(main())
    (report,) = reports(reporter)
    assert report.title.startswith("event loop: Exception in callback bug()")


@pytest.mark.expects_log("a bug.*ValueError")
def test_a_bug_in_a_qt_slot_is_reported(tmp_path: Path) -> None:
    class Button(QObject):
        clicked = Signal()

    # Installed here, not by the fixture: pytest-qt puts its own hook in before each call.
    reporter = CrashReporter(tmp_path)
    reporter.install()
    button = Button()
    button.clicked.connect(bug)
    button.clicked.emit()
    reporter.uninstall()
    (report,) = reports(reporter)
    assert report.title == "main thread: ValueError: quantity was -1"


@pytest.mark.expects_log("a bug.*ValueError")
@pytest.mark.expects_log("a bug.*IndexError")
@pytest.mark.expects_log("the same bug again.*count=[23]")
def test_each_kind_is_reported_once(reporter: CrashReporter) -> None:
    told = reports(reporter)
    for text in ("a", "b", "c"):
        try:
            bug(text)
        except ValueError as error:
            reporter.report(error, "test")
    reporter.report(IndexError("list index out of range"), "test")
    assert [report.title for report in told] == ["test: ValueError: a", "test: IndexError: list index out of range"]


@pytest.mark.expects_log("a bug")
def test_no_secret_reaches_the_report(reporter: CrashReporter) -> None:
    redaction.redact(Secret("canary-token"))
    try:
        bug("cannot log in with canary-token at https://x/?access_token=canary-two")
    except ValueError as error:
        reporter.report(error, "login")
    (report,) = reports(reporter)
    assert "canary" not in report.text + report.title + Path(report.file).read_text()


@pytest.mark.expects_log("a bug")
def test_a_listener_that_fails_does_not_silence_the_others(reporter: CrashReporter) -> None:
    told: list[CrashReport] = []
    reporter.listen(lambda _: bug("the dialog is broken"))
    reporter.listen(told.append)
    try:
        bug()
    except ValueError as error:
        reporter.report(error, "test")
    assert len(told) == 1


def test_a_run_that_ended_well_leaves_nothing_to_tell(tmp_path: Path) -> None:
    for _ in range(2):
        reporter = CrashReporter(tmp_path)
        reporter.install()
        assert reporter.earlier == ()
        reporter.uninstall()
        reporter.uninstall()
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import sys, time
from pathlib import Path
from app.diagnostics.crash import CrashReporter
reporter = CrashReporter(Path(sys.argv[1]))
reporter.install()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGKILL, CrashKind.KILLED), (signal.SIGSEGV, CrashKind.NATIVE)])
def test_the_next_start_tells_how_the_last_one_died(tmp_path: Path, number: signal.Signals, kind: CrashKind) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        assert program.wait(20) == -number
    reporter = CrashReporter(tmp_path)
    reporter.install()
    (report,) = reporter.earlier
    assert report.kind is kind
    assert ("Segmentation fault" in report.text) == (kind is CrashKind.NATIVE)
    reporter.mark_read()
    reporter.uninstall()
    assert Path(report.file).read_text("utf-8") == report.text  # under the name that was told, also once it was read
    again = CrashReporter(tmp_path)
    again.install()
    assert again.earlier == ()
    again.uninstall()


def test_old_reports_make_room(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / f"20200101T0000{n:02}-x.txt").write_text("old")
    (tmp_path / "running-1.txt").write_text("Fatal Python error: Aborted")
    reporter = CrashReporter(tmp_path)
    reporter.install()
    reporter.uninstall()
    left = sorted(path.stem for path in tmp_path.glob("*.txt"))
    assert len(left) == 20
    assert [mark.stem for mark in tmp_path.glob("*.unread")] == left[-1:]
