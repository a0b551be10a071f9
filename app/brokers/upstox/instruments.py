"""Upstox's instrument files to rows: the JSON of today and the CSV layout of before. Pure; for the helper process.

Ids are the exchange's compact symbols (`NFO:NIFTY26NOV24000CE`) as Zerodha prints them, so that a contract is one and
the same at both brokers. The JSON has `NIFTY 24000 CE 24 NOV 26` instead; of it the compact form is built. Tokens are
numbers made like Kite's, exchange token x 256 + segment; what Upstox itself wants to hear is `Instrument.key`.

Wire facts: Upstox documentation, instruments; fields of both layouts as the files themselves have them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

import msgspec

from app.brokers.documents import encode_json
from app.brokers.instrument_lines import (
    INDEX_TICK,
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
from app.brokers.upstox.namesakes import Namesakes
from app.brokers.upstox.segments import IN_LOTS, NOT_CARRIED, SEGMENTS
from app.domain.errors import BadAnswer
from app.domain.ids import instrument_id
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.listing import InstrumentMaker, InstrumentRow, ListPart, is_test_contract

COLUMNS = (
    "instrument_key", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size",
    "lot_size", "instrument_type", "option_type", "exchange",
)  # fmt: skip
"""The header of the CSV layout. Order is taken from the file."""

_IN_RUPEES = frozenset({"NSE_EQ", "BSE_EQ", "NSE_FO", "BSE_FO"})
"""Segments whose tick size the CSV has in rupees; the others', like all of the JSON, are in paise (USDINR 0.25, which
trades in steps of Rs 0.0025)."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKLY_MONTHS = "123456789OND"
_CONTRACT = re.compile(r"\d\d(?:[A-Z]{3}|[1-9OND]\d\d)(?:FUT|\d+(?:\.\d+)?(?:CE|PE))$")
_KINDS = {
    "FUT": InstrumentKind.FUTURE,
    "FF": InstrumentKind.FUTURE,
    "CE": InstrumentKind.CALL,
    "PE": InstrumentKind.PUT,
}
_OPTIONS = (InstrumentKind.CALL, InstrumentKind.PUT)
_INDIA = timedelta(hours=5, minutes=30)


def pack_file(source: Source) -> Iterator[bytes]:
    """A file to packed parts, for the trip between processes. Raises BadAnswer when it is no instrument list."""
    return pack(read(source))


def read(source: Source) -> Iterator[ListPart]:
    """A file in parts, JSON or CSV by its content. Raises BadAnswer for a damaged file or something else."""
    with opened(source) as unpacked:
        if _text_begins(unpacked.peek(64))[:1] == b"[":
            yield from _parts(_json_fields(unpacked))
        else:
            yield from _parts(_csv_fields(unpacked))


def is_ours(first: bytes) -> bool:
    """Whether a list that begins so is one of Upstox's."""
    start = _text_begins(first)
    if start[:1] == b"[":
        return b'"instrument_key"' in start
    return start.replace(b'"', b"").startswith(b"instrument_key,")


def _text_begins(first: bytes) -> bytes:
    """Without the mark that editors put in front, and without empty lines."""
    return first.removeprefix(codecs.BOM_UTF8).lstrip()


class Fields(msgspec.Struct, frozen=True):
    """What both layouts say of one instrument."""

    segment: str
    instrument_key: str
    exchange_token: str
    trading_symbol: str
    instrument_type: str
    """FUT, CE, PE, INDEX, COM (a spot price); of shares the series (NSE) or group (BSE), empty in the CSV."""
    name: str = ""
    tick_size: Decimal = Decimal(0)
    """Paise."""
    lot_size: Decimal | None = None
    expiry: int | str | None = None
    """Milliseconds since 1970 UTC, or an ISO date."""
    strike_price: Decimal | None = None
    underlying_symbol: str = ""
    asset_symbol: str = ""
    weekly: bool = False


def listed_contract(data: object, *, active: bool = True) -> Instrument:
    """A row that a call gives, which has the fields of the file with the expiry as a date. Raises BadAnswer."""
    try:
        fields = _decode(encode_json(data))
        return InstrumentMaker().make(_row(fields), active=active)
    except (msgspec.DecodeError, ValueError, InvalidOperation, OverflowError, KeyError) as bad:
        raise BadAnswer("The broker named a contract that cannot be read.", detail=str(bad)[:120]) from bad


class Unread(NamedTuple):
    """A line that could not be read."""

    line: str
    key: str = ""
    """Of its instrument, where that much could be."""


