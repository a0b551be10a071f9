"""The first tables of the journal."""

from alembic import op

from app.storage import schema_journal


def upgrade() -> None:
    """Creates everything."""
    schema_journal.metadata.create_all(op.get_bind())
    for trigger in schema_journal.AUDIT_TRIGGERS:
        op.execute(trigger)
