"""Upstox's market feed messages, written (B15.2). Protocol Buffers, proto3: the rules of its encoding, and the schema.

A message is a mapping of field names to values, as its JSON form has them; whole numbers may be texts. Zeros, empty
texts and absent fields are not written; a message that is there but empty is. Pure; shares no code with clients.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
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


Writer = Callable[[bytearray, object], None]
"""Appends one field's bytes; nothing for a zero."""


def encode(name: str, message: Message) -> bytes:
    """The bytes of a message. Raises TypeError or ValueError for a value that its field cannot hold."""
    out = bytearray()
    _write(out, name, message)
    return bytes(out)


def entry(field: Field, key: str, payload: bytes) -> bytes:
    """One entry of a map, its value encoded already: parts of a message that many receive are made once."""
    body = bytearray()
    _WRITERS["KEY"][0][1](body, key)
    body += payload
    return _tag(field.number, _LENGTH) + varint(len(body)) + bytes(body)


def map_value(kind: str, message: Message) -> bytes:
    """What `entry` takes for a message: written even when it is empty."""
    out = bytearray()
    _message_writer(2, kind)(out, message)
    return bytes(out)


def response(kind: str, entries: Iterable[bytes], at_ms: int) -> bytes:
    """A FeedResponse around entries of its map."""
    head = encode("FeedResponse", {"type": kind})
    return head + b"".join(entries) + encode("FeedResponse", {"currentTs": at_ms})


def varint(value: int) -> bytes:
    """Seven bits a byte, least first; negative numbers as two's complement of 64 bits."""
    value &= _MASK64
    if value < len(_SMALL):
        return _SMALL[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = [bytes((value,)) for value in range(0x80)]


def _write(out: bytearray, name: str, message: Message) -> None:
    get = message.get
    for key, write in _WRITERS[name]:
        value = get(key)
        if value is not None:
            write(out, value)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def _writer(field: Field) -> Writer:
    """Made once for every field of the schema: tags are constants."""
    if field.map:
        value_field = Field(2, "value", field.kind)

        def write_map(out: bytearray, value: object) -> None:
            write_value = _writer(value_field)
            for key, item in _mapping(value).items():
                payload = bytearray()
                write_value(payload, item)
                out += entry(field, key, bytes(payload))

        return write_map
    if field.many:
        write_one = _message_writer(field.number, field.kind)

        def write_many(out: bytearray, value: object) -> None:
            if not isinstance(value, list | tuple):
                raise TypeError(f"{value!r} is no list")
            for item in value:
                write_one(out, item)

        return write_many
    return _scalar_writer(field) or _message_writer(field.number, field.kind)


def _scalar_writer(field: Field) -> Writer | None:
    if field.kind == "double":
        return _double_writer(_tag(field.number, _FIXED64))
    if field.kind == "string":
        return _text_writer(_tag(field.number, _LENGTH))
    if field.kind in ENUMS:
        return _enum_writer(_tag(field.number, _VARINT), ENUMS[field.kind])
    if field.kind in ("int64", "bool"):
        return _whole_writer(_tag(field.number, _VARINT))
    return None


def _double_writer(tag: bytes) -> Writer:
    pack = _DOUBLE.pack

    def write(out: bytearray, value: object) -> None:
        if not isinstance(value, int | float | str):
            raise TypeError(f"{value!r} is no number")
        if number := float(value):
            out += tag + pack(number)

    return write


def _whole_writer(tag: bytes) -> Writer:
    def write(out: bytearray, value: object) -> None:
        if not isinstance(value, int | float | str):
            raise TypeError(f"{value!r} is no number")
        if whole := int(value):
            out += tag + varint(whole)

    return write


def _enum_writer(tag: bytes, words: Mapping[str, int]) -> Writer:
    def write(out: bytearray, value: object) -> None:
        if whole := words[str(value)]:
            out += tag + varint(whole)

    return write


def _text_writer(tag: bytes) -> Writer:
    def write(out: bytearray, value: object) -> None:
        if raw := str(value).encode():
            out += tag + varint(len(raw)) + raw

    return write


def _message_writer(number: int, kind: str) -> Writer:
    tag = _tag(number, _LENGTH)

    def write(out: bytearray, value: object) -> None:
        body = bytearray()
        _write(body, kind, _mapping(value))
        out += tag + varint(len(body)) + body

    return write


def _mapping(value: object) -> Message:
    if isinstance(value, Mapping):
        return value
    raise TypeError(f"{value!r} is no message")


_WRITERS: dict[str, tuple[tuple[str, Writer], ...]] = {
    "KEY": (("key", _text_writer(_tag(1, _LENGTH))),),
    **{name: tuple((field.name, _writer(field)) for field in fields) for name, fields in SCHEMA.items()},
}
