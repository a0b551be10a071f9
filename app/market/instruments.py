"""The instrument master: what can be traded, in memory, by id; with search. Loop thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind
from app.market.search import SearchIndex


class InstrumentStore(Protocol):
    """What the master needs of the book's instruments."""

    async def all_active(self, broker: str) -> list[Instrument]:
        """The stored list."""
        ...


class InstrumentMaster:
    """One list for all brokers: an instrument is the same wherever it is traded. Numbers, keys, lots and ticks are
    those of the broker whose list is asked for, or of the one that was read last."""

    def __init__(self) -> None:
        self._by_id: ById = {}
        self._by_list: dict[str, ById] = {}
        self._with_derivatives: frozenset[str] = frozenset()
        self._index: SearchIndex | None = None
        self._taking = asyncio.Lock()
        self.on_list: list[Callable[[str, Collection[Instrument]], Awaitable[None]]] = []
        """Called with every list that was read: adapters learn the broker's keys from it."""

    def get(self, instrument: InstrumentId, name: str = "") -> Instrument | None:
        """An active instrument by id, as the list of that name has it; as any has it, when that one does not."""
        return self._by_list.get(name, self._by_id).get(instrument) or self._by_id.get(instrument)

    def ends_in_auction(self, instrument: Instrument) -> bool:
        """Whether a share ends its day in the closing auction: those with derivatives do, since 2026-08-03."""
        return instrument.kind is InstrumentKind.SHARE and instrument.symbol in self._with_derivatives

    def search(self, text: str, limit: int = 30) -> list[Instrument]:
        """Best matches first, as the trader types (D6)."""
        return [] if self._index is None else self._index.search(text, limit)

    def __len__(self) -> int:
        return len(self._by_id)

    def has(self, name: str) -> bool:
        """Whether there is a list of that name, with something in it."""
        return bool(self._by_list.get(name))

    async def load(self, store: InstrumentStore, name: str) -> None:
        """The stored list, unless it was read before."""
        if name not in self._by_list:
            await self.reload(store, name)

    async def reload(self, store: InstrumentStore, name: str) -> None:
        """The stored list anew. Whatever walks over all of it does so in a thread: 140,000 rows take 50 ms."""
        async with self._taking:
            rows = await store.all_active(name)
            others = [known for other, known in self._by_list.items() if other != name]
            mine, merged, named, index = await asyncio.to_thread(_arranged, others, rows)
            self._by_list[name] = mine
            self._by_id, self._with_derivatives, self._index = merged, named, index
            for hear in self.on_list:
                await hear(name, mine.values())


ById = dict[InstrumentId, Instrument]


def _arranged(others: Sequence[ById], rows: Sequence[Instrument]) -> tuple[ById, ById, frozenset[str], SearchIndex]:
    """(the list's own, all, names with derivatives, the index of all)."""
    mine = {row.id: row for row in rows}
    merged: ById = mine
    if any(others):
        merged = {}
        for known in (*others, mine):
            merged.update(known)
    named = frozenset(
        row.name
        for row in merged.values()
        if row.exchange in (Exchange.NFO, Exchange.BFO) and row.kind is InstrumentKind.FUTURE
    )
    return mine, merged, named, SearchIndex(merged.values())
