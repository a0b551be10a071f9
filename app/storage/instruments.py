"""The brokers' instrument lists. Nothing is ever deleted: what vanishes becomes inactive and may return (D2).

A list comes in two steps. Its lines are gathered in a temporary table, in short transactions between which the book
does other work; then one transaction takes them over. Until that one is committed the list before is whole, whatever
happens to the program.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, text

from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.domain.listing import (
    PACKED_TOGETHER,
    ImportCounts,
    ImportReport,
    InstrumentMaker,
    InstrumentRow,
    KindCount,
    ListStats,
    PackedList,
    SegmentCount,
    row_of,
)
from app.storage.schema_book import instruments
from app.storage.schema_instruments import instrument_imports
from app.storage.store import Store

_COLUMNS = (
    "id", "token", "exchange", "segment", "kind", "name", "tick_size", "lot_size", "price_scale", "expiry",
    "strike", "key",
)  # fmt: skip
_OWNED = _COLUMNS[1:]

# The lines go into a temporary table (in memory), and set operations do the rest: one pass each over an index,
# instead of a look-up per row from Python.
_INCOMING = f"CREATE TEMP TABLE incoming ({', '.join(_COLUMNS)}, PRIMARY KEY (id)) WITHOUT ROWID"
_DROP = "DROP TABLE IF EXISTS temp.incoming"
_UNREAD = "CREATE TEMP TABLE unread (name PRIMARY KEY) WITHOUT ROWID"
_DROP_UNREAD = "DROP TABLE IF EXISTS temp.unread"
_FILL_UNREAD = "INSERT OR IGNORE INTO temp.unread VALUES (?)"
KEPT_NAMES = 5
# In the list, though what it says of them could not be read: they are not gone. What has expired is, whatever it says.
_KEPT = f"""
INSERT INTO incoming
SELECT {", ".join(_COLUMNS)} FROM instruments
WHERE broker = :broker AND active = 1 AND id NOT IN (SELECT id FROM incoming)
  AND token NOT IN (SELECT token FROM incoming)
  AND (id IN (SELECT name FROM unread) OR key IN (SELECT name FROM unread))
  AND (expiry IS NULL OR expiry >= date(:at / 1000000000, 'unixepoch', '+330 minutes'))
RETURNING id"""  # noqa: S608 - our own column names
_NO_CHANGES = "DROP TABLE IF EXISTS temp.changed"
_FILL = f"INSERT OR REPLACE INTO temp.incoming VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - as below
_DIFFERS = " OR ".join(f"i.{name} IS NOT n.{name}" for name in _OWNED)
# What differs is found in one pass over both lists; then only that is written, and looked into.
_CHANGES = "CREATE TEMP TABLE changed (id, created, revived, PRIMARY KEY (id)) WITHOUT ROWID"
_CHANGED = f"""
INSERT INTO temp.changed
SELECT n.id, i.id IS NULL, i.active = 0
FROM incoming n LEFT JOIN instruments i ON i.broker = ? AND i.id = n.id
WHERE i.id IS NULL OR i.active = 0 OR {_DIFFERS}"""  # noqa: S608 - our own column names
_COUNT = """
SELECT (SELECT COUNT(*) FROM incoming) AS read,
       COALESCE(SUM(created), 0) AS created,
       COALESCE(SUM(revived), 0) AS revived,
       COALESCE(SUM(NOT created AND NOT revived), 0) AS updated
FROM changed"""
_GONE = """
SELECT EXISTS (SELECT 1 FROM instruments
WHERE broker = :broker AND active = 1 AND id NOT IN (SELECT id FROM incoming))"""
_MERGE = f"""
INSERT INTO instruments (broker, {", ".join(_COLUMNS)}, active)
SELECT :broker, {", ".join(f"n.{name}" for name in _COLUMNS)}, 1
FROM changed c CROSS JOIN incoming n ON n.id = c.id WHERE true
ON CONFLICT (broker, id) DO UPDATE SET active = 1, {", ".join(f"{n} = excluded.{n}" for n in _OWNED)}"""  # noqa: S608
_LOST = """
SELECT DISTINCT exchange || ' ' || segment AS lost FROM instruments WHERE broker = :broker AND active = 1
EXCEPT SELECT DISTINCT exchange || ' ' || segment FROM incoming ORDER BY lost"""
_DEACTIVATE = """
UPDATE instruments SET active = 0
WHERE broker = :broker AND active = 1 AND id NOT IN (SELECT id FROM incoming)
  AND (:exchange IS NULL OR exchange = :exchange)"""
# Contracts whose token lives on under another id. Same underlying, kind and expiry: the exchange changed symbol and
# strike (split, bonus), and the old symbol may already name a new contract. Anything else: the token was given away.
# CROSS keeps the order of the two: a look-up by token for each line, over the index.
_SUCCESSION = """
SELECT o.id AS old_id, n.id AS new_id, n.token AS token,
       o.kind = n.kind AND o.expiry IS n.expiry AND (o.expiry IS NULL OR o.name = n.name) AS same
