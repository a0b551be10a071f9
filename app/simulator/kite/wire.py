"""Kite's binary ticks, written. Pure; shares no code with the clients that read them.

A frame is u16 count, then per packet u16 length and the packet; everything big-endian and unsigned. A packet's length
tells its kind: 8 ltp, 28/32 index quote/full, 44/184 quote/full. Prices carry the segment's divisor, which is the
listing's own price unit, so no number is scaled here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from app.simulator.quote import Level, Quote

LTP, QUOTE, FULL = "ltp", "quote", "full"
MODES = (LTP, QUOTE, FULL)
HEARTBEAT = b"\x00"
"""Any single byte: clients ignore binary messages shorter than two bytes."""

_LTP = struct.Struct(">HII")
_INDEX_QUOTE = struct.Struct(">HIIIIIII")
_INDEX_FULL = struct.Struct(">HIIIIIIII")
_QUOTE = struct.Struct(">HIIIIIIIIIII")
_FULL = struct.Struct(">H16I" + "IIH2x" * 10)
_COUNT = struct.Struct(">H")
_MOST_PACKETS = 0xFFFF
_U32 = 0xFFFFFFFF
_U16 = 0xFFFF
_EMPTY: tuple[int, int, int] = (0, 0, 0)


def packet(quote: Quote, mode: str) -> bytes:
    """One packet with its length in front, ready to be joined into a frame."""
    token = quote.listing.token
    if mode == LTP:
        return _LTP.pack(8, token, quote.last_price & _U32)
    if not quote.listing.tradable:
        return _index(quote, mode)
    fields = (
        token,
        quote.last_price & _U32,
        quote.last_quantity & _U32,
        quote.average_price & _U32,
        min(quote.volume, _U32),
        min(quote.buy_quantity, _U32),
        min(quote.sell_quantity, _U32),
        quote.open & _U32,
        quote.high & _U32,
        quote.low & _U32,
        quote.close & _U32,
    )
    if mode == QUOTE:
        return _QUOTE.pack(44, *fields)
    return _FULL.pack(
        184,
        *fields,
        quote.last_trade_time,
        min(quote.oi, _U32),
        min(quote.oi_day_high, _U32),
        min(quote.oi_day_low, _U32),
        quote.timestamp,
        *_side(quote.depth_buy),
        *_side(quote.depth_sell),
    )


def _index(quote: Quote, mode: str) -> bytes:
    """Indices go high, low, open, close; the change is two's complement when the index fell."""
    fields = (
        quote.listing.token,
        quote.last_price,
        quote.high,
        quote.low,
        quote.open,
        quote.close,
        (quote.last_price - quote.close) & _U32,
    )
    if mode == QUOTE:
        return _INDEX_QUOTE.pack(28, *fields)
    return _INDEX_FULL.pack(32, *fields, quote.timestamp)


def _side(levels: Sequence[Level]) -> list[int]:
    """Five levels as quantity, price, orders; zeros where the book is thinner."""
    flat: list[int] = []
    for price, quantity, orders in levels[:5]:
        flat += (min(quantity, _U32), price, min(orders, _U16))
    flat += _EMPTY * (5 - min(5, len(levels)))
    return flat


def frames(packets: Sequence[bytes]) -> list[bytes]:
    """As few binary messages as hold the packets, in order; none for none."""
    return [
        _COUNT.pack(len(part)) + b"".join(part)
        for part in (packets[i : i + _MOST_PACKETS] for i in range(0, len(packets), _MOST_PACKETS))
    ]
