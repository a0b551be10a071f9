"""Executions as the brokers reported them, and what the trader wrote beside them (C2, C4)."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from app.domain.fill import Fill
from app.domain.ids import AccountId, FillId, InstrumentId, Nanos
from app.domain.instrument import Product, Segment
from app.runtime.priority import settle_own_thread
from app.storage.fill_rows import (
    AS_JSON,
    AS_JSON_NOW,
    CURRENT_NAME,
    FILL_COLUMNS,
    IDENTITY,
    OF_THE_BROKER,
    TOGETHER,
    insertion,
    key_of,
    packed_fills,
    unpacked_fills,
)
from app.storage.renames import follow
from app.storage.schema_book import fills, stale_groups
from app.storage.schema_instruments import fill_aliases
from app.storage.store import Store

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


@dataclass(frozen=True, slots=True)
class PackedFills:
    """Fills as JSON arrays of a few each; `fill_rows.unpacked_fills` makes them."""

    rows: int
    pieces: tuple[bytes, ...]


_STALE_NOW = select(stale_groups.c.account, stale_groups.c.instrument, stale_groups.c.product).union(
    select(stale_groups.c.account, fill_aliases.c.new_id, stale_groups.c.product).join(
        fill_aliases,
        and_(fill_aliases.c.account == stale_groups.c.account, fill_aliases.c.old_id == stale_groups.c.instrument),
    )
)
_KEY = ", ".join(IDENTITY)
_COLUMNS = ", ".join(FILL_COLUMNS)
_SAME = " AND ".join(f"f.{name} = n.{name}" for name in IDENTITY)
_DIFFERS = "(f.withdrawn_at IS NOT NULL OR " + " OR ".join(f"f.{name} IS NOT n.{name}" for name in OF_THE_BROKER) + ")"
# What comes in goes to a temporary table (in memory), and set operations do the rest. The names are our own columns.
_INCOMING = f"CREATE TEMP TABLE incoming_fills ({_COLUMNS}, PRIMARY KEY ({_KEY})) WITHOUT ROWID"
_DROP = "DROP TABLE IF EXISTS temp.incoming_fills"
_TAKE = "INSERT OR REPLACE INTO temp.incoming_fills"
_NEW = f"""
SELECT count(*) FROM incoming_fills n WHERE NOT EXISTS (SELECT 1 FROM fills f WHERE {_SAME})"""  # noqa: S608
_STALE = f"""
INSERT OR IGNORE INTO stale_groups (account, instrument, product)
SELECT n.account, n.instrument, n.product FROM incoming_fills n LEFT JOIN fills f ON {_SAME}
WHERE f.id IS NULL OR {_DIFFERS}
UNION SELECT f.account, f.instrument, f.product FROM incoming_fills n JOIN fills f ON {_SAME}
WHERE {_DIFFERS}"""  # noqa: S608
_MERGE = f"""
INSERT INTO fills ({_COLUMNS}, created_at, updated_at) SELECT {_COLUMNS}, ?1, ?1 FROM incoming_fills n WHERE true
ON CONFLICT ({_KEY}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in OF_THE_BROKER)},
  withdrawn_at = NULL, updated_at = excluded.updated_at, row_version = row_version + 1
