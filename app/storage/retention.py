"""Drops what has had its time (B6), in small slices: between two of them the book answers others. Trades stay."""

from __future__ import annotations

from app.domain.ids import Nanos
from app.storage.store import Store

SLICE = 500
"""Rows a transaction: a few milliseconds."""

_NOTIFICATIONS = "SELECT id FROM notifications WHERE at < ? ORDER BY at LIMIT ?"
_SYNC_LOG = "SELECT id FROM sync_log WHERE started_at < ? ORDER BY started_at LIMIT ?"
_SYNC_REFRESHES = "SELECT id FROM sync_refreshes WHERE at < ? ORDER BY at LIMIT ?"


class Retention:
    """Of the book. Awaited on the loop; done on the book's own thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def drop_notifications(self, before: Nanos) -> int:
        """How many went."""
        return await self._drop("notifications", _NOTIFICATIONS, before)

    async def drop_sync_logs(self, before: Nanos) -> int:
        """Runs of syncs and begun sessions; what they brought stays. How many went."""
        runs = await self._drop("sync_log", _SYNC_LOG, before)
        await self._drop("sync_refreshes", _SYNC_REFRESHES, before)
        return runs

    async def _drop(self, table: str, chosen: str, before: Nanos) -> int:
        statement = f"DELETE FROM {table} WHERE id IN ({chosen})"  # noqa: S608 -- our own names
        dropped = 0
        while True:
            gone = await self._store.run(lambda c: c.exec_driver_sql(statement, (before, SLICE)).rowcount)
            dropped += gone
            if gone < SLICE:
                return dropped