def _parts(listed: Iterator[Fields | Unread]) -> Iterator[ListPart]:
    """Rows in parts."""
    parts = Parts()
    names = Namesakes()
    for number, fields in enumerate(listed, 1):
        if isinstance(fields, Unread):
            parts.malformed(fields.line, f"entry {number}", fields.key)
        elif fields.segment in NOT_CARRIED or is_test_contract(fields.trading_symbol):
            parts.not_carried()
        else:
            try:
                row = _row(fields)
            except (ValueError, InvalidOperation, OverflowError) as bad:
                parts.malformed(f"{fields.instrument_key}: {bad}", f"entry {number}", fields.instrument_key)
            else:
                if names.passes(fields.segment, row):
                    parts.row(row)
        if parts.full:
            yield parts.take()
    for row in names.rest():
        parts.row(row)
        if parts.full:
            yield parts.take()
    yield parts.take()


def _row(fields: Fields) -> InstrumentRow:
    """Raises ValueError for what is not as documented."""
    if fields.segment not in SEGMENTS:
        raise ValueError(f"segment {fields.segment}")
    prefix, _, at_broker = fields.instrument_key.partition("|")
    if prefix != fields.segment or not at_broker:
        raise ValueError("instrument key")
    if not fields.exchange_token.isdigit():
        raise ValueError(f"exchange token {fields.exchange_token}")
    expiry = _expiry(fields.expiry)
    kind = _kind(fields, expiry)
    strike = sane(fields.strike_price) if kind in _OPTIONS and fields.strike_price is not None else None
    if kind in _OPTIONS and (strike is None or strike <= 0):
        raise ValueError("an option without a strike")
    exchange, code, segment, what, scale, in_lots = _market(fields.segment, kind)
    symbol, name = _names(fields, kind, expiry, strike, at_broker)
    if not is_symbol(symbol) or "\ufffd" in name:
        raise ValueError("trading symbol")
    return (
        instrument_id(exchange, symbol),
        int(fields.exchange_token) * 256 + code,
        exchange,
        segment,
        what,
        name,
        _tick(fields.tick_size, scale) or INDEX_TICK,
        1 if in_lots else int(sane(fields.lot_size or Decimal(0))) or 1,
        scale,
        None if expiry is None else _iso(expiry),
        None if strike is None else _plain(strike),
        fields.instrument_key,
    )


def _kind(fields: Fields, expiry: date | None) -> InstrumentKind:
    kind = _KINDS.get(fields.instrument_type)
    if kind is not None:
        if expiry is None:
            raise ValueError("a contract without an expiry")
        return kind
    if fields.segment.endswith("_EQ"):
        return InstrumentKind.SHARE
    # Spot prices of commodities, which nobody trades, stand beside their contracts.
    if fields.instrument_type in ("INDEX", "COM"):
        return InstrumentKind.INDEX
    raise ValueError(f"instrument type {fields.instrument_type}")


@lru_cache(256)
def _market(segment: str, kind: InstrumentKind) -> tuple[str, int, str, str, int, bool]:
    """(exchange, low byte of the token, our segment, kind, price scale, whether orders count lots), as rows have it."""
    exchange, code = SEGMENTS[segment]
    ours = _segment(exchange, kind)
    return exchange.value, code, ours.value, kind.value, PRICE_SCALE[exchange], exchange in IN_LOTS


@lru_cache(4096)
def _iso(day: date) -> str:
    return day.isoformat()


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


def _names(
    fields: Fields, kind: InstrumentKind, expiry: date | None, strike: Decimal | None, at_broker: str
) -> tuple[str, str]:
    """(symbol, name): compact symbols; the name of a contract is its underlying's symbol."""
    symbol = fields.trading_symbol
    if expiry is not None:
        return _contract_names(fields, kind, expiry, strike)
    if fields.instrument_type == "INDEX":
        return at_broker.upper(), fields.name
    series = fields.instrument_type
    if fields.segment == "NSE_EQ" and series not in ("", "EQ") and not symbol.endswith(f"-{series}"):
        symbol = f"{symbol}-{series}"  # as Kite and the exchange write it: CENTRALBK-BE
    return symbol, fields.name


def _contract_names(fields: Fields, kind: InstrumentKind, expiry: date, strike: Decimal | None) -> tuple[str, str]:
    symbol = fields.trading_symbol
    underlying = fields.underlying_symbol or fields.asset_symbol
    monthly, weekly = tails(kind, expiry, strike)
    if " " in symbol:
        if not underlying:
            raise ValueError("a contract without an underlying")
        return underlying + (weekly if fields.weekly else monthly), underlying
    for form in (monthly, weekly):
        if symbol.endswith(form):
            return symbol, symbol[: -len(form)]
    tail = _CONTRACT.search(symbol)
    return symbol, symbol[: tail.start()] if tail else underlying or fields.name


