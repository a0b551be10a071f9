"""A real session of Upstox's feed (2025-12-15), encoded by the official schema and read by ours: every value, and the
minute bars that come of them, beside the minutes that the feed itself tells."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import pytest
from google.protobuf import json_format
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

from app.brokers.upstox import codec
from app.domain.ids import InstrumentId
from app.domain.market import Candle, Interval, Tick
from app.market.candles import CandleBuilder, trade_seconds
from tests.shared_data import shared_data

FOLDER = "ticks_upstox_v3_20251215"
MINUTE = 60_000_000_000
SHARE, OPTION = "NSE_EQ_INE465A01025", "NSE_FO_51507"
NAMES = {SHARE: InstrumentId("NSE:BHARATFORG"), OPTION: InstrumentId("NFO:BANKNIFTY25DEC60000CE")}


def recorded(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(shared_data(FOLDER, f"{name}.jsonl.gz"), "rt") as file:
        for line in file:
            yield json.loads(line)


def on_the_wire(message: Mapping[str, Any], stamp: int) -> bytes:
    made = official.FeedResponse(type=1, currentTs=stamp)
    feed = {name: message[name] for name in ("fullFeed", "requestMode")}
    json_format.ParseDict(feed, made.feeds[message["instrumentKey"]])
    encoded: bytes = made.SerializeToString()
    return encoded


def paise(value: Any) -> int:
    return round(float(value or 0) * 100)


def told(message: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a recorded message says, read from its JSON."""
    market = message["fullFeed"]["marketFF"]
    trade = market["ltpc"]
    levels = market.get("marketLevel", {}).get("bidAskQuote", [])
    day = next((bar for bar in market.get("marketOHLC", {}).get("ohlc", []) if bar["interval"] == "1d"), None)
    sides = tuple(
        tuple((paise(one.get(price)), int(one[count])) for one in levels if int(one.get(count, 0)))
        for price, count in (("bidP", "bidQ"), ("askP", "askQ"))
    )
    return (
        paise(trade["ltp"]), int(trade["ltt"]), int(trade.get("ltq", 0)), paise(trade.get("cp")),
        paise(market.get("atp")), int(market.get("vtt", 0)), round(market.get("tbq", 0)), round(market.get("tsq", 0)),
        None if day is None else tuple(paise(day[name]) for name in ("open", "high", "low")), *sides,
    )  # fmt: skip


def heard(tick: Tick) -> tuple[Any, ...]:
    """The same of our tick."""
    assert tick.depth is not None
    day = None if tick.open is None else (tick.open, tick.high, tick.low)
    sides = (tuple((one.price, one.quantity) for one in side) for side in (tick.depth.bids, tick.depth.asks))
    return (
        tick.last_price, (tick.last_trade_time or 0) // 1_000_000,
        tick.last_quantity, tick.close or 0, tick.average_price,
        tick.volume, tick.buy_quantity, tick.sell_quantity, day, *sides,
    )  # fmt: skip


def minutes(name: str) -> dict[int, Candle]:
    """The feed's own, by their start."""
    with gzip.open(shared_data("minute_1m_upstox_I1_20251215", f"{name}.csv.gz"), "rt") as file:
        found = {}
        for row in csv.DictReader(file):
            start = int(datetime.fromisoformat(row["ts"]).timestamp()) * 1_000_000_000
            opened, high, low, close = (paise(row[part]) for part in ("open", "high", "low", "close"))
            found[start] = Candle(start, opened, high, low, close, int(row["volume"]))
        return found


@pytest.mark.parametrize(
    ("name", "messages", "minutes_in_common", "equal"),
    [
        # Minutes with the same close, volume and open as the feed's own. It sends about one update a second and not
        # every trade: volume at a minute's edge goes to the neighbour, and high and low lie inside the feed's own.
        (SHARE, 20_000, 351, {"close": 329, "volume": 304, "open": 291}),
        (OPTION, 6_000, 92, {"close": 92, "volume": 89, "open": 71}),
    ],
)
def test_every_message_arrives_value_for_value_and_makes_the_minutes_that_it_can(
    name: str, messages: int, minutes_in_common: int, equal: Mapping[str, int]
) -> None:
    builder, built = CandleBuilder(Interval.MINUTE), {}
    known: codec.Known = {}
    count = stamp = 0
    for message in islice(recorded(name), messages):
        count += 1
        key = message["instrumentKey"]
        known = known or {key.encode(): (7, 100)}
        stamp = max(stamp + 1, int(message["fullFeed"]["marketFF"]["ltpc"]["ltt"]))  # no tick is older than its trade
        payload = on_the_wire(message, stamp)
        expected = told(message)
        assert list(codec.marks(payload, known)) == [(7, expected[0], 0, stamp // 1000)]
        ((_, packet),) = codec.packets(payload, known)
        tick = codec.decode(packet, NAMES[name], 0)
        assert heard(tick) == expected
        assert tick.open_interest == (None if name == SHARE else round(message["fullFeed"]["marketFF"].get("oi", 0)))
        closed = builder.add(tick.last_price, trade_seconds(tick), tick.volume)
        if closed is not None:
            built[closed.start] = closed
    assert count == min(messages, 11_445)
    own = minutes(name)
    common = [(built[at], own[at]) for at in built.keys() & own.keys()]
    assert len(common) == minutes_in_common
    for ours, theirs in common:
        assert theirs.low <= ours.low
        assert ours.high <= theirs.high
    assert {part: sum(getattr(a, part) == getattr(b, part) for a, b in common) for part in equal} == equal
