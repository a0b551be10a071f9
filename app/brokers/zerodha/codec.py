"""Kite's binary ticks (Kite Connect v3, WebSocket streaming). Pure: bytes in, numbers out.

A frame is `u16 count`, then per packet `u16 length` and that many bytes, all big-endian. The length alone tells the
kind: 8 last price, 28 and 32 index (quote, full), 44 quote, 184 full. Prices on the wire are already in the minor unit
of `Instrument.price_scale`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

from app.brokers.base import Mark
from app.domain.errors import BadAnswer
from app.domain.ids import InstrumentId, Nanos
from app.domain.market import Depth, DepthLevel, Tick

LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL = 8, 28, 32, 44, 184

_SECOND: Nanos = 1_000_000_000

# One packet with its length in front, cut down to what a mark needs: token, last price, volume, exchange time.
_FULL_MARK = Struct(">2xII8xI40xI120x")
_QUOTE_MARK = Struct(">2xII8xI24x")

_PAIR = Struct(">II")
_U32 = Struct(">I")
_INDEX = Struct(">IIIIII")
_QUOTE = Struct(">IIIIIIIIIII")
_FULL = Struct(">IIIIIIIIIIIIIIII")
_LEVEL = Struct(">IIHxx")


def marks(payload: bytes) -> Iterable[Mark]:
    """(token, last price, volume, exchange seconds) of every packet. Hot path: never raises.

    A frame of equal packets, which is what a broker sends in a busy second, is unpacked in one C loop.
    """
    size = len(payload)
    if size < 4:
        return ()
    count = (payload[0] << 8) | payload[1]
    length = (payload[2] << 8) | payload[3]
    # Every length field, seen as two strided columns, must say the same.
    if (
        size == 2 + count * (length + 2)
        and payload[3 :: length + 2] == bytes((length & 0xFF,)) * count
        and not any(payload[2 :: length + 2])
    ):
        if length == FULL:
            return _FULL_MARK.iter_unpack(memoryview(payload)[2:])
        if length == QUOTE:
            return (
                (token, price, volume, 0) for token, price, volume in _QUOTE_MARK.iter_unpack(memoryview(payload)[2:])
            )
    return _walk_marks(payload)


def _walk_marks(payload: bytes) -> list[Mark]:
    found: list[Mark] = []
    for start, length in _offsets(payload):
        if length == FULL:
            found.append(_FULL_MARK.unpack_from(payload, start - 2))
        elif length == QUOTE:
            token, price, volume = _QUOTE_MARK.unpack_from(payload, start - 2)
            found.append((token, price, volume, 0))
        elif length == INDEX_FULL:
            token, price = _PAIR.unpack_from(payload, start)
            found.append((token, price, 0, _U32.unpack_from(payload, start + 28)[0]))
        elif length in (LTP, INDEX_QUOTE):
            token, price = _PAIR.unpack_from(payload, start)
            found.append((token, price, 0, 0))
    return found


def _offsets(payload: bytes) -> Iterator[tuple[int, int]]:
    """(start, length) of each whole packet; stops where the frame is cut short."""
    size = len(payload)
    at = 2
    for _ in range((payload[0] << 8) | payload[1]):
        if at + 2 > size:
            return
        length = (payload[at] << 8) | payload[at + 1]
        at += 2
        if at + length > size:
            return
        yield at, length
        at += length


def packets(payload: bytes) -> list[tuple[int, bytes]]:
    """(token, packet) pairs of a frame, undecoded; packets of unknown length are left out."""
    return [
        (_U32.unpack_from(payload, start)[0], payload[start : start + length])
        for start, length in _offsets(payload)
        if length in (LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL)
    ]


def fault(payload: bytes) -> str:
    """What is wrong with a frame, in words; empty when every packet in it can be read."""
    if len(payload) < 2:
        return ""  # the 1-byte heartbeat
    count = (payload[0] << 8) | payload[1]
    at = 2
    found = 0
    for start, length in _offsets(payload):
        if length not in (LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL):
            return f"packet {found + 1} of {count} is {length} bytes long"
        found += 1
        at = start + length
    if found < count:
        return f"frame cut short after {found} of {count} packets"
    if at != len(payload):
        return f"{len(payload) - at} bytes after the last packet"
    return ""


def decode(packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
    """A packet in full. Raises BadAnswer for a length that Kite does not document."""
    length = len(packet)
    if length == LTP:
        return Tick(instrument, _PAIR.unpack(packet)[1], received_at)
    if length in (INDEX_QUOTE, INDEX_FULL):
        _, last, high, low, opening, close = _INDEX.unpack_from(packet)
        at = _U32.unpack_from(packet, 28)[0] * _SECOND if length == INDEX_FULL else None
        return Tick(instrument, last, received_at, exchange_time=at, open=opening, high=high, low=low, close=close)
    if length == QUOTE:
        return _tradable(_QUOTE.unpack(packet), instrument, received_at)
    if length == FULL:
        values = _FULL.unpack_from(packet)
        depth = Depth(_levels(packet, 64), _levels(packet, 124))
        return _tradable(values[:11], instrument, received_at, values[11:], depth)
    raise BadAnswer("A price packet could not be read.", detail=f"{length} bytes")


def _tradable(
    values: tuple[int, ...],
    instrument: InstrumentId,
    received_at: Nanos,
    more: tuple[int, ...] = (),
    depth: Depth | None = None,
) -> Tick:
    _, last, last_quantity, average, volume, buy, sell, opening, high, low, close = values
    traded_at, interest, _, _, exchange_time = more or (0, None, 0, 0, 0)
    return Tick(
        instrument,
        last,
        received_at,
        exchange_time=exchange_time * _SECOND if exchange_time else None,
        last_trade_time=traded_at * _SECOND if traded_at else None,
        last_quantity=last_quantity,
        average_price=average,
        volume=volume,
        buy_quantity=buy,
        sell_quantity=sell,
        open=opening,
        high=high,
        low=low,
        close=close,
        open_interest=interest,
        depth=depth,
    )


def _levels(packet: bytes, start: int) -> tuple[DepthLevel, ...]:
    found = (_LEVEL.unpack_from(packet, start + 12 * n) for n in range(5))
    return tuple(DepthLevel(price, quantity, orders) for quantity, price, orders in found if quantity)
