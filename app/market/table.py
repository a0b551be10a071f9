"""A whole instrument list in a few pieces of memory. Instruments are made when somebody asks for them.

Two hundred thousand objects would take three times the memory, and every full garbage collection would walk over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import msgspec
import numpy as np
import numpy.typing as npt

from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument
from app.domain.listing import PACKED_TOGETHER, InstrumentMaker, InstrumentRow, PackedList

_CACHED = 20_000
"""Instruments that were asked for by id and stay made."""


class Shelf(Sequence[Instrument]):
    """Active instruments, made as they are read. Safe to read from any thread but for `get`."""

    def ids(self) -> npt.NDArray[np.bytes_]:
        """In the order of the places."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> Instrument: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Instrument]: ...
    def __getitem__(self, place: int | slice) -> Instrument | Sequence[Instrument]:
        if isinstance(place, slice):
            return [self.at(one) for one in range(*place.indices(len(self)))]
        return self.at(place)

    def at(self, place: int) -> Instrument:
        """One by its place."""
        raise NotImplementedError

    def lines(self) -> Iterator[InstrumentRow]:
        """All as lines, in the order of the places."""
        raise NotImplementedError


class InstrumentTable(Shelf):
    """One broker's list."""

    def __init__(self, packed: PackedList) -> None:
        width = max(1, packed.id_width)
        count = sum(len(ids) for ids in packed.ids) // width
        self._data = packed.data
        self._ends = np.empty(count, np.int32)
        self._ids: npt.NDArray[np.bytes_] = np.empty(count, f"S{width}")
        for number, (ends, ids) in enumerate(zip(packed.ends, packed.ids, strict=True)):
            piece = slice(number * PACKED_TOGETHER, number * PACKED_TOGETHER + len(ids) // width)
            self._ends[piece] = np.frombuffer(ends, np.int32)
            self._ids[piece] = np.frombuffer(ids, f"S{width}")
        self._maker = InstrumentMaker()
        self._decode = msgspec.msgpack.Decoder(InstrumentRow).decode
        self._made: dict[InstrumentId, Instrument | None] = {}

    def pieces(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """As it was made: data, ends and ids of each piece."""
        for number, data in enumerate(self._data):
            cut = slice(number * PACKED_TOGETHER, (number + 1) * PACKED_TOGETHER)
            yield data, self._ends[cut].tobytes(), self._ids[cut].tobytes()

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Instrument]:
        return (self.at(place) for place in range(len(self)))

    def ids(self) -> npt.NDArray[np.bytes_]:
        """Ascending."""
        return self._ids

    def at(self, place: int) -> Instrument:
        """One by its place among the ids."""
        return self._maker.make(self.line(place))

    def lines(self) -> Iterator[InstrumentRow]:
        """By id."""
        return (self.line(place) for place in range(len(self)))

    def line(self, place: int) -> InstrumentRow:
        """One as a line."""
        piece, line = divmod(place, PACKED_TOGETHER)
        begin = self._ends[place - 1] if line else 0
        found: InstrumentRow = self._decode(self._data[piece][begin : self._ends[place]])
        return found

    def get(self, instrument: InstrumentId) -> Instrument | None:
        """One by id. Loop thread."""
        if instrument in self._made:
            return self._made[instrument]
        if len(self._made) >= _CACHED:
            self._made.clear()
        asked = np.bytes_(instrument.encode())
        place = int(np.searchsorted(self._ids, asked))
        found = self.at(place) if place < len(self) and self._ids[place] == asked else None
        self._made[instrument] = found
        return found


class Shelves(Shelf):
    """Several lists as one: of an instrument that more than one has, the first list's.

    `places`: of each list those that count, found before.
    """

    def __init__(self, tables: Sequence[InstrumentTable], places: Sequence[npt.NDArray[np.intp]] | None = None) -> None:
        self._tables = tables
        self._places = _first_ones(tables) if places is None else list(places)
        self._ends = np.cumsum([len(places) for places in self._places])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def places(self) -> Sequence[npt.NDArray[np.intp]]:
        """Of each list, those that count."""
        return self._places

    def ids(self) -> npt.NDArray[np.bytes_]:
        """Those of the first list, then those that only the next has, and so on."""
        return np.concatenate([t.ids()[places] for t, places in zip(self._tables, self._places, strict=True)])

    def __iter__(self) -> Iterator[Instrument]:
        for table, places in zip(self._tables, self._places, strict=True):
            for place in places.tolist():
                yield table.at(place)

    def lines(self) -> Iterator[InstrumentRow]:
        """In the order of `ids`."""
        for table, places in zip(self._tables, self._places, strict=True):
            for place in places.tolist():
                yield table.line(place)

    def at(self, place: int) -> Instrument:
        """One of all."""
        which = int(np.searchsorted(self._ends, place, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return self._tables[which].at(int(self._places[which][place - before]))


def _first_ones(tables: Sequence[InstrumentTable]) -> list[npt.NDArray[np.intp]]:
    found: list[npt.NDArray[np.intp]] = []
    seen = np.zeros(0, "S1")
    for table in tables:
        places = np.flatnonzero(~np.isin(table.ids(), seen)) if len(seen) else np.arange(len(table))
        found.append(places)
        seen = np.concatenate([seen, table.ids()[places]])
    return found
