"""When the window did not watch, and what the audit trail says of that time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Row, insert, select, update

from app.domain.events import AuditEntry
from app.domain.guard import Absence, AwayKind
from app.domain.ids import AccountId, Nanos
from app.storage.schema_journal import absences, audit
from app.storage.store import Store

_NEWEST = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0)"


class Absences:
    """Of the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, absence: Absence) -> Absence:
        """Remembers one; its id is given here."""
        row = {name: value for name, value in _values(absence).items() if name != "id"}
        query = insert(absences).values(row).returning(absences.c.id)
        number = await self._store.run(lambda c: c.execute(query).scalar_one())
        return replace(absence, id=number)

    async def settle(self, absence: int, line: int) -> None:
        """What recovery did is in the trail up to this line."""
        change = update(absences).where(absences.c.id == absence).values(audit_settled=line)
        await self._store.change(lambda c: c.execute(change))

    async def recent(self, limit: int) -> list[Absence]:
        """Newest first."""
        query = select(absences).order_by(absences.c.id.desc()).limit(limit)
        return await self._store.run(lambda c: [_absence(row) for row in c.execute(query)])

    async def newest_line(self) -> int:
        """The number of the audit trail's last line; 0 before the first."""
        return await self._store.run(lambda c: int(c.exec_driver_sql(_NEWEST).scalar_one()))

    async def line_before(self, account: AccountId, at: Nanos) -> int:
        """The number of the account's last line from before a moment of its clock; 0 where there is none."""
        query = select(audit.c.id).where(audit.c.account == account, audit.c.at < at).order_by(audit.c.id.desc())
        return await self._store.run(lambda c: c.execute(query.limit(1)).scalar_one_or_none() or 0)

    async def lines(self, after: int, upto: int) -> list[tuple[int, AuditEntry]]:
        """The audit trail between two lines, oldest first, each with its number."""
        query = select(audit).where(audit.c.id > after, audit.c.id <= upto).order_by(audit.c.id)
        return await self._store.run(
            lambda c: [
                (row.id, AuditEntry(row.at, row.account, row.subject, row.what, row.detail, row.stop))
                for row in c.execute(query)
            ]
        )


def _values(absence: Absence) -> dict[str, Any]:
    return {
        "id": absence.id,
        "kind": absence.kind.value,
        "since": absence.since,
        "until": absence.until,
        "account": absence.account,
        "guarded_since": absence.guarded_since,
        "audit_since": absence.audit_since,
        "audit_until": absence.audit_until,
        "audit_settled": absence.audit_settled,
    }


def _absence(row: Row[Any]) -> Absence:
    return Absence(
        id=row.id,
        kind=AwayKind(row.kind),
        since=row.since,
        until=row.until,
        account=None if row.account is None else AccountId(row.account),
        guarded_since=row.guarded_since,
        audit_since=row.audit_since,
        audit_until=row.audit_until,
        audit_settled=row.audit_settled,
    )
