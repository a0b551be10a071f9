"""The first tables of the book."""

from alembic import op

from app.storage.schema_book import metadata


def upgrade() -> None:
    """Creates everything."""
    metadata.create_all(op.get_bind())
