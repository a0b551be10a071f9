"""Downloads of instrument lists: what arrives, and what is said when it does not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from app.brokers import instrument_files
from app.domain.errors import BadAnswer, Denied, DiskFull, Unreachable
from tests.fakes.scripted_server import HANG, ScriptedServer, answer

LIST = gzip.compress(b"instrument_token,exchange_token,tradingsymbol\n" * 10_000)


async def test_a_public_file_arrives_as_it_was_sent_with_our_own_name(tmp_path: Path) -> None:
    into = tmp_path / "list"
    async with ScriptedServer(lambda _: answer(LIST, kind="application/gzip")) as server:
        await instrument_files.fetch_public(f"{server.url}/exchange/complete.json.gz?v=1", into)
        assert server.seen[0].path == "/exchange/complete.json.gz?v=1"
        assert server.seen[0].headers["user-agent"].startswith("Stopline/")
    assert into.read_bytes() == LIST


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(b"<html>error 1010</html>", status="403 Forbidden", kind="text/html"), "did not give"),
        (answer(b"<html>Sign in</html>", kind="text/html"), "did not give"),
        (answer(b"{}", status="404 Not Found"), "did not give"),
    ],
)
async def test_what_is_no_file_is_said_in_words(tmp_path: Path, reply: bytes, words: str) -> None:
    async with ScriptedServer(lambda _: reply) as server:
        with pytest.raises(BadAnswer, match=words):
            await instrument_files.fetch_public(f"{server.url}/x", tmp_path / "list")
    assert not (tmp_path / "list").exists()


async def test_a_download_that_breaks_off_is_unreachable(tmp_path: Path) -> None:
    cut = answer(LIST, kind="application/gzip")[:-100] + b"\0close"
    async with ScriptedServer(lambda _: cut) as server:
        with pytest.raises(Unreachable, match="broke"):
            await instrument_files.fetch_public(f"{server.url}/x", tmp_path / "list")


async def test_a_server_that_is_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instrument_files, "DEADLINE", 0.1)
    async with ScriptedServer(lambda _: HANG) as server:
        with pytest.raises(Unreachable, match="in time"):
            await instrument_files.fetch_public(f"{server.url}/x", tmp_path / "list")


async def test_nobody_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="refused the connection"):
        await instrument_files.fetch_public("http://127.0.0.1:9/x", tmp_path / "list")
    with pytest.raises(Denied, match="no web address"):
        await instrument_files.fetch_public("ftp://broker/x", tmp_path / "list")


async def test_a_file_that_is_too_big_or_has_no_place_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedServer(lambda _: answer(LIST, kind="application/gzip")) as server:
        with pytest.raises(DiskFull, match="no space left"):
            await instrument_files.fetch_public(f"{server.url}/x", Path("/dev/full"))
        monkeypatch.setattr(instrument_files, "FILE_CAP", 100)
        with pytest.raises(BadAnswer, match="larger"):
            await instrument_files.fetch_public(f"{server.url}/x", tmp_path / "list")


def test_the_address_of_a_broker_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert instrument_files.public_address("upstox").startswith("https://assets.upstox.com/")
    assert instrument_files.public_address("zerodha") == "https://api.kite.trade/instruments"
    assert instrument_files.public_address("template") == ""
    monkeypatch.setenv("STOPLINE_INSTRUMENTS_UPSTOX", "http://127.0.0.1:1/mine.json.gz")
    assert instrument_files.public_address("upstox") == "http://127.0.0.1:1/mine.json.gz"
