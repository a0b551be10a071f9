"""The log of sync runs: one row for an account in a run, its newest word (C7)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, case, func, select
from sqlalchemy.dialects.sqlite import insert

from app.domain.events import SyncProgressed, SyncStep
from app.domain.ids import AccountId, Nanos
from app.domain.sync import ErrorClass, SyncFigures
from app.storage.schema_sync import sync_log, sync_refreshes
from app.storage.store import Store


class SyncLog:
    """The sync log of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append(self, *rows: SyncProgressed) -> None:
        """Adds rows; a later word about the same run and account takes the place of the one before.

        So a run that was cut short by a crash is still there, as far as it came.
        """
        changes = []
        for progress in rows:
            row = _row(progress)
            changed = {name: value for name, value in row.items() if name not in ("run", "account")}
            keyed = insert(sync_log).values(row)
            changes.append(keyed.on_conflict_do_update(index_elements=["run", "account"], set_=changed))
        await self._store.change(lambda c: [c.execute(change) for change in changes])

    async def recent(self, limit: int = 200) -> list[SyncProgressed]:
        """The newest runs, newest first."""
        query = select(sync_log).order_by(sync_log.c.started_at.desc(), sync_log.c.id.desc()).limit(limit)
        return await self._store.run(lambda c: [_progress(row) for row in c.execute(query)])

    async def figures(self, since: Nanos, until: Nanos | None = None, account: AccountId | None = None) -> SyncFigures:
        """What the runs that started between two moments came to, skipped and cancelled ones aside (C12)."""
        ran = sync_log.c.step.in_(("completed", "failed"))
        failed = sync_log.c.step == SyncStep.FAILED.value
        query = select(
            func.count().label("runs"),
            func.coalesce(func.sum(case((failed, 1), else_=0)), 0).label("failed"),
            func.coalesce(func.sum(sync_log.c.created + sync_log.c.updated), 0).label("fills"),
            func.coalesce(func.sum(sync_log.c.retries), 0).label("retries"),
            func.coalesce(func.sum(sync_log.c.rate_limited), 0).label("rate_limited"),
            func.coalesce(func.sum(sync_log.c.took_ms), 0).label("took_ms"),
            func.coalesce(func.max(sync_log.c.took_ms), 0).label("slowest_ms"),
        ).where(ran, sync_log.c.started_at >= since)
        renewed = select(
            func.coalesce(func.sum(sync_refreshes.c.good), 0).label("refreshes"),
            func.coalesce(func.sum(1 - sync_refreshes.c.good), 0).label("refreshes_failed"),
        ).where(sync_refreshes.c.at >= since)
        if until is not None:
            query = query.where(sync_log.c.started_at < until)
            renewed = renewed.where(sync_refreshes.c.at < until)
        if account is not None:
            query = query.where(sync_log.c.account == account)
            renewed = renewed.where(sync_refreshes.c.account == account)

        def work(connection: Connection) -> SyncFigures:
            runs, sessions = connection.execute(query).one(), connection.execute(renewed).one()
            return SyncFigures(**runs._asdict(), **sessions._asdict())

        return await self._store.run(work)

    async def refreshed(self, account: AccountId, at: Nanos, *, good: bool) -> None:
        """A session was begun anew, or not."""
        change = insert(sync_refreshes).values(account=account, at=at, good=int(good))
        await self._store.change(lambda c: c.execute(change))


def _row(progress: SyncProgressed) -> dict[str, Any]:
    return {
        "run": progress.run,
        "account": progress.account,
        "triggered_by": progress.trigger,
        "step": progress.step.value,
        "fetched": progress.fetched,
        "created": progress.created,
        "updated": progress.updated,
        "skipped": progress.skipped,
        "conflicting": progress.conflicting,
        "started_at": progress.started_at,
        "ended_at": progress.ended_at,
        "error": progress.error,
        "operation": progress.operation,
        "error_class": progress.error_class.value,
        "retries": progress.retries,
        "rate_limited": progress.rate_limited,
        "took_ms": progress.took_ms,
    }


def _progress(row: Row[Any]) -> SyncProgressed:
    return SyncProgressed(
        run=row.run,
        account=AccountId(row.account),
        step=SyncStep(row.step),
        trigger=row.triggered_by,
        fetched=row.fetched,
        created=row.created,
        updated=row.updated,
        skipped=row.skipped,
        conflicting=row.conflicting,
        started_at=row.started_at,
        ended_at=row.ended_at,
        error=row.error,
        operation=row.operation,
        error_class=ErrorClass(row.error_class),
        retries=row.retries,
        rate_limited=row.rate_limited,
        took_ms=row.took_ms,
    )
