"""Upstox's market feed messages, written (B15.2). Protocol Buffers, proto3: the rules of its encoding, and the schema.

A message is a mapping of field names to values, as its JSON form has them; whole numbers may be texts. Zeros, empty
texts and absent fields are not written; a message that is there but empty is. Pure; shares no code with clients.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Message = Mapping[str, object]

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_DOUBLE = struct.Struct("<d")
_MASK64 = (1 << 64) - 1

TYPES = {"initial_feed": 0, "live_feed": 1, "market_info": 2}
REQUEST_MODES = {"ltpc": 0, "full_d5": 1, "option_greeks": 2, "full_d30": 3}
MARKET_STATUS = {
    "PRE_OPEN_START": 0,
    "PRE_OPEN_END": 1,
    "NORMAL_OPEN": 2,
    "NORMAL_CLOSE": 3,
    "CLOSING_START": 4,
    "CLOSING_END": 5,
}
ENUMS: dict[str, Mapping[str, int]] = {"Type": TYPES, "RequestMode": REQUEST_MODES, "MarketStatus": MARKET_STATUS}


class Field(NamedTuple):
    """One field: its number, and what it holds (scalar, enum or message), `many` of it, or a `map` from texts to it."""

    number: int
    name: str
    kind: str
    many: bool = False
    map: bool = False


def _fields(*fields: tuple[int, str, str]) -> tuple[Field, ...]:
    return tuple(Field(*field) for field in fields)


SCHEMA: dict[str, tuple[Field, ...]] = {
    "DoubleValue": _fields((1, "value", "double")),
    "LTPC": _fields(
        (1, "ltp", "double"), (2, "ltt", "int64"), (3, "ltq", "int64"), (4, "cp", "double"), (5, "iep", "DoubleValue")
    ),
    "Quote": _fields((1, "bidQ", "int64"), (2, "bidP", "double"), (3, "askQ", "int64"), (4, "askP", "double")),
    "MarketLevel": (Field(1, "bidAskQuote", "Quote", many=True),),
    "OHLC": _fields(
        (1, "interval", "string"),
        (2, "open", "double"),
        (3, "high", "double"),
        (4, "low", "double"),
        (5, "close", "double"),
        (6, "vol", "int64"),
        (7, "ts", "int64"),
    ),
    "MarketOHLC": (Field(1, "ohlc", "OHLC", many=True),),
    "OptionGreeks": _fields(
        (1, "delta", "double"),
        (2, "theta", "double"),
        (3, "gamma", "double"),
        (4, "vega", "double"),
        (5, "rho", "double"),
    ),
    "MarketFullFeed": _fields(
        (1, "ltpc", "LTPC"),
        (2, "marketLevel", "MarketLevel"),
        (3, "optionGreeks", "OptionGreeks"),
        (4, "marketOHLC", "MarketOHLC"),
        (5, "atp", "double"),
        (6, "vtt", "int64"),
        (7, "oi", "double"),
        (8, "iv", "double"),
        (9, "tbq", "double"),
        (10, "tsq", "double"),
        (11, "iep", "double"),
        (12, "rp", "double"),
        (13, "ieq", "int64"),
        (14, "iiqTotal", "int64"),
        (15, "iiqM", "int64"),
        (16, "casEligible", "bool"),
    ),
    "IndexFullFeed": _fields((1, "ltpc", "LTPC"), (2, "marketOHLC", "MarketOHLC")),
    "FullFeed": _fields((1, "marketFF", "MarketFullFeed"), (2, "indexFF", "IndexFullFeed")),
    "FirstLevelWithGreeks": _fields(
        (1, "ltpc", "LTPC"),
        (2, "firstDepth", "Quote"),
        (3, "optionGreeks", "OptionGreeks"),
        (4, "vtt", "int64"),
        (5, "oi", "double"),
        (6, "iv", "double"),
    ),
    "Feed": _fields(
        (1, "ltpc", "LTPC"),
        (2, "fullFeed", "FullFeed"),
        (3, "firstLevelWithGreeks", "FirstLevelWithGreeks"),
        (4, "requestMode", "RequestMode"),
    ),
    "StatusInfo": _fields((1, "status", "string"), (2, "updatedTime", "int64")),
    "MarketInfo": (
        Field(1, "segmentStatus", "MarketStatus", map=True),
        Field(2, "casMarketStatus", "StatusInfo", map=True),
        Field(3, "preOpenSessionStatus", "StatusInfo", map=True),
    ),
    "FeedResponse": (
        Field(1, "type", "Type"),
        Field(2, "feeds", "Feed", map=True),
        Field(3, "currentTs", "int64"),
        Field(4, "marketInfo", "MarketInfo"),
    ),
}
FEEDS = SCHEMA["FeedResponse"][1]


def encode(name: str, message: Message) -> bytes:
    """The bytes of a message. Raises ValueError for a value that its field cannot hold."""
    out = bytearray()
    for field in SCHEMA[name]:
        value = message.get(field.name)
        if value is None:
            continue
        if field.map:
            for key, item in _mapping(value).items():
                out += entry(field, key, _payload(field.kind, item))
        elif field.many:
            for item in _items(value):
                out += _delimited(field.number, encode(field.kind, _mapping(item)))
        else:
            out += _single(field, value)
    return bytes(out)


def entry(field: Field, key: str, payload: bytes) -> bytes:
    """One entry of a map, its value encoded already: parts of a message that many receive are made once."""
    body = _delimited(1, key.encode()) + payload
    return _delimited(field.number, body)


def map_value(kind: str, message: Message) -> bytes:
    """What `entry` takes for a message."""
    return _payload(kind, message)


def response(kind: str, entries: Iterable[bytes], at_ms: int) -> bytes:
    """A FeedResponse around entries of its map."""
    head = encode("FeedResponse", {"type": kind})
    return head + b"".join(entries) + encode("FeedResponse", {"currentTs": at_ms})


def _payload(kind: str, value: object) -> bytes:
    """Field 2 of a map entry: a message is written even when it is empty."""
    return _single(Field(2, "value", kind), value)


def _single(field: Field, value: object) -> bytes:
    kind = field.kind
    if kind == "double":
        number = _float(value)
        return _tag(field.number, _FIXED64) + _DOUBLE.pack(number) if number else b""
    if kind == "int64" or kind == "bool" or kind in ENUMS:
        whole = ENUMS[kind][str(value)] if kind in ENUMS else _int(value)
        return _tag(field.number, _VARINT) + varint(whole) if whole else b""
    if kind == "string":
        return _delimited(field.number, str(value).encode()) if value else b""
    return _delimited(field.number, encode(kind, _mapping(value)))


def varint(value: int) -> bytes:
    """Seven bits a byte, least first; negative numbers as two's complement of 64 bits."""
    value &= _MASK64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def _delimited(number: int, body: bytes) -> bytes:
    return _tag(number, _LENGTH) + varint(len(body)) + body


def _float(value: object) -> float:
    if isinstance(value, int | float | str):
        return float(value)
    raise ValueError(f"{value!r} is no number")


def _int(value: object) -> int:
    if isinstance(value, int | float | str):
        return int(value)
    raise ValueError(f"{value!r} is no number")


def _mapping(value: object) -> Message:
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{value!r} is no message")


def _items(value: object) -> Iterable[object]:
    if isinstance(value, list | tuple):
        return value
    raise ValueError(f"{value!r} is no list")
