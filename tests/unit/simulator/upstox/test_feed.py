from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from upstox_client.feeder.proto.MarketDataFeedV3_pb2 import FeedResponse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.unit.simulator.conftest import MORNING
from tests.unit.simulator.upstox.conftest import INFY, NIFTY, MakeUpstox, UpstoxBench

KEY = "NSE:INFY"
SBIN = "NSE_EQ|INE062A01020"


async def address(bench: UpstoxBench, path: str = "/v3/feed/market-data-feed/authorize", **query: str) -> str:
    data = await bench.get(path, **query)
    assert data["authorizedRedirectUri"] == data["authorized_redirect_uri"]
    return str(data["authorizedRedirectUri"])


@asynccontextmanager
async def socket(bench: UpstoxBench) -> AsyncIterator[ClientConnection]:
    async with connect(await address(bench), proxy=None, compression=None) as line:
        assert (await read(line))["type"] == "market_info"
        yield line


async def read(line: ClientConnection) -> dict[str, Any]:
    raw = await asyncio.wait_for(line.recv(), 10)
    assert isinstance(raw, bytes)
    document: dict[str, Any] = MessageToDict(FeedResponse.FromString(raw))
    return document


async def ask(line: ClientConnection, method: str, keys: list[str], mode: str | None = None) -> None:
    data: dict[str, Any] = {"instrumentKeys": keys}
    if mode is not None:
        data["mode"] = mode
    await line.send(json.dumps({"guid": "any", "method": method, "data": data}).encode())


async def _until_the_end(line: ClientConnection) -> None:
    async for _ in line:
        pass
    raise ConnectionClosed(None, None)


async def test_an_address_is_good_once_and_needs_no_header(upstox: UpstoxBench) -> None:
    url = await address(upstox)
    async with connect(url, proxy=None) as line:
        info = await read(line)
    assert info["marketInfo"]["segmentStatus"]["NSE_EQ"] == "NORMAL_OPEN"
    assert info["currentTs"] == str(int(MORNING.timestamp() * 1000))
    with pytest.raises(InvalidStatus):
        await connect(url, proxy=None)


async def test_the_feeds_own_address_redirects_who_has_a_token(upstox: UpstoxBench) -> None:
    headers = {"Authorization": upstox.http.headers["Authorization"]}
    async with connect(upstox.urls["ws_url"], proxy=None, additional_headers=headers) as line:
        assert (await read(line))["type"] == "market_info"
    with pytest.raises(InvalidStatus) as refused:
        await connect(upstox.urls["ws_url"], proxy=None)
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(("setting", "kind"), [("initial", None), ("live", "live_feed")])
async def test_a_subscription_answers_with_a_snapshot(upstox: UpstoxBench, setting: str, kind: str | None) -> None:
    upstox.faults(f"first_feed={setting}")
    upstox.price(KEY, 111_235)
    async with socket(upstox) as line:
        await ask(line, "sub", [INFY, NIFTY, "NSE_EQ|INE000000000"], "full")
        snapshot = await read(line)
    assert snapshot.get("type") == kind, "initial_feed is zero, and zeros are not on the wire"
    assert snapshot["feeds"].keys() == {INFY, NIFTY}
    share, index = snapshot["feeds"][INFY], snapshot["feeds"][NIFTY]
    assert share["requestMode"] == "full_d5"
    body = share["fullFeed"]["marketFF"]
    assert body["ltpc"]["ltp"] == 1112.35
    assert len(body["marketLevel"]["bidAskQuote"]) == 5
    assert body["marketOHLC"]["ohlc"][0]["interval"] == "1d"
    assert "marketLevel" not in index["fullFeed"]["indexFF"]
    assert "ltq" not in index["fullFeed"]["indexFF"]["ltpc"]


async def test_every_mode_has_its_shape_and_can_be_changed(upstox: UpstoxBench) -> None:
    async with socket(upstox) as line:
        await ask(line, "sub", [INFY], "ltpc")
        plain = (await read(line))["feeds"][INFY]
        assert plain.keys() == {"ltpc"}, "the mode ltpc is zero"
        await ask(line, "change_mode", [INFY, NIFTY], "option_greeks")
        first = (await read(line))["feeds"]
        assert first.keys() == {INFY}, "only what is subscribed changes"
        assert first[INFY]["firstLevelWithGreeks"]["firstDepth"]["bidP"] > 0
        await ask(line, "sub", [INFY], "full_d30")
        await ask(line, "unsub", [INFY])
        await ask(line, "sub", [NIFTY], "ltpc")
        assert (await read(line))["feeds"].keys() == {NIFTY}, "full_d30 is Plus"
        upstox.price(KEY, 111_000)
        upstox.price("NSE:NIFTY 50", 24_500_00)
        assert (await read(line))["feeds"].keys() == {NIFTY}, "after unsub nothing ticks"
    upstox.faults("plus_plan=on")
    async with socket(upstox) as line:
        await ask(line, "sub", [INFY], "full_d30")
        assert (await read(line))["feeds"][INFY]["requestMode"] == "full_d30"


async def test_every_price_arrives_in_order(upstox: UpstoxBench) -> None:
    async with socket(upstox) as line:
        await ask(line, "sub", [INFY, SBIN], "ltpc")
        await read(line)
        prices = list(range(111_000, 111_200, 5))
        for price in prices:
            upstox.price(KEY, price)
        got = [(await read(line)) for _ in prices]
    assert [message["feeds"][INFY]["ltpc"]["ltp"] for message in got] == [price / 100 for price in prices]
    assert {message["type"] for message in got} == {"live_feed"}


