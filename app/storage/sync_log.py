"""The log of sync runs: one row for an account in a run, its newest word (C7)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert

from app.domain.events import SyncProgressed, SyncStep
from app.domain.ids import AccountId
from app.storage.schema_book import sync_log
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
    )
