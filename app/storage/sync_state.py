"""What the sync remembers between runs: plans, data sets, days, backfills (C6)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert

from app.domain.ids import AccountId, Nanos
from app.domain.instrument import Segment
from app.domain.sync import Backfill, Conflicts, DataSet, DataSetState, ErrorClass, OpenDay, SyncPlan
from app.storage.schema_sync import backfills, sync_data_sets, sync_days, sync_plans
from app.storage.store import Store

CLOSING_SYNC = "closing sync"
"""What closes most days."""


class SyncPlans:
    """Plans as the user edited them. Whether and how often stands in the account's record (A5)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> dict[AccountId, SyncPlan]:
        """The edited ones; `on` and `every_s` are the record's to say."""
        query = select(sync_plans)
        rows = await self._store.run(lambda c: c.execute(query).fetchall())
        return {
            AccountId(row.account): SyncPlan(
                account=AccountId(row.account),
                begins=row.begins,
                after_close_s=row.after_close_s,
                segments=tuple(Segment(name) for name in json.loads(row.segments)),
                conflicts=Conflicts(row.conflicts),
            )
            for row in rows
        }

    async def save(self, plan: SyncPlan) -> None:
        """Adds or replaces a plan."""
        row = {
            "account": plan.account,
            "begins": plan.begins,
            "after_close_s": plan.after_close_s,
            "segments": json.dumps([segment.value for segment in plan.segments]),
            "conflicts": plan.conflicts.value,
        }
        change = insert(sync_plans).values(row).on_conflict_do_update(index_elements=["account"], set_=row)
        await self._store.change(lambda c: c.execute(change))


class DataSets:
    """The newest word on each account's data sets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, states: Sequence[DataSetState]) -> None:
        """A try that failed leaves what is known of the last good one."""
        changes = []
        for state in states:
            row = {
                "tried_at": state.tried_at,
                "retries": state.retries,
                "error_class": state.error_class.value,
                "error": state.error,
            }
            if state.good_at is not None:
                row |= {"good_at": state.good_at, "rows": state.rows, "took_ms": state.took_ms}
            whole = {"account": state.account, "data_set": state.data_set.value, "rows": 0, "took_ms": 0} | row
            keyed = insert(sync_data_sets).values(whole)
            changes.append(keyed.on_conflict_do_update(index_elements=["account", "data_set"], set_=row))
        await self._store.change(lambda c: [c.execute(change) for change in changes])

    async def load(self) -> list[DataSetState]:
        """All of them, by account."""
        query = select(sync_data_sets).order_by(sync_data_sets.c.account)
        rows = await self._store.run(lambda c: c.execute(query).fetchall())
        found = [
            DataSetState(
                AccountId(row.account),
                DataSet(row.data_set),
                row.tried_at,
                row.good_at,
                row.rows,
                row.took_ms,
                row.retries,
                ErrorClass(row.error_class),
                row.error,
            )
            for row in rows
        ]
        order = list(DataSet)
        return sorted(found, key=lambda state: (state.account, order.index(state.data_set)))


class SyncDays:
    """Which trading days of an account are complete."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, account: AccountId, days: Sequence[str]) -> None:
        """Days that need a closing sync. Those already known stay as they are."""
        rows = [{"account": account, "day": day} for day in days]
        if rows:
            await self._store.change(lambda c: c.execute(insert(sync_days).on_conflict_do_nothing(), rows))

    async def synced(self, account: AccountId, day: str, at: Nanos, closed_by: str = "") -> None:
        """A sync saved what the broker lists of a day; `closed_by` when it then was complete, and for good."""
        values: dict[str, object] = {"account": account, "day": day, "last_sync": at}
        if closed_by:
            values["closed_by"] = closed_by
        change = insert(sync_days).values(values)
        keyed = change.on_conflict_do_update(index_elements=["account", "day"], set_=values)
        await self._store.change(lambda c: c.execute(keyed))

    async def reopen(self, account: AccountId, day: str, closes: Nanos) -> None:
        """A day that its closing sync ended too early, for the account trades in a market that closes at `closes`."""
        early = (sync_days.c.closed_by == CLOSING_SYNC, sync_days.c.last_sync < closes)
        change = update(sync_days).where(sync_days.c.account == account, sync_days.c.day == day, *early)
        await self._store.change(lambda c: c.execute(change.values(closed_by="")))

    async def open(self, before: str | None = None, account: AccountId | None = None) -> list[OpenDay]:
        """Days without a closing sync, oldest first; only those before a day when one is given."""
        query = select(sync_days).where(sync_days.c.closed_by == "").order_by(sync_days.c.day, sync_days.c.account)
        if before is not None:
            query = query.where(sync_days.c.day < before)
        if account is not None:
            query = query.where(sync_days.c.account == account)
        rows = await self._store.run(lambda c: c.execute(query).fetchall())
        return [OpenDay(AccountId(row.account), row.day, row.last_sync) for row in rows]

    async def is_closed(self, account: AccountId, day: str) -> bool:
        """Whether a closing sync, or what stands for one, was there."""
        query = select(sync_days.c.closed_by).where(sync_days.c.account == account, sync_days.c.day == day)
        return bool(await self._store.run(lambda c: c.execute(query).scalar_one_or_none()))

    async def newest(self, account: AccountId) -> str | None:
        """The newest day that is known of an account."""
        query = select(func.max(sync_days.c.day)).where(sync_days.c.account == account)
        return await self._store.run(lambda c: c.execute(query).scalar_one_or_none())


class Backfills:
    """How far each account's past was fetched."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(self, job: Backfill) -> None:
        """Adds or replaces an account's."""
        row = {
            "account": job.account,
            "since": job.since,
            "until": job.until,
            "next_day": job.next_day,
            "fills": job.fills,
            "error": job.error,
        }
        change = insert(backfills).values(row).on_conflict_do_update(index_elements=["account"], set_=row)
        await self._store.change(lambda c: c.execute(change))

    async def load(self) -> list[Backfill]:
        """All of them, finished ones too."""

        def work(connection: Connection) -> list[Backfill]:
            return [
                Backfill(AccountId(row.account), row.since, row.until, row.next_day, row.fills, row.error)
                for row in connection.execute(select(backfills).order_by(backfills.c.account))
            ]

        return await self._store.run(work)