WHERE withdrawn_at IS NOT NULL
  OR {" OR ".join(f"fills.{name} IS NOT excluded.{name}" for name in OF_THE_BROKER)}"""  # noqa: S608


# By every name that a group's fills ever had, so that the index finds them: a book of 100,000 is not read per group.
_FIRST_DATE = f"""
WITH asked AS (SELECT value ->> 0 AS account, value ->> 1 AS name, value ->> 2 AS product FROM json_each(?)),
called AS (
  SELECT account, name, name AS then_name, product FROM asked
  UNION SELECT asked.account, name, a.old_id, product FROM asked
  JOIN fill_aliases a ON a.account = asked.account AND a.new_id = asked.name
)
SELECT min(fills.trade_date) FROM called CROSS JOIN fills
ON fills.account = called.account AND fills.instrument = called.then_name AND fills.product = called.product
WHERE fills.withdrawn_at IS NULL AND fills.deleted_at IS NULL AND {CURRENT_NAME} = called.name"""  # noqa: S608


class Fills:
    """The fills of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of_day(self, account: AccountId, trade_date: str) -> dict[FillId, Fill]:
        """What a sync compares the broker's day with: everything known of it that the broker has not withdrawn.

        Fills that the user deleted are among them, so that they are not taken for new ones.
        """
        query = select(text(AS_JSON)).where(
            fills.c.account == account, fills.c.trade_date == trade_date, fills.c.withdrawn_at.is_(None)
        )
        # Put together on the store's thread: ten thousand names take the loop ten milliseconds.
        return await self._store.run(
            lambda c: {fill.id: fill for piece in _pieces(c, query.order_by(*_ORDER)) for fill in unpacked_fills(piece)}
        )

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
        return await self.write_packed(list(packed_fills((*created, *updated))), withdrawn, at)

    async def write_packed(
        self, rows: Sequence[str], withdrawn: Sequence[FillId] = (), at: Nanos | None = None
    ) -> WriteCounts:
        """The same of rows that `fill_rows.packed_fills` packed, whether they are known or not."""
        moment = time.time_ns() if at is None else at
        return await self._store.run(lambda c: _write(c, rows, withdrawn, moment))

    async def of_group(self, account: AccountId, instrument: InstrumentId, product: Product) -> list[Fill]:
        """The fills that count of one position, oldest first."""
        query = select(text(AS_JSON)).where(
            fills.c.account == account,
            fills.c.instrument == instrument,
            fills.c.product == product.value,
            _COUNTS,
        )
        return await self._many(query)

    async def first_date(self, groups: Collection[Group]) -> str | None:
        """The oldest trade date on which one of these positions has a fill that counts."""
        asked = json.dumps([(account, name, product.value) for account, name, product in groups])
        return await self._store.run(lambda c: c.exec_driver_sql(_FIRST_DATE, (asked,)).scalar_one())

    async def all(self, account: AccountId | None = None, since: Nanos | None = None) -> list[Fill]:
        """The fills that count, oldest first."""
        return await self._many(_counting(account, since))

    async def packed(self, account: AccountId | None = None, since: Nanos | None = None) -> PackedFills:
        """The same, packed, each under the newest name of its instrument: for whoever matches them."""

        def work(connection: Connection) -> PackedFills:
            rows = connection.execute(_counting(account, since, func.count())).scalar_one()
            renamed = connection.execute(select(func.count()).select_from(fill_aliases)).scalar_one()
            query = _counting(account, since, text(AS_JSON_NOW) if renamed else None).order_by(*_ORDER)
            return PackedFills(rows, tuple(_pieces(connection, query)))

        return await self._store.run(work)

    async def segments(self, account: AccountId, since: str) -> frozenset[Segment]:
        """In which an account has fills of a trade date or later."""
        query = select(fills.c.segment).distinct().where(fills.c.account == account, fills.c.trade_date >= since)
        return await self._store.run(lambda c: frozenset(map(Segment, c.execute(query).scalars())))

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

    async def follow_renames(self, account: AccountId, list_name: str, now: Nanos) -> list[InstrumentId]:
        """From now on fills of contracts that changed their name are matched under the new one. What they are called
        by the broker stays. Doing it again changes nothing. Returns the new names; their groups are marked stale."""
        return await self._store.run(lambda c: follow(c, account, list_name, now))

    async def restore(self, fill: FillId) -> None:
        """Undoes `delete`."""
        await self._touch(fill, {"deleted_at": None}, regroup=True)

    async def stale_groups(self) -> list[Group]:
        """Groups whose trades must be worked out again; not empty at start when the program ended in between. A group
        of an old name comes with that of the new one, which its fills are matched in."""
        rows = await self._store.run(lambda c: c.execute(_STALE_NOW).fetchall())
        return [(AccountId(r.account), InstrumentId(r.instrument), Product(r.product)) for r in rows]

    async def _many(self, query: Select[Any]) -> list[Fill]:
        ordered = query.order_by(*_ORDER)
        return await self._store.run(
            lambda c: [fill for piece in _pieces(c, ordered) for fill in unpacked_fills(piece)]
        )

    async def _touch(self, fill: FillId, values: dict[str, Any], *, regroup: bool = False) -> None:
        changed = values | {"updated_at": time.time_ns(), "row_version": fills.c.row_version + 1}

        def work(connection: Connection) -> None:
            connection.execute(update(fills).where(_is(fill)).values(changed))
            if regroup:
                _mark_stale(connection, {_group(row) for row in connection.execute(select(fills).where(_is(fill)))})

        await self._store.run(work)


def _counting(account: AccountId | None, since: Nanos | None, what: Any = None) -> Select[Any]:
    query = select(text(AS_JSON) if what is None else what).select_from(fills).where(_COUNTS)
    if account is not None:
        query = query.where(fills.c.account == account)
    if since is not None:
        query = query.where(fills.c.filled_at >= since)
    return query


def _pieces(connection: Connection, query: Select[Any]) -> Iterator[bytes]:
    """The JSON of some rows at a time."""
    # The driver's own cursor: a row object for each line would cost as much again.
    cursor = connection.execute(query).cursor
    assert cursor is not None  # noqa: S101 - a SELECT has one
    while rows := cursor.fetchmany(TOGETHER):
        yield ("[" + ",".join([row[0] for row in rows]) + "]").encode()


def _write(connection: Connection, rows: Sequence[str], withdrawn: Sequence[FillId], moment: Nanos) -> WriteCounts:
    created = updated = 0
    if len(rows) > 1:  # a burst: from now on the window is drawn first. At the start stops wait for this thread.
        settle_own_thread(behind=True)
    if rows:
        connection.exec_driver_sql(_DROP)
        connection.exec_driver_sql(_INCOMING)
        for piece in rows:
            connection.exec_driver_sql(*insertion(_TAKE, FILL_COLUMNS, piece))
        created = connection.exec_driver_sql(_NEW).scalar_one()
        connection.exec_driver_sql(_STALE)
        updated = connection.exec_driver_sql(_MERGE, (moment,)).rowcount - created
        connection.exec_driver_sql(_DROP)
    gone = 0
    groups: set[Group] = set()
    for fill in withdrawn:
        for old in connection.execute(select(fills).where(_is(fill), fills.c.withdrawn_at.is_(None))).fetchall():
            groups.add(_group(old))
            change = {"withdrawn_at": moment, "updated_at": moment, "row_version": old.row_version + 1}
            gone += connection.execute(update(fills).where(fills.c.id == old.id).values(change)).rowcount
    _mark_stale(connection, groups)
    return WriteCounts(created, updated, gone)


def _mark_stale(connection: Connection, groups: set[Group]) -> None:
    if groups:
        rows = [{"account": account, "instrument": name, "product": product} for account, name, product in groups]
        connection.execute(insert(stale_groups).on_conflict_do_nothing(), rows)


def _group(row: Row[Any]) -> Group:
    return AccountId(row.account), InstrumentId(row.instrument), Product(row.product)


def _is(fill: FillId) -> ColumnElement[bool]:
    return and_(*(fills.c[name] == value for name, value in zip(IDENTITY, key_of(fill), strict=True)))
