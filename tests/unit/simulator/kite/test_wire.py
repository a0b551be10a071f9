"""Our packets against the broker's published ones and against the official client's parser."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from app.simulator.kite import wire
from app.simulator.listing import Listing, load_sample
from app.simulator.quote import Quote
from tests.shared_data import shared_data

U32 = 2**32 - 1
SAMPLE = load_sample()


def listed(token: int, segment: str = "NSE") -> Listing:
    return Listing(token, token >> 8, "X", "X", None, Decimal(0), 5, 1, "EQ", segment, "NSE", previous_close=100)


def from_json(twin: dict[str, Any]) -> Quote:
    quote = Quote(SAMPLE.by_token[twin["instrument_token"]])

    def paise(rupees: float) -> int:
        return round(rupees * 100)

    for name in ("open", "high", "low", "close"):
        setattr(quote, name, paise(twin["ohlc"][name]))
    quote.last_price, quote.average_price = paise(twin["last_price"]), paise(twin["average_price"])
    for name in ("last_quantity", "volume", "buy_quantity", "sell_quantity", "oi", "oi_day_high", "oi_day_low"):
        setattr(quote, name, twin.get(name, 0))
    if "timestamp" in twin:
        quote.timestamp = int(datetime.fromisoformat(twin["timestamp"]).timestamp())
        quote.last_trade_time = int(datetime.fromisoformat(twin["last_trade_time"]).timestamp())
        for side, name in (("depth_buy", "buy"), ("depth_sell", "sell")):
            levels = [(paise(row["price"]), row["quantity"], row["orders"]) for row in twin["depth"][name]]
            setattr(quote, side, levels)
    return quote


@pytest.mark.parametrize("mode", [wire.QUOTE, wire.FULL])
def test_the_brokers_own_packets_byte_for_byte(mode: str) -> None:
    twin = json.loads(shared_data("kite", f"ticker_{mode}.json").read_text())
    expected = base64.b64decode(shared_data("kite", f"ticker_{mode}.packet").read_text())
    assert wire.packet(from_json(twin), mode)[2:] == expected


def test_a_frame_of_three_packets_byte_for_byte() -> None:
    infy = Quote(SAMPLE.by_key["NSE:INFY"])
    infy.last_price, infy.last_quantity, infy.average_price, infy.volume = 157315, 1, 157033, 1175986
    infy.buy_quantity, infy.sell_quantity = 256511, 360503
    infy.open, infy.high, infy.low, infy.close = 156915, 157500, 156105, 156780
    nifty = Quote(SAMPLE.by_key["NSE:NIFTY 50"])
    nifty.last_price, nifty.high, nifty.low, nifty.open, nifty.close = 2471235, 2480000, 2465010, 2470000, 2468550
    nifty.timestamp = 1625461887
    packets = [wire.packet(infy, wire.LTP), wire.packet(infy, wire.QUOTE), wire.packet(nifty, wire.FULL)]
    assert wire.frames(packets) == [
        bytes.fromhex(
            "0003000800063a0100026683002c00063a010002668300000001000265690011f1b20003e9ff00058037000264f30002673c"
            "000261c90002646c00200003e9090025b5430025d78000259cf20025b0700025aac600000a7d60e2947f"
        )
    ]


def parse(frame: bytes) -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = KiteTicker("key", "token")._parse_binary(frame)
    return parsed


@pytest.mark.parametrize(
    ("segment", "divisor"),
    [(1, 100), (2, 100), (3, 10**7), (4, 100), (5, 100), (6, 10**4), (7, 100), (12, 10**4)],
)
def test_every_segment_is_read_back_by_the_official_parser(segment: int, divisor: int) -> None:
    quote = Quote(listed(1000 * 256 + segment))
    quote.trade(841_225, 3, 1_795_149_000.9)
    ticks = [parse(wire.frames([wire.packet(quote, mode)])[0]) for mode in wire.MODES]
    for mode, (tick,) in zip(wire.MODES, ticks, strict=True):
        assert (tick["mode"], tick["tradable"], tick["instrument_token"]) == (mode, True, 1000 * 256 + segment)
        assert tick["last_price"] == 841_225 / divisor
    full = ticks[-1][0]
    assert full["exchange_timestamp"] == full["last_trade_time"] == datetime.fromtimestamp(1_795_149_000)  # noqa: DTZ006 - as the client does


def test_a_fallen_index_is_still_a_packet() -> None:
    quote = Quote(listed(256265, "INDICES"))
    quote.close = 200
    quote.level(150, 10.0)
    assert wire.packet(quote, wire.QUOTE)[-4:] == (-50 & U32).to_bytes(4, "big")
    (tick,) = parse(wire.frames([wire.packet(quote, wire.QUOTE)])[0])
    assert (tick["mode"], tick["tradable"], tick["ohlc"]["close"], tick["change"]) == ("quote", False, 2.0, -25.0)


level = st.tuples(st.integers(0, U32), st.integers(0, 2**40), st.integers(0, 2**20))


@given(
    numbers=st.lists(st.integers(0, U32), min_size=12, max_size=12),
    volume=st.integers(0, 2**40),
    buys=st.lists(level, max_size=5),
    sells=st.lists(level, max_size=5),
)
def test_any_quote_survives_the_official_parser(
    numbers: list[int], volume: int, buys: list[tuple[int, int, int]], sells: list[tuple[int, int, int]]
) -> None:
    quote = Quote(listed(408065))
    names = ("last_price", "last_quantity", "average_price", "buy_quantity", "sell_quantity", "open", "high", "low")
    for name, number in zip((*names, "close", "oi", "oi_day_high", "oi_day_low"), numbers, strict=True):
        setattr(quote, name, number)
    quote.volume, quote.depth_buy, quote.depth_sell = volume, buys, sells
    quote.timestamp = quote.last_trade_time = 1_795_149_000
    (tick,) = parse(wire.frames([wire.packet(quote, wire.FULL)])[0])
    assert tick["volume_traded"] == min(volume, U32)  # the wire has 32 bits
    assert (tick["total_buy_quantity"], tick["oi"]) == (quote.buy_quantity, quote.oi)
    assert tick["ohlc"] == {n: getattr(quote, n) / 100 for n in ("open", "high", "low", "close")}
    for name, levels in (("buy", buys), ("sell", sells)):
        padded = [*levels, *[(0, 0, 0)] * (5 - len(levels))]
        got = [(row["price"], row["quantity"], row["orders"]) for row in tick["depth"][name]]
        assert got == [(price / 100, min(size, U32), min(orders, 2**16 - 1)) for price, size, orders in padded]


def test_no_packets_make_no_frame_and_too_many_make_two() -> None:
    one = wire.packet(Quote(listed(408065)), wire.LTP)
    assert wire.frames([]) == []
    sizes = [len(parse(frame)) for frame in wire.frames([one] * 65_536)]
    assert sizes == [65_535, 1]


def test_the_heartbeat_is_what_clients_ignore() -> None:
    assert len(wire.HEARTBEAT) == 1
    assert parse(wire.HEARTBEAT) == []
