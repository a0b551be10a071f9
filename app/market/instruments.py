"""The instrument master: what can be traded, in memory, by id; with search. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument, InstrumentKind
from app.domain.listing import PACKED_TOGETHER, PackedList
from app.market.arranging import arranged, index_arrays, pieces_of, received
from app.market.search import SearchIndex
from app.market.table import InstrumentTable, Shelf, Shelves
from app.runtime.framing import framed
from app.runtime.helper import Helper, HelperDied
from app.runtime.memory import give_back

log = logging.getLogger(__name__)


class InstrumentStore(Protocol):
    """What the master needs of the book's instruments."""

    async def packed(self, broker: str) -> PackedList:
        """The stored list."""
        ...


Later = Callable[[Coroutine[Any, Any, None], str], object]
"""Starts a task, with its name."""


class InstrumentMaster:
    """One list for all brokers: an instrument is the same wherever it is traded. Numbers, keys, lots and ticks are
    those of the broker whose list is asked for, or of the one that was read last."""

    def __init__(self, helper: Helper | None = None) -> None:
        self._helper = helper
        self._tables: dict[str, InstrumentTable] = {}
        """By the name of the list, the one that was read last at the end."""
        self._count = 0
        self._index: SearchIndex | None = None
        self._taking = asyncio.Lock()
        self.on_arranged: Callable[[], None] | None = None
        """Called when what is known of the instruments has changed."""

    def get(self, instrument: InstrumentId, name: str = "") -> Instrument | None:
        """An active instrument by id, as the list of that name has it; without a name as any has it.

        An account goes by its own broker's list alone: the number of another's may be another contract's there, and a
        stop would watch a foreign price.
        """
        if name:
            own = self._tables.get(name)
            return own.get(instrument) if own is not None else None
        for table in reversed(self._tables.values()):
            found = table.get(instrument)
            if found is not None:
                return found
        return None

    def table(self, name: str) -> InstrumentTable | None:
        """A whole list."""
        return self._tables.get(name)

    def ends_in_auction(self, instrument: Instrument) -> bool:
        """Whether a share ends its day in the closing auction: those with derivatives do, since 2026-08-03."""
        named = self._index.with_futures if self._index is not None else frozenset()
        return instrument.kind is InstrumentKind.SHARE and instrument.symbol in named

    def search(self, text: str, limit: int = 30) -> list[Instrument]:
        """Best matches first, as the trader types (D6)."""
        return [] if self._index is None else self._index.search(text, limit)

    def __len__(self) -> int:
        return self._count

    def has(self, name: str) -> bool:
        """Whether there is a list of that name, with something in it."""
        return bool(len(self._tables.get(name, ())))

    async def load(self, store: InstrumentStore, name: str, later: Later | None = None) -> None:
        """The stored list, unless it was read before. With `later`, which starts a task, it is there before it can be
        searched: the index waits for the helper process, whose low priority costs seconds on a busy machine."""
        if name in self._tables:
            return
        if later is None:
            await self.reload(store, name)
            return
        self._tables[name] = await asyncio.to_thread(InstrumentTable, await store.packed(name))
        later(self._arrange_all(), f"search of instruments {name}")

    async def _arrange_all(self) -> None:
        async with self._taking:
            tables = [table for table in reversed(self._tables.values()) if len(table)]
            if tables:
                self._take(*await self._arranged(tables))

    async def reload(self, store: InstrumentStore, name: str) -> None:
        """The stored list anew. Whatever walks over all of it does so in the helper process, or in a thread."""
        async with self._taking:
            mine = await asyncio.to_thread(InstrumentTable, await store.packed(name))
            others = [table for other, table in self._tables.items() if other != name and len(table)]
            count, index = await self._arranged([mine, *reversed(others)])
            self._tables.pop(name, None)
            self._tables[name] = mine
            self._take(count, index)
        await asyncio.to_thread(give_back)

    def _take(self, count: int, index: SearchIndex) -> None:
        self._count, self._index = count, index
        if self.on_arranged is not None:
            self.on_arranged()

    async def _arranged(self, tables: Sequence[InstrumentTable]) -> tuple[int, SearchIndex]:
        if self._helper is None:
            return await asyncio.to_thread(_arranged_here, tables)
        lists = [(-(-len(table) // PACKED_TOGETHER), table.ids().dtype.itemsize) for table in tables]
        body = framed(pieces_of(tables))
        try:
            async with aclosing(self._helper.slices(arranged, body, lists)) as pieces:
                arrays, with_futures = await received(pieces)
        except HelperDied:
            log.warning("the helper process ended while it arranged the instruments; they are arranged here")
            return await asyncio.to_thread(_arranged_here, tables)
        places = [arrays[f"places {number}"] for number in range(len(tables)) if len(tables) > 1]
        whole: Shelf = Shelves(tables, places) if places else tables[0]  # type: ignore[arg-type]  # of numbers
        return len(whole), SearchIndex(whole, index_arrays(arrays, with_futures))


def _arranged_here(tables: Sequence[InstrumentTable]) -> tuple[int, SearchIndex]:
    """(how many there are, the index of all)."""
    whole: Shelf = tables[0] if len(tables) == 1 else Shelves(tables)
    return len(whole), SearchIndex(whole)
