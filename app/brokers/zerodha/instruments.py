"""Kite's instrument dump (CSV, maybe gzip) to rows. Pure; runs in the helper process, cheap to import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from app.brokers.instrument_lines import (
    INDEX_TICK,
    Numbered,
    Parts,
    Source,
    Unpacked,
    csv_header,
    csv_lines,
    is_symbol,
    opened,
    pack,
    plain,
    sane,
)
from app.brokers.rows import PRICE_SCALE, to_exact_price
from app.domain.errors import BadAnswer
from app.domain.ids import instrument_id
from app.domain.instrument import Exchange, InstrumentKind, Segment
from app.domain.listing import InstrumentRow, ListPart, is_test_contract

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


_CONTRACTS = frozenset({"FUT", "CE", "PE"})
TOKENS = 2**32
"""Instrument tokens are 32 bits wide on the ticker's wire."""


def pack_file(source: Source) -> Iterator[bytes]:
    """A dump to packed parts, for the trip between processes. Raises BadAnswer when it is no instrument dump."""
    return pack(read(source))


def read(source: Source) -> Iterator[ListPart]:
    """A dump in parts. Malformed lines are counted and left out; a damaged file raises BadAnswer."""
    with opened(source) as unpacked:
        yield from _parts(unpacked)


def is_ours(first: bytes) -> bool:
    """Whether a list that begins so is one of Kite's."""
    start = first[:200].translate(None, b'" ').lstrip(b"\xef\xbb\xbf\r\n")
    return start.startswith(b"instrument_token,exchange_token,")


def _parts(unpacked: Unpacked) -> Iterator[ListPart]:
    lines = Numbered(csv_lines(unpacked))
    line, header = csv_header(lines)
    if not set(COLUMNS) <= set(header):
        raise BadAnswer("This is not an instrument list of Zerodha.", "Choose another file.", detail=line)
    at = [header.index(name) for name in COLUMNS]
    parts = Parts()
    for line, values in lines:
        if len(values) == len(header):
            token, _, symbol, name, _, expiry, strike, tick, lot, kind, segment, exchange = [values[n] for n in at]
            if exchange in NOT_CARRIED or is_test_contract(symbol):
                parts.not_carried()
            else:
                try:
                    parts.row(_row(exchange, segment, kind, symbol, name, token, expiry, strike, tick, lot))
                except (ValueError, InvalidOperation, OverflowError):
                    parts.malformed(line, f"line {lines.number}", _whose(exchange, symbol))
        elif line:
            parts.malformed(line, f"line {lines.number}", _whose_torn(line, header))
        if parts.full:
            yield parts.take()
    yield parts.take()


_EXCHANGES = frozenset(one.value for one in Exchange)


def _whose(exchange: str, symbol: str) -> str:
    """The instrument of a line that cannot be read otherwise; empty when not even that can."""
    return instrument_id(exchange, symbol) if exchange in _EXCHANGES and is_symbol(symbol) else ""


def _whose_torn(line: str, header: list[str]) -> str:
    """The same of a line with too many or too few fields: those before and those after the tear are in their places."""
    values = line.split(",")
    exchange, symbol = header.index("exchange") - len(header), header.index("tradingsymbol")
    return _whose(values[exchange], values[symbol]) if len(values) > max(symbol, -exchange) else ""


def _row(
    exchange: str,
    segment: str,
    kind: str,
    symbol: str,
    name: str,
    token: str,
    expiry: str,
    strike: str,
    tick: str,
    lot: str,
) -> InstrumentRow:
    """One line. Raises ValueError for anything that is not as documented."""
    what, where, scale = _market(exchange, segment, kind)
    number = int(token)
    if not 0 <= number < TOKENS or not is_symbol(symbol) or "\ufffd" in name:
        raise ValueError("trading symbol, name or token")
    ends, at = _day(expiry), _strike(strike)
    if kind in _CONTRACTS and segment != "INDICES" and (ends is None or (kind != "FUT" and at is None)):
        raise ValueError("a contract without expiry or strike")
    return (
        instrument_id(exchange, symbol),
        number,
        exchange,
        where,
        what,
        name,
        _tick(tick, scale)
        or INDEX_TICK,  # an index has neither in the list; what draws or counts it may divide by them
        1 if exchange in IN_LOTS else _lot(lot) or 1,
        scale,
        ends,
        at,
        "",
    )


IN_LOTS = frozenset(one.value for one in (Exchange.MCX, Exchange.NCO, Exchange.CDS, Exchange.BCD))
"""Orders here count lots, everywhere else units (Kite Connect, orders: quantity); so a lot is the unit here, and
`Position.multiplier` has its size."""


@lru_cache(256)
def _market(exchange: str, segment: str, kind: str) -> tuple[str, str, int]:
    """(kind, segment, price scale)."""
    where = Exchange(exchange)
    if segment != "INDICES" and kind not in _KINDS:
        raise ValueError(f"instrument type {kind}")
    what = InstrumentKind.INDEX if segment == "INDICES" else _KINDS[kind]
    return what.value, _segment(where, what).value, PRICE_SCALE[where]


@lru_cache(50_000)
def _strike(text: str) -> str | None:
    number = Decimal(text or 0)
    return plain(sane(number)) if number > 0 else None  # some lists have -0.01 for none


@lru_cache(4096)
def _tick(text: str, scale: int) -> int:
    return to_exact_price(sane(Decimal(text or 0)), scale)


@lru_cache(4096)
def _lot(text: str) -> int:
    return int(sane(Decimal(text or 0)))


@lru_cache(4096)
def _day(text: str) -> str | None:
    return date.fromisoformat(text).isoformat() if text else None


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
