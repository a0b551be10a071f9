from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from app.runtime.helper import SLICE, Helper, HelperDied

ROOT = Path(__file__).resolve().parents[3]


def doubled(body: bytes, suffix: bytes) -> Iterator[bytes]:
    yield body
    yield body + suffix


def asking(body: bytes) -> Generator[bytes, bytes, None]:
    told = yield body + b"?"
    if told != b"nothing":
        yield told
        yield body


def broken(body: bytes) -> Iterator[bytes]:
    yield body[:1]
    raise ValueError("half way")


async def test_works_in_another_process_and_starts_again_after_a_crash() -> None:
    helper = Helper()
    try:
        first = await helper.call(os.getpid)
        assert first != os.getpid()
        with pytest.raises(HelperDied):
            await helper.call(os.kill, first, signal.SIGKILL)
        assert await helper.call(os.getpid) != first
    finally:
        await helper.stop()
        await helper.stop()


async def test_big_bodies_cross_in_slices_and_failures_cross_too() -> None:
    helper = Helper()
    body = os.urandom(3 * SLICE + 5)
    try:
        assert [piece async for piece in helper.slices(doubled, body, b"end")] == [body, body + b"end"]
        with pytest.raises(ValueError, match="half way"):
            async for _ in helper.slices(broken, body):
                pass
        assert await helper.call(len, b"still there") == 11
    finally:
        await helper.stop()


async def test_work_that_asks_is_answered_before_it_goes_on() -> None:
    helper = Helper()
    try:
        told = [piece async for piece in helper.slices(asking, b"who", reply=lambda asked: asked + b" me")]
        assert told == [b"who? me", b"who"]
        assert not [piece async for piece in helper.slices(asking, b"who", reply=lambda _asked: b"nothing")]
    finally:
        await helper.stop()


def begin_and_hang(started: str) -> None:
    Path(started).touch()
    time.sleep(60)


@pytest.mark.expects_log("did not end within")
async def test_stop_is_bounded_while_it_works(tmp_path: Path) -> None:
    helper = Helper()
    started = tmp_path / "started"
    busy = asyncio.ensure_future(helper.call(begin_and_hang, str(started)))
    while not started.exists():  # noqa: ASYNC110 - another process: there is no event to wait for
        await asyncio.sleep(0.01)
    await helper.stop(patience=0.1)
    with pytest.raises(HelperDied):
        await busy


def test_dies_with_a_killed_parent() -> None:
    """A helper that outlives a crash would hold the profile's files and the trader's memory for ever."""
    script = (
        "import asyncio, os, signal\n"
        "from app.runtime.helper import Helper\n"
        "async def main():\n"
        "    print(await Helper().call(os.getpid), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert parent.stderr == ""  # nor is there a word of what the kill left behind
    pid = int(parent.stdout)
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return  # dead, waiting for its new parent to notice
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the helper outlived its parent")
