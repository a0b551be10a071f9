"""What the trader set: settings by key, and watchlists."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from app.domain.ids import InstrumentId
from app.storage.schema_book import settings, watchlist_items, watchlists
from app.storage.store import Store


class Settings:
    """Values by key, as JSON text. What they mean is their owner's business."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, key: str) -> str | None:
        """The value; None when it was never set."""
        query = select(settings.c.value).where(settings.c.key == key)
        return await self._store.run(lambda c: c.execute(query).scalar_one_or_none())

    async def put(self, key: str, value: str) -> None:
        """Sets a value."""
        change = insert(settings).values(key=key, value=value)
        change = change.on_conflict_do_update(index_elements=["key"], set_={"value": value})
        await self._store.change(lambda c: c.execute(change))


class Watchlists:
    """Named lists of instruments, in the user's order."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> list[tuple[str, tuple[InstrumentId, ...]]]:
        """All lists in the order in which they were made; empty ones too."""
        query = (
            select(watchlists.c.name, watchlist_items.c.instrument)
            .outerjoin(watchlist_items, watchlist_items.c.watchlist == watchlists.c.name)
            .order_by(watchlists.c.place, watchlist_items.c.place)
        )
        found: dict[str, list[InstrumentId]] = {}
        for name, instrument in await self._store.run(lambda c: c.execute(query).fetchall()):
            items = found.setdefault(name, [])
            if instrument is not None:
                items.append(InstrumentId(instrument))
        return [(name, tuple(items)) for name, items in found.items()]

    async def save(self, name: str, instruments: Sequence[InstrumentId]) -> None:
        """Makes a list, or replaces what is in it. An instrument stands in it once, where it was named first."""
        items = [
            {"watchlist": name, "place": place, "instrument": instrument}
            for place, instrument in enumerate(dict.fromkeys(instruments))
        ]

        def work(connection: Connection) -> None:
            last = connection.execute(select(func.coalesce(func.max(watchlists.c.place), 0))).scalar_one()
            connection.execute(insert(watchlists).values(name=name, place=last + 1).on_conflict_do_nothing())
            connection.execute(delete(watchlist_items).where(watchlist_items.c.watchlist == name))
            if items:
                connection.execute(insert(watchlist_items), items)

        await self._store.run(work)

    async def delete(self, name: str) -> None:
        """Removes a list."""
        await self._store.change(lambda c: c.execute(delete(watchlists).where(watchlists.c.name == name)))
