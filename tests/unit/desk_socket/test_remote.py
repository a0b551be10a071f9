from __future__ import annotations

import asyncio
import multiprocessing.connection
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.desk import remote
from app.desk.messages import SyncRun, SyncSummary
from app.desk.remote import ProfileInUse, ProfileLock, RemoteServer, call
from app.domain.errors import AppError, Denied, NotAnswering
from app.domain.ids import AccountId
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="written for POSIX sockets")


@pytest.fixture
def paths(tmp_path: Path) -> ProfilePaths:
    made = ProfilePaths(tmp_path / "profile")
    made.create()
    return made


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    thread.start()
    yield thread
    thread.stop()


class Workstation:
    """The verbs of a running workstation, and which thread they ran on."""

    def __init__(self) -> None:
        self.shown = 0
        self.threads: set[int] = set()
        self.release = threading.Event()

    async def show(self, _: Mapping[str, Any]) -> None:
        self.shown += 1
        self.threads.add(threading.get_ident())

    async def sync(self, params: Mapping[str, Any]) -> SyncSummary:
        account = AccountId(params["account"])
        run = SyncRun("r1", account, "command line", "completed", 3, 2, 1, 0, 0, 10**18, None, "")
        return SyncSummary("r1", (run,))

    async def deny(self, _: Mapping[str, Any]) -> None:
        raise Denied("The market is closed.", "Wait for 09:15.", detail="pre-open")

    async def stumble(self, _: Mapping[str, Any]) -> None:
        raise ZeroDivisionError

    async def hang(self, _: Mapping[str, Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.release.wait)


@pytest.fixture
def workstation(paths: ProfilePaths, loop: LoopThread) -> Iterator[Workstation]:
    desk = Workstation()
    verbs = {name: getattr(desk, name) for name in ("show", "sync", "deny", "stumble", "hang")}
    server = RemoteServer(paths, verbs, loop.loop)
    server.start()
    yield desk
    desk.release.set()
    server.stop()
    server.stop()


def test_a_verb_runs_on_the_loop_thread_and_answers(paths: ProfilePaths, workstation: Workstation) -> None:
    assert call(paths, "show") is None
    assert call(paths, "show") is None
    assert workstation.shown == 2
    assert len(workstation.threads) == 1
    assert threading.get_ident() not in workstation.threads


def test_parameters_and_dataclasses_cross_as_plain_json(paths: ProfilePaths, workstation: Workstation) -> None:
    answer = call(paths, "sync", {"account": "zerodha-AB1234"})
    assert answer["run"] == "r1"
    assert answer["accounts"][0]["account"] == "zerodha-AB1234"
    assert answer["accounts"][0]["created"] == 2


def test_a_verbs_error_arrives_with_its_class_and_words(paths: ProfilePaths, workstation: Workstation) -> None:
    with pytest.raises(Denied) as raised:
        call(paths, "deny")
    assert (raised.value.cause, raised.value.next_step, raised.value.detail) == (
        "The market is closed.",
        "Wait for 09:15.",
        "pre-open",
    )


@pytest.mark.expects_log("a local call failed.*stumble")
def test_a_bug_in_a_verb_does_not_leave_the_caller_waiting(paths: ProfilePaths, workstation: Workstation) -> None:
    with pytest.raises(AppError, match="stumble failed"):
        call(paths, "stumble")
    call(paths, "show")
    assert workstation.shown == 1


def test_an_unknown_verb_is_named(paths: ProfilePaths, workstation: Workstation) -> None:
    with pytest.raises(AppError, match="no verb 'sell_all'"):
        call(paths, "sell_all")


def test_a_slow_verb_ends_in_words_and_blocks_nobody_else(paths: ProfilePaths, workstation: Workstation) -> None:
    with pytest.raises(NotAnswering, match="does not answer"):
        call(paths, "hang", timeout=0.1)
    call(paths, "show")
    assert workstation.shown == 1


def test_a_silent_caller_blocks_nobody(paths: ProfilePaths, workstation: Workstation) -> None:
    address = paths.remote_address.read_text()
    with multiprocessing.connection.Client(address, family="AF_UNIX"):
        call(paths, "show")
    assert workstation.shown == 1


def test_who_cannot_read_the_key_is_turned_away(paths: ProfilePaths, workstation: Workstation) -> None:
    paths.remote_key.write_bytes(b"not the key, but just as long...")
    with pytest.raises(NotAnswering):
        call(paths, "show", timeout=0.2)
    assert workstation.shown == 0


def test_nothing_is_unpickled(paths: ProfilePaths, workstation: Workstation, tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "owned"),))

    key, address = paths.remote_key.read_bytes(), paths.remote_address.read_text()
    with multiprocessing.connection.Client(address, family="AF_UNIX") as connection:
        multiprocessing.connection.answer_challenge(connection, key)
        multiprocessing.connection.deliver_challenge(connection, key)
        connection.send_bytes(pickle.dumps(Planted()))
        assert b"cannot be read" in connection.recv_bytes()
    assert not (tmp_path / "owned").exists()


