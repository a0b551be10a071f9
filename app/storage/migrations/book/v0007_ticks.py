"""Recorded ticks."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint

from app.storage.columns import Blob, Whole, Words


def upgrade() -> None:
    """One new table."""
    op.create_table(
        "tick_blocks",
        Column("id", Whole, nullable=False),
        Column("instrument", Words, nullable=False),
        Column("first_at", Whole, nullable=False),
        Column("last_at", Whole, nullable=False),
        Column("recorded_at", Whole, nullable=False),
        Column("ticks", Whole, nullable=False),
        Column("size", Whole, nullable=False),
        Column("data", Blob, nullable=False),
        PrimaryKeyConstraint("id", name="pk_tick_blocks"),
        CheckConstraint("ticks > 0", name="ck_tick_blocks_ticks_there"),
        CheckConstraint("first_at <= last_at", name="ck_tick_blocks_in_order"),
        sqlite_strict=True,
    )
    op.create_index("ix_tick_blocks_instrument_first_at", "tick_blocks", ["instrument", "first_at"])
    op.create_index("ix_tick_blocks_recorded_at_size", "tick_blocks", ["recorded_at", "size"])
