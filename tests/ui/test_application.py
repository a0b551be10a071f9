"""The life of the whole window, in a process of its own: one QApplication lives and ends in each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, os, signal, sys, threading
from pathlib import Path
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit
from app.desk.messages import VaultState
from app.runtime.loop import LoopThread
from app.ui import application
from tests.ui.scripted_desk import ScriptedDesk

how, folder = sys.argv[1], Path(sys.argv[2])
desk = ScriptedDesk()
desk.script.vault_state = VaultState.LOCKED
desk.script.stops.clear()
desk.strategies.kept.clear()
desk.script.day_stops.clear()
thread = LoopThread()
thread.start()
raisers = []

async def stop():
    print("stopped", len(desk.script.handlers), flush=True)

async def build():
    if how == "broken":
        raise OSError("no space")
    return desk

def drive(station):
    unlock, main = station._unlock, station._main
    if main is not None and main.isVisible() and main.watchlist.listed:
        print("open", flush=True)
        if how == "raise":
            main.showMinimized()
            raisers[0]()
            QTimer.singleShot(200, lambda: (print("minimised", main.isMinimized(), flush=True), main.close()))
            return
        if how == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
            return
        main.close()
        return
    field = unlock.findChild(QLineEdit, "unlock.passphrase") if unlock is not None else None
    if field is not None and field.isVisible() and not field.text():
        QTest.keyClicks(field, desk.script.passphrase)
        QTest.keyClick(field, Qt.Key.Key_Return)
    QTimer.singleShot(20, lambda: drive(station))

original = application.Workstation.run
async def run(self):
    QTimer.singleShot(20, lambda: drive(self))
    return await original(self)
application.Workstation.run = run
options = application.WindowOptions(folder, on_raise=raisers.append, shutdown=stop)
try:
    print("exit", application.run_window(build, thread.submit, options), flush=True)
except OSError as failure:
    print("failed", failure, flush=True)
thread.stop()
print("threads", [t.name for t in threading.enumerate() if t.name == "loop"], flush=True)
"""


def life(how: str, folder: Path) -> list[str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONWARNINGS": "error"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "never awaited" not in ran.stderr
    assert "destroyed but it is pending" not in ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("how", ["close", "signal"])
def test_from_unlock_to_an_ordered_stop(how: str, tmp_path: Path) -> None:
    assert life(how, tmp_path) == ["open", "stopped 0", "exit 0", "threads []"]
    assert [file.name for file in tmp_path.iterdir()] == ["window.ini"]


def test_a_second_start_brings_the_window_forward(tmp_path: Path) -> None:
    assert "minimised False" in life("raise", tmp_path)


def test_a_desk_that_cannot_be_built_ends_the_window(tmp_path: Path) -> None:
    assert life("broken", tmp_path) == ["stopped 0", "failed no space", "threads []"]
