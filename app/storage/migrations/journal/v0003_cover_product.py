"""Stops and order intents may name the product CO."""

from app.storage.migrations.checks import reword


def upgrade() -> None:
    """One more word is allowed."""
    before = "product IN ('CNC', 'MIS', 'NRML', 'MTF')"
    reword(("stops", "intents"), before, "product IN ('CNC', 'MIS', 'NRML', 'MTF', 'CO')")
