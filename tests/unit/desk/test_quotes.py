"""Quotes for the display: the trader's order, keys that are proved and sealed, what each source knows, limits."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED
from app.cli.main import parse
from app.cli.output import Output
from app.cli.quotes import run_quotes
from app.desk.desk import LocalDesk
from app.desk.remote import RemoteServer
from app.desk.verbs import DirectDesk, RemoteDesk, remote_verbs
from app.domain.errors import Denied, NotPermitted, Unreachable
from app.domain.events import Event
from app.domain.ids import InstrumentId
from app.domain.quotes import PricesPolled
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.fakes.finnhub import KEY, POOR, FinnhubPaper, refusal
from tests.unit.desk import test_instruments as lists
from tests.unit.desk.profiles import PASSPHRASE

INFY = InstrumentId("NSE:INFY")
FUTURE = InstrumentId("NFO:NIFTY26AUGFUT")


def _holding(folder: Path, secret: bytes) -> list[Path]:
    """Files in which it can be read."""
    return [file for file in folder.rglob("*") if file.is_file() and secret in file.read_bytes()]


@pytest.fixture
async def finnhub() -> AsyncIterator[FinnhubPaper]:
    async with FinnhubPaper({"INFY.NS": 1510.25, "RELIANCE.NS": 1450.05}) as paper:
        yield paper


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[LocalDesk]:
    async with lists.opened(tmp_path / "profile") as made:
        file = tmp_path / "zerodha.csv"
        await asyncio.to_thread(file.write_bytes, lists.LIST)
        await made.instruments.sync("zerodha", str(file))
        yield made


async def test_a_key_is_proved_before_it_is_kept_and_every_refusal_is_said(
    desk: LocalDesk, finnhub: FinnhubPaper
) -> None:
    with pytest.raises(NotPermitted, match="does not accept the key"):
        await desk.quotes.save_key("finnhub", Secret("wrong"), finnhub.url)
    with pytest.raises(NotPermitted, match="no prices of Indian exchanges"):
        await desk.quotes.save_key("finnhub", Secret(POOR), finnhub.url)
    with pytest.raises(Denied, match="sent to Finnhub alone"):
        await desk.quotes.save_key("finnhub", Secret(KEY), "https://finnhub.example/api/v1")
    with pytest.raises(Denied, match="empty"):
        await desk.quotes.save_key("finnhub", Secret(" \n"), finnhub.url)
    with pytest.raises(Denied, match="no provider"):
        await desk.quotes.save_key("kite", Secret(KEY), finnhub.url)
    finnhub.refuse = refusal("502 Bad Gateway", "")
    with pytest.raises(Unreachable):
        await desk.quotes.save_key("finnhub", Secret(KEY), finnhub.url)
    (source,) = (await desk.quotes.view()).sources
    assert (source.name, source.ready, source.words) == ("finnhub", False, "Its key is not stored.")
    finnhub.refuse = None
    (source,) = (await desk.quotes.save_key("finnhub", Secret(f" {KEY}\n"), finnhub.url)).sources
    assert source.ready


async def test_a_price_comes_with_its_source_and_what_nobody_knows_is_missing(
    desk: LocalDesk, finnhub: FinnhubPaper
) -> None:
    assert list(await desk.quotes.ask([INFY])) == []
    await desk.quotes.save_key("finnhub", Secret(KEY), finnhub.url)
    finnhub.asked.clear()
    (price,) = await desk.quotes.ask([INFY, FUTURE])
    assert (price.source, price.tick.last_price, price.tick.exchange_time) == (
        "Finnhub", 1510_25, 1_795_000_000_000_000_000,
    )  # fmt: skip
    assert finnhub.asked == ["INFY.NS"]  # a future is not one of its instruments: nothing of the limit was spent on it
    (source,) = (await desk.quotes.view()).sources
    assert (source.used, source.limit) == (1, 48)
    assert source.last_at is not None
    assert not any(KEY in seen.path for seen in finnhub.seen)  # no address carries the key
    await desk.quotes.switch("finnhub", on=False)
    assert list(await desk.quotes.ask([INFY])) == []


async def test_a_pause_that_it_asks_for_is_kept_and_said(desk: LocalDesk, finnhub: FinnhubPaper) -> None:
    await desk.quotes.save_key("finnhub", Secret(KEY), finnhub.url)
    finnhub.refuse = refusal("429 Too Many Requests", "API limit reached.", "Retry-After: 20\r\n")
    assert list(await desk.quotes.ask([INFY])) == []
    finnhub.refuse = None
    before = len(finnhub.seen)
    assert list(await desk.quotes.ask([INFY])) == []
    assert len(finnhub.seen) == before
    (source,) = (await desk.quotes.view()).sources
    assert "request limit is used up" in source.words


async def test_the_key_outlives_a_restart_and_a_change_of_keys_and_is_wiped_when_asked(
    tmp_path: Path, finnhub: FinnhubPaper
) -> None:
    async with lists.opened(tmp_path) as desk:
        await desk.quotes.save_key("finnhub", Secret(KEY), finnhub.url)
        done = await desk.data.rotate_key(PASSPHRASE)
        assert done.secrets == 1
    async with lists.opened(tmp_path) as desk:
        (source,) = (await desk.quotes.view()).sources
        assert source.ready
        await desk.quotes.forget_key("finnhub")
    async with lists.opened(tmp_path) as desk:
        (source,) = (await desk.quotes.view()).sources
        assert not source.ready
    assert await asyncio.to_thread(_holding, tmp_path, KEY.encode()) == []


async def test_views_hear_of_prices_that_no_feed_brings(desk: LocalDesk, finnhub: FinnhubPaper) -> None:
    heard: list[Event] = []
    told = asyncio.Event()

    def hear(event: Event) -> None:
        if isinstance(event, PricesPolled):
            heard.append(event)
            told.set()

    desk.listen(hear)
    await desk.quotes.save_key("finnhub", Secret(KEY), finnhub.url)
    await desk.market.subscribe("watchlist", [INFY])
    task = asyncio.create_task(desk.quotes.keep())
    try:
        await asyncio.wait_for(told.wait(), 10)
    finally:
        task.cancel()
    (event,) = heard
    assert isinstance(event, PricesPolled)
    assert [(price.source, price.tick.last_price) for price in event.prices] == [("Finnhub", 1510_25)]


@pytest.mark.parametrize("way", ["direct", "remote"])
async def test_the_command_line_does_the_same(way: str, desk: LocalDesk, finnhub: FinnhubPaper, tmp_path: Path) -> None:
    paths = ProfilePaths(tmp_path / "socket")
    paths.create()
    server = RemoteServer(paths, remote_verbs(desk, lambda: None), asyncio.get_running_loop())
    await asyncio.to_thread(server.start)
    quotes = DirectDesk(desk).quotes if way == "direct" else RemoteDesk(paths).quotes
    file = tmp_path / "key"
    await asyncio.to_thread(file.write_text, f"{KEY}\n")

    async def run(*words: str) -> tuple[int, str]:
        out = Output(io.StringIO(), io.StringIO(), as_json=False)
        code = await run_quotes(quotes, parse(["quotes", *words, "--profile", str(tmp_path)]), out)  # type: ignore[arg-type]
        return code, out.stdout.getvalue() + out.stderr.getvalue()  # type: ignore[attr-defined]

    try:
        assert await run() == (FINE, "1. finnhub  Finnhub  not ready  Its key is not stored.\n")
        code, said = await run("key", "finnhub", "--key-file", str(tmp_path / "none"))
        assert (code, "cannot be read" in said) == (COULD_NOT_START, True)
        code, said = await run("key", "finnhub", "--key-file", str(file), "--api-url", finnhub.url)
        assert (code, said) == (FINE, "1. finnhub  Finnhub  ready  0 of 48 requests\n")
        code, said = await run("ask", INFY)
        assert (code, said.partition(",")[0]) == (FINE, "NSE:INFY: 1510.25 from Finnhub")
        assert await run("ask", FUTURE) == (SOME_FAILED, "NFO:NIFTY26AUGFUT: nobody knows a price\n")
        code, said = await run("order", "finnhub", "nobody")
        assert (code, "no source of quotes called nobody" in said) == (COULD_NOT_START, True)
        assert (await run("off", "finnhub"))[1].split("  ")[2] == "off"
        assert (await run("forget", "finnhub"))[0] == FINE
    finally:
        await asyncio.to_thread(server.stop)
