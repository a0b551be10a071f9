"""Stretches in which the window did not watch are remembered."""

from alembic import op

ABSENCES = """CREATE TABLE absences (
    id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    account TEXT,
    guarded_since INTEGER,
    audit_since INTEGER NOT NULL,
    audit_until INTEGER NOT NULL,
    audit_settled INTEGER NOT NULL,
    CONSTRAINT pk_absences PRIMARY KEY (id),
    CONSTRAINT ck_absences_kind_known CHECK (kind IN ('crash', 'closed', 'sleep', 'feed'))
) STRICT"""


def upgrade() -> None:
    """Empty at first."""
    op.execute(ABSENCES)
