"""What of a book a sync that finds nothing new leaves as it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from app.storage.store import Store

ROWS = (
    "SELECT id, row_version, created_at, updated_at, withdrawn_at, deleted_at FROM fills ORDER BY id",
    "SELECT * FROM trades ORDER BY id",  # written anew they would have other numbers
    "SELECT * FROM stale_groups",
)


async def written_rows(store: Store) -> list[list[tuple[Any, ...]]]:
    """The versions of all fills, all trades, and the groups whose trades lag behind."""

    def read(connection: Connection) -> list[list[tuple[Any, ...]]]:
        return [[tuple(row) for row in connection.exec_driver_sql(query)] for query in ROWS]

    return await store.run(read)
