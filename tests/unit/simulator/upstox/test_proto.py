"""The writer against the reference's vectors and against the official client's own decoder."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from upstox_client.feeder.proto.MarketDataFeedV3_pb2 import FeedResponse

from app.simulator.upstox import proto

INFO = "08021880c0ea978c34220c0a0a0a064e53455f45511002"
INDEX = (
    "080112310a124e53455f494e4445587c4e69667479203530121b0a1909666666661622d84010e8c7ea978c34210000"
    "0000601bd84018d2c9ea978c34"
)
SHARE = (
    "080112ad010a134e53455f45517c494e453030324130313031381295011290010a8d010a1b090000000000e2954010e8c7ea978c34"
    "180a210000000000d8954012180a160805119a99999999e195401807210000000000e2954022350a330a023164110000000000dc95"
    "40190000000000e89540216666666666cc9540290000000000e2954030c0c40738c098d4808c34293333333333df954030c0c40749"
    "0000000000408f40510000000000409f40200118d2c9ea978c34"
)
DAY = {"interval": "1d", "open": 1399, "high": 1402, "low": 1395.1, "close": 1400.5, "vol": 123456, "ts": 1789929000000}
SHARE_FEED = {
    "fullFeed": {
        "marketFF": {
            "ltpc": {"ltp": 1400.5, "ltt": 1789977601000, "ltq": 10, "cp": 1398},
            "marketLevel": {"bidAskQuote": [{"bidQ": 5, "bidP": 1400.4, "askQ": 7, "askP": 1400.5}]},
            "marketOHLC": {"ohlc": [DAY]},
            "atp": 1399.8,
            "vtt": 123456,
            "tbq": 1000,
            "tsq": 2000,
        }
    },
    "requestMode": "full_d5",
}


@pytest.mark.parametrize(
    ("message", "vector"),
    [
        (
            {
                "type": "market_info",
                "currentTs": 1789977600000,
                "marketInfo": {"segmentStatus": {"NSE_EQ": "NORMAL_OPEN"}},
            },
            INFO,
        ),
        (
            {
                "type": "live_feed",
                "feeds": {"NSE_INDEX|Nifty 50": {"ltpc": {"ltp": 24712.35, "ltt": 1789977601000, "cp": 24685.5}}},
                "currentTs": 1789977601234,
            },
            INDEX,
        ),
        (
            {"type": "live_feed", "feeds": {"NSE_EQ|INE002A01018": SHARE_FEED}, "currentTs": 1789977601234},
            SHARE,
        ),
    ],
)
def test_the_references_vectors(message: dict[str, Any], vector: str) -> None:
    assert proto.encode("FeedResponse", message).hex() == vector


def test_zeros_vanish_and_empty_messages_stay() -> None:
    feed = {"ltpc": {"ltp": 0.0, "ltt": 0}, "requestMode": "ltpc"}
    made = proto.encode("FeedResponse", {"type": "initial_feed", "feeds": {"A|B": feed}, "currentTs": 0})
    assert made.hex() == "12090a03417c4212020a00"
    read = FeedResponse.FromString(made)
    assert read.feeds["A|B"].HasField("ltpc")


def test_parts_made_once_make_the_same_message() -> None:
    entries = [proto.entry(proto.FEEDS, key, proto.map_value("Feed", SHARE_FEED)) for key in ("NSE_EQ|A", "NSE_EQ|B")]
    whole = {"type": "live_feed", "feeds": {"NSE_EQ|A": SHARE_FEED, "NSE_EQ|B": SHARE_FEED}, "currentTs": 7}
    assert FeedResponse.FromString(proto.response("live_feed", entries, 7)) == FeedResponse.FromString(
        proto.encode("FeedResponse", whole)
    )


_WHOLE = st.integers(-(2**63), 2**63 - 1)
_NUMBER = st.floats(allow_nan=False, allow_infinity=False)


def _messages(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={field.name: _values(field) for field in proto.SCHEMA[name]})


def _values(field: proto.Field) -> st.SearchStrategy[Any]:
    one: st.SearchStrategy[Any]
    if field.kind == "double":
        one = _NUMBER
    elif field.kind == "int64":
        one = _WHOLE
    elif field.kind == "bool":
        one = st.booleans()
    elif field.kind == "string":
        one = st.text(max_size=8)
    elif field.kind in proto.ENUMS:
        one = st.sampled_from(sorted(proto.ENUMS[field.kind]))
    else:
        one = _messages(field.kind)
    if field.map:
        return st.dictionaries(st.text(min_size=1, max_size=8), one, max_size=3)
    return st.lists(one, max_size=3) if field.many else one


def _alone(message: dict[str, Any], *names: str) -> None:
    """Of a oneof only one field is there."""
    for name in [name for name in names if name in message][1:]:
        del message[name]


@given(st.data())
def test_the_official_decoder_reads_back_what_is_written(data: st.DataObject) -> None:
    message = data.draw(_messages("FeedResponse"))
    for feed in message.get("feeds", {}).values():
        _alone(feed, "ltpc", "fullFeed", "firstLevelWithGreeks")
        _alone(feed.get("fullFeed", {}), "marketFF", "indexFF")
    read = FeedResponse.FromString(proto.encode("FeedResponse", message))
    assert _shown(MessageToDict(read)) == _shown(_told(message, "FeedResponse"))


def _told(message: Any, name: str) -> Any:
    """The message as the official JSON form shows it: zeros left out, empty maps and lists too."""
    shown: dict[str, Any] = {}
    for field in proto.SCHEMA[name]:
        value = message.get(field.name)
        if value is None:
            continue
        if field.map:
            shown[field.name] = {key: _item(item, field.kind) for key, item in value.items()}
        elif field.many:
            shown[field.name] = [_item(item, field.kind) for item in value]
        elif field.kind in proto.SCHEMA:
            shown[field.name] = _item(value, field.kind)
        elif value and not (field.kind in proto.ENUMS and proto.ENUMS[field.kind][value] == 0):
            shown[field.name] = value
        if shown.get(field.name) in ({}, []) and (field.map or field.many):
            del shown[field.name]
    return shown.get("value", 0.0) if name == "DoubleValue" else shown


def _item(value: Any, kind: str) -> Any:
    return _told(value, kind) if kind in proto.SCHEMA else value


def _shown(value: Any) -> Any:
    """Whole numbers come back as texts."""
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
