"""What is loaded before the first window is there, for a trader waits for that; and what is kept after the last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.program import ROOT

HEAVY = ["structlog", "sqlalchemy", "numpy", "pyqtgraph", "httpx", "PySide6.QtWebEngineCore", "app.desk.desk"]
"""Each takes longer to load than the first window to be painted."""
PROGRAM = """
import json, sys
import app.ui.application
from app.bootstrap import run

def run_window(build, submit, options):
    print(json.dumps([name for name in json.loads(sys.argv[2]) if name in sys.modules]))
    return 0

app.ui.application.run_window = run_window
sys.exit(run(["--profile", sys.argv[1]]))
"""

LEFT = """
import sys
from pathlib import Path
import app.ui.application
from app.bootstrap import run
from app.desk.remote import ProfileInUse, ProfileLock
from app.runtime.paths import ProfilePaths

lock = ProfileLock(ProfilePaths(Path(sys.argv[1])).lock)

def held():
    try:
        lock.acquire()
    except ProfileInUse:
        return True
    lock.release()
    return False

def run_window(build, submit, options):
    submit(build()).result(60)
    before = held()
    submit(options.shutdown()).result(60)
    print(before, held())
    return 0

app.ui.application.run_window = run_window
sys.exit(run(["--profile", sys.argv[1]]))
"""


def test_once_the_desk_is_closed_a_guard_waits_for_no_window_to_go(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True False"


def test_nothing_heavy_is_loaded_before_the_first_window(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), json.dumps(HEAVY)],
        cwd=ROOT, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
