"""The market feed's bytes, judged by the official client's decoder."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from hypothesis import assume, given
from hypothesis import strategies as st
from upstox_client.feeder.proto import MarketDataFeedV3_pb2 as official

from app.brokers.upstox import codec
from app.brokers.upstox.schema import parse
from app.domain.errors import BadAnswer
from app.domain.ids import InstrumentId
from app.domain.market import DepthLevel
from app.runtime.paths import resource

SHARE, INDEX, OPTION = "NSE_EQ|INE002A01018", "NSE_INDEX|Nifty 50", "NSE_FO|51460"
KNOWN = {SHARE.encode(): (738561, 100), INDEX.encode(): (256265, 100), OPTION.encode(): (13173762, 100)}
RELIANCE = InstrumentId("NSE:RELIANCE")

# Made with the official schema (reference B21).
MARKET_INFO = bytes.fromhex("08021880c0ea978c34220c0a0a0a064e53455f45511002")
LTPC = bytes.fromhex(
    "080112310a124e53455f494e4445587c4e69667479203530121b0a1909666666661622d84010e8c7ea978c342100000000601bd84018d2c9ea978c34"
)
FULL = bytes.fromhex(
    "080112ad010a134e53455f45517c494e453030324130313031381295011290010a8d010a1b090000000000e2954010e8c7ea978c34180a2100000000"
    "00d8954012180a160805119a99999999e195401807210000000000e2954022350a330a023164110000000000dc9540190000000000e89540216666"
    "666666cc9540290000000000e2954030c0c40738c098d4808c34293333333333df954030c0c407490000000000408f40510000000000409f402001"
    "18d2c9ea978c34"
)


def message(**feeds: Any) -> Any:
    """An official message; fill `feeds` in afterwards."""
    return official.FeedResponse(type=1, currentTs=1789977601234, **feeds)


def full_message(key: str = SHARE, price: float = 1400.5) -> Any:
    made = message()
    market = made.feeds[key].fullFeed.marketFF
    market.ltpc.ltp, market.ltpc.ltt, market.ltpc.ltq, market.ltpc.cp = price, 1789977601000, 10, 1398.0
    made.feeds[key].requestMode = 1
    return made


def test_the_published_messages_are_read() -> None:
    assert list(codec.marks(LTPC, KNOWN)) == [(256265, 2471235, 0, 1789977601)]
    assert list(codec.marks(FULL, KNOWN)) == [(738561, 140050, 0, 1789977601)]
    assert list(codec.marks(MARKET_INFO, KNOWN)) == []
    assert [codec.fault(payload) for payload in (LTPC, FULL, MARKET_INFO)] == ["", "", ""]


def test_a_full_packet_gives_the_whole_tick() -> None:
    ((token, packet),) = codec.packets(FULL, KNOWN)
    assert token == 738561
    tick = codec.decode(packet, RELIANCE, 7)
    assert (tick.last_price, tick.exchange_time, tick.last_trade_time) == (
        140050,
        1789977601234_000_000,
        1789977601000_000_000,
    )
    assert (tick.last_quantity, tick.close, tick.average_price, tick.volume) == (10, 139800, 139980, 123456)
    assert (tick.open, tick.high, tick.low, tick.buy_quantity, tick.sell_quantity) == (
        139900,
        140200,
        139510,
        1000,
        2000,
    )
    assert tick.depth is not None
    assert tick.depth.bids == (DepthLevel(140040, 5, 0),)
    assert tick.depth.asks == (DepthLevel(140050, 7, 0),)
    assert (tick.open_interest, tick.received_at) == (None, 7)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_costs_no_price(odd: float) -> None:
    """The average price of nothing traded. What stops look at is read all the same."""
    made = full_message(OPTION)
    market = made.feeds[OPTION].fullFeed.marketFF
    market.ltpc.cp = market.atp = market.tbq = market.tsq = market.oi = odd
    market.marketOHLC.ohlc.add(interval="1d", open=odd, high=1402.0, low=odd)
    market.marketLevel.bidAskQuote.add(bidQ=5, bidP=odd, askQ=7, askP=1400.5)
    ((_, packet),) = codec.packets(made.SerializeToString(), KNOWN)
    tick = codec.decode(packet, InstrumentId("NFO:NIFTY26NOV24000CE"), 7)
    assert (tick.last_price, tick.close, tick.average_price, tick.open_interest) == (140050, None, None, None)
    assert (tick.open, tick.high, tick.low, tick.buy_quantity, tick.sell_quantity) == (None, 140200, None, None, None)
    assert tick.depth is not None
    assert (tick.depth.bids, tick.depth.asks) == ((), (DepthLevel(140050, 7, 0),))


def test_an_index_has_a_price_and_a_day_and_nothing_else() -> None:
    made = message()
    index = made.feeds[INDEX].fullFeed.indexFF
    index.ltpc.ltp, index.ltpc.cp = 24712.35, 24685.5
    index.marketOHLC.ohlc.add(interval="1d", open=24700.0, high=24750.0, low=24650.0, close=24712.35)
    ((_, packet),) = codec.packets(made.SerializeToString(), KNOWN)
    tick = codec.decode(packet, InstrumentId("NSE:NIFTY 50"), 0)
    assert (tick.last_price, tick.close, tick.high) == (2471235, 2468550, 2475000)
    assert (tick.volume, tick.last_quantity, tick.depth, tick.open_interest) == (None, None, None, None)


def test_option_greeks_mode_gives_first_level_and_interest() -> None:
    made = message()
    first = made.feeds[OPTION].firstLevelWithGreeks
    first.ltpc.ltp, first.vtt, first.oi = 524.75, 231385, 338625.0
    first.firstDepth.bidQ, first.firstDepth.bidP = 35, 524.0
    payload = made.SerializeToString()
    assert list(codec.marks(payload, KNOWN)) == [(13173762, 52475, 0, 1789977601)]
    ((_, packet),) = codec.packets(payload, KNOWN)
    tick = codec.decode(packet, InstrumentId("NFO:BANKNIFTY25DEC59500CE"), 0)
    assert (tick.volume, tick.open_interest) == (231385, 338625)
    assert tick.depth is not None
    assert (tick.depth.bids, tick.depth.asks) == ((DepthLevel(52400, 35, 0),), ())


def test_a_first_snapshot_has_no_type_on_the_wire_and_is_read_all_the_same() -> None:
    made = full_message()
    made.type = 0
    assert made.SerializeToString()[0] != 0x08
    assert list(codec.marks(made.SerializeToString(), KNOWN)) == [(738561, 140050, 0, 1789977601)]


def test_an_instrument_that_never_traded_has_no_price_and_fires_nothing() -> None:
    made = message()
    made.feeds[SHARE].ltpc.cp = 1398.0
    payload = made.SerializeToString()
    assert list(codec.marks(payload, KNOWN)) == []
    ((_, packet),) = codec.packets(payload, KNOWN)
    with pytest.raises(BadAnswer, match="no price"):
        codec.decode(packet, RELIANCE, 0)


def test_unknown_instruments_are_left_out_of_a_message() -> None:
    made = full_message()
    made.feeds["NSE_EQ|INE999A01010"].ltpc.ltp = 5.0
    assert list(codec.marks(made.SerializeToString(), KNOWN)) == [(738561, 140050, 0, 1789977601)]


def test_what_is_no_message_is_said_and_never_raises() -> None:
    assert codec.fault(b"\xff\xff\xff") == "a message that is no protobuf"
    assert list(codec.marks(b"\xff\xff\xff", KNOWN)) == []
    assert codec.packets(b"\xff\xff\xff", KNOWN) == []
    made = message()
    made.feeds[SHARE].requestMode = 1
    assert codec.fault(made.SerializeToString()) == "1 of 1 instruments without a price"
    with pytest.raises(BadAnswer):
        codec.decode(b"\x00", RELIANCE, 0)


prices = st.floats(0.05, 1e6).map(lambda price: round(price, 2))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([SHARE, INDEX, OPTION, "NSE_EQ|INE999A01010"]),
            prices,
            st.integers(0, 3),
            st.integers(0, 30),
        ),
        max_size=4,
        unique_by=lambda feed: feed[0],
    ),
    st.integers(1, 4_000_000_000_000),
    st.integers(0, 2),
)
def test_marks_say_what_the_official_decoder_says(
    feeds: list[tuple[str, float, int, int]], stamp: int, kind: int
) -> None:
    made = official.FeedResponse(type=kind, currentTs=stamp)
    for key, price, mode, levels in feeds:
        feed = made.feeds[key]
        if mode == 0:
            trade = feed.ltpc
        elif mode == 1:
            trade = feed.firstLevelWithGreeks.ltpc
        elif mode == 2:
            trade = feed.fullFeed.indexFF.ltpc
        else:
            trade = feed.fullFeed.marketFF.ltpc
            for _ in range(levels):
                feed.fullFeed.marketFF.marketLevel.bidAskQuote.add(bidQ=5, bidP=price, askQ=7, askP=price)
        trade.ltp, trade.ltt, trade.cp = price, stamp, price
    wanted = {KNOWN[key.encode()][0]: round(price * 100) for key, price, _, _ in feeds if key.encode() in KNOWN}
    found = list(codec.marks(made.SerializeToString(), KNOWN))
    assert {token: price for token, price, _, _ in found} == wanted
    assert {seconds for _, _, _, seconds in found} <= {stamp // 1000}


@given(st.binary(max_size=200), st.integers(0, 180))
def test_damaged_bytes_never_raise(noise: bytes, cut: int) -> None:
    for payload in (noise, FULL[:cut] + noise, FULL[:cut] + noise + FULL[cut + len(noise) :], LTPC[:cut]):
        list(codec.marks(payload, KNOWN))
        codec.packets(payload, KNOWN)
        codec.fault(payload)


@given(st.integers(0, 184), st.integers(0, 255))
def test_one_wrong_byte_gives_no_price_that_the_official_decoder_does_not_see(at: int, byte: int) -> None:
    # A field that stands there twice counts once, the last; encoders write none twice, and we look no further.
    assume(byte != 9 and (at, byte) not in ((27, 147), (32, 26)))
    damaged = FULL[:at] + struct.pack("B", byte) + FULL[at + 1 :]
    try:
        seen = official.FeedResponse.FromString(damaged)
    except Exception:  # noqa: BLE001 - whatever the runtime calls it
        return  # what cannot be decoded at all may still show its price
    wanted = {(KNOWN[key.encode()][0], trade_of(feed).ltp) for key, feed in seen.feeds.items() if key.encode() in KNOWN}
    for token, price, _, _ in codec.marks(damaged, KNOWN):
        assert any(token == known and price == round(ltp * 100) for known, ltp in wanted)


def trade_of(feed: Any) -> Any:
    if feed.HasField("fullFeed"):
        full = feed.fullFeed
        return full.indexFF.ltpc if full.HasField("indexFF") else full.marketFF.ltpc
    return feed.firstLevelWithGreeks.ltpc if feed.HasField("firstLevelWithGreeks") else feed.ltpc


def labels(message: Descriptor) -> dict[int, int]:
    """Single or repeated, by field number."""
    proto = DescriptorProto()
    message.CopyToProto(proto)
    return {field.number: field.label for field in proto.field}


def test_our_schema_has_the_numbers_and_types_of_the_official_one() -> None:
    pool = DescriptorPool()
    pool.Add(parse(resource("brokers", "upstox_feed.proto").read_text(encoding="utf-8")))
    compared = []

    def compare(ours: Descriptor, theirs: Descriptor) -> None:
        if theirs.full_name in compared:
            return
        compared.append(theirs.full_name)
        assert labels(ours).items() <= labels(theirs).items()
        for field in ours.fields:
            other: FieldDescriptor = theirs.fields_by_number[field.number]
            assert field.type == other.type, field.full_name
            if field.message_type is not None:
                assert other.message_type is not None
                compare(field.message_type, other.message_type)
            if field.enum_type is not None:
                assert other.enum_type is not None
                assert [v.name for v in field.enum_type.values] == [v.name for v in other.enum_type.values]

    compare(pool.FindMessageTypeByName("stopline.upstox.FeedResponse"), official.FeedResponse.DESCRIPTOR)
    assert len(compared) >= 12


@pytest.mark.parametrize(
    "text", ["message A { float x = 1; }", "service S {}", 'syntax = "proto2";', "message A { int64 = 1; }"]
)
def test_a_schema_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises((ValueError, StopIteration)):
        parse(text)
