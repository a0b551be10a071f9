"""Instrument lists arranged for search in the helper process: two hundred thousand lines take it two seconds.

The lists cross packed as they lie in memory, the arrays of the index come back in pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Generator, Iterator, Mapping, Sequence
from dataclasses import fields

import msgspec
import numpy as np
import numpy.typing as npt

from app.domain.listing import PackedList
from app.market.search_build import SearchArrays, arrays_of
from app.market.table import InstrumentTable, Shelf, Shelves
from app.runtime.framing import unframed

PIECE = 128 * 1024
"""Bytes that come back at a time: copied in 10 us."""
_EACH = 3
"""Frames of one piece of a list: data, ends, ids."""

Array = npt.NDArray[np.generic]


class Arranged(msgspec.Struct, frozen=True):
    """The first piece that comes back with something in it; the bytes of the arrays follow, one after the other."""

    arrays: list[tuple[str, str, int]]
    """Name, type, and how many."""
    with_futures: list[str]


def pieces_of(tables: Sequence[InstrumentTable]) -> Iterator[bytes]:
    """All lists, to be framed."""
    for table in tables:
        for piece in table.pieces():
            yield from piece


def arranged(body: bytes, lists: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """`lists`: pieces and id width of each. An empty piece is a pause, in which others have their turn."""
    frames = unframed(body)
    tables = []
    for count, width in lists:
        columns = [[next(frames) for _ in range(_EACH)] for _ in range(count)]
        data, ends, ids = (tuple(one[n] for one in columns) for n in range(_EACH))
        tables.append(InstrumentTable(PackedList(data, ends, ids, width)))
        yield b""
    whole: Shelf = tables[0] if len(tables) == 1 else Shelves(tables)
    yield b""
    found = yield from _with_pauses(arrays_of(whole))
    arrays: dict[str, Array] = {
        field.name: getattr(found, field.name) for field in fields(found) if field.name != "with_futures"
    }
    if isinstance(whole, Shelves):
        arrays |= {f"places {number}": places for number, places in enumerate(whole.places)}
    told = Arranged([(name, a.dtype.str, len(a)) for name, a in arrays.items()], sorted(found.with_futures))
    yield msgspec.msgpack.encode(told)
    for array in arrays.values():
        plain = np.ascontiguousarray(array).view(np.uint8).data if array.nbytes else memoryview(b"")
        for start in range(0, len(plain), PIECE):
            yield bytes(plain[start : start + PIECE])


def _with_pauses(work: Generator[None, None, SearchArrays]) -> Generator[bytes, None, SearchArrays]:
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: SearchArrays = done.value
            return found
        yield b""


async def received(pieces: AsyncIterable[bytes]) -> tuple[dict[str, Array], frozenset[str]]:
    """What `arranged` sent: the arrays by name, and the names with futures."""
    told: Arranged | None = None
    arrays: dict[str, Array] = {}
    waiting: list[memoryview] = []
    place = 0
    async for piece in pieces:
        if not piece:
            continue
        if told is None:
            told = msgspec.msgpack.decode(piece, type=Arranged)
            arrays = await asyncio.to_thread(_room, told)
            waiting = [a.view(np.uint8).data for a in arrays.values() if a.nbytes]
            continue
        waiting[0][place : place + len(piece)] = piece
        place += len(piece)
        if place == len(waiting[0]):
            waiting.pop(0)
            place = 0
    if told is None or waiting:
        raise EOFError("the helper process sent a part of the index")
    return arrays, frozenset(told.with_futures)


def _room(told: Arranged) -> dict[str, Array]:
    """Touched once: a fresh page costs the system milliseconds at worst, and the copying is done on the loop. The
    interpreter lock is not held meanwhile."""
    arrays = {name: np.empty(count, kind) for name, kind, count in told.arrays}
    for array in arrays.values():
        if array.nbytes:
            array.view(np.uint8)[...] = 0
    return arrays


def index_arrays(arrays: Mapping[str, Array], with_futures: frozenset[str]) -> SearchArrays:
    """Those of the index among them."""
    names = [field.name for field in fields(SearchArrays) if field.name != "with_futures"]
    return SearchArrays(**{name: arrays[name] for name in names}, with_futures=with_futures)  # type: ignore[arg-type]
