"""Orders, fills, positions and trades may be of a cover order (product CO)."""

from app.storage.migrations.checks import reword

TABLES = ("fills", "orders", "positions", "strategies", "trades")


def upgrade() -> None:
    """One more word is allowed."""
    reword(TABLES, "product IN ('CNC', 'MIS', 'NRML', 'MTF')", "product IN ('CNC', 'MIS', 'NRML', 'MTF', 'CO')")
