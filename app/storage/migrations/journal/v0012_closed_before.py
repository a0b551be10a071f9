"""A stop with units of its own remembers what earlier days closed of them, and is not made smaller by it twice."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Whole


def upgrade() -> None:
    """None were taken off before."""
    op.add_column("stops", Column("closed_before", Whole, nullable=False, server_default="0"))
