"""Figures by day (K1). They outlive the logs that they were worked out from."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Table

from app.storage.columns import Whole, Words
from app.storage.schema_base import metadata

day_metrics = Table(
    "day_metrics",
    metadata,
    Column("day", Words, primary_key=True),
    Column("subject", Words, primary_key=True),
    Column("metric", Words, primary_key=True),
    Column("value", Whole, nullable=False),
    CheckConstraint("length(day) = 10", name="day_iso"),
    CheckConstraint("value >= 0", name="value_not_negative"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
