"""How often an order was changed from here: the broker's allowance goes on over a restart."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Whole


def upgrade() -> None:
    """What was changed before counts as never changed; the orders of a day end with it."""
    op.add_column("orders", Column("changes", Whole, nullable=False, server_default="0"))
