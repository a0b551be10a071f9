"""Recorded ticks of the book, in blocks. Awaited on the loop; packed and read on the book's own thread."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from app.domain.errors import Damaged
from app.domain.ids import InstrumentId, Nanos
from app.domain.market import Tick
from app.storage.schema_ticks import tick_blocks
from app.storage.store import Store

_ROW = struct.Struct("<6q")
"""Received, exchange time, last price, last quantity, volume, open interest; -1: the feed did not say."""
_NOT_SAID = -1
_SLICE = 200
"""Blocks dropped in one transaction."""


def packed(tick: Tick) -> bytes:
    """One tick as it lies in a block, before compression. Cheap: called for every recorded tick."""
    return _ROW.pack(
        tick.received_at,
        *(
            _NOT_SAID if value is None else value
            for value in (tick.exchange_time, tick.last_price, tick.last_quantity, tick.volume, tick.open_interest)
        ),
    )


@dataclass(frozen=True, slots=True)
class TickBlock:
    """Ticks of one instrument in the order in which they came."""

    instrument: InstrumentId
    rows: bytes
    """`packed`, one after the other."""


@dataclass(frozen=True, slots=True)
class TickSpan:
    """What is recorded."""

    blocks: int
    size: int
    """Bytes, compressed."""
    oldest: Nanos | None
    """When the oldest block was recorded."""


class Ticks:
    """The recorded ticks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, blocks: Sequence[TickBlock], at: Nanos) -> None:
        """Adds blocks, recorded at `at` of the machine's clock."""

        def work(connection: Connection) -> None:
            connection.execute(insert(tick_blocks), [_row(block, at) for block in blocks])

        if blocks:
            await self._store.run(work)

    async def read(self, instrument: InstrumentId, since: Nanos, until: Nanos) -> list[Tick]:
        """Ticks received from `since` up to, not including, `until`, in order. Raises Damaged."""
        query = (
            select(tick_blocks.c.data)
            .where(tick_blocks.c.instrument == instrument)
            .where(tick_blocks.c.last_at >= since, tick_blocks.c.first_at < until)
            .order_by(tick_blocks.c.first_at, tick_blocks.c.id)
        )

        def work(connection: Connection) -> list[Tick]:
            found = [tick for (data,) in connection.execute(query) for tick in _ticks(instrument, data)]
            return [tick for tick in found if since <= tick.received_at < until]

        return await self._store.run(work)

    async def span(self) -> TickSpan:
        """How much there is."""
        columns = tick_blocks.c
        query = select(func.count(), func.coalesce(func.sum(columns.size), 0), func.min(columns.recorded_at))
        return await self._store.run(lambda c: TickSpan(*c.execute(query).one()))

    async def drop_before(self, at: Nanos) -> int:
        """Blocks that were recorded earlier. How many went."""
        chosen = select(tick_blocks.c.id).where(tick_blocks.c.recorded_at < at).limit(_SLICE)
        change = delete(tick_blocks).where(tick_blocks.c.id.in_(chosen))

        def work(connection: Connection) -> int:
            return int(connection.execute(change).rowcount)

        dropped = 0
        while True:
            gone = await self._store.run(work)
            dropped += gone
            if gone < _SLICE:
                return dropped

    async def drop_above(self, size: int) -> int:
        """The oldest blocks, until the rest is at most `size` bytes. How many went."""
        oldest = select(tick_blocks.c.id, tick_blocks.c.size).order_by(tick_blocks.c.recorded_at, tick_blocks.c.id)
        total = select(func.coalesce(func.sum(tick_blocks.c.size), 0))

        def work(connection: Connection) -> int:
            over = connection.execute(total).scalar_one() - size
            chosen = []
            for number, bytes_ in connection.execute(oldest.limit(_SLICE)):
                if over <= 0:
                    break
                chosen.append(number)
                over -= bytes_
            connection.execute(delete(tick_blocks).where(tick_blocks.c.id.in_(chosen)))
            return len(chosen)

        dropped = 0
        while gone := await self._store.run(work):
            dropped += gone
        return dropped


def _row(block: TickBlock, at: Nanos) -> dict[str, object]:
    times = [row[0] for row in _ROW.iter_unpack(block.rows)]
    data = zlib.compress(block.rows, 6)
    return {
        "instrument": block.instrument,
        "first_at": min(times),
        "last_at": max(times),
        "recorded_at": at,
        "ticks": len(times),
        "size": len(data),
        "data": data,
    }


def _ticks(instrument: InstrumentId, data: bytes) -> list[Tick]:
    try:
        rows = list(_ROW.iter_unpack(zlib.decompress(data)))
    except (zlib.error, struct.error) as error:
        raise Damaged(f"Recorded ticks of {instrument} cannot be read.", detail=str(error)) from error
    return [
        Tick(
            instrument=instrument,
            last_price=last_price,
            received_at=received,
            exchange_time=_said(exchange_time),
            last_quantity=_said(last_quantity),
            volume=_said(volume),
            open_interest=_said(open_interest),
        )
        for received, exchange_time, last_price, last_quantity, volume, open_interest in rows
    ]


def _said(value: int) -> int | None:
    return None if value == _NOT_SAID else value
