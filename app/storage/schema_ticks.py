"""Recorded ticks: a minute of one instrument in a row, packed and compressed (B6)."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Table

from app.storage.columns import Blob, Whole, Words
from app.storage.schema_base import metadata

tick_blocks = Table(
    "tick_blocks",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("instrument", Words, nullable=False),
    Column("first_at", Whole, nullable=False),
    Column("last_at", Whole, nullable=False),
    Column("recorded_at", Whole, nullable=False),
    Column("ticks", Whole, nullable=False),
    Column("size", Whole, nullable=False),
    Column("data", Blob, nullable=False),
    CheckConstraint("ticks > 0", name="ticks_there"),
    CheckConstraint("first_at <= last_at", name="in_order"),
    Index(None, "instrument", "first_at"),
    Index(None, "recorded_at", "size"),
    sqlite_strict=True,
)
"""`first_at` and `last_at` are the feed's time, which a replayed day sets; `recorded_at` is the machine's, and decides
when a block has had its time."""
