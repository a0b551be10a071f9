"""The brokers' instrument lists. Nothing is ever deleted: what vanishes becomes inactive and may return (D2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select, text

from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Segment
from app.storage.schema_book import instruments
from app.storage.store import Store


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What one import did."""

    read: int
    created: int
    updated: int
    revived: int
    deactivated: int
    withheld: tuple[str, ...] = ()
    """Exchanges that a full list had lost whole: their instruments were left active (D3)."""


_COLUMNS = (
    "id", "token", "exchange", "segment", "kind", "name", "tick_size", "lot_size", "price_scale", "expiry",
    "strike", "key",
)  # fmt: skip
_OWNED = _COLUMNS[1:]

# The new list goes into a temporary table (in memory), and set operations do the rest: one pass each over an index,
# instead of a look-up per row from Python.
_INCOMING = f"CREATE TEMP TABLE incoming ({', '.join(_COLUMNS)}, PRIMARY KEY (id)) WITHOUT ROWID"
_FILL = f"INSERT OR REPLACE INTO incoming VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - as below
_DIFFERS = " OR ".join(f"i.{name} IS NOT n.{name}" for name in _OWNED)
_COUNT = f"""
SELECT COALESCE(SUM(i.id IS NULL), 0) AS created,
       COALESCE(SUM(i.active = 0), 0) AS revived,
       COALESCE(SUM(i.active = 1 AND ({_DIFFERS})), 0) AS updated
FROM incoming n LEFT JOIN instruments i ON i.broker = :broker AND i.id = n.id"""  # noqa: S608 - our own column names
_MERGE = f"""
INSERT INTO instruments (broker, {", ".join(_COLUMNS)}, active)
SELECT :broker, {", ".join(_COLUMNS)}, 1 FROM incoming WHERE true
ON CONFLICT (broker, id) DO UPDATE SET active = 1, {", ".join(f"{n} = excluded.{n}" for n in _OWNED)}
WHERE active = 0 OR {" OR ".join(f"instruments.{n} IS NOT excluded.{n}" for n in _OWNED)}"""  # noqa: S608 - as above
_LOST = """
SELECT DISTINCT exchange FROM instruments WHERE broker = :broker AND active = 1
EXCEPT SELECT DISTINCT exchange FROM incoming"""
_DEACTIVATE = """
UPDATE instruments SET active = 0
WHERE broker = :broker AND active = 1 AND exchange = :exchange AND id NOT IN (SELECT id FROM incoming)"""


class Instruments:
    """The instrument lists of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replace(
        self, broker: str, exchange: str | None, rows: Sequence[Instrument], *, confirmed: bool = False
    ) -> ImportCounts:
        """Takes over a broker's list: the whole of it, or, with `exchange`, that exchange's part.

        Vanished instruments become inactive. A whole list that has lost an exchange deactivates nothing there unless
        `confirmed`: it is more likely cut short. All or nothing: a failure leaves the old list.
        """
        return await self._store.run(lambda c: _replace(c, broker, exchange, rows, confirmed))

    async def all_active(self, broker: str) -> list[Instrument]:
        """Every instrument that the broker's newest list has, by id."""
        query = (
            select(*_SELECTED)
            .where(instruments.c.broker == broker, instruments.c.active == 1)
            .order_by(instruments.c.id)
        )
        return await self._store.run(lambda c: [_instrument(row) for row in c.execute(query)])

    async def get(self, broker: str, instrument: InstrumentId) -> Instrument | None:
        """One instrument, active or not: the trade book still names expired ones."""
        query = select(*_SELECTED).where(instruments.c.broker == broker, instruments.c.id == instrument)
        row = await self._store.run(lambda c: c.execute(query).one_or_none())
        return None if row is None else _instrument(row)


def _replace(
    connection: Connection, broker: str, exchange: str | None, rows: Sequence[Instrument], confirmed: bool
) -> ImportCounts:
    values = [_values(row) for row in rows if exchange is None or row.exchange.value == exchange]
    connection.exec_driver_sql("DROP TABLE IF EXISTS temp.incoming")
    connection.exec_driver_sql(_INCOMING)
    if values:
        connection.exec_driver_sql(_FILL, values)
    counts = connection.execute(text(_COUNT), {"broker": broker}).one()
    connection.execute(text(_MERGE), {"broker": broker})
    lost: list[str] = []
    if exchange is None:
        if not confirmed:
            lost = sorted(connection.execute(text(_LOST), {"broker": broker}).scalars())
        swept = [e.value for e in Exchange if e.value not in lost]
    else:
        swept = [exchange]
    deactivated = sum(
        connection.execute(text(_DEACTIVATE), {"broker": broker, "exchange": name}).rowcount for name in swept
    )
    connection.exec_driver_sql("DROP TABLE temp.incoming")
    return ImportCounts(len(values), counts.created, counts.updated, counts.revived, deactivated, tuple(lost))


def _values(row: Instrument) -> tuple[Any, ...]:
    return (
        row.id,
        row.token,
        row.exchange.value,
        row.segment.value,
        row.kind.value,
        row.name,
        row.tick_size,
        row.lot_size,
        row.price_scale,
        None if row.expiry is None else row.expiry.isoformat(),
        None if row.strike is None else str(row.strike),
        row.key,
    )


_EXCHANGES = {e.value: e for e in Exchange}
_SEGMENTS = {s.value: s for s in Segment}
_KINDS = {k.value: k for k in InstrumentKind}
_SELECTED = [instruments.c[name] for name in (*_COLUMNS, "active")]


def _instrument(row: Sequence[Any]) -> Instrument:
    # A hundred thousand of these stand between unlock and window: unpacked by place, enums looked up in a dict.
    (name_id, token, exchange, segment, kind, name, tick_size, lot_size, scale, expiry, strike, key, active) = row
    return Instrument(
        name_id,
        token,
        _EXCHANGES[exchange],
        _SEGMENTS[segment],
        _KINDS[kind],
        name,
        tick_size,
        lot_size,
        scale,
        None if expiry is None else date.fromisoformat(expiry),
        None if strike is None else Decimal(strike),
        active == 1,
        key,
    )
