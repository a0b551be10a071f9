"""Tables of the book about the instrument lists themselves: imports, and contracts that changed their symbol."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from app.storage.columns import Whole, Words
from app.storage.schema_base import metadata

instrument_imports = Table(
    "instrument_imports",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("broker", Words, nullable=False),
    Column("started_at", Whole, nullable=False),
    Column("report", Words, nullable=False),
    Index(None, "broker", "started_at"),
    sqlite_strict=True,
)
"""The import log. The report is JSON, read by nobody but the program itself."""

instrument_renames = Table(
    "instrument_renames",
    metadata,
    Column("broker", Words, primary_key=True),
    Column("old_id", Words, primary_key=True),
    Column("at", Whole, primary_key=True),
    Column("new_id", Words, nullable=False),
    Column("token", Whole, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""A live contract under another symbol: what was traded under the old one is the new one's past."""
