"""Column types and constraints that every table uses. Tables are STRICT: SQLite then keeps the types it was told."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Integer, LargeBinary, Text

Whole = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits: nanoseconds, paise, minor units, quantities."""
Words = Text()
Blob = LargeBinary()


def one_of(column: str, values: type[StrEnum] | Iterable[str], *, nullable: bool = False) -> CheckConstraint:
    """The column holds one of these words."""
    names = [str(getattr(v, "value", v)) for v in values]
    allowed = ", ".join(f"'{name}'" for name in names)
    rule = f"{column} IN ({allowed})"
    return CheckConstraint(f"{column} IS NULL OR {rule}" if nullable else rule, name=f"{column}_known")


def yes_no(column: str) -> CheckConstraint:
    """The column holds 0 or 1."""
    return CheckConstraint(f"{column} IN (0, 1)", name=f"{column}_yes_no")


NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, so that a later migration can drop it."""
