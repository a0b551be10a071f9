"""Every line of the audit trail is sealed to the one before it; those that are there get their seals now."""

import hashlib
import json

from alembic import op
from sqlalchemy import Column

from app.storage.columns import Words

NO_UPDATE = """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is never edited'); END"""
SEALED = """CREATE TRIGGER audit_sealed BEFORE INSERT ON audit WHEN length(NEW.chain) <> 64
    BEGIN SELECT RAISE(ABORT, 'a line of the audit trail has a seal'); END"""
LINES_AT_ONCE = 1000


def upgrade() -> None:
    """In the transaction of the whole upgrade: nobody sees the trail without its guard."""
    op.add_column("audit", Column("chain", Words, nullable=False, server_default=""))
    connection = op.get_bind()
    connection.exec_driver_sql("DROP TRIGGER audit_no_update")
    seal, number = "0" * 64, 0
    while True:
        rows = connection.exec_driver_sql(
            "SELECT id, at, account, subject, what, detail, stop FROM audit WHERE id > ? ORDER BY id LIMIT ?",
            (number, LINES_AT_ONCE),
        ).fetchall()
        for row in rows:
            text = json.dumps(list(row), ensure_ascii=False, separators=(",", ":"))
            seal, number = hashlib.sha256(bytes.fromhex(seal) + text.encode()).hexdigest(), row[0]
            connection.exec_driver_sql("UPDATE audit SET chain = ? WHERE id = ?", (seal, number))
        if not rows:
            break
    connection.exec_driver_sql(NO_UPDATE)
    connection.exec_driver_sql(SEALED)
