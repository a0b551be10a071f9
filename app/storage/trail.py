"""The audit trail: lines that are only ever added, each sealed to the one before it by a hash, so that a line that was
changed, removed or put elsewhere is found and named (F10). Also by a hand that holds the key and drops the triggers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from app.domain.events import AuditEntry
from app.domain.ids import Nanos
from app.storage.schema_journal import audit
from app.storage.store import Store

BEFORE_THE_FIRST = "0" * 64
"""What the first line is sealed to."""
LINES_AT_ONCE = 200
"""A look at the whole trail lets a stop's write through after so many: two milliseconds."""
TOLD_BREAKS = 20
"""Places that are named one by one. A forger who changes more has been found all the same."""

_LAST = select(audit.c.id, audit.c.chain).order_by(audit.c.id.desc()).limit(1)
_HIGHEST = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0)"
"""SQLite's own count of lines that were ever added: what was cut off at the end is missing from it."""


@dataclass(frozen=True, slots=True)
class TrailBreak:
    """A place where the trail is not what was written."""

    line: int
    """The first line that does not fit."""
    at: Nanos | None
    """When that line says it was written; None: it is not there."""
    words: str


@dataclass(frozen=True, slots=True)
class TrailCheck:
    """What a look at every line found."""

    lines: int
    head: str
    """The seal of the last line: 64 hex digits. Written down elsewhere, it also shows a trail that was made anew."""
    breaks: tuple[TrailBreak, ...]
    more_breaks: int = 0
    """Beyond those that are named."""


def append(connection: Connection, *entries: AuditEntry) -> None:
    """Adds lines, inside the transaction of what they tell of."""
    last = connection.execute(_LAST).one_or_none()
    seal = BEFORE_THE_FIRST if last is None else last.chain
    number = connection.exec_driver_sql(_HIGHEST).scalar_one()
    rows = []
    for entry in entries:
        number += 1
        row = _row(entry)
        seal = sealed(seal, number, row)
        rows.append(row | {"id": number, "chain": seal})
    if rows:
        connection.execute(insert(audit), rows)


def sealed(before: str, number: int, row: dict[str, Any]) -> str:
    """A line's seal: SHA-256 over the seal before it and everything that the line says."""
    says = [number, row["at"], row["account"], row["subject"], row["what"], row["detail"], row["stop"]]
    text = json.dumps(says, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()


def newest(connection: Connection, limit: int) -> list[AuditEntry]:
    """The newest lines, newest first."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    return [_entry(row) for row in connection.execute(query)]


async def check(store: Store) -> TrailCheck:
    """Reads every line, a few at a time, and follows the seals. Raises StorageError."""
    walk = _Walk()
    while await store.run(walk.step):
        pass
    return walk.found()


class _Walk:
    """How far a look at the trail has come."""

    def __init__(self) -> None:
        self._seal = BEFORE_THE_FIRST
        self._number = 0
        self._lines = 0
        self._breaks: list[TrailBreak] = []
        self._more = 0

    def step(self, connection: Connection) -> bool:
        """The next lines. False after the last."""
        query = select(audit).where(audit.c.id > self._number).order_by(audit.c.id).limit(LINES_AT_ONCE)
        rows = connection.execute(query).all()
        for row in rows:
            self._look(row)
        if rows:
            return True
        self._missing_until(connection.exec_driver_sql(_HIGHEST).scalar_one() + 1)
        return False

    def found(self) -> TrailCheck:
        """After the last step."""
        return TrailCheck(self._lines, self._seal, tuple(self._breaks), self._more)

    def _look(self, row: Row[Any]) -> None:
        missing = self._missing_until(row.id)
        fits = _is_seal(self._seal) and row.chain == sealed(self._seal, row.id, row._asdict())
        # After a gap the next line cannot fit, whoever wrote it: the gap has been named.
        if not fits and not missing:
            self._tell(row.id, row.at, f"line {row.id} ({row.subject}: {row.what}) was changed or moved")
        self._seal, self._number = row.chain, row.id
        self._lines += 1

    def _missing_until(self, number: int) -> bool:
        first, last = self._number + 1, number - 1
        if last < first:
            return False
        what = f"line {first} is" if first == last else f"lines {first} to {last} are"
        self._tell(first, None, f"{what} missing")
        return True

    def _tell(self, line: int, at: Nanos | None, words: str) -> None:
        if len(self._breaks) < TOLD_BREAKS:
            self._breaks.append(TrailBreak(line, at, words))
        else:
            self._more += 1


def _is_seal(text: str) -> bool:
    return len(text) == len(BEFORE_THE_FIRST) and all(letter in "0123456789abcdef" for letter in text)


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "account": entry.account,
        "subject": entry.subject,
        "what": entry.what,
        "detail": entry.detail,
        "stop": entry.stop,
    }


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(row.at, row.account, row.subject, row.what, row.detail, row.stop)
