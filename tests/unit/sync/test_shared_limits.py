"""Request limits that two machines share in Redis; without a server each counts for itself, and says so."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.broker import RateLimit
from app.domain.errors import Denied, RateLimited
from app.sync.limiter import RequestLimiter
from app.sync.shared_limits import SharedWindows

READS = [RateLimit("read", 5, 60)]
"""Four fifths: 4 in a minute."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on this machine")
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    command = [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()  # type: ignore[union-attr]


async def waited(_: float) -> None:
    raise AssertionError("nobody waits for a minute without a word")


def machine(address: str, told: list[str]) -> RequestLimiter:
    limiter = RequestLimiter(waited)
    limiter.shared = SharedWindows(address, told.append)
    return limiter


async def test_two_machines_with_one_key_count_together(redis: str) -> None:
    told: list[str] = []
    here, there = machine(redis, told), machine(redis, told)
    for limiter in (here, there, here, there):
        await limiter.turn("zerodha", "a", READS)
    for limiter in (here, there):
        with pytest.raises(RateLimited) as caught:
            await limiter.turn("zerodha", "a", READS)
        assert 50 < caught.value.retry_after <= 61
    await here.turn("upstox", "b", READS)  # another broker's window
    assert told == []
    assert sorted(gauge.used for gauge in here.gauges()) == [1, 1, 2, 2]
    for limiter in (here, there):
        assert limiter.shared is not None
        await limiter.shared.close()


async def test_without_an_answer_each_counts_for_itself_and_it_is_said_once() -> None:
    told: list[str] = []
    limiter = machine(f"redis://127.0.0.1:{free_port()}/0", told)
    began = time.monotonic()
    for _ in range(4):
        await limiter.turn("zerodha", "a", READS)
    assert time.monotonic() - began < 30
    assert len(told) == 1
    assert "does not answer" in told[0]
    with pytest.raises(RateLimited):
        await limiter.turn("zerodha", "a", READS)
    assert limiter.shared is not None
    await limiter.shared.close()


def test_what_cannot_be_set_up_is_said_in_words() -> None:
    with pytest.raises(Denied, match="none of a Redis server"):
        SharedWindows("nonsense", print)
    script = (
        "import sys\n"
        "sys.modules['redis'] = None\n"
        "from app.domain.errors import Denied\n"
        "from app.sync.shared_limits import SharedWindows\n"
        "try:\n    SharedWindows('redis://127.0.0.1:1/0', print)\n"
        "except Denied as words:\n    print(words.cause, words.next_step)\n"
    )
    root = Path(__file__).resolve().parents[3]
    said = subprocess.run([sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True).stdout
    assert said.startswith("Request limits cannot be shared: the package redis is not installed. Install stopline")