FROM incoming n
CROSS JOIN instruments o INDEXED BY ix_instruments_broker_token
  ON o.broker = :broker AND o.token = n.token AND o.active = 1 AND o.id <> n.id
WHERE (:exchange IS NULL OR o.exchange = :exchange) AND o.exchange = n.exchange"""
_RETIRE = """
UPDATE instruments SET active = 0
WHERE broker = :broker AND id = :old_id AND id NOT IN (SELECT id FROM incoming)"""
_REMEMBER = """
INSERT OR REPLACE INTO instrument_renames (broker, old_id, at, new_id, token)
VALUES (:broker, :old_id, :at, :new_id, :token)"""
_FOLLOW = """
UPDATE OR IGNORE watchlist_items SET instrument = (
    SELECT new_id FROM instrument_renames WHERE broker = :broker AND at = :at AND old_id = watchlist_items.instrument)
WHERE instrument IN (SELECT old_id FROM instrument_renames WHERE broker = :broker AND at = :at)"""
_WIDTH = "SELECT MAX(LENGTH(CAST(id AS BLOB))) FROM instruments WHERE broker = :broker AND active = 1"
_PACKED = f"""
SELECT {", ".join(_COLUMNS)} FROM instruments WHERE broker = ? AND active = 1 ORDER BY id"""  # noqa: S608 - as above
_STATS = """
SELECT exchange, segment, kind, active, COUNT(*) AS found FROM instruments
WHERE broker = :broker GROUP BY exchange, segment, kind, active"""


class Instruments:
    """The instrument lists of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replace(
        self, broker: str, exchange: str | None, rows: Sequence[Instrument], *, confirmed: bool = False
    ) -> ImportCounts:
        """Takes over a list that is in memory; otherwise as `take_over`."""
        await self.begin_list()
        await self.add_rows([row_of(row) for row in rows if exchange is None or row.exchange.value == exchange])
        return await self.take_over(broker, exchange, confirmed=confirmed)

    async def begin_list(self) -> None:
        """Forgets the lines of an import that did not end."""

        def work(connection: Connection) -> None:
            connection.exec_driver_sql(_DROP)
            connection.exec_driver_sql(_INCOMING)
            connection.exec_driver_sql(_DROP_UNREAD)
            connection.exec_driver_sql(_UNREAD)

        await self._store.run(work)

    async def add_rows(self, rows: Sequence[InstrumentRow]) -> None:
        """Gathers lines; the stored list does not change yet. A later line of an id replaces the one before."""
        if rows:
            await self._store.change(lambda c: c.exec_driver_sql(_FILL, list(rows)))

    async def add_unread(self, names: Sequence[str]) -> None:
        """Gathers ids or keys of instruments that the list has, but in lines that could not be read: these stay."""
        if names:
            await self._store.change(lambda c: c.exec_driver_sql(_FILL_UNREAD, [(name,) for name in names]))

    async def drop_list(self) -> None:
        """The import ended before it was taken over."""

        def work(connection: Connection) -> None:
            connection.exec_driver_sql(_DROP)
            connection.exec_driver_sql(_DROP_UNREAD)

        await self._store.change(work)

    async def exchanges_gathered(self) -> tuple[str, ...]:
        """Of the lines that were gathered."""
        query = text("SELECT DISTINCT exchange FROM incoming ORDER BY exchange")
        return tuple(await self._store.run(lambda c: list(c.execute(query).scalars())))

    async def take_over(
        self,
        broker: str,
        exchange: str | None = None,
        *,
        keep: str = "",
        confirmed: bool = False,
        at: Nanos = 0,
    ) -> ImportCounts:
        """The gathered lines become the broker's list: the whole of it, or, with `exchange`, that exchange's part.

        Vanished instruments become inactive. A whole list that has lost a segment deactivates nothing unless
        `confirmed`: it is more likely cut short. With `keep`, the reason why this list cannot be trusted, neither.
        All or nothing: a failure leaves the old list.
        """
        return await self._store.run(lambda c: _take_over(c, broker, exchange, keep, confirmed, at))

    async def stats(self, broker: str) -> ListStats:
        """What is stored of a broker's list."""
        return await self._store.run(lambda c: _stats(c, broker))

    async def shared_tokens(self, broker: str) -> int:
        """Tokens that name more than one live contract: there should be none."""
        query = text(
            "SELECT COUNT(*) FROM (SELECT token FROM instruments WHERE broker = :broker AND active = 1"
            " GROUP BY token HAVING COUNT(*) > 1)"
        )
        return int(await self._store.run(lambda c: c.execute(query, {"broker": broker}).scalar_one()))

    async def names(self) -> list[str]:
        """Lists that were ever imported."""
        query = select(instrument_imports.c.broker).distinct().order_by(instrument_imports.c.broker)
        return list(await self._store.run(lambda c: list(c.execute(query).scalars())))

    async def log_import(self, report: ImportReport) -> None:
        """Keeps what an import did."""
        values = {
            "broker": report.broker,
            "started_at": report.started_at,
            "report": msgspec.json.encode(report).decode(),
        }
        await self._store.change(lambda c: c.execute(insert(instrument_imports).values(**values)))

    async def imports(self, broker: str | None = None, limit: int = 50) -> list[ImportReport]:
        """The log, newest first."""
        query = select(instrument_imports.c.report).order_by(instrument_imports.c.id.desc()).limit(limit)
        if broker is not None:
            query = query.where(instrument_imports.c.broker == broker)
        found = await self._store.run(lambda c: list(c.execute(query).scalars()))
        return [msgspec.json.decode(report, type=ImportReport) for report in found]

    async def all_active(self, broker: str) -> list[Instrument]:
        """Every instrument that the broker's newest list has, by id."""
        query = (
            select(*_SELECTED)
            .where(instruments.c.broker == broker, instruments.c.active == 1)
            .order_by(instruments.c.id)
        )

        def work(connection: Connection) -> list[Instrument]:
            maker = InstrumentMaker()
            return [maker.make(tuple(row)) for row in connection.execute(query)]

        return await self._store.run(work)

    async def packed(self, broker: str) -> PackedList:
        """The same, packed: for whoever keeps all of it."""
        return await self._store.run(lambda c: _packed(c, broker))

    async def get(self, broker: str, instrument: InstrumentId) -> Instrument | None:
        """One instrument, active or not: the trade book still names expired ones."""
        query = select(*_SELECTED, instruments.c.active).where(
            instruments.c.broker == broker, instruments.c.id == instrument
        )
        row = await self._store.run(lambda c: c.execute(query).one_or_none())
        return None if row is None else InstrumentMaker().make(tuple(row)[:-1], active=row.active == 1)

    async def by_token(self, broker: str, token: int) -> Instrument | None:
        """The contract that a token names now. Those that it named before stay stored under their own ids."""
        query = select(*_SELECTED).where(
            instruments.c.broker == broker, instruments.c.token == token, instruments.c.active == 1
        )
        row = await self._store.run(lambda c: c.execute(query).first())
        return None if row is None else InstrumentMaker().make(tuple(row))

    async def renames(self, broker: str, since: Nanos = 0) -> list[tuple[InstrumentId, InstrumentId]]:
        """(old, new) ids of contracts that changed their symbol while they lived, oldest first; of imports since."""
        query = text(
            "SELECT old_id, new_id FROM instrument_renames WHERE broker = :broker AND at >= :since ORDER BY at, old_id"
        )
        found = await self._store.run(lambda c: c.execute(query, {"broker": broker, "since": since}).fetchall())
        return [(InstrumentId(old), InstrumentId(new)) for old, new in found]


