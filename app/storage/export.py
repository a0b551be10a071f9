"""Rows of a resting file as CSV or JSON, for other programs (K2). Runs in a helper process, without SQLAlchemy.

Numbers are exact: whole minor units become decimal text by the row's own scale, decimal text stays as it is. Moments
are written in Indian time. A spreadsheet takes a cell that begins with = + - @ for a formula: in CSV such a text gets
an apostrophe in front, while a number stays a number.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec
from sqlcipher3 import dbapi2

from app.domain.errors import Denied
from app.domain.exports import ExportFormat, ExportKind
from app.storage.export_tables import TABLES, Cell, ExportTable
from app.storage.snapshot import Source, in_words, opened

_ROWS = 1_000
_SECOND = 1_000_000_000
_IST = timezone(timedelta(hours=5, minutes=30))
_EPOCH = datetime(1970, 1, 1, tzinfo=_IST) + timedelta(hours=5, minutes=30)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet may run (OWASP, CSV injection)."""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is to be written, and where."""

    source: Source
    kind: ExportKind
    target: Path
    """A new file."""
    form: ExportFormat
    account: str | None = None
    since: str | None = None
    """First day, ISO, Indian time; None: from the beginning."""
    until: str | None = None
    """Last day, that one too."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """By account: the name of its instrument list, which knows the scale of a contract's prices."""
    scales: Mapping[str, int] = field(default_factory=dict)
    """By exchange, for contracts that the list does not know."""


def write_rows(plan: ExportPlan) -> int:
    """How many rows were written. The file appears whole or not at all, readable by its owner alone.

    Raises Denied when it is there already, DiskFull, StorageError, Damaged.
    """
    table = TABLES[plan.kind]
    part = plan.target.with_name(f".{plan.target.name}.part")
    try:
        with in_words(plan.target):
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as out, opened(plan.source) as connection:
                written = _FORMS[plan.form](table, _rows(connection, table, plan), out)
                out.flush()
                os.fsync(out.fileno())
            if plan.target.exists():
                raise Denied(f"{plan.target} exists already.", "Choose another name.")
            part.replace(plan.target)
    finally:
        part.unlink(missing_ok=True)
    return written


def _rows(connection: dbapi2.Connection, table: ExportTable, plan: ExportPlan) -> Iterator[list[Any]]:
    """In order of time; every cell in its own kind."""
    if table.needs_lists:
        connection.execute("CREATE TEMP TABLE lists (account TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID")
        connection.executemany("INSERT INTO lists VALUES (?, ?)", list(plan.lists.items()))
        connection.execute("CREATE TEMP TABLE scales (exchange TEXT PRIMARY KEY, scale INTEGER) WITHOUT ROWID")
        connection.executemany("INSERT INTO scales VALUES (?, ?)", list(plan.scales.items()))
    query, values = table.query(plan.account, plan.since, plan.until)
    cursor = connection.execute(query, values)
    kinds = [column.kind for column in table.columns]
    while rows := cursor.fetchmany(_ROWS):
        for scale, *cells in rows:
            yield [_made(cell, kind, scale) for cell, kind in zip(cells, kinds, strict=True)]


def _made(cell: Any, kind: Cell, scale: int | None) -> Any:
    """Text, int, Decimal or None."""
    if cell is None or kind is Cell.TEXT or kind is Cell.WHOLE:
        return cell
    if kind is Cell.MOMENT:
        return _moment(cell)
    if kind is Cell.NUMBER:
        return Decimal(cell)
    return _scaled(cell, 100 if kind is Cell.PAISE else scale or 100)


def _scaled(units: int, scale: int) -> Decimal:
    """Exact, with as many digits as the scale has: `148005` at 100 is `1480.05`."""
    return Decimal(units).scaleb(-(len(str(scale)) - 1))


def _moment(at: int) -> str:
    """`2026-11-16 09:15:00`, with a fraction where there is one, down to the nanosecond."""
    seconds, rest = divmod(at, _SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0") if rest else text


def _write_csv(table: ExportTable, rows: Iterator[list[Any]], out: IO[str]) -> int:
    writer = csv.writer(out)
    writer.writerow([column.name for column in table.columns])
    count = 0
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        count += 1
    return count


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    # Never 1E+3, which a spreadsheet rounds.
    return format(value, "f") if isinstance(value, Decimal) else value


def _write_json(table: ExportTable, rows: Iterator[list[Any]], out: IO[str]) -> int:
    """One array of objects, a line each; numbers with every digit that they have."""
    encode = msgspec.json.Encoder(decimal_format="number").encode
    names = [column.name for column in table.columns]
    count = 0
    out.write("[")
    for row in rows:
        out.write(",\n" if count else "\n")
        out.write(encode(dict(zip(names, row, strict=True))).decode())
        count += 1
    out.write("\n]\n")
    return count


_FORMS = {ExportFormat.CSV: _write_csv, ExportFormat.JSON: _write_json}