async def test_text_frames_and_nonsense_are_ignored(upstox: UpstoxBench) -> None:
    async with socket(upstox) as line:
        request = {"guid": "g", "method": "sub", "data": {"instrumentKeys": [INFY], "mode": "full"}}
        await line.send(json.dumps(request))
        for nonsense in (b"not json", b"[]", b'{"method":"sub"}', b'{"method":"dance","data":{"instrumentKeys":[]}}'):
            await line.send(nonsense)
        await ask(line, "sub", [NIFTY], "ltpc")
        assert (await read(line))["feeds"].keys() == {NIFTY}
        upstox.faults("text_frames=taken")
        await line.send(json.dumps(request))
        assert (await read(line))["feeds"].keys() == {INFY}


async def test_two_connections_and_five_with_plus(upstox: UpstoxBench) -> None:
    async with socket(upstox), socket(upstox):
        with pytest.raises(InvalidStatus):
            await connect(await address(upstox), proxy=None)
        upstox.faults("plus_plan=on")
        async with socket(upstox):
            pass


async def test_streams_end_with_the_token(upstox: UpstoxBench) -> None:
    url = await address(upstox, "/v2/feed/portfolio-stream-feed/authorize")
    async with socket(upstox) as line, connect(url, proxy=None) as orders:
        await upstox.clock((MORNING + timedelta(days=1)).replace(hour=3, minute=30))
        for stream in (line, orders):
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(_until_the_end(stream), 10)


async def test_market_information_follows_the_hours(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox("hours=clock", now=MORNING.replace(hour=9, minute=5))
    async with connect(await address(bench), proxy=None) as line:
        info = await read(line)
        status = info["marketInfo"]["segmentStatus"]
        assert (status["NSE_EQ"], status["NCD_FO"]) == ("PRE_OPEN_START", "NORMAL_OPEN")
        await bench.clock(MORNING)
        assert (await read(line))["marketInfo"]["segmentStatus"]["NSE_EQ"] == "NORMAL_OPEN"
        await bench.clock(MORNING.replace(hour=18))
        assert (await read(line))["marketInfo"]["segmentStatus"]["NSE_FO"] == "NORMAL_CLOSE"


async def test_faults_of_the_feed(upstox: UpstoxBench) -> None:
    async with socket(upstox) as line:
        await ask(line, "sub", [INFY], "ltpc")
        await read(line)
        upstox.faults("ticker-malformed")
        upstox.price(KEY, 111_000)
        broken = await line.recv()
        with pytest.raises(DecodeError):
            FeedResponse.FromString(broken)
        assert (await read(line))["feeds"][INFY]["ltpc"]["ltp"] == 1110.0
        upstox.faults("ticker-disconnect")
        upstox.price(KEY, 111_005)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(line.recv(), 10)
    async with socket(upstox) as line:
        upstox.faults("ticker-cut")
        upstox.price(KEY, 111_000)
        with pytest.raises(DecodeError):
            FeedResponse.FromString(await line.recv())
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(line.recv(), 10)


async def test_a_silent_feed_keeps_its_line(upstox: UpstoxBench) -> None:
    async with socket(upstox) as line:
        await ask(line, "sub", [INFY], "ltpc")
        await read(line)
        upstox.faults("ticker-silence=3600")
        upstox.price(KEY, 111_000)
        upstox.door.feed.silent = False
        upstox.price(KEY, 111_010)
        assert (await read(line))["feeds"][INFY]["ltpc"]["ltp"] == 1110.1


async def test_the_feed_of_v2_is_gone(upstox: UpstoxBench) -> None:
    assert (await upstox.refused("GET", "/v2/feed/market-data-feed/authorize"))[0] == 410


async def test_the_portfolio_stream_tells_of_orders_positions_and_holdings(upstox: UpstoxBench) -> None:
    types = "order,position,holding"
    url = await address(upstox, "/v2/feed/portfolio-stream-feed/authorize", update_types=types)
    async with connect(url, proxy=None) as line:
        order_id = await upstox.place(tag="mine")
        told: list[dict[str, Any]] = []
        while not told or told[-1]["update_type"] != "position":
            told.append(json.loads(await asyncio.wait_for(line.recv(), 10)))
    orders = [row for row in told if row["update_type"] == "order"]
    assert [row["status"] for row in orders] == ["open", "complete"]
    assert {row["order_id"] for row in orders} == {order_id}
    assert (orders[0]["exchange_order_id"] != "", orders[0]["filled_quantity"]) == (True, 0)
    assert (orders[1]["filled_quantity"], orders[1]["pending_quantity"], orders[1]["tag"]) == (10, 0, "mine")
    assert (orders[1]["trading_symbol"], orders[1]["instrument_key"]) == ("INFY-EQ", INFY)
    position = told[-1]
    assert (position["quantity"], position["exchange"], position["product"]) == (10, "NSE_EQ", "I")
    assert not position.keys() & {"last_price", "pnl"}


@pytest.mark.parametrize(("setting", "kinds"), [("order", {"order"}), ("all", {"order", "position"})])
async def test_a_stream_without_types_tells_what_the_switch_says(
    upstox: UpstoxBench, setting: str, kinds: set[str]
) -> None:
    upstox.faults(f"stream_default={setting}")
    headers = {"Authorization": upstox.http.headers["Authorization"]}
    async with connect(upstox.urls["portfolio_url"], proxy=None, additional_headers=headers) as line:
        await upstox.place()
        await upstox.place(transaction_type="SELL")
        told: list[dict[str, Any]] = []
        while sum(row.get("status") == "complete" for row in told) < 2:
            told.append(json.loads(await asyncio.wait_for(line.recv(), 10)))
    assert {row["update_type"] for row in told} == kinds
