"""JSON as brokers send it: fractions as exact Decimals, and long arrays in small pieces. Pure, cheap to import: the
helper process cuts up big answers with it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from app.domain.errors import BadAnswer

ROWS_SLICE = 8 * 1024
"""Bytes of JSON decoded at a time on our side, about 0.05 ms."""

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")  # brokers want a number, never text


def decode_json(body: bytes | bytearray) -> Any:
    """JSON with every fraction as an exact Decimal. Raises BadAnswer."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadAnswer("The broker's answer is not readable JSON.", detail=str(bad)) from bad


def encode_json(value: Any) -> bytes:
    """JSON with Decimals as numbers."""
    return _encoder.encode(value)


def cut_rows(body: bytes | bytearray, at: tuple[str, ...]) -> Iterator[bytes]:
    """The array at a path of keys as small JSON arrays. Checks the whole body first. Runs in the helper process."""
    try:
        msgspec.json.decode(body, type=Any)
        here = msgspec.Raw(body)
        for key in at:
            here = msgspec.json.decode(here, type=dict[str, msgspec.Raw])[key]
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
        if size >= ROWS_SLICE:
            yield b"[" + b",".join(batch) + b"]"
            batch, size = [], 0
    if batch:
        yield b"[" + b",".join(batch) + b"]"
