"""Executions as the brokers reported them, and what the trader wrote beside them (C2, C4)."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert

from app.domain.fill import Fill, Source
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.storage.schema_book import fills, stale_groups
from app.storage.store import Store

_BROKERS = ("instrument", "segment", "kind", "product", "quantity", "price", "price_scale", "filled_at", "raw")
"""Columns that a later report of the same fill may change. The rest is identity, or the user's, or ours."""

_IDENTITY = ("account", "trade_date", "broker", "exchange", "id_segment", "broker_order_id", "trade_id", "side")

_COUNTS = and_(fills.c.withdrawn_at.is_(None), fills.c.deleted_at.is_(None))
"""A fill that takes part in trades and P&L."""

# Fills of one moment in the exchange's order: its trade numbers grow, and longer ones are later.
_ORDER = (fills.c.filled_at, func.length(fills.c.trade_id), fills.c.trade_id, fills.c.id)


@dataclass(frozen=True, slots=True)
class FillNotes:
    """What the user owns of a fill."""

    note: str = ""
    tags: tuple[str, ...] = ()
    strategy: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What a write changed. A write that is repeated changes nothing."""

    created: int
    updated: int
    withdrawn: int


Group = tuple[AccountId, InstrumentId, Product]
"""Fills that are matched with each other."""

_Key = tuple[str, ...]
"""Values of `_IDENTITY`."""


class Fills:
    """The fills of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of_day(self, account: AccountId, trade_date: str) -> dict[FillId, Fill]:
        """What a sync compares the broker's day with: everything known of it that the broker has not withdrawn.

        Fills that the user deleted are among them, so that they are not taken for new ones.
        """
        query = select(fills).where(
            fills.c.account == account, fills.c.trade_date == trade_date, fills.c.withdrawn_at.is_(None)
        )
        ordered = query.order_by(*_ORDER)
        # Put together on the store's thread: ten thousand names take the loop ten milliseconds.
        return await self._store.run(lambda c: {fill.id: fill for fill in map(_fill, c.execute(ordered))})

    async def write(
        self,
        created: Sequence[tuple[Fill, str]],
        updated: Sequence[tuple[Fill, str]] = (),
        withdrawn: Sequence[FillId] = (),
        at: Nanos | None = None,
    ) -> WriteCounts:
        """One day's changes in one transaction; each fill comes with the broker's own words (JSON).

        A fill that is known is updated in what the broker owns; notes, creation time and a deletion by the user stay.
        A withdrawn one that is reported again counts again. The groups touched are marked until `Trades.replace`.
        """
        moment = time.time_ns() if at is None else at

        def work(connection: Connection) -> WriteCounts:
            rows = {_key(fill.id): _row(fill, raw, moment) for fill, raw in (*created, *updated)}
            return _write(connection, rows, withdrawn, moment)

        return await self._store.run(work)

    async def of_group(self, account: AccountId, instrument: InstrumentId, product: Product) -> list[Fill]:
        """The fills that count of one position, oldest first."""
        query = select(fills).where(
            fills.c.account == account,
            fills.c.instrument == instrument,
            fills.c.product == product.value,
            _COUNTS,
        )
        return await self._many(query.order_by(*_ORDER))

    async def first_date(self, groups: Collection[Group]) -> str | None:
        """The oldest trade date on which one of these positions has a fill that counts."""
        query = select(func.min(fills.c.trade_date)).where(
            fills.c.account == bindparam("a"),
            fills.c.instrument == bindparam("i"),
            fills.c.product == bindparam("p"),
            _COUNTS,
        )

        def work(connection: Connection) -> str | None:
            found = [connection.execute(query, {"a": a, "i": i, "p": p.value}).scalar_one() for a, i, p in groups]
            return min((day for day in found if day is not None), default=None)

        return await self._store.run(work)

    async def all(self, account: AccountId | None = None, since: Nanos | None = None) -> list[Fill]:
        """The fills that count, oldest first."""
        query = select(fills).where(_COUNTS)
        if account is not None:
            query = query.where(fills.c.account == account)
        if since is not None:
            query = query.where(fills.c.filled_at >= since)
        return await self._many(query.order_by(*_ORDER))

    async def raw(self, fill: FillId) -> str | None:
        """The broker's own words about a fill, for debugging (C3)."""
        query = select(fills.c.raw).where(_is(fill))
        return await self._store.run(lambda c: c.execute(query).scalar_one_or_none())

    async def notes(self, fill: FillId) -> FillNotes | None:
        """What the user wrote; None when there is no such fill."""
        query = select(fills.c.note, fills.c.tags, fills.c.strategy, fills.c.category).where(_is(fill))
        row = await self._store.run(lambda c: c.execute(query).one_or_none())
        return None if row is None else FillNotes(row.note, tuple(json.loads(row.tags)), row.strategy, row.category)

    async def annotate(self, fill: FillId, notes: FillNotes) -> None:
        """Replaces what the user wrote."""
        values = {
            "note": notes.note,
            "tags": json.dumps(notes.tags),
            "strategy": notes.strategy,
            "category": notes.category,
        }
        await self._touch(fill, values)

    async def delete(self, fill: FillId) -> None:
        """The user's deletion: a tombstone, which no sync revives."""
        await self._touch(fill, {"deleted_at": time.time_ns()}, regroup=True)

    async def restore(self, fill: FillId) -> None:
        """Undoes `delete`."""
        await self._touch(fill, {"deleted_at": None}, regroup=True)

    async def stale_groups(self) -> list[Group]:
        """Groups whose trades must be worked out again; not empty at start when the program ended in between."""
        rows = await self._store.run(lambda c: c.execute(select(stale_groups)).fetchall())
        return [(AccountId(r.account), InstrumentId(r.instrument), Product(r.product)) for r in rows]

    async def _many(self, query: Select[Any]) -> list[Fill]:
        return await self._store.run(lambda c: [_fill(row) for row in c.execute(query)])

    async def _touch(self, fill: FillId, values: dict[str, Any], *, regroup: bool = False) -> None:
        changed = values | {"updated_at": time.time_ns(), "row_version": fills.c.row_version + 1}

        def work(connection: Connection) -> None:
            connection.execute(update(fills).where(_is(fill)).values(changed))
            if regroup:
                _mark_stale(connection, {_group(row) for row in connection.execute(select(fills).where(_is(fill)))})

        await self._store.run(work)


