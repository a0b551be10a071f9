"""Orders keep their parent, marks and iceberg leg; holdings what is sold, authorised, pledged and funded."""

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Whole, Words


def upgrade() -> None:
    """Zeros and nothings until the broker is read again."""
    for column in (
        Column("parent", Words),
        Column("tags", Words, nullable=False, server_default="[]"),
        Column("disclosed_quantity", Whole, nullable=False, server_default="0"),
        Column("cancelled_quantity", Whole, nullable=False, server_default="0"),
        Column("valid_minutes", Whole, nullable=False, server_default="0"),
        Column("auction_number", Words, nullable=False, server_default=""),
        Column("iceberg", Words),
    ):
        op.add_column("orders", column)
    for column in (
        Column("product", Words, nullable=False, server_default="CNC"),
        Column("used_quantity", Whole, nullable=False, server_default="0"),
        Column("realised_quantity", Whole, nullable=False, server_default="0"),
        Column("authorised_quantity", Whole, nullable=False, server_default="0"),
        Column("authorised_at", Whole),
        Column("opening_quantity", Whole, nullable=False, server_default="0"),
        Column("short_quantity", Whole, nullable=False, server_default="0"),
        Column("collateral_quantity", Whole, nullable=False, server_default="0"),
        Column("collateral_type", Words, nullable=False, server_default=""),
        Column("discrepancy", Whole, nullable=False, server_default="0"),
        Column("funded", Words),
    ):
        op.add_column("holdings", column)