def _take_over(
    connection: Connection, broker: str, exchange: str | None, keep: str, confirmed: bool, at: Nanos
) -> ImportCounts:
    where = {"broker": broker, "exchange": exchange}
    withheld = [keep] if keep else []
    connection.exec_driver_sql(_NO_CHANGES)
    connection.exec_driver_sql(_CHANGES)
    connection.exec_driver_sql(_CHANGED, (broker,))
    counts = connection.execute(text(_COUNT)).one()
    kept = sorted(connection.execute(text(_KEPT), {"broker": broker, "at": at}).scalars())
    gone_some = bool(connection.execute(text(_GONE), {"broker": broker}).scalar_one())
    if gone_some and exchange is None and not confirmed:
        withheld += connection.execute(text(_LOST), {"broker": broker}).scalars()
    # A contract can succeed another only where something came or something went.
    moved = gone_some or counts.created or counts.revived or counts.updated
    succession = connection.execute(text(_SUCCESSION), where).fetchall() if moved else []
    renamed = [
        {"broker": broker, "old_id": old, "new_id": new, "token": token, "at": at}
        for old, new, token, same in succession
        if same
    ]
    if moved:
        connection.execute(text(_MERGE), {"broker": broker})
    # A token names one live contract, so the one that had it is gone for certain, even if the list is doubted.
    gone = [{"broker": broker, "old_id": old} for old in {row.old_id for row in succession}]
    deactivated = connection.execute(text(_RETIRE), gone).rowcount if gone else 0
    if gone_some and not withheld:
        deactivated += connection.execute(text(_DEACTIVATE), where).rowcount
    if renamed:
        connection.execute(text(_REMEMBER), renamed)
        connection.execute(text(_FOLLOW), {"broker": broker, "at": at})
    connection.exec_driver_sql(_NO_CHANGES)
    connection.exec_driver_sql(_DROP)
    connection.exec_driver_sql(_DROP_UNREAD)
    return ImportCounts(
        read=counts.read,
        created=counts.created,
        updated=counts.updated,
        revived=counts.revived,
        deactivated=deactivated,
        withheld=tuple(withheld),
        renamed=len(renamed),
        reused=len({row.token for row in succession if not row.same}),
        kept=len(kept),
        kept_first=tuple(kept[:KEPT_NAMES]),
    )


