"""The log of instrument imports, and contracts that changed their symbol while they lived."""

from alembic import op
from sqlalchemy import Column, PrimaryKeyConstraint

from app.storage.columns import Whole, Words


def upgrade() -> None:
    """Two new tables."""
    op.create_table(
        "instrument_imports",
        Column("id", Whole, nullable=False),
        Column("broker", Words, nullable=False),
        Column("started_at", Whole, nullable=False),
        Column("report", Words, nullable=False),
        PrimaryKeyConstraint("id", name="pk_instrument_imports"),
        sqlite_strict=True,
    )
    op.create_index("ix_instrument_imports_broker_started_at", "instrument_imports", ["broker", "started_at"])
    op.create_table(
        "instrument_renames",
        Column("broker", Words, nullable=False),
        Column("old_id", Words, nullable=False),
        Column("at", Whole, nullable=False),
        Column("new_id", Words, nullable=False),
        Column("token", Whole, nullable=False),
        PrimaryKeyConstraint("broker", "old_id", "at", name="pk_instrument_renames"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
