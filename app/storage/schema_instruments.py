"""Tables of the book about the instrument lists themselves: imports, and contracts that changed their symbol."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Table

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

fill_aliases = Table(
    "fill_aliases",
    metadata,
    Column("account", Words, primary_key=True),
    Column("old_id", Words, primary_key=True),
    Column("renamed_at", Whole, primary_key=True),
    Column("until", Whole, nullable=False),
    Column("new_id", Words, nullable=False),
    CheckConstraint("old_id <> new_id", name="another"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""An account's fills under `old_id` before `until` (the account's clock) are matched as those of `new_id`, the newest
name. The fills themselves stay as the broker told them. `renamed_at` is the import's that found the new name."""
