"""Fills and trades between our types and the book's tables, as JSON that crosses threads and processes in pieces.

A statement for each row would hold the interpreter for a second over ten thousand of them, and every other thread
would wait; a piece is written by one, and SQLite works without its lock. What is read SQLite itself puts together.
Pure and cheap to import: the helper process packs trades too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import msgspec

from app.domain.fill import Fill, Trade
from app.domain.ids import FillId

TOGETHER = 50
"""Rows of a piece: 0.2 ms to pack or unpack."""

IDENTITY = ("account", "trade_date", "broker", "exchange", "id_segment", "broker_order_id", "trade_id", "side")

OF_THE_BROKER = ("instrument", "segment", "kind", "product", "quantity", "price", "price_scale", "filled_at", "raw")
"""Columns that a later report of the same fill may change. The rest is identity, or the user's, or ours."""

FILL_COLUMNS = (*IDENTITY, *OF_THE_BROKER, "source")

TRADE_COLUMNS = (
    "account", "broker", "instrument", "segment", "kind", "product", "side", "quantity", "entry_price", "opened_at",
    "exit_price", "closed_at", "gross", "brokerage", "transaction_tax", "exchange_charge", "sebi_fee", "stamp_duty",
    "gst", "other", "charges", "net", "price_scale", "entry_order", "exit_order", "source", "last_at",
    "multiplier",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Fill]).decode

_ID = {name: "id_segment" if name == "segment" else name for name in FillId.__dataclass_fields__}
_OWN = {name: name for name in Fill.__dataclass_fields__ if name != "id"}


def _object(columns: dict[str, str]) -> str:
    return ", ".join(f"'{field}', {column}" for field, column in columns.items())


AS_JSON = f"json_object('id', json_object({_object(_ID)}), {_object(_OWN)})"
"""SQL: a row of `fills` as the JSON of a `Fill`."""


CURRENT_NAME = """coalesce((
  SELECT a.new_id FROM fill_aliases a
  WHERE a.account = fills.account AND a.old_id = fills.instrument AND a.until > fills.filled_at ORDER BY a.until LIMIT 1
), fills.instrument)"""
"""SQL: what the instrument of a row of `fills` is called now."""

AS_JSON_NOW = f"json_object('id', json_object({_object(_ID)}), {_object(_OWN | {'instrument': CURRENT_NAME})})"
"""The same fill under the newest name of its instrument: a contract is matched as one."""


def insertion(into: str, columns: Sequence[str], piece: str) -> tuple[str, tuple[object, ...]]:
    """SQL that writes a piece of `packed`, and its values. A third of the time that SQLite takes over the JSON."""
    rows: list[list[object]] = msgspec.json.decode(piece)
    return _insertion(into, tuple(columns), len(rows)), tuple(chain.from_iterable(rows))


@lru_cache
def _insertion(into: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"{into} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


def key_of(fill: FillId) -> tuple[str, ...]:
    """Values of `IDENTITY`."""
    return (
        fill.account, fill.trade_date, fill.broker, fill.exchange, fill.segment, fill.broker_order_id, fill.trade_id,
        fill.side,
    )  # fmt: skip


def fill_values(fill: Fill, raw: str) -> tuple[object, ...]:
    """Values of `FILL_COLUMNS`. Raises ValueError when the fill contradicts its own identity."""
    own = (fill.account, fill.broker_order_id, fill.side.value)
    if (fill.id.account, fill.id.broker_order_id, fill.id.side) != own:
        raise ValueError(f"fill {fill.id.trade_id} contradicts its identity")
    return (
        *key_of(fill.id), fill.instrument, fill.segment, fill.kind, fill.product, fill.quantity, fill.price,
        fill.price_scale, fill.filled_at, raw, fill.source,
    )  # fmt: skip


def trade_values(trade: Trade) -> tuple[object, ...]:
    """Values of `TRADE_COLUMNS`."""
    c = trade.charges
    heads = (c.brokerage, c.transaction_tax, c.exchange_charge, c.sebi_fee, c.stamp_duty, c.gst, c.other)
    return (
        trade.account, trade.broker, trade.instrument, trade.segment, trade.kind, trade.product, trade.side,
        trade.quantity, trade.entry_price, trade.opened_at, trade.exit_price, trade.closed_at, trade.gross,
        *map(str, heads), trade.gross - trade.net, trade.net, trade.price_scale,
        trade.entry_order, trade.exit_order, trade.source,
        trade.opened_at if trade.closed_at is None else trade.closed_at, trade.multiplier,
    )  # fmt: skip


def packed_fills(rows: Iterable[tuple[Fill, str]]) -> Iterator[str]:
    """For `Fills.write_packed`, piece by piece."""
    return packed(fill_values(fill, raw) for fill, raw in rows)


def packed(rows: Iterable[Any]) -> Iterator[str]:
    """JSON arrays of a few rows each."""
    waiting = iter(rows)
    while some := list(islice(waiting, TOGETHER)):
        yield _encode(some).decode()


def unpacked_fills(piece: bytes) -> list[Fill]:
    """A piece of `Fills.packed`."""
    return _decode(piece)
