"""What holds for every test: no unexpected warning in the log, nothing left running, the own files untouched."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

_GRACE_SECONDS = 5.0
_NOT_OURS = ("resource_tracker", "forkserver", "QtWebEngineProcess")
"""Children that live as long as the interpreter or the QApplication on purpose."""

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
"""A test that fails once in a hundred runs is found by the soak (`--hypothesis-profile default`), not by chance."""


def pytest_configure(config: pytest.Config) -> None:
    """Tests neither open windows on the user's screen nor touch the user's keyring."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    os.environ.pop("STOPLINE_PASSPHRASE", None)
    if os.name == "posix" and os.geteuid() == 0:
        # Chromium refuses to run its sandbox as root.
        os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")


def pytest_collection_finish() -> None:
    """Garbage is collected on the main thread alone, after each test (see `no_garbage`).

    The collector runs on whichever thread allocates. On a loop thread it would destroy Qt objects there, whose timers
    then fire into freed memory: a crash in some later test.
    """
    gc.collect()
    gc.freeze()  # what the imports made will not become garbage: no need to look at it after every test
    gc.disable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """With a file the fixtures that its tests shared have ended. What is left after it (modules that were loaded late,
    caches) stays until the end: the tests to come would look through all of it, again after each of them."""
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where they are says what they are."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here / "e2e"):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The platform's data, config and cache folders lead into a temporary one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(home / name.lower()))
        yield


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """First to be set up and last to be torn down: what the test's fixtures leave behind goes with this test."""
    yield
    gc.collect()


SLOW = r"stop \S+ took \d+ us"
"""An exit above 5 ms is logged with its cause. In a test that tells how busy the machine is: no test judges that."""


@pytest.fixture(autouse=True)
def quiet_logs(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A warning that nobody announced fails the test.

    Announce one with `@pytest.mark.expects_log("part of its text")` (a regular expression); one that was announced
    and did not come fails too.
    """
    yield
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    loud = [f"{r.levelname} {r.name}: {_told(r)}" for r in records if r.levelno >= logging.WARNING]
    expected = [pattern for mark in request.node.iter_markers("expects_log") for pattern in mark.args]
    unexpected = [line for line in loud if not any(re.search(pattern, line) for pattern in (*expected, SLOW))]
    absent = [pattern for pattern in expected if not any(re.search(pattern, line) for line in loud)]
    assert not unexpected, "unexpected log records:\n" + "\n".join(unexpected)
    assert not absent, f"expected in the log, but absent: {absent}"


def _told(record: logging.LogRecord) -> str:
    """The record's words first, then its facts."""
    if not isinstance(record.msg, dict):
        return record.getMessage()
    facts = dict(record.msg)
    return f"{facts.pop('event', '')} " + " ".join(f"{key}={value!r}" for key, value in facts.items())


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """A thread or child process that a test started and did not end fails it; the process is ended here."""
    threads, children = set(threading.enumerate()), set(_children())
    yield
    deadline = time.monotonic() + _GRACE_SECONDS
    for thread in _new_threads(threads):
        thread.join(max(0.0, deadline - time.monotonic()))
    while (left := {pid: name for pid, name in _children().items() if pid not in children}) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)  # there is no event for "some child or other has ended"
    for pid in left:
        _end(pid)
    problems = [f"thread {thread.name}" for thread in _new_threads(threads)]
    problems += [f"process {pid} {name}" for pid, name in left.items()]
    assert not problems, "left running: " + "; ".join(problems)


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t not in before and not t.daemon and t.is_alive()]


def _children() -> dict[int, str]:
    """Live child processes with their command lines; empty where the system has no /proc."""
    found: dict[int, str] = {}
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread ended between the look and the reading
            continue
        for pid in map(int, children):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if command and not any(word in command for word in _NOT_OURS):  # a zombie has none
                found[pid] = command.strip()[:120]
    return found


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        pass  # its own Popen was quicker
