"""A stop has a plan beside its level, and may be suspended."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Whole, Words
from app.storage.migrations.checks import reword


def upgrade() -> None:
    """Stops from before have none: they are fixed at their trigger."""
    op.add_column("stops", Column("plan", Words))
    for name in ("best_price", "exit_at", "seen_price", "seen_at"):
        op.add_column("stops", Column(name, Whole))
    reword(("stops",), "'armed', 'fired'", "'armed', 'suspended', 'fired'")
