"""A guard that waits beside a desk: how it learns that the desk went, and who gets the profile then."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.desk.beside import Claim, Gone, Watch, claim, take_back, take_lock
from app.desk.companions import Companions
from app.desk.remote import ProfileInUse, ProfileLock, RemoteServer
from app.domain.guard import Companion, Farewell
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths

ROOT = Path(__file__).resolve().parents[3]
ME = Companion(1, "keyring")
DESK = """
import sys
from pathlib import Path
from app.desk.companions import Companions
from app.desk.remote import ProfileLock, RemoteServer
from app.runtime.loop import LoopThread
from app.runtime.paths import ProfilePaths

paths, loop = ProfilePaths(Path(sys.argv[1])), LoopThread()
ProfileLock(paths.lock).acquire()
loop.start()

async def ping(_):
    return {"role": sys.argv[2]}

RemoteServer(paths, {"ping": ping}, loop.loop, Companions(loop.loop)).start()
print("ready", flush=True)
sys.stdin.read()
"""

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


def owner(paths: ProfilePaths, role: str = "workstation") -> subprocess.Popen[bytes]:
    """A process that owns the profile."""
    command = [sys.executable, "-c", DESK, str(paths.root), role]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    return started


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_a_desk_that_is_killed_is_noticed_and_its_profile_is_free(paths: ProfilePaths) -> None:
    desk = owner(paths)
    try:
        watch, lock = Watch(paths, ME, threading.Event()), ProfileLock(paths.lock)
        assert watch.open()
        assert watch.pid == desk.pid
        assert not take_lock(lock, 0.0)
        desk.send_signal(signal.SIGKILL)
        assert watch.wait() is Gone.DIED
        assert take_lock(lock, 5.0)
        lock.release()
    finally:
        end(desk)


@pytest.mark.parametrize("how", list(Farewell))
def test_a_desk_that_leaves_in_order_says_how(paths: ProfilePaths, loop: LoopThread, how: Farewell) -> None:
    companions = Companions(loop.loop)
    came = threading.Event()
    companions.changed = lambda here: came.set() if here == (ME,) else None
    server = RemoteServer(paths, {}, loop.loop, companions)
    server.start()
    watch = Watch(paths, ME, threading.Event())
    assert watch.open()
    with ThreadPoolExecutor(1) as pool:
        gone = pool.submit(watch.wait)
        assert came.wait(5)
        assert ME in companions.here
        companions.part(how)
        assert gone.result(5).value == how.value
    assert ME not in companions.here
    server.stop()


def test_a_guard_that_is_asked_to_end_stops_waiting(paths: ProfilePaths, loop: LoopThread) -> None:
    server = RemoteServer(paths, {}, loop.loop, Companions(loop.loop))
    server.start()
    stop = threading.Event()
    watch = Watch(paths, ME, stop)
    assert watch.open()
    stop.set()
    assert watch.wait() is Gone.ASKED
    server.stop()


def test_where_nobody_answers_nobody_is_waited_for(paths: ProfilePaths) -> None:
    assert not Watch(paths, ME, threading.Event()).open()


def test_a_window_finds_out_who_has_the_profile(paths: ProfilePaths) -> None:
    lock = ProfileLock(paths.lock)
    assert claim(lock, paths) is Claim.OURS
    lock.release()
    desk = owner(paths, "guard")
    try:
        assert claim(lock, paths) is Claim.GUARDED
        with pytest.raises(ProfileInUse):  # it does not know how to hand back: nothing is taken by force
            take_back(paths, lock)
        desk.kill()
        desk.wait(10)
        take_back(paths, lock)  # died meanwhile: the lock alone decides
        lock.release()
    finally:
        end(desk)
