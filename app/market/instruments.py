"""The instrument master: what can be traded, in memory, by id; with search. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from app.brokers.base import BrokerSession
from app.domain.calendar import ist_date
from app.domain.errors import AppError
from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind
from app.market.search import SearchIndex

log = logging.getLogger(__name__)

ACTIVE_SETTING = "instruments_day"


class InstrumentStore(Protocol):
    """What the master needs of the book's instruments."""

    async def replace(self, broker: str, exchange: str | None, rows: Sequence[Instrument]) -> object:
        """Takes over a broker's whole list."""
        ...

    async def all_active(self, broker: str) -> list[Instrument]:
        """The stored list."""
        ...


class DayStore(Protocol):
    """Where the day of the last import is kept."""

    async def get(self, key: str) -> str | None:
        """A setting."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Sets it."""
        ...


class Stores(Protocol):
    """The part of the book that the master uses."""

    @property
    def instruments(self) -> InstrumentStore:
        """The stored lists."""
        ...

    @property
    def settings(self) -> DayStore:
        """Small values."""
        ...


class InstrumentMaster:
    """One list for all brokers: an instrument is the same wherever it is traded."""

    def __init__(self) -> None:
        self._by_id: dict[InstrumentId, Instrument] = {}
        self._by_broker: dict[str, dict[InstrumentId, Instrument]] = {}
        self._with_derivatives: frozenset[str] = frozenset()
        self._index: SearchIndex | None = None
        self._refreshing = asyncio.Lock()

    def get(self, instrument: InstrumentId) -> Instrument | None:
        """An active instrument by id."""
        return self._by_id.get(instrument)

    def ends_in_auction(self, instrument: Instrument) -> bool:
        """Whether a share ends its day in the closing auction: those with derivatives do, since 2026-08-03."""
        return instrument.kind is InstrumentKind.SHARE and instrument.symbol in self._with_derivatives

    def search(self, text: str, limit: int = 30) -> list[Instrument]:
        """Best matches first, as the trader types (D6)."""
        return [] if self._index is None else self._index.search(text, limit)

    def __len__(self) -> int:
        return len(self._by_id)

    async def load(self, book: Stores, broker: str) -> None:
        """The stored list of a broker, as far as there is one."""
        if broker not in self._by_broker:
            await self._take(broker, await book.instruments.all_active(broker))

    async def ensure(self, book: Stores, broker: BrokerSession, name: str) -> None:
        """Today's list: from the broker once a day; when that fails, the stored one serves (D4).

        Raises AppError only when there is no list at all.
        """
        async with self._refreshing:
            today = ist_date((await broker.exchange_clock()).now).isoformat()
            key = f"{ACTIVE_SETTING}:{name}"
            if self._by_broker.get(name) and await book.settings.get(key) == today:
                return
            try:
                rows = await broker.instruments()
            except AppError as failure:
                if not self._by_broker.get(name):
                    raise
                log.info("instruments of %s not refreshed: %s", name, failure.cause)
                return
            await book.instruments.replace(name, None, rows)
            await book.settings.put(key, today)
            await self._take(name, await book.instruments.all_active(name))

    async def _take(self, broker: str, rows: Sequence[Instrument]) -> None:
        """Swaps the list in. Whatever walks over all of it does so in a thread: 140,000 rows take 50 ms."""
        others = [known for name, known in self._by_broker.items() if name != broker]
        mine, merged, named, index = await asyncio.to_thread(_arranged, others, rows)
        self._by_broker[broker] = mine
        self._by_id, self._with_derivatives, self._index = merged, named, index


ById = dict[InstrumentId, Instrument]


def _arranged(others: Sequence[ById], rows: Sequence[Instrument]) -> tuple[ById, ById, frozenset[str], SearchIndex]:
    """(the broker's own, all, names with derivatives, the index of all)."""
    mine = {row.id: row for row in rows}
    merged: ById = {}
    for known in (*others, mine):
        merged.update(known)
    named = frozenset(
        row.name
        for row in merged.values()
        if row.exchange in (Exchange.NFO, Exchange.BFO) and row.kind is InstrumentKind.FUTURE
    )
    return mine, merged, named, SearchIndex(list(merged.values()))
