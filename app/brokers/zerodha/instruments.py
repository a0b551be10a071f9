"""Kite's instrument dump (CSV, maybe gzip) to instruments. Pure; runs in the helper process, cheap to import.

The dump has about 150,000 rows. They are read line by line, mapped, and handed on in slices that the other side
decodes in well under a millisecond each.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

import msgspec

from app.brokers.rows import PRICE_SCALE, to_exact_price
from app.domain.errors import BadAnswer
from app.domain.ids import instrument_id
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment

SLICE_ROWS = 100

COLUMNS = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
"""The header row (Kite Connect, market quotes and instruments). Order is taken from the file."""

NOT_CARRIED = frozenset({"GLOBAL", "NSEIX"})
"""Quote-only listings abroad; no orders, no place in our calendar."""

_KINDS: Mapping[str, InstrumentKind] = {
    "EQ": InstrumentKind.SHARE,
    "FUT": InstrumentKind.FUTURE,
    "CE": InstrumentKind.CALL,
    "PE": InstrumentKind.PUT,
}


@dataclass(frozen=True, slots=True)
class InstrumentSlice:
    """Some instruments, and what was left out on the way to them."""

    instruments: tuple[Instrument, ...]
    malformed: int
    not_carried: int


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(InstrumentSlice)


def pack(body: bytes | bytearray) -> Iterator[bytes]:
    """A dump to packed slices, for the trip between processes. Raises BadAnswer when it is no instrument dump."""
    for piece in read(body):
        yield _encode(piece)


def unpack(piece: bytes) -> InstrumentSlice:
    """What `pack` made."""
    return _decoder.decode(piece)


def read(body: bytes | bytearray) -> Iterator[InstrumentSlice]:
    """A dump in slices. Malformed lines are counted and left out; a damaged file raises BadAnswer."""
    try:
        yield from _slices(csv.reader(_lines(body)))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as bad:
        raise BadAnswer("The instrument list is damaged.", "The one before stays in use.", detail=str(bad)) from bad


def _lines(body: bytes | bytearray) -> Iterable[str]:
    if body[:2] == b"\x1f\x8b":  # by content: the header may or may not say so
        return io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(body)), "utf-8", newline="")
    return io.TextIOWrapper(io.BytesIO(body), "utf-8", newline="")


def _slices(reader: Iterator[list[str]]) -> Iterator[InstrumentSlice]:
    header = next(reader, [])
    if not set(COLUMNS) <= set(header):
        raise BadAnswer("This is not an instrument list.", detail=",".join(header)[:120])
    at = {name: header.index(name) for name in COLUMNS}
    batch: list[Instrument] = []
    malformed = not_carried = 0
    for line in reader:
        if len(line) != len(header):
            malformed += bool(line)
        elif line[at["exchange"]] in NOT_CARRIED:
            not_carried += 1
        else:
            try:
                batch.append(_instrument(line, at))
            except (ValueError, InvalidOperation):
                malformed += 1
        if len(batch) == SLICE_ROWS:
            yield InstrumentSlice(tuple(batch), malformed, not_carried)
            batch, malformed, not_carried = [], 0, 0
    yield InstrumentSlice(tuple(batch), malformed, not_carried)


INDEX_TICK = 5
"""Minor units in which an index is drawn: NSE publishes them to 0.05."""


def _instrument(line: list[str], at: Mapping[str, int]) -> Instrument:
    """One line. Raises ValueError for anything that is not as documented."""
    exchange = Exchange(line[at["exchange"]])
    scale = PRICE_SCALE[exchange]
    segment_code = line[at["segment"]]
    kind = InstrumentKind.INDEX if segment_code == "INDICES" else _kind(line[at["instrument_type"]])
    symbol = line[at["tradingsymbol"]]
    expiry = line[at["expiry"]]
    strike = Decimal(line[at["strike"]] or 0)
    if not symbol:
        raise ValueError("no trading symbol")
    return Instrument(
        id=instrument_id(exchange, symbol),
        token=int(line[at["instrument_token"]]),
        exchange=exchange,
        segment=_segment(exchange, kind),
        kind=kind,
        name=line[at["name"]],
        # An index has neither in the list; what draws or counts it may still divide by them.
        tick_size=to_exact_price(Decimal(line[at["tick_size"]] or 0), scale) or INDEX_TICK,
        lot_size=int(Decimal(line[at["lot_size"]] or 0)) or 1,
        price_scale=scale,
        expiry=date.fromisoformat(expiry) if expiry else None,
        strike=_plain(strike) if strike else None,
    )


def _plain(number: Decimal) -> Decimal:
    """Without idle zeros, and 24000 rather than 2.4E+4."""
    return Decimal(int(number)) if number == int(number) else number.normalize()


def _kind(code: str) -> InstrumentKind:
    try:
        return _KINDS[code]
    except KeyError:
        raise ValueError(f"instrument type {code}") from None


def _segment(exchange: Exchange, kind: InstrumentKind) -> Segment:
    if kind is InstrumentKind.INDEX:
        return Segment.INDEX
    if exchange in (Exchange.MCX, Exchange.NCO):
        return Segment.COMMODITY
    if exchange in (Exchange.CDS, Exchange.BCD):
        return Segment.CURRENCY
    if kind is InstrumentKind.SHARE:
        return Segment.EQUITY
    return Segment.FUTURES if kind is InstrumentKind.FUTURE else Segment.OPTIONS
