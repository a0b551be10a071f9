"""Fills of a contract that lives on under another symbol are matched with those of the new one."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint

from app.storage.columns import Whole, Words


def upgrade() -> None:
    """One new table."""
    op.create_table(
        "fill_aliases",
        Column("account", Words, nullable=False),
        Column("old_id", Words, nullable=False),
        Column("renamed_at", Whole, nullable=False),
        Column("until", Whole, nullable=False),
        Column("new_id", Words, nullable=False),
        PrimaryKeyConstraint("account", "old_id", "renamed_at", name="pk_fill_aliases"),
        CheckConstraint("old_id <> new_id", name="ck_fill_aliases_another"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
