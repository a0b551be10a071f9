"""The recorded messages of 2025-12-15 go over the wire and arrive value for value."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from upstox_client.feeder.proto.MarketDataFeedV3_pb2 import FeedResponse
from websockets.asyncio.client import connect

from app.simulator.market import Market, Quote
from app.simulator.opening import open_market
from app.simulator.upstox import feeds, proto
from app.simulator.upstox.keys import key_of
from tests.shared_data import shared_data
from tests.unit.simulator.upstox.conftest import MakeUpstox

FOLDER = "ticks_upstox_v3_20251215"
SHARE, OPTION = "NSE_EQ_INE465A01025", "NSE_FO_51460"
MESSAGES = 3_000
_ZERO = (0, 0.0, "0", "")


def recorded(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(shared_data(FOLDER, f"{name}.jsonl.gz"), "rt") as file:
        for line in file:
            yield json.loads(line)


def replayed(name: str) -> tuple[Market, Iterator[Quote]]:
    market = open_market("replay:" + str(shared_data(FOLDER, f"{name}.jsonl.gz")), speed=0)

    def quotes() -> Iterator[Quote]:
        while market.feed.next_at() is not None:
            yield from market.step()

    return market, quotes()


def arrived(quote: Quote, mode: str, market: Market) -> dict[str, Any]:
    key = key_of(quote.listing)
    entry = proto.entry(proto.FEEDS, key, proto.map_value("Feed", feeds.feed(quote, mode, market)))
    document: dict[str, Any] = MessageToDict(FeedResponse.FromString(proto.response("live_feed", [entry], 1)))
    assert list(document["feeds"]) == [key]
    feed: dict[str, Any] = document["feeds"][key]
    return feed


def without_zeros(value: Any) -> Any:
    """Zeros are not on the wire; whether a recording had written one down makes no difference."""
    if isinstance(value, dict):
        return {key: without_zeros(item) for key, item in value.items() if item not in _ZERO}
    if isinstance(value, list):
        return [without_zeros(item) for item in value]
    return value


@pytest.mark.parametrize("name", [SHARE, OPTION])
def test_recorded_messages_arrive_value_for_value(name: str) -> None:
    market, quotes = replayed(name)
    count = 0
    for quote, message in islice(zip(quotes, recorded(name), strict=True), MESSAGES):
        feed = arrived(quote, feeds.FULL, market)
        assert message["instrumentKey"] == key_of(quote.listing)
        assert feed["requestMode"] == message["requestMode"]
        assert without_zeros(feed["fullFeed"]) == without_zeros(message["fullFeed"])
        count += 1
    assert count == MESSAGES


async def test_they_arrive_so_over_the_socket(make_upstox: MakeUpstox) -> None:
    source = "replay:" + ",".join(str(shared_data(FOLDER, f"{name}.jsonl.gz")) for name in (SHARE, OPTION))
    bench = await make_upstox(feed=source, now=None)
    keys = [next(recorded(name))["instrumentKey"] for name in (SHARE, OPTION)]
    url = (await bench.get("/v3/feed/market-data-feed/authorize"))["authorized_redirect_uri"]
    async with connect(url, proxy=None, compression=None) as line:
        request = {"guid": "g", "method": "sub", "data": {"mode": "full", "instrumentKeys": keys}}
        await line.send(json.dumps(request).encode())
        await line.recv()  # market information
        await line.recv()  # the snapshot
        for _ in range(400):
            bench.exchange.market.step()
        got: dict[str, list[Any]] = {key: [] for key in keys}
        while sum(map(len, got.values())) < 400:
            for key, feed in MessageToDict(FeedResponse.FromString(await line.recv()))["feeds"].items():
                got[key].append(without_zeros(feed["fullFeed"]))
    for name, key in zip((SHARE, OPTION), keys, strict=True):
        wanted = [without_zeros(message["fullFeed"]) for message in islice(recorded(name), len(got[key]))]
        assert got[key] == wanted
        assert len(wanted) > 100


async def test_intraday_candles_are_the_feeds_own_minutes(make_upstox: MakeUpstox) -> None:
    bench = await make_upstox(feed=f"replay:{shared_data(FOLDER, SHARE + '.jsonl.gz')}", now=None)
    market = bench.exchange.market
    while market.feed.next_at() is not None:
        market.step()
    key = next(recorded(SHARE))["instrumentKey"]
    rows = (await bench.get(f"/v3/historical-candle/intraday/{key}/minutes/1"))["candles"]
    candles = {row[0]: row[1:6] for row in rows}
    with gzip.open(shared_data("minute_1m_upstox_I1_20251215", f"{SHARE}.csv.gz"), "rt") as file:
        bars = list(csv.DictReader(file))
    assert len(bars) > 300
    for bar in bars:
        prices = [float(bar[name]) for name in ("open", "high", "low", "close")]
        assert candles[bar["ts"]] == [*prices, int(bar["volume"])]


def test_smaller_modes_hold_the_same_values() -> None:
    market, quotes = replayed(OPTION)
    for quote, message in islice(zip(quotes, recorded(OPTION), strict=True), 50):
        body = message["fullFeed"]["marketFF"]
        assert without_zeros(arrived(quote, feeds.LTPC, market)["ltpc"]) == without_zeros(body["ltpc"])
        first = arrived(quote, feeds.GREEKS, market)["firstLevelWithGreeks"]
        assert first["oi"] == body["oi"]
        assert without_zeros(first["optionGreeks"]) == without_zeros(body["optionGreeks"])
        assert without_zeros(first["firstDepth"]) == without_zeros(body["marketLevel"]["bidAskQuote"][0])


def test_a_price_set_by_hand_is_not_hidden_by_the_recording() -> None:
    market, quotes = replayed(SHARE)
    quote = next(quotes)
    market.set_price(quote.listing.key, quote.last_price + 100)
    assert arrived(quote, feeds.LTPC, market)["ltpc"]["ltp"] == quote.last_price / 100
