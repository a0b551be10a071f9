"""Tables of the book."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, Table

from app.storage.columns import NAMING, Words

metadata = MetaData(naming_convention=NAMING)

settings = Table(
    "settings",
    metadata,
    Column("key", Words, primary_key=True),
    Column("value", Words, nullable=False),
    sqlite_strict=True,
)