def _write(
    connection: Connection, rows: dict[_Key, dict[str, Any]], withdrawn: Sequence[FillId], moment: Nanos
) -> WriteCounts:
    known: dict[_Key, Row[Any]] = {}
    for account, trade_date in {(row["account"], row["trade_date"]) for row in rows.values()}:
        day = select(fills).where(fills.c.account == account, fills.c.trade_date == trade_date)
        known.update((_key_of_row(row), row) for row in connection.execute(day))
    created = [row for key, row in rows.items() if key not in known]
    updated = [(known[key], row) for key, row in rows.items() if key in known and _differs(known[key], row)]
    groups = {_group_of(row) for row in created}
    if created:
        connection.execute(insert(fills), created)
    if updated:
        groups |= {_group(old) for old, _ in updated} | {_group_of(row) for _, row in updated}
        connection.execute(_CHANGE, [_changed(old, row) for old, row in updated])
    gone = 0
    for fill in withdrawn:
        for old in connection.execute(select(fills).where(_is(fill), fills.c.withdrawn_at.is_(None))).fetchall():
            groups.add(_group(old))
            change = {"withdrawn_at": moment, "updated_at": moment, "row_version": old.row_version + 1}
            gone += connection.execute(update(fills).where(fills.c.id == old.id).values(change)).rowcount
    _mark_stale(connection, groups)
    return WriteCounts(len(created), len(updated), gone)


_CHANGE = (
    update(fills)
    .where(fills.c.id == bindparam("row"))
    .values(
        {name: bindparam(f"new_{name}") for name in _BROKERS}
        | {"withdrawn_at": None, "updated_at": bindparam("moment"), "row_version": fills.c.row_version + 1}
    )
)


def _differs(old: Row[Any], row: dict[str, Any]) -> bool:
    return old.withdrawn_at is not None or any(getattr(old, name) != row[name] for name in _BROKERS)


def _changed(old: Row[Any], row: dict[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": row[name] for name in _BROKERS} | {"row": old.id, "moment": row["updated_at"]}


def _mark_stale(connection: Connection, groups: set[Group]) -> None:
    if groups:
        rows = [{"account": account, "instrument": name, "product": product} for account, name, product in groups]
        connection.execute(insert(stale_groups).on_conflict_do_nothing(), rows)


def _group(row: Row[Any]) -> Group:
    return AccountId(row.account), InstrumentId(row.instrument), Product(row.product)


def _group_of(row: dict[str, Any]) -> Group:
    return row["account"], row["instrument"], Product(row["product"])


def _is(fill: FillId) -> ColumnElement[bool]:
    return and_(*(fills.c[name] == value for name, value in zip(_IDENTITY, _key(fill), strict=True)))


def _key(fill: FillId) -> _Key:
    return (
        fill.account,
        fill.trade_date,
        fill.broker,
        fill.exchange,
        fill.segment,
        fill.broker_order_id,
        fill.trade_id,
        fill.side,
    )


def _key_of_row(row: Row[Any]) -> _Key:
    return tuple(getattr(row, name) for name in _IDENTITY)


def _row(fill: Fill, raw: str, moment: Nanos) -> dict[str, Any]:
    if (fill.id.account, fill.id.broker_order_id, fill.id.side) != (
        fill.account,
        fill.broker_order_id,
        fill.side.value,
    ):
        raise ValueError(f"fill {fill.id.trade_id} contradicts its identity")
    return dict(zip(_IDENTITY, _key(fill.id), strict=True)) | {
        "instrument": fill.instrument,
        "segment": fill.segment.value,
        "kind": fill.kind.value,
        "product": fill.product.value,
        "quantity": fill.quantity,
        "price": fill.price,
        "price_scale": fill.price_scale,
        "filled_at": fill.filled_at,
        "raw": raw,
        "source": fill.source.value,
        "created_at": moment,
        "updated_at": moment,
    }


def _fill(row: Row[Any]) -> Fill:
    account, order, side = AccountId(row.account), BrokerOrderId(row.broker_order_id), Side(row.side)
    return Fill(
        id=FillId(
            broker=row.broker,
            account=account,
            exchange=row.exchange,
            segment=row.id_segment,
            trade_date=row.trade_date,
            broker_order_id=order,
            trade_id=row.trade_id,
            side=row.side,
        ),
        account=account,
        instrument=InstrumentId(row.instrument),
        segment=Segment(row.segment),
        kind=InstrumentKind(row.kind),
        product=Product(row.product),
        side=side,
        quantity=row.quantity,
        price=row.price,
        filled_at=row.filled_at,
        broker_order_id=order,
        price_scale=row.price_scale,
        source=Source(row.source),
    )
