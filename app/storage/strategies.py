"""Strategies in the journal: where each stands, and what happened to it. A write that returned is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, literal_column, select
from sqlalchemy.dialects.sqlite import insert as upsert

from app.domain.errors import Damaged
from app.domain.events import AuditEntry
from app.domain.ids import AccountId, StrategyId
from app.domain.strategy import MarkKind, Strategy, StrategyMark, StrategyState
from app.storage import trail
from app.storage.schema_journal import strategies, strategy_marks
from app.storage.store import Store


class Strategies:
    """The journal's strategies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save_strategy(self, strategy: Strategy, marks: Sequence[StrategyMark], entry: AuditEntry) -> None:
        """As it now stands, the points of its timeline, and the audit line: one transaction."""
        row = _row(strategy)
        changed = {name: value for name, value in row.items() if name != "id"}
        keep = upsert(strategies).values(row).on_conflict_do_update(index_elements=["id"], set_=changed)

        def work(connection: Any) -> None:
            connection.execute(keep)
            if marks:
                connection.execute(insert(strategy_marks), [_mark_row(mark) for mark in marks])
            trail.append(connection, entry)

        await self._store.run(work)

    async def delete_strategy(self, strategy: StrategyId, entry: AuditEntry) -> None:
        """Its timeline goes with it; the audit trail keeps what happened."""

        def work(connection: Any) -> None:
            connection.execute(delete(strategies).where(strategies.c.id == strategy))
            connection.execute(delete(strategy_marks).where(strategy_marks.c.strategy == strategy))
            trail.append(connection, entry)

        await self._store.run(work)

    async def strategies(self, account: AccountId) -> list[Strategy]:
        """All of an account, in the order of their making. Raises Damaged naming one that cannot be read."""
        query = select(strategies).where(strategies.c.account == account).order_by(literal_column("rowid"))
        return await self._store.run(lambda c: [_strategy(row) for row in c.execute(query)])

    async def strategy_marks(self, strategy: StrategyId, limit: int = 500) -> list[StrategyMark]:
        """The newest points of a timeline, oldest first."""
        query = (
            select(strategy_marks)
            .where(strategy_marks.c.strategy == strategy)
            .order_by(strategy_marks.c.id.desc())
            .limit(limit)
        )
        found = await self._store.run(lambda c: [_mark(row) for row in c.execute(query)])
        return found[::-1]


def _row(strategy: Strategy) -> dict[str, Any]:
    plan = strategy.plan
    return {
        "id": plan.id,
        "account": plan.account,
        "instrument": plan.instrument,
        "product": plan.product.value,
        "side": plan.side.value,
        "quantity": plan.quantity,
        "state": strategy.state.value,
        "held": strategy.held,
        "entry_at": strategy.entry_at,
        "exit_at": strategy.exit_at,
        "changed_at": strategy.changed_at,
        "body": msgspec.json.encode(strategy).decode(),
    }


def _strategy(row: Row[Any]) -> Strategy:
    try:
        return msgspec.json.decode(row.body, type=Strategy)
    except (msgspec.DecodeError, msgspec.ValidationError) as failure:
        raise Damaged(
            f"The strategy {row.id} cannot be read.", "Restore a backup, or make it anew.", detail=str(failure)
        ) from failure


def _mark_row(mark: StrategyMark) -> dict[str, Any]:
    return {
        "strategy": mark.strategy,
        "at": mark.at,
        "kind": mark.kind.value,
        "state": mark.state.value,
        "words": mark.words,
        "price": mark.price,
        "quantity": mark.quantity,
    }


def _mark(row: Row[Any]) -> StrategyMark:
    return StrategyMark(
        strategy=StrategyId(row.strategy),
        at=row.at,
        kind=MarkKind(row.kind),
        state=StrategyState(row.state),
        words=row.words,
        price=row.price,
        quantity=row.quantity,
    )
