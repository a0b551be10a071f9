"""Instruments keep the broker's own key: Upstox names shares by ISIN and indices by their display name."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Words


def upgrade() -> None:
    """A key that is empty until the next list is taken over."""
    op.add_column("instruments", Column("key", Words, nullable=False, server_default=""))
