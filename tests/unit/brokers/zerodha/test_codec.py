"""Our decoder against the broker's own samples and the official parser."""

from __future__ import annotations

import base64
import json
import logging
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.brokers.zerodha import codec
from app.domain.errors import BadAnswer
from app.domain.ids import InstrumentId
from app.domain.market import Depth, Tick
from tests.bench.decode import frames
from tests.shared_data import shared_data

INFY = InstrumentId("NSE:INFY")
THREE_PACKETS = bytes.fromhex(
    "0003000800063a0100026683002c00063a010002668300000001000265690011f1b20003e9ff00058037000264f30002673c000261c9"
    "0002646c00200003e9090025b5430025d78000259cf20025b0700025aac600000a7d60e2947f"
)


def minor(value: float) -> int:
    return round(value * 100)


def sample(name: str) -> tuple[bytes, dict[str, Any]]:
    packet = base64.b64decode(shared_data("kite", f"ticker_{name}.packet").read_bytes())
    return packet, json.loads(shared_data("kite", f"ticker_{name}.json").read_bytes())


def check_common(tick: Tick, twin: dict[str, Any]) -> None:
    assert tick.last_price == minor(twin["last_price"])
    assert tick.last_quantity == twin["last_quantity"]
    assert tick.average_price == minor(twin["average_price"])
    assert tick.volume == twin["volume"]
    assert (tick.buy_quantity, tick.sell_quantity) == (twin["buy_quantity"], twin["sell_quantity"])
    ohlc = twin["ohlc"]
    assert (tick.open, tick.high, tick.low, tick.close) == tuple(
        minor(ohlc[k]) for k in ("open", "high", "low", "close")
    )


def test_the_brokers_quote_packet() -> None:
    packet, twin = sample("quote")
    tick = codec.decode(packet, INFY, 7)
    check_common(tick, twin)
    assert tick.exchange_time is None
    assert tick.depth is None


def test_the_brokers_full_packet() -> None:
    packet, twin = sample("full")
    tick = codec.decode(packet, INFY, 7)
    check_common(tick, twin)
    assert tick.exchange_time == tick.last_trade_time == 1_625_461_887 * 1_000_000_000
    assert tick.open_interest == twin["oi"]
    assert tick.depth is not None
    for ours, theirs in ((tick.depth.bids, twin["depth"]["buy"]), (tick.depth.asks, twin["depth"]["sell"])):
        assert [(level.price, level.quantity, level.orders) for level in ours] == [
            (minor(row["price"]), row["quantity"], row["orders"]) for row in theirs
        ]


def test_a_mixed_frame() -> None:
    assert list(codec.marks(THREE_PACKETS)) == [
        (408065, 157315, 0, 0),
        (408065, 157315, 1175986, 0),
        (256265, 2471235, 0, 1625461887),
    ]
    (_, index) = codec.packets(THREE_PACKETS)[2]
    tick = codec.decode(index, InstrumentId("NSE:NIFTY 50"), 0)
    assert (tick.open, tick.high, tick.low, tick.close) == (2470000, 2480000, 2465010, 2468550)
    assert codec.fault(THREE_PACKETS) == ""


@pytest.mark.parametrize("length", [codec.FULL, codec.QUOTE])
def test_marks_agree_with_the_official_parser(length: int) -> None:
    from kiteconnect import KiteTicker

    logging.getLogger("kiteconnect").setLevel(logging.CRITICAL)
    official = KiteTicker("key", "token")
    for payload in frames(length)[:3]:
        theirs = official._parse_binary(payload)
        ours = list(codec.marks(payload))
        assert [(t["instrument_token"], minor(t["last_price"]), t["volume_traded"]) for t in theirs] == [
            mark[:3] for mark in ours
        ]
        if length == codec.FULL:
            assert {int(t["exchange_timestamp"].timestamp()) for t in theirs} == {mark[3] for mark in ours}


@given(st.binary(max_size=600))
def test_no_bytes_break_the_hot_path(payload: bytes) -> None:
    if len(payload) >= 4:
        for mark in codec.marks(payload):
            assert len(mark) == 4
    codec.fault(payload)


@given(st.integers(0, len(THREE_PACKETS) - 1))
def test_a_frame_cut_short_keeps_its_whole_packets(cut: int) -> None:
    payload = THREE_PACKETS[:cut]
    whole = list(codec.marks(payload)) if cut >= 4 else []
    assert whole == list(codec.marks(THREE_PACKETS))[: len(whole)]
    assert cut < 2 or codec.fault(payload) != ""


def test_an_unknown_packet_is_left_out_and_named() -> None:
    payload = struct.pack(">HH5sH", 2, 5, b"xxxxx", 8) + struct.pack(">II", 408065, 100)
    assert list(codec.marks(payload)) == [(408065, 100, 0, 0)]
    assert "5 bytes long" in codec.fault(payload)
    with pytest.raises(BadAnswer):
        codec.decode(b"xxxxx", INFY, 0)


def test_an_empty_side_of_the_book_stays_empty() -> None:
    packet, _ = sample("full")
    emptied = packet[:64] + bytes(120)
    assert codec.decode(emptied, INFY, 0).depth == Depth((), ())
