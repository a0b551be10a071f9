"""What was asked of the broker beyond a plain order: variety, legs, slices, disclosed part, minutes, auction."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Whole, Words


def upgrade() -> None:
    """Every order so far was a plain one."""
    for column in (
        Column("variety", Words, nullable=False, server_default="regular"),
        Column("iceberg_legs", Whole, nullable=False, server_default="0"),
        Column("autoslice", Whole, nullable=False, server_default="0"),
        Column("disclosed_quantity", Whole, nullable=False, server_default="0"),
        Column("valid_minutes", Whole, nullable=False, server_default="0"),
        Column("auction_number", Words, nullable=False, server_default=""),
    ):
        op.add_column("intents", column)