def test_the_socket_and_the_key_are_the_owners_alone(paths: ProfilePaths, workstation: Workstation) -> None:
    assert stat.S_IMODE(paths.remote_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(paths.remote_address.read_text()).parent.stat().st_mode) == 0o700


def test_a_profile_with_a_very_long_path_can_be_talked_to(tmp_path: Path, loop: LoopThread) -> None:
    paths = ProfilePaths(tmp_path.joinpath(*["a-rather-long-folder-name"] * 8))
    paths.create()
    desk = Workstation()
    server = RemoteServer(paths, {"show": desk.show}, loop.loop)
    server.start()
    assert len(paths.remote_address.read_bytes()) <= 107
    call(paths, "show")
    server.stop()
    assert desk.shown == 1


def test_a_stopped_workstation_leaves_nothing_behind(paths: ProfilePaths, loop: LoopThread) -> None:
    server = RemoteServer(paths, {}, loop.loop)
    server.start()
    server.stop()
    assert [path.name for path in paths.root.iterdir() if path.is_file() or path.is_socket()] == []
    with pytest.raises(NotAnswering):
        call(paths, "show", timeout=0.1)


def test_a_second_owner_is_refused_in_words(paths: ProfilePaths) -> None:
    first, second = ProfileLock(paths.lock), ProfileLock(paths.lock)
    first.acquire()
    with pytest.raises(ProfileInUse, match="already running") as raised:
        second.acquire()
    assert "--profile" in raised.value.next_step
    first.release()
    first.release()
    second.acquire()
    second.release()


OWNER = """
import asyncio, sys
from pathlib import Path
from app.desk.remote import ProfileLock, RemoteServer
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths

async def pid(_):
    import os
    return os.getpid()

paths = ProfilePaths(Path(sys.argv[1]))
ProfileLock(paths.lock).acquire()
loop = LoopThread()
loop.start()
RemoteServer(paths, {"pid": pid}, loop.loop).start()
print("ready", flush=True)
sys.stdin.read()
"""


def owner(paths: ProfilePaths) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(paths.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


def test_a_killed_owner_leaves_the_profile_to_the_next_one(paths: ProfilePaths) -> None:
    with owner(paths) as first:
        with pytest.raises(ProfileInUse):
            ProfileLock(paths.lock).acquire()
        assert call(paths, "pid") == first.pid
        first.send_signal(signal.SIGKILL)
        first.wait(20)
    assert paths.remote_address.exists()  # it had no time to tidy up
    with pytest.raises(NotAnswering):
        call(paths, "pid", timeout=0.1)
    with owner(paths) as second:
        assert call(paths, "pid") == second.pid
        second.kill()


def test_an_owner_that_is_stopped_does_not_hang_the_caller(paths: ProfilePaths) -> None:
    with owner(paths) as first:
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(NotAnswering):
            call(paths, "pid", timeout=0.2)
        first.kill()


def test_an_owner_that_hangs_is_found_out_however_long_the_verb_may_take(
    paths: ProfilePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REACH_SECONDS", 0.2)
    with owner(paths) as first:
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(NotAnswering, match="does not answer"):
            call(paths, "pid", timeout=3600)
        first.kill()


@pytest.mark.expects_log("found the loop hanging")
def test_a_verb_is_not_begun_on_a_loop_that_hangs(
    paths: ProfilePaths, workstation: Workstation, loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ALIVE_SECONDS", 0.1)
    loop.loop.call_soon_threadsafe(workstation.release.wait)
    with pytest.raises(NotAnswering, match="does not answer"):
        call(paths, "show", timeout=3600)
    workstation.release.set()
    monkeypatch.undo()
    call(paths, "show")
    assert workstation.shown == 1


def test_a_caller_waits_for_an_owner_that_is_still_starting(paths: ProfilePaths, loop: LoopThread) -> None:
    desk = Workstation()
    caller = threading.Thread(target=call, args=(paths, "show"))
    caller.start()
    server = RemoteServer(paths, {"show": desk.show}, loop.loop)
    server.start()
    caller.join(20)
    server.stop()
    assert desk.shown == 1
