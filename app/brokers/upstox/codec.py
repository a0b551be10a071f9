"""Upstox's market data feed v3 (protobuf): bytes in, numbers out. Pure.

The hot path needs three things of a message: whose price, which price, when. They stand at places that can be walked to
without decoding the rest, so that is done by hand; everything else is decoded by message classes made from our own
schema, `resources/brokers/upstox_feed.proto`. Values of zero are not on the wire: a message without a type is a first
snapshot, a level without a quantity has none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, cast

from google.protobuf.message import DecodeError, Message

from app.brokers.base import Mark
from app.brokers.rows import PRICE_SCALE
from app.brokers.upstox.schema import message_class
from app.domain.errors import BadAnswer
from app.domain.ids import InstrumentId, Nanos, split_instrument_id
from app.domain.instrument import Exchange
from app.domain.market import Depth, DepthLevel, Tick
from app.runtime.paths import resource

Known = Mapping[bytes, tuple[int, int]]
"""Instrument key, as it is on the wire -> (our token, minor units in a rupee)."""

_MS: Nanos = 1_000_000
_CASH = (Exchange.NSE, Exchange.BSE)

_DOUBLE = struct.Struct("<d").unpack_from
_STAMP = struct.Struct("<q")

# Tags: field number << 3 | wire type.
_TYPE, _FEEDS, _CURRENT_TS = 0x08, 0x12, 0x18
_KEY, _VALUE = 0x0A, 0x12
_LTPC, _FULL, _FIRST_LEVEL = 0x0A, 0x12, 0x1A
_KINDS = frozenset((_LTPC, _FULL, _FIRST_LEVEL))
"""What a feed, or what is in its `full`, may begin with."""
_LTP, _LTP_SIZE = 0x09, 9
HIGHEST = 1e12
"""Rupees; no price, and a number that is none does not compare below it."""
_FINEST = max(PRICE_SCALE.values())

_LATEST = (1 << 63) - 1

_STAMP_SIZE = 7
"""Bytes of `current_ts` with its tag: six groups of seven bits last until the year 2109."""


class _Ltpc(Protocol):
    ltp: float
    ltt: int
    ltq: int
    cp: float


class _Quote(Protocol):
    bid_quantity: int
    bid_price: float
    ask_quantity: int
    ask_price: float


class _Levels(Protocol):
    levels: Sequence[_Quote]


class _Ohlc(Protocol):
    interval: str
    open: float
    high: float
    low: float
    close: float
    vol: int
    ts: int


class _Bars(Protocol):
    ohlc: Sequence[_Ohlc]


class _Market(Protocol):
    ltpc: _Ltpc
    depth: _Levels
    bars: _Bars
    atp: float
    vtt: int
    oi: float
    tbq: float
    tsq: float


class _Index(Protocol):
    ltpc: _Ltpc
    bars: _Bars


class _Full(Protocol):
    market: _Market
    index: _Index


class _First(Protocol):
    ltpc: _Ltpc
    first_depth: _Quote
    vtt: int
    oi: float


class Feed(Protocol):
    """What came of one instrument."""

    ltpc: _Ltpc
    full: _Full
    first_level: _First
    request_mode: int


class Response(Protocol):
    """A whole message."""

    type: int
    feeds: Mapping[str, Feed]
    current_ts: int


_SCHEMA = resource("brokers", "upstox_feed.proto").read_text(encoding="utf-8")
_response_class = message_class(_SCHEMA, "FeedResponse")
_feed_class = message_class(_SCHEMA, "Feed")


def _set_of(part: object, union: str) -> str | None:
    """Which member of a union is there."""
    found = cast("Message", part).WhichOneof(union)
    return None if found is None else str(found)


def parsed(payload: bytes) -> Response | None:
    """A whole message; None when it is none."""
    message = _response_class()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        return None
    return cast("Response", message)


def marks(payload: bytes, known: Known) -> Iterable[Mark]:
    """(token, last price, 0, seconds of the message) of every instrument that is known. Hot path: never raises.

    Messages are laid out as every protobuf encoder writes them, fields in ascending order; whatever is laid out in
    another way is decoded in full. The volume is left to `decode`.
    """
    end = len(payload) - _STAMP_SIZE
    if end < 2 or payload[end] != _CURRENT_TS:
        return _slow_marks(payload, known)
    stamp = int.from_bytes(payload[end + 1 :], "little")
    seconds = (
        stamp & 0x7F
        | (stamp & 0x7F00) >> 1
        | (stamp & 0x7F0000) >> 2
        | (stamp & 0x7F000000) >> 3
        | (stamp & 0x7F00000000) >> 4
        | (stamp & 0x7F0000000000) >> 5
    ) // 1000
    found: list[Mark] = []
    at = 2 if payload[0] == _TYPE else 0
    try:
        while at < end:
            # feeds: tag, length, then the entry: key tag, length, key; value tag, length, the Feed.
            length = payload[at + 1]
            inside = at + 2
            if length > 127:
                length = length & 127 | payload[inside] << 7
                inside += 1
            after = inside + length
            value = inside + 2 + payload[inside + 1]
            start = value + 2 if payload[value + 1] < 128 else value + 3
            kind = payload[start]
            # full{market or index{ltpc}}, first_level{ltpc}, or ltpc itself: up to two heads to pass.
            if kind == _FULL:
                price = start + 2 if payload[start + 1] < 128 else start + 3
                kind = payload[price]
                price = price + 4 if payload[price + 1] < 128 else price + 5
            elif kind == _FIRST_LEVEL:
                price = start + 4 if payload[start + 1] < 128 else start + 5
            else:
                price = start + 2
            if (
                payload[at] != _FEEDS
                or payload[inside] != _KEY
                or payload[value] != _VALUE
                or kind not in _KINDS
                or payload[price - 2] != _LTPC
                or payload[price - 1] < _LTP_SIZE
                or payload[price] != _LTP  # a price of zero is not sent: nothing was traded yet
            ):
                return _slow_marks(payload, known)
            name = known.get(payload[inside + 2 : value])
            if name is not None:
                last = _DOUBLE(payload, price + 1)[0]
                if not 0 < last < HIGHEST:
                    return _slow_marks(payload, known)
                found.append((name[0], round(last * name[1]), 0, seconds))
            at = after
    except (IndexError, struct.error):
        return _slow_marks(payload, known)
    return found if at == end else _slow_marks(payload, known)


def _slow_marks(payload: bytes, known: Known) -> list[Mark]:
    message = parsed(payload)
    if message is None:
        return []
    found: list[Mark] = []
    seconds = message.current_ts // 1000
    for key, feed in message.feeds.items():
        name = known.get(key.encode())
        trade = _ltpc(feed)
        if name is not None and trade is not None and 0 < trade.ltp < HIGHEST:
            found.append((name[0], round(trade.ltp * name[1]), 0, seconds))
    return found


def _ltpc(feed: Feed) -> _Ltpc | None:
    union = _set_of(feed, "union")
    if union == "ltpc":
        return feed.ltpc
    if union == "first_level":
        return feed.first_level.ltpc
    if union == "full":
        which = _set_of(feed.full, "full_union")
        if which is not None:
            return feed.full.market.ltpc if which == "market" else feed.full.index.ltpc
    return None


def packets(payload: bytes, known: Known) -> list[tuple[int, bytes]]:
    """(token, packet) of every instrument that is known; a packet is the message's time and one `Feed`, undecoded."""
    found: list[tuple[int, bytes]] = []
    stamp = 0
    try:
        for tag, value, start, end in _fields(payload, 0, len(payload)):
            if tag == _CURRENT_TS:
                stamp = value
            elif tag == _FEEDS:
                key, feed = b"", b""
                for inner, _, begin, stop in _fields(payload, start, end):
                    if inner == _KEY:
                        key = payload[begin:stop]
                    elif inner == _VALUE:
                        feed = payload[begin:stop]
                name = known.get(key)
                if name is not None:
                    found.append((name[0], feed))
    except (IndexError, _Odd):
        return []
    head = _STAMP.pack(min(stamp, _LATEST))
    return [(token, head + feed) for token, feed in found]