def tails(kind: InstrumentKind, expiry: date, strike: Decimal | None) -> tuple[str, str]:
    """The end of a compact symbol, as a month's contract and as a week's."""
    end = "FUT" if kind is InstrumentKind.FUTURE else "CE" if kind is InstrumentKind.CALL else "PE"
    price = "" if strike is None else _plain(strike)
    month, week = _expiry_codes(expiry)
    return f"{month}{price}{end}", f"{week}{price}{end}"


@lru_cache(4096)
def _expiry_codes(expiry: date) -> tuple[str, str]:
    year = f"{expiry.year % 100:02d}"
    return year + _MONTHS[expiry.month - 1], f"{year}{_WEEKLY_MONTHS[expiry.month - 1]}{expiry.day:02d}"


@lru_cache(4096)
def _expiry(told: int | str | None) -> date | None:
    if told is None or told in ("", 0):
        return None
    if isinstance(told, str):
        return date.fromisoformat(told)
    return (datetime.fromtimestamp(told / 1000, UTC) + _INDIA).date()


_plain = lru_cache(50_000)(plain)


@lru_cache(4096)
def _tick(paise: Decimal, scale: int) -> int:
    return to_exact_price(sane(paise) / 100, scale)


# -- CSV -------------------------------------------------------------------------------------------------------------


def _csv_fields(unpacked: Unpacked) -> Iterator[Fields | Unread]:
    lines = csv_lines(unpacked)
    line, header = csv_header(lines)
    if not set(COLUMNS) <= set(header):
        raise BadAnswer("This is not an instrument list of Upstox.", "Choose another file.", detail=line)
    at = [header.index(name) for name in COLUMNS]
    for line, values in lines:
        if len(values) != len(header):
            if line:
                yield Unread(line, values[at[0]] if len(values) > at[0] else "")
            continue
        try:
            yield _from_csv([values[place] for place in at])
        except (ValueError, InvalidOperation):
            yield Unread(line, values[at[0]])


def _from_csv(values: Sequence[str]) -> Fields:
    key, token, symbol, name, _, expiry, strike, tick, lot, kind, option, segment = values
    return Fields(
        segment,
        key,
        token,
        symbol,
        option or ("" if kind == "EQUITY" else kind),
        name,
        _paise(tick, segment in _IN_RUPEES),
        _number(lot),
        expiry or None,
        _number(strike) or None,
    )


@lru_cache(4096)
def _paise(text: str, in_rupees: bool) -> Decimal:
    return _number(text) * 100 if in_rupees else _number(text)


@lru_cache(50_000)
def _number(text: str) -> Decimal:
    return sane(Decimal(text or 0))


# -- JSON ------------------------------------------------------------------------------------------------------------

_INSIDE = rb'[^{}"]+|"(?>[^"\\]+|\\.)*+"'
_OBJECT = re.compile(rb"\{(?>" + _INSIDE + rb"|\{(?>" + _INSIDE + rb")*+\})*+\}", re.DOTALL)
"""An object; others may be inside it, one deep. Possessive: a broken one costs no more than its length."""
_BETWEEN = b" \t\r\n,"
_PIECE = 128 * 1024
_LONGEST = 64 * 1024
"""Bytes of an object; the longest known has 900."""

_decode = msgspec.json.Decoder(Fields).decode


_KEY = re.compile(rb'"instrument_key"\s*:\s*"([^"\\]{1,80})"')


def _json_fields(unpacked: Unpacked) -> Iterator[Fields | Unread]:
    """The array's objects one by one, whatever its length. Raises EOFError when it does not end."""
    rest = bytearray(_text_begins(unpacked.read(_PIECE))[1:])
    at, ended = 0, False
    while True:
        begins = rest.find(b"{", at)
        found = _OBJECT.match(rest, begins) if begins >= 0 else None
        if found is None and not ended and len(rest) - at < _LONGEST:
            del rest[:at]
            piece = unpacked.read(_PIECE)
            at, ended = 0, not piece
            rest += piece
            continue
        if begins < 0:
            break
        if rest[at:begins].strip(_BETWEEN):
            yield _unread(rest[at:begins])
        if found is None:  # broken, or longer than any: on with what begins next
            following = begins + 1 + len(rest[begins + 1 :].split(b"{", 1)[0])
            yield _unread(rest[begins:following])
            at = following
            continue
        at = found.end()
        try:
            yield _decode(found[0])
        except msgspec.DecodeError:
            yield _unread(found[0])
    if rest[at:].strip(_BETWEEN) != b"]":
        raise EOFError("The list has no end.")


def _unread(raw: bytes | bytearray) -> Unread:
    key = _KEY.search(raw)
    return Unread(bytes(raw[:120]).decode("utf-8", "replace"), "" if key is None else key[1].decode("utf-8", "replace"))
