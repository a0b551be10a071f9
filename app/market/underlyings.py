"""What a derivative is written on, and which future stands in for an index. Loop thread only."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import date

from app.domain.ids import InstrumentId, instrument_id
from app.domain.instrument import Exchange, Instrument, InstrumentKind

_CASH = {Exchange.NFO: Exchange.NSE, Exchange.BFO: Exchange.BSE}
"""Where the shares of stock derivatives trade."""
MATCHES = 40
"""Futures of one name that are looked through."""


class Underlyings:
    """By a table of indices, and by the instrument list for the rest."""

    def __init__(self, indices: dict[str, InstrumentId], search: Callable[[str, int], Sequence[Instrument]]) -> None:
        self._indices = indices
        self._names = {index: name for name, index in indices.items()}
        self._search = search

    @classmethod
    def parse(cls, text: str, search: Callable[[str, int], Sequence[Instrument]]) -> Underlyings:
        """Reads `name,index,since`. Raises ValueError naming the line."""
        indices = {}
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
            try:
                date.fromisoformat(row["since"])
                indices[row["name"]] = InstrumentId(row["index"])
            except (KeyError, ValueError, TypeError) as failure:
                raise ValueError(f"underlyings, line {number}: {failure}") from None
        return cls(indices, search)

    def listed(self, known: Callable[[InstrumentId], Instrument | None]) -> Underlyings:
        """The same of what one account's broker lists, as that lists it: the number of another's may be another
        contract's there, and a stop would watch a foreign price."""

        def search(text: str, limit: int) -> list[Instrument]:
            return [own for one in self._search(text, limit) if (own := known(one.id)) is not None]

        return Underlyings(self._indices, search)

    def of(self, instrument: Instrument) -> InstrumentId | None:
        """An index or share; of commodities and currencies, for an option, the first future that ends with it or after.

        None for what is not a derivative, and where the list does not have it.
        """
        if instrument.expiry is None:
            return None
        index = self._indices.get(instrument.name)
        if index is not None:
            return index
        cash = _CASH.get(instrument.exchange)
        if cash is not None:
            return instrument_id(cash, instrument.name)
        if not instrument.is_option:
            return None
        future = self._future(instrument.name, instrument.expiry, instrument.exchange)
        return None if future is None else future.id

    def stand_in(self, index: Instrument, today: date) -> Instrument | None:
        """The nearest future of an index; None where the list has none."""
        name = self._names.get(index.id)
        derivatives = Exchange.BFO if index.exchange is Exchange.BSE else Exchange.NFO
        return None if name is None else self._future(name, today, derivatives)

    def _future(self, name: str, since: date, exchange: Exchange) -> Instrument | None:
        found = [
            one
            for one in self._search(f"{name} FUT", MATCHES)
            if one.kind is InstrumentKind.FUTURE
            and one.name == name
            and one.exchange is exchange
            and one.expiry is not None
            and one.expiry >= since
        ]
        return min(found, key=lambda one: one.expiry or since, default=None)