def _packed(connection: Connection, broker: str) -> PackedList:
    where = {"broker": broker}
    width = connection.execute(text(_WIDTH), where).scalar_one() or 1
    data: list[bytes] = []
    ends: list[bytes] = []
    ids: list[bytes] = []
    encode = msgspec.msgpack.Encoder().encode
    # The driver's own cursor: a row object for each line would cost as much again.
    cursor = connection.exec_driver_sql(_PACKED, (broker,)).cursor
    assert cursor is not None  # noqa: S101 - a SELECT has one
    rows = iter(cursor.fetchone, None)
    while True:
        lines, names = [], []
        # Row by row: the driver makes many rows in one call without letting another thread have the interpreter.
        for row in islice(rows, PACKED_TOGETHER):
            lines.append(encode(row))
            names.append(row[0].encode().ljust(width, b"\0"))
        if not lines:
            return PackedList(tuple(data), tuple(ends), tuple(ids), width)
        data.append(b"".join(lines))
        ends.append(array("i", accumulate(map(len, lines))).tobytes())
        ids.append(b"".join(names))


def _stats(connection: Connection, broker: str) -> ListStats:
    by_segment: dict[tuple[str, str], list[int]] = {}
    by_kind: dict[str, int] = {}
    for exchange, segment, kind, active, found in connection.execute(text(_STATS), {"broker": broker}):
        by_segment.setdefault((exchange, segment), [0, 0])[active] += found
        by_kind[kind] = by_kind.get(kind, 0) + (found if active else 0)
    segments = tuple(
        SegmentCount(Exchange(exchange), Segment(segment), counts[1], counts[0])
        for (exchange, segment), counts in sorted(by_segment.items())
    )
    return ListStats(
        active=sum(s.active for s in segments),
        inactive=sum(s.inactive for s in segments),
        segments=segments,
        kinds=tuple(KindCount(InstrumentKind(kind), count) for kind, count in sorted(by_kind.items()) if count),
    )


_SELECTED: list[Any] = [instruments.c[name] for name in _COLUMNS]
