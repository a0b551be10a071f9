"""Changes of a table's CHECK constraints, as SQLite's manual says for changes that leave the rows alone (ALTER TABLE,
"making other kinds of table schema changes": edit the stored definition, then raise the schema's version).
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op


def reword(tables: Sequence[str], before: str, after: str) -> None:
    """Replaces a piece of the definitions of tables. Raises RuntimeError where it does not stand."""
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    try:
        for table in tables:
            changed = connection.exec_driver_sql(
                "UPDATE sqlite_schema SET sql = replace(sql, ?, ?)"
                " WHERE type = 'table' AND name = ? AND instr(sql, ?) > 0",
                (before, after, table, before),
            )
            if changed.rowcount != 1:
                raise RuntimeError(f"the definition of {table} is not what this version was written for")
        connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")
