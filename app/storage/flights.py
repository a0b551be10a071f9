"""What happened around each exit, in the journal."""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from app.domain.errors import Damaged
from app.domain.flight import Flight
from app.domain.ids import AccountId, Nanos, StopId
from app.storage.schema_journal import flights
from app.storage.store import Store

SLICE = 200
"""Recordings that one write drops."""
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Flight).decode


class Flights:
    """Of the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, flight: Flight) -> None:
        """As it is known now; the row before of the same stop is replaced."""
        row = {
            "stop": flight.stop, "account": flight.account, "fired_at": flight.fired_at, "flight": _ENCODE(flight),
        }  # fmt: skip
        query = upsert(flights).values(row).on_conflict_do_update(index_elements=["stop"], set_=row)
        await self._store.change(lambda c: c.execute(query))

    async def recent(self, limit: int) -> list[Flight]:
        """The newest first."""
        query = select(flights.c.flight).order_by(flights.c.fired_at.desc(), flights.c.stop).limit(limit)
        return await self._store.run(lambda c: [_flight(blob) for blob in c.execute(query).scalars()])

    async def between(self, account: AccountId, since: Nanos, until: Nanos) -> list[Flight]:
        """Of one account, fired between two moments, the oldest first."""
        query = (
            select(flights.c.flight)
            .where(flights.c.fired_at >= since, flights.c.fired_at < until, flights.c.account == account)
            .order_by(flights.c.fired_at, flights.c.stop)
        )
        return await self._store.run(lambda c: [_flight(blob) for blob in c.execute(query).scalars()])

    async def drop_before(self, at: Nanos) -> int:
        """Recordings of exits that are older; a slice at a time, for the journal has others to serve. How many went."""
        dropped = 0
        chosen = select(flights.c.stop).where(flights.c.fired_at < at).limit(SLICE)
        query = delete(flights).where(flights.c.stop.in_(chosen))
        while True:
            gone: int = await self._store.run(lambda c: c.execute(query).rowcount)
            dropped += gone
            if gone < SLICE:
                return dropped

    async def one(self, stop: StopId) -> Flight | None:
        """Of one stop; None where nothing was recorded."""
        query = select(flights.c.flight).where(flights.c.stop == stop)
        found = await self._store.run(lambda c: c.execute(query).scalar_one_or_none())
        return None if found is None else _flight(found)


def _flight(blob: bytes) -> Flight:
    try:
        return _DECODE(blob)
    except msgspec.DecodeError as bad:
        raise Damaged("A recorded exit cannot be read.", "The others can.", detail=str(bad)) from bad