class _Odd(Exception):
    """A wire type that the schema does not use."""


def _fields(payload: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, number, start, end) of each field of a message: the number of a varint, or the place of anything else."""
    while at < end:
        tag, at = _varint(payload, at)
        wire = tag & 7
        if wire == 0:
            number, at = _varint(payload, at)
            yield tag, number, at, at
            continue
        length, at = _varint(payload, at) if wire == 2 else (8, at)
        if wire not in (1, 2) or at + length > end:
            raise _Odd
        yield tag, 0, at, at + length
        at += length


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """(number, place behind it). Raises IndexError where the bytes end."""
    byte = payload[at]
    number, shift = byte & 127, 7
    while byte > 127:
        at += 1
        byte = payload[at]
        number |= (byte & 127) << shift
        shift += 7
    return number, at + 1


def fault(payload: bytes) -> str:
    """What of a message cannot be read, in words; empty when all can."""
    message = parsed(payload)
    if message is None:
        return "a message that is no protobuf"
    without = sum(_ltpc(feed) is None for feed in message.feeds.values())
    return f"{without} of {len(message.feeds)} instruments without a price" if without else ""


def decode(packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
    """A packet in full. Raises BadAnswer."""
    message = _feed_class()
    try:
        message.ParseFromString(packet[_STAMP.size :])
        (stamp,) = _STAMP.unpack_from(packet)
    except (DecodeError, struct.error) as bad:
        raise BadAnswer("A price packet could not be read.", detail=str(bad)) from bad
    feed = cast("Feed", message)
    exchange = Exchange(split_instrument_id(instrument)[0])
    trade = _ltpc(feed)
    if trade is None or not 0 < trade.ltp < HIGHEST:
        raise BadAnswer("A price packet has no price.", detail=instrument)
    scale = PRICE_SCALE[exchange]
    more = _Rest()
    union = _set_of(feed, "union")
    if union == "first_level":
        first = feed.first_level
        more.volume, more.interest = first.vtt, _interest(first.oi, exchange)
        more.depth = _depth((first.first_depth,), scale)
    elif union == "full":
        _read_full(feed.full, more, exchange, scale)
    return Tick(
        instrument,
        round(trade.ltp * scale),
        received_at,
        exchange_time=stamp * _MS or None,
        last_trade_time=trade.ltt * _MS or None,
        last_quantity=None if more.is_index else trade.ltq,
        average_price=more.average,
        volume=more.volume,
        buy_quantity=more.buy,
        sell_quantity=more.sell,
        open=more.open,
        high=more.high,
        low=more.low,
        close=_whole(trade.cp * scale) or None,
        open_interest=more.interest,
        depth=more.depth,
    )


class _Rest:
    """What some modes carry beside the last trade."""

    is_index = False
    average: int | None = None
    volume: int | None = None
    buy: int | None = None
    sell: int | None = None
    open: int | None = None
    high: int | None = None
    low: int | None = None
    interest: int | None = None
    depth: Depth | None = None


def _read_full(full: _Full, more: _Rest, exchange: Exchange, scale: int) -> None:
    if _set_of(full, "full_union") == "index":
        more.is_index = True
        bars = full.index.bars
    else:
        market = full.market
        bars = market.bars
        more.average, more.volume = _whole(market.atp * scale), market.vtt
        more.buy, more.sell = _whole(market.tbq), _whole(market.tsq)
        more.interest = _interest(market.oi, exchange)
        more.depth = _depth(market.depth.levels, scale)
    for bar in bars.ohlc:
        if bar.interval == "1d":
            more.open, more.high, more.low = (_whole(one * scale) for one in (bar.open, bar.high, bar.low))
            return


def _whole(number: float) -> int | None:
    """None for what is no number (an average of nothing) or cannot be one."""
    return round(number) if abs(number) < HIGHEST * _FINEST else None


def _interest(interest: float, exchange: Exchange) -> int | None:
    """Shares have none; of a contract, nothing on the wire is zero."""
    return None if exchange in _CASH else _whole(interest)


def _depth(levels: Sequence[_Quote], scale: int) -> Depth:
    """Levels are pairs of a bid and an ask, of which one may be empty. Upstox does not count orders."""
    return Depth(
        tuple(_levels((one.bid_price * scale, one.bid_quantity) for one in levels)),
        tuple(_levels((one.ask_price * scale, one.ask_quantity) for one in levels)),
    )


def _levels(side: Iterable[tuple[float, int]]) -> Iterator[DepthLevel]:
    for price, quantity in side:
        if quantity and (whole := _whole(price)) is not None:
            yield DepthLevel(whole, quantity, 0)
