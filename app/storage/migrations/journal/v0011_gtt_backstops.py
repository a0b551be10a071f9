"""Triggers (GTT) that rest at the broker behind stops of delivery."""

from alembic import op

TABLE = """CREATE TABLE gtt_backstops (
    tag TEXT NOT NULL,
    account TEXT NOT NULL,
    stop TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT pk_gtt_backstops PRIMARY KEY (tag),
    CONSTRAINT ck_gtt_backstops_state_known CHECK (state IN ('asked', 'resting', 'triggered', 'gone'))
) STRICT"""
BY_ACCOUNT = "CREATE INDEX ix_gtt_backstops_account ON gtt_backstops (account)"


def upgrade() -> None:
    """Empty at first."""
    op.execute(TABLE)
    op.execute(BY_ACCOUNT)
