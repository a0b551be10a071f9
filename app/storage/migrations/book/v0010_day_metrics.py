"""Figures of each day are kept."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint

from app.storage.columns import Whole, Words


def upgrade() -> None:
    """Empty at first."""
    op.create_table(
        "day_metrics",
        Column("day", Words, nullable=False),
        Column("subject", Words, nullable=False),
        Column("metric", Words, nullable=False),
        Column("value", Whole, nullable=False),
        PrimaryKeyConstraint("day", "subject", "metric", name="pk_day_metrics"),
        CheckConstraint("length(day) = 10", name="ck_day_metrics_day_iso"),
        CheckConstraint("value >= 0", name="ck_day_metrics_value_not_negative"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
