"""What a sync could not settle by itself: jobs that keep failing, and fills with two stories (C5, C11)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from app.domain.errors import Denied
from app.domain.fill import Fill
from app.domain.ids import AccountId, FillId, Nanos
from app.domain.sync import Conflicts, ErrorClass, FailedJob, FillConflict
from app.storage.schema_sync import failed_jobs, sync_conflicts
from app.storage.store import Store

TRIES_BEFORE_LISTED = 3
"""A job that failed more often than this in a row is listed (C11)."""


class FailedJobs:
    """Jobs that failed, counted from the first failure; listed after more than three in a row."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def failed(self, account: AccountId, job: str, at: Nanos, kind: ErrorClass, error: str) -> FailedJob:
        """One more failure of a job."""
        key = (failed_jobs.c.account == account, failed_jobs.c.job == job)

        def work(connection: Connection) -> FailedJob:
            row = connection.execute(select(failed_jobs).where(*key)).one_or_none()
            if row is None:
                fresh = {"account": account, "job": job, "payload": "", "tries": 1, "first_failed_at": at}
                fresh |= {"last_failed_at": at, "error_class": kind.value, "error": error}
                connection.execute(insert(failed_jobs).values(fresh))
            else:
                changed = {"tries": row.tries + 1, "last_failed_at": at, "error_class": kind.value, "error": error}
                connection.execute(update(failed_jobs).where(*key).values(changed))
            return _job(connection.execute(select(failed_jobs).where(*key)).one())

        return await self._store.run(work)

    async def succeeded(self, account: AccountId, job: str) -> None:
        """It worked: forgotten."""
        change = delete(failed_jobs).where(failed_jobs.c.account == account, failed_jobs.c.job == job)
        await self._store.change(lambda c: c.execute(change))

    async def listed(self, account: AccountId | None = None) -> list[FailedJob]:
        """The failed-jobs list, of one account or all, the newest failure first."""
        query = (
            select(failed_jobs)
            .where(failed_jobs.c.tries > TRIES_BEFORE_LISTED)
            .order_by(failed_jobs.c.last_failed_at.desc(), failed_jobs.c.id)
        )
        if account is not None:
            query = query.where(failed_jobs.c.account == account)
        return await self._store.run(lambda c: [_job(row) for row in c.execute(query)])

    async def get(self, job: int) -> FailedJob:
        """One of them. Raises Denied when it is gone."""
        query = select(failed_jobs).where(failed_jobs.c.id == job)
        row = await self._store.run(lambda c: c.execute(query).one_or_none())
        if row is None:
            raise Denied("That job is no longer on the list.", "It worked meanwhile, or was discarded.")
        return _job(row)

    async def discard(self, job: int) -> None:
        """Takes one off the list. Raises Denied when it is gone."""
        change = delete(failed_jobs).where(failed_jobs.c.id == job)
        if not await self._store.run(lambda c: c.execute(change).rowcount):
            raise Denied("That job is no longer on the list.")


class FillConflicts:
    """Fills that the broker now tells differently, until somebody settles them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def found(self, pairs: Sequence[tuple[Fill, Fill, str]], at: Nanos) -> None:
        """(ours, theirs, the broker's words) of each. One that waits already stays; one that was over, and that the
        broker tells once more, waits again. What was settled for the book stays settled."""
        rows = [
            {
                "account": ours.account,
                "found_at": at,
                "fill": _name(ours.id),
                "ours": _text(ours),
                "theirs": _text(theirs),
                "raw": raw,
            }
            for ours, theirs, raw in pairs
        ]
        if rows:
            insertion = insert(sync_conflicts)
            given = insertion.excluded
            again = insertion.on_conflict_do_update(
                index_elements=["fill", "theirs"],
                set_={
                    "ours": given.ours,
                    "raw": given.raw,
                    "found_at": given.found_at,
                    "settled_at": None,
                    "settled_as": None,
                },
                where=sync_conflicts.c.settled_as.in_(("gone", Conflicts.BROKER.value)),
            )
            await self._store.change(lambda c: c.execute(again, rows))

    async def kept(self, fills: Sequence[Fill]) -> set[int]:
        """Indexes of the stories which were heard before and settled for the book."""
        if not fills:
            return set()
        names = {(_name(fill.id), _text(fill)): index for index, fill in enumerate(fills)}
        query = select(sync_conflicts.c.fill, sync_conflicts.c.theirs).where(
            sync_conflicts.c.settled_as == Conflicts.BOOK.value,
            sync_conflicts.c.fill.in_({name for name, _ in names}),
        )
        rows = await self._store.run(lambda c: c.execute(query).fetchall())
        return {names[row.fill, row.theirs] for row in rows if (row.fill, row.theirs) in names}

    async def open(self, account: AccountId | None = None) -> list[FillConflict]:
        """Unsettled ones, oldest first."""
        query = select(sync_conflicts).where(sync_conflicts.c.settled_at.is_(None)).order_by(sync_conflicts.c.id)
        if account is not None:
            query = query.where(sync_conflicts.c.account == account)
        rows = await self._store.run(lambda c: c.execute(query).fetchall())
        return [FillConflict(row.id, row.found_at, _fill(row.ours), _fill(row.theirs)) for row in rows]

    async def get(self, conflict: int) -> tuple[FillConflict, str]:
        """An unsettled one, and the broker's words. Raises Denied when it is settled."""
        query = select(sync_conflicts).where(sync_conflicts.c.id == conflict, sync_conflicts.c.settled_at.is_(None))
        row = await self._store.run(lambda c: c.execute(query).one_or_none())
        if row is None:
            raise Denied("That conflict is settled already.")
        return FillConflict(row.id, row.found_at, _fill(row.ours), _fill(row.theirs)), str(row.raw)

    async def settle(self, conflict: int, settled_as: str, at: Nanos) -> None:
        """`broker`, `book`, or `gone` when the broker came back to the book's story."""
        change = (
            update(sync_conflicts).where(sync_conflicts.c.id == conflict).values(settled_at=at, settled_as=settled_as)
        )
        await self._store.change(lambda c: c.execute(change))


def _job(row: Row[Any]) -> FailedJob:
    return FailedJob(
        row.id,
        AccountId(row.account),
        row.job,
        row.tries,
        row.first_failed_at,
        row.last_failed_at,
        ErrorClass(row.error_class),
        row.error,
    )


def _name(fill: FillId) -> str:
    return hashlib.sha256("|".join(astuple(fill)).encode()).hexdigest()


def _text(fill: Fill) -> str:
    return msgspec.json.encode(fill, order="sorted").decode()


def _fill(text: str) -> Fill:
    return msgspec.json.decode(text, type=Fill)
