"""What happened around each exit is kept."""

from alembic import op

FLIGHTS = """CREATE TABLE flights (
    stop TEXT NOT NULL,
    account TEXT NOT NULL,
    fired_at INTEGER NOT NULL,
    flight BLOB NOT NULL,
    CONSTRAINT pk_flights PRIMARY KEY (stop)
) STRICT"""
BY_TIME = "CREATE INDEX ix_flights_fired_at ON flights (fired_at)"


def upgrade() -> None:
    """Empty at first."""
    op.execute(FLIGHTS)
    op.execute(BY_TIME)
