"""JSON as brokers send it: fractions as exact Decimals, and long arrays in small pieces. Pure, cheap to import: the
helper process cuts up big answers with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from app.domain.errors import BadAnswer

T = TypeVar("T")

ROWS_SLICE = 8 * 1024
"""Bytes of JSON decoded at a time on our side, about 0.05 ms."""

MADE_SLICE = 16 * 1024
"""Bytes of JSON whose rows come back from the helper process together: unpacking them takes 0.2 ms."""

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")  # brokers want a number, never text
_packer = msgspec.msgpack.Encoder()


def decode_json(body: bytes | bytearray) -> Any:
    """JSON with every fraction as an exact Decimal. Raises BadAnswer."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadAnswer("The broker's answer is not readable JSON.", detail=str(bad)) from bad


def encode_json(value: Any) -> bytes:
    """JSON with Decimals as numbers."""
    return _encoder.encode(value)


@dataclass(frozen=True, slots=True)
class Facts:
    """What rows cannot be made without, and what is known only outside the helper process. Of the three, what runs in
    the helper process is a function of a module."""

    named: Callable[[Any], str]
    """What a row asks for. Runs in the helper process."""
    known: Callable[[Sequence[str]], bytes]
    """The facts of all that was asked for, packed. Runs on the loop thread: quick."""
    learnt: Callable[[bytes], Any]
    """The same, unpacked. Runs in the helper process."""


def made_rows(body: bytes | bytearray, at: tuple[str, ...], make: Callable[[Any], object]) -> Iterator[bytes]:
    """The array at a path of keys, each row made into one of our types, packed for `unpacked`. Runs in the helper
    process: of a thousand rows the making takes 20 ms, and the unpacking 3."""
    for piece in cut_rows(body, at, MADE_SLICE):
        yield _packer.encode([make(row) for row in decode_json(piece)])


def made_with_facts(
    body: bytes | bytearray,
    at: tuple[str, ...],
    make: Callable[[Any, Any], object],
    named: Callable[[Any], str],
    learnt: Callable[[bytes], Any],
) -> Generator[bytes, bytes, None]:
    """As `made_rows`. The first piece is the list of what the rows ask for (`names_asked`), and the answer that is sent
    back becomes `make`'s second argument."""
    pieces = list(cut_rows(body, at, MADE_SLICE))
    asked = {named(row) for piece in pieces for row in decode_json(piece)}
    facts = learnt((yield _packer.encode(sorted(asked))))
    for piece in pieces:
        yield _packer.encode([make(row, facts) for row in decode_json(piece)])


def names_asked(piece: bytes) -> list[str]:
    """The first piece of `made_with_facts`."""
    return msgspec.msgpack.decode(piece, type=list[str])


def unpacked(piece: bytes, kind: type[T]) -> list[T]:
    """What `made_rows` packed, for `make` that gives this type."""
    decoder = _unpackers.get(kind)
    if decoder is None:
        decoder = _unpackers[kind] = msgspec.msgpack.Decoder(list.__class_getitem__(kind))
    rows: list[T] = decoder.decode(piece)
    return rows


_unpackers: dict[type, msgspec.msgpack.Decoder[Any]] = {}
"""Made once a type: making one takes 0.1 ms."""


def beside_rows(body: bytes | bytearray) -> tuple[dict[str, Any], bytes]:
    """What an envelope has beside its `data`, and a digest of `data` as it came. Raises BadAnswer."""
    try:
        envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        data = envelope.pop("data")
        found = {key: _decoder.decode(value) for key, value in envelope.items()}
    except KeyError as missing:
        raise BadAnswer("The broker's answer lacks what was asked for.", detail=f"no {missing}") from missing
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadAnswer("The broker's answer is not readable JSON.", detail=str(bad)) from bad
    return found, hashlib.sha256(data).digest()


_SUCCESS = b'"success"'


def _told(envelope: dict[str, msgspec.Raw]) -> str:
    return b" ".join(bytes(envelope[name]) for name in ("status", "message") if name in envelope).decode()


def cut_rows(body: bytes | bytearray, at: tuple[str, ...], slice_bytes: int = ROWS_SLICE) -> Iterator[bytes]:
    """The array at a path of keys as small JSON arrays. Checks the whole body first: an envelope that says that it is
    none of success holds no rows, whatever stands where they should be. Runs in the helper process."""
    try:
        msgspec.json.decode(body, type=Any)
        here = msgspec.Raw(body)
        for depth, key in enumerate(at):
            envelope = msgspec.json.decode(here, type=dict[str, msgspec.Raw])
            if depth == 0 and bytes(envelope.get("status", _SUCCESS)) != _SUCCESS:
                raise BadAnswer("The broker's answer is neither data nor an error.", detail=_told(envelope))
            here = envelope[key]
        rows = msgspec.json.decode(here, type=list[msgspec.Raw])
    except KeyError as missing:
        raise BadAnswer("The broker's answer lacks what was asked for.", detail=f"no {missing}") from missing
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadAnswer("The broker's answer is not readable JSON.", detail=str(bad)) from bad
    batch: list[bytes] = []
    size = 0
    for row in rows:
        batch.append(bytes(row))
        size += len(batch[-1])
        if size >= slice_bytes:
            yield b"[" + b",".join(batch) + b"]"
            batch, size = [], 0
    if batch:
        yield b"[" + b",".join(batch) + b"]"
