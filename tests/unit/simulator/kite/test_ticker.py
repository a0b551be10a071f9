"""The ticker over a real socket, read with the official client's parser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from kiteconnect import KiteTicker

from app.simulator.clock import IST, ExchangeClock
from app.simulator.feeds.random import RandomFeed
from app.simulator.kite import wire
from app.simulator.kite.ticker import CONNECTIONS_PER_KEY, TOKENS_PER_CONNECTION, TickerHub
from app.simulator.listing import COLUMNS, load_file, load_sample
from app.simulator.market import Market
from app.simulator.switches import Switches

NIFTY, SBIN, INFY = 256265, 779521, 408065
USERS = {("key", "token"): "AB1234", ("key", "other"): "CD5678", ("app", "token"): "AB1234"}


class Desk:
    """An exchange's market side on a port, and clients of it."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.switches = Switches()
        self.hub = TickerHub(market, lambda key, token: USERS.get((key, token)), lambda: self.switches)
        self.http = aiohttp.ClientSession()
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        self.url = ""

    async def connect(self, key: str = "key", session: str = "token") -> Client:
        socket = await self.http.ws_connect(f"{self.url}?api_key={key}&access_token={session}")
        self._sockets.append(socket)
        return Client(socket)

    async def close(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self._sockets))
        await self.http.close()


