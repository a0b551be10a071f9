"""Pieces of bytes in a row, told apart again on the other side of a process boundary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_LENGTH = 4
"""Bytes that tell a piece's length, before it."""


def framed(pieces: Iterable[bytes], together: int = 96 * 1024) -> Iterator[bytes]:
    """The pieces with their lengths, joined to about `together` bytes each."""
    joined = bytearray()
    for piece in pieces:
        joined += len(piece).to_bytes(_LENGTH, "big")
        joined += piece
        if len(joined) >= together:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)


def unframed(body: bytes) -> Iterator[bytes]:
    """What `framed` was given."""
    at = 0
    while at < len(body):
        end = at + _LENGTH + int.from_bytes(body[at : at + _LENGTH], "big")
        yield body[at + _LENGTH : end]
        at = end
