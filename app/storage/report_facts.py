"""What a report tells of a store, and which of its ids a report must not show. On the store's own thread."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

NEWEST = 5_000
"""Ids of so many rows of each table are looked for; logs are not older."""
_IDS = {
    "orders": ("broker_order_id", "exchange_order_id", "order_id", "tag", "parent"),
    "intents": ("broker_order_id", "order_id", "tag", "stop"),
    "stops": ("id", "exit_order"),
    "strategies": ("id",),
    "fills": ("trade_id",),
}


def stored(connection: Connection) -> dict[str, Any]:
    """Schema version, SQLCipher's, pages, and how many rows each table has."""
    read = connection.exec_driver_sql
    tables = [str(row[0]) for row in read(_TABLES)]
    return {
        "schema": read("SELECT version_num FROM alembic_version").scalar(),
        "cipher": read("PRAGMA cipher_version").scalar(),
        "pages": read("PRAGMA page_count").scalar(),
        "rows": {name: read(f'SELECT count(*) FROM "{name}"').scalar() for name in tables},  # noqa: S608 -- our names
    }


def known_ids(connection: Connection) -> set[str]:
    """Of orders, stops and the rest. Short ones are left out: they are numbers like any other."""
    read = connection.exec_driver_sql
    tables = {str(row[0]) for row in read(_TABLES)}
    found: set[str] = set()
    for table, columns in _IDS.items():
        if table not in tables:
            continue
        there = {str(row[1]) for row in read(f'PRAGMA table_info("{table}")')}
        for column in there.intersection(columns):
            query = (
                f'SELECT "{column}" FROM "{table}" WHERE length("{column}") > 5 '  # noqa: S608 -- our own names
                f"ORDER BY 1 DESC LIMIT {NEWEST}"
            )
            found.update(str(row[0]) for row in read(query))
    return found


_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
)
