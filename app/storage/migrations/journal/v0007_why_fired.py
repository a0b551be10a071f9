"""A stop that left knows why: its level, its target, a time, the portfolio stop, the trader."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Words


def upgrade() -> None:
    """Not known of those that ended before."""
    op.add_column("stops", Column("fired_by", Words))