class Client:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def ask(self, action: str, value: object) -> None:
        await self.socket.send_str(json.dumps({"a": action, "v": value}))

    async def next(self) -> Any:
        """The next message: ticks, a text event, or what ended the connection; heartbeats are passed over."""
        while True:
            message = await self.socket.receive(timeout=10)
            if message.type is aiohttp.WSMsgType.TEXT:
                return json.loads(message.data)
            if message.type is not aiohttp.WSMsgType.BINARY:
                return message.type
            if len(message.data) > 1:
                return KiteTicker("key", "token")._parse_binary(message.data)

    async def ticks(self, count: int) -> list[dict[str, Any]]:
        """So many ticks, from however many frames."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += await self.next()
        assert len(found) == count
        return found


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    start = datetime(2026, 11, 20, 10, 0, tzinfo=IST)
    async for one in serve(Market(RandomFeed(load_sample(start.date()), 1), ExchangeClock(start, 0))):
        yield one


async def serve(market: Market) -> AsyncIterator[Desk]:
    desk = Desk(market)
    app = web.Application()
    app.router.add_get("/ws", desk.hub.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    desk.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ws"
    yield desk
    await desk.close()
    await runner.cleanup()


@pytest.mark.parametrize(("key", "token"), [("key", "wrong"), ("wrong", "token"), ("", "")])
async def test_a_bad_token_is_refused_on_the_handshake(desk: Desk, key: str, token: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await desk.connect(key, token)
    assert refused.value.status == 403


@pytest.mark.parametrize("mode", ["quote", "full", "ltp"])
async def test_the_mode_after_a_bare_subscribe(desk: Desk, mode: str) -> None:
    desk.switches = Switches(stream_mode=mode)
    client = await desk.connect()
    await client.ask("subscribe", [SBIN])
    (tick,) = await client.ticks(1)
    assert tick["mode"] == mode


async def test_ticks_simply_start_where_there_is_no_snapshot(desk: Desk) -> None:
    desk.switches = Switches(stream_snapshot="off")
    client = await desk.connect()
    await client.ask("subscribe", [SBIN])
    await client.ask("nonsense", [])  # answered after the subscription is in force
    assert (await client.next())["type"] == "error"
    desk.market.set_price("NSE:SBIN", desk.market.quotes[SBIN].last_price)
    (tick,) = await client.ticks(1)
    assert tick["instrument_token"] == SBIN


async def test_events_of_types_that_no_document_names(desk: Desk) -> None:
    desk.switches = Switches(stream_meta="on")
    client = await desk.connect()
    assert (await client.next())["type"] == "instruments_meta"


async def test_a_subscription_begins_with_a_snapshot_in_quote_mode(desk: Desk) -> None:
    client = await desk.connect()
    await client.ask("subscribe", [NIFTY, SBIN])
    nifty, sbin = await client.ticks(2)
    assert (nifty["instrument_token"], nifty["mode"], nifty["tradable"]) == (NIFTY, "quote", False)
    assert (sbin["instrument_token"], sbin["mode"], sbin["tradable"]) == (SBIN, "quote", True)
    quote = desk.market.quotes[SBIN]
    assert sbin["last_price"] == quote.last_price / 100
    assert sbin["volume_traded"] == quote.volume
    assert "exchange_timestamp" not in sbin


@pytest.mark.parametrize("mode", wire.MODES)
async def test_every_mode_brings_its_packet_at_once_and_on_every_change(desk: Desk, mode: str) -> None:
    client = await desk.connect()
    await client.ask("subscribe", [SBIN])
    await client.ask("mode", [mode, [SBIN]])
    _, snapshot = await client.ticks(2)
    desk.market.set_price("NSE:SBIN", 101_010)
    (tick,) = await client.ticks(1)
    assert snapshot["mode"] == tick["mode"] == mode
    assert tick["last_price"] == 1010.1
    if mode == "full":
        assert tick["exchange_timestamp"].timestamp() == int(desk.market.clock.epoch())
        assert len(tick["depth"]["buy"]) == 5
        assert tick["depth"]["buy"][0]["price"] <= 1010.1 <= tick["depth"]["sell"][0]["price"]


async def test_nothing_comes_after_unsubscribing(desk: Desk) -> None:
    client = await desk.connect()
    await client.ask("subscribe", [SBIN, INFY])
    await client.ask("unsubscribe", [SBIN])
    await client.ask("mode", ["ltp", [SBIN, INFY]])  # SBIN is not subscribed any more
    assert [tick["instrument_token"] for tick in await client.ticks(3)] == [SBIN, INFY, INFY]
    desk.market.set_price("NSE:SBIN", 101_010)
    desk.market.set_price("NSE:INFY", 110_000)
    (tick,) = await client.ticks(1)
    assert (tick["instrument_token"], tick["last_price"]) == (INFY, 1100.0)


async def test_each_connection_has_its_own_modes(desk: Desk) -> None:
    one, two = await desk.connect(), await desk.connect(session="other")
    await one.ask("subscribe", [SBIN])
    await two.ask("subscribe", [SBIN])
    await two.ask("mode", ["ltp", [SBIN]])
    await one.ticks(1)
    await two.ticks(2)
    desk.market.set_price("NSE:SBIN", 100_000)
    assert [tick["mode"] for tick in await one.ticks(1) + await two.ticks(1)] == ["quote", "ltp"]


async def test_a_packet_is_made_once_for_all_clients(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = [await desk.connect() for _ in range(3)]
    for client in clients:
        await client.ask("subscribe", [SBIN])
        await client.ticks(1)
    made = []
    real = wire.packet

    def count(quote: Any, mode: str) -> bytes:
        made.append(mode)
        return real(quote, mode)

    monkeypatch.setattr(wire, "packet", count)
    desk.market.set_price("NSE:SBIN", 100_000)
    for client in clients:
        assert (await client.ticks(1))[0]["last_price"] == 1000.0
    assert made == ["quote"]


async def test_no_tick_is_dropped_between_two_frames(desk: Desk) -> None:
    client = await desk.connect()
    await client.ask("subscribe", [SBIN])
    await client.ticks(1)
    for paise in range(100_000, 110_000, 10):
        desk.market.set_price("NSE:SBIN", paise)  # without giving the writer a turn
    ticks = await client.ticks(1_000)
    assert [tick["last_price"] for tick in ticks] == [paise / 100 for paise in range(100_000, 110_000, 10)]


async def test_order_updates_go_to_their_user_in_order_with_the_ticks(desk: Desk) -> None:
    mine, app, foreign = await desk.connect(), await desk.connect("app"), await desk.connect(session="other")
    for client in (mine, app, foreign):
        await client.ask("subscribe", [SBIN])
        await client.ticks(1)
    desk.market.set_price("NSE:SBIN", 100_000)
    desk.hub.order_update("AB1234", {"order_id": "1", "status": "COMPLETE"})
    desk.market.set_price("NSE:SBIN", 100_010)
    for client in (mine, app):
        assert (await client.ticks(1))[0]["last_price"] == 1000.0
        assert await client.next() == {"type": "order", "data": {"order_id": "1", "status": "COMPLETE"}}
        assert (await client.ticks(1))[0]["last_price"] == 1000.1
    assert [tick["last_price"] for tick in await foreign.ticks(2)] == [1000.0, 1000.1]


async def test_a_fourth_connection_of_a_key_is_refused_until_one_leaves(desk: Desk) -> None:
    clients = [await desk.connect() for _ in range(CONNECTIONS_PER_KEY)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await desk.connect()
    assert refused.value.status == 429
    await desk.connect("app")
    await clients[0].socket.close()
    for _ in range(200):
        try:
            again = await desk.connect()
            break
        except aiohttp.WSServerHandshakeError:
            await asyncio.sleep(0.01)
    else:
        pytest.fail("the place was never freed")
    await again.ask("subscribe", [SBIN])
    await again.ticks(1)


async def test_tokens_over_the_limit_get_an_error_and_the_rest_ticks(tmp_path: Any) -> None:
    rows = [f"{i * 256 + 1},{i},S{i},S{i},0,,0,0.05,1,EQ,NSE,NSE" for i in range(1, TOKENS_PER_CONNECTION + 11)]
    (tmp_path / "many.csv").write_text("\n".join([",".join(COLUMNS), *rows]))
    listings = load_file(tmp_path / "many.csv")
    start = datetime(2026, 11, 20, 9, 15, tzinfo=IST)
    async for desk in serve(Market(RandomFeed(listings), ExchangeClock(start, 0))):
        client = await desk.connect()
        await client.ask("subscribe", list(listings.by_token))
        assert len(await client.ticks(TOKENS_PER_CONNECTION)) == TOKENS_PER_CONNECTION
        answer = await client.next()
        assert answer["type"] == "error"
        assert "10 instruments were not subscribed" in answer["data"]
        desk.market.set_price(f"NSE:S{TOKENS_PER_CONNECTION + 1}", 10_000)
        desk.market.set_price("NSE:S1", 10_000)
        assert [tick["instrument_token"] for tick in await client.ticks(1)] == [257]


@pytest.mark.parametrize(
    "request_text",
    [
        "not json",
        "[]",
        "{}",
        '{"a":"subscribe"}',
        '{"a":"subscribe","v":["779521"]}',
        '{"a":"subscribe","v":779521}',
        '{"a":"mode","v":["full"]}',
        '{"a":"mode","v":["deep",[779521]]}',
        '{"a":"dance","v":[779521]}',
    ],
)
async def test_a_request_that_makes_no_sense_gets_an_error_event(desk: Desk, request_text: str) -> None:
    client = await desk.connect()
    await client.socket.send_str(request_text)
    assert (await client.next())["type"] == "error"
    await client.ask("subscribe", [1, SBIN])  # an unknown token is passed over
    assert [tick["instrument_token"] for tick in await client.ticks(1)] == [SBIN]


async def test_silence_is_filled_with_heartbeats_and_pings_are_answered(desk: Desk) -> None:
    client = await desk.connect()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    message = await client.socket.receive(timeout=10)
    assert (message.type, message.data) == (aiohttp.WSMsgType.BINARY, wire.HEARTBEAT)
    assert loop.time() - begun < 5  # clients call the line dead then
    raw = await desk.http.ws_connect(f"{desk.url}?api_key=key&access_token=token", autoping=False)
    await raw.ping(b"there?")
    answer = await raw.receive(timeout=10)
    while answer.type is aiohttp.WSMsgType.BINARY:
        answer = await raw.receive(timeout=10)
    assert (answer.type, bytes(answer.data)) == (aiohttp.WSMsgType.PONG, b"there?")
    await raw.close()


async def test_closing_a_user_ends_his_connections_alone(desk: Desk) -> None:
    mine, foreign = await desk.connect(), await desk.connect(session="other")
    closing = asyncio.create_task(desk.hub.close_user("AB1234"))
    assert await mine.next() is aiohttp.WSMsgType.CLOSE
    await mine.socket.close()
    await asyncio.wait_for(closing, 10)
    await foreign.ask("subscribe", [SBIN])
    assert len(await foreign.ticks(1)) == 1
    closing = asyncio.create_task(desk.hub.close_all())
    assert await foreign.next() is aiohttp.WSMsgType.CLOSE
    await foreign.socket.close()
    await asyncio.wait_for(closing, 10)


async def test_a_silent_hub_sends_nothing_until_it_speaks_again(desk: Desk) -> None:
    client = await desk.connect()
    await client.ask("subscribe", [SBIN])
    await client.ticks(1)
    desk.hub.silent = True
    desk.market.set_price("NSE:SBIN", 100_000)
    desk.hub.silent = False
    desk.market.set_price("NSE:SBIN", 100_010)
    assert [tick["last_price"] for tick in await client.ticks(1)] == [1000.1]


async def test_faults_for_scripts_reach_the_clients(desk: Desk) -> None:
    client = await desk.connect()
    desk.hub.inject(b"\x00\x05\x00\xffgarbage")
    message = await client.socket.receive(timeout=10)
    assert message.data == b"\x00\x05\x00\xffgarbage"
    desk.hub.drop_all()
    ended = await client.socket.receive(timeout=10)
    assert ended.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert client.socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_a_client_that_never_reads_is_cut_off_and_the_others_are_served(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.simulator.kite.ticker.BACKLOG", 100_000)
    reader, sleeper = await desk.connect(), await desk.connect(session="other")
    for client in (reader, sleeper):
        await client.ask("subscribe", [SBIN])
        await client.ask("mode", ["full", [SBIN]])
        await client.ticks(2)
    transport = sleeper.socket._response.connection.transport  # type: ignore[union-attr]  # it is open
    assert transport is not None
    transport.pause_reading()
    for _ in range(400):
        for paise in range(100_000, 100_100):
            desk.market.set_price("NSE:SBIN", paise)
        await reader.ticks(100)
        if len(desk.hub._connections) == 1:
            break
    assert len(desk.hub._connections) == 1
    transport.resume_reading()
    desk.market.set_price("NSE:SBIN", 105_000)
    assert (await reader.ticks(1))[0]["last_price"] == 1050.0
