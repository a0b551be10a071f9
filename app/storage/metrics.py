"""Figures by day, and the facts in the book that some of them are worked out from."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, case, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from app.domain.ids import AccountId, Nanos
from app.domain.metrics import DayMetric, Fold, Metric
from app.domain.order import OrderStatus
from app.storage.schema_book import orders
from app.storage.schema_metrics import day_metrics
from app.storage.store import Store


class Metrics:
    """Of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, worked_out: Iterable[DayMetric]) -> None:
        """Figures that were worked out whole: each takes the place of the one before."""
        rows = [_row(one) for one in worked_out]
        query = insert(day_metrics)
        change = query.on_conflict_do_update(
            index_elements=["day", "subject", "metric"], set_={"value": query.excluded.value}
        )
        if rows:
            await self._store.change(lambda c: c.execute(change, rows))

    async def add(self, counted: Iterable[DayMetric]) -> None:
        """What was counted since the last time: sums grow, of the worst the largest stays."""
        found = list(counted)
        query = insert(day_metrics)
        kept = day_metrics.c.value
        ways = {Fold.SUM: kept + query.excluded.value, Fold.WORST: func.max(kept, query.excluded.value)}
        keys = ["day", "subject", "metric"]

        def work(connection: Connection) -> None:
            for fold, value in ways.items():
                rows = [_row(one) for one in found if one.metric.fold is fold]
                if rows:
                    connection.execute(query.on_conflict_do_update(index_elements=keys, set_={"value": value}), rows)

        if found:
            await self._store.run(work)

    async def newest(self, days: int) -> list[DayMetric]:
        """Of the newest so many days that have figures, in order. A name that this program does not know is of a newer
        one, and left out."""
        known = {metric.value for metric in Metric}
        chosen = select(day_metrics.c.day).distinct().order_by(day_metrics.c.day.desc()).limit(days)
        query = (
            select(day_metrics)
            .where(day_metrics.c.day.in_(chosen))
            .order_by(day_metrics.c.day, day_metrics.c.subject, day_metrics.c.metric)
        )
        return await self._store.run(
            lambda c: [
                DayMetric(row.day, row.subject, Metric(row.metric), row.value)
                for row in c.execute(query)
                if row.metric in known
            ]
        )

    async def drop_before(self, day: str) -> int:
        """How many went."""
        query = delete(day_metrics).where(day_metrics.c.day < day)
        gone: int = await self._store.run(lambda c: c.execute(query).rowcount)
        return gone

    async def orders(self, account: AccountId, since: Nanos, until: Nanos) -> tuple[int, int]:
        """(orders of ours that were placed between two moments, of them rejected)."""
        rejected = case((orders.c.status == OrderStatus.REJECTED.value, 1), else_=0)
        query = select(func.count(), func.coalesce(func.sum(rejected), 0)).where(
            orders.c.account == account,
            orders.c.placed_at >= since,
            orders.c.placed_at < until,
            orders.c.order_id.is_not(None),
        )

        def work(connection: Connection) -> tuple[int, int]:
            count, refused = connection.execute(query).one()
            return count, refused

        return await self._store.run(work)


def _row(one: DayMetric) -> dict[str, str | int]:
    return {"day": one.day, "subject": one.subject, "metric": one.metric.value, "value": one.value}
