"""An account may be revoked (its session ended before its time) or paused by the trader."""

from app.storage.migrations.checks import reword


def upgrade() -> None:
    """Two more words are allowed."""
    before = "state IN ('logged out', 'active', 'expired', 'error')"
    reword(("accounts",), before, "state IN ('logged out', 'active', 'expired', 'revoked', 'error', 'paused')")
