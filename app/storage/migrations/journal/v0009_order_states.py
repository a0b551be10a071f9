"""An order intent says what it is for, how much of it is filled, and how often it was changed."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Whole, Words


def upgrade() -> None:
    """Those of stops are exits; of the others each was sent by hand."""
    op.add_column("intents", Column("purpose", Words, nullable=False, server_default="manual"))
    op.add_column("intents", Column("filled", Whole, nullable=False, server_default="0"))
    op.add_column("intents", Column("changes", Whole, nullable=False, server_default="0"))
    op.execute("UPDATE intents SET purpose = 'exit' WHERE stop IS NOT NULL")
