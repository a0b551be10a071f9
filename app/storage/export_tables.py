"""What can be exported, column by column: names for people and programs, never a secret, never a raw answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum, auto
from typing import Any

from app.domain.exports import ExportKind

_IST_BEHIND = timedelta(hours=5, minutes=30)
_LISTED_SCALE = """coalesce(
  (SELECT i.price_scale FROM instruments i JOIN temp.lists l ON l.name = i.broker
   WHERE l.account = t.account AND i.id = t.instrument),
  (SELECT s.scale FROM temp.scales s WHERE s.exchange = substr(t.instrument, 1, instr(t.instrument, ':') - 1)), 100)"""


class Cell(Enum):
    """What stands in a column."""

    TEXT = auto()
    WHOLE = auto()
    NUMBER = auto()
    """Decimal text."""
    PAISE = auto()
    """An amount; written in rupees."""
    PRICE = auto()
    """In the row's minor unit; written in rupees."""
    MOMENT = auto()
    """Nanoseconds UTC; written in Indian time."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in the file, and where it comes from."""

    name: str
    sql: str
    kind: Cell = Cell.TEXT


@dataclass(frozen=True, slots=True)
class ExportTable:
    """One kind of rows."""

    store: str
    """`book` or `journal`."""
    table: str
    columns: tuple[Column, ...]
    order: str
    moment: str = ""
    """Nanoseconds that a range of days is compared with; empty: there are no days, the rows are as last read."""
    day: str = ""
    """Or an ISO day."""
    where: str = ""
    scale: str = "NULL"

    @property
    def needs_lists(self) -> bool:
        """Prices are scaled by the instrument list."""
        return self.scale == _LISTED_SCALE

    def query(self, account: str | None, since: str | None, until: str | None) -> tuple[str, list[Any]]:
        """The scale of each row's prices, then its columns."""
        rules, values = [self.where] if self.where else [], list[Any]()
        if account is not None:
            rules.append("t.account = ?")
            values.append(account)
        if since is not None:
            rules.append(f"{self.day or self.moment} >= ?")
            values.append(since if self.day else _midnight(since, 0))
        if until is not None:
            rules.append(f"{self.day} <= ?" if self.day else f"{self.moment} < ?")
            values.append(until if self.day else _midnight(until, 1))
        chosen = f" WHERE {' AND '.join(rules)}" if rules else ""
        columns = ", ".join(column.sql for column in self.columns)
        return (
            f"SELECT {self.scale}, {columns} FROM {self.table} t{chosen} ORDER BY {self.order}",  # noqa: S608 -- ours
            values,
        )


def _midnight(day: str, later: int) -> int:
    """Nanoseconds of 00:00 Indian time of a day, or of one so many days later."""
    there = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(days=later) - _IST_BEHIND
    return int(there.timestamp()) * 1_000_000_000


def _columns(*rows: str | tuple[str, Cell] | tuple[str, Cell, str]) -> tuple[Column, ...]:
    """A name alone is text of that name."""
    made = []
    for row in rows:
        name, kind, sql = (row, Cell.TEXT, "") if isinstance(row, str) else (*row, "")[:3]
        made.append(Column(f"{name}_ist" if kind is Cell.MOMENT else name, sql or f"t.{name}", kind))
    return tuple(made)


_TIME, _WHOLE, _PRICE, _PAISE, _NUMBER = Cell.MOMENT, Cell.WHOLE, Cell.PRICE, Cell.PAISE, Cell.NUMBER
_BOOK, _JOURNAL = "book", "journal"
_HEADS = ("brokerage", "transaction_tax", "exchange_charge", "sebi_fee", "stamp_duty", "gst", "other")
_KNOWN = "CASE WHEN t.multiplier IS NOT NULL THEN t.{} END"
"""Figures of a trade whose lots are of unknown size are left empty."""
_OF_ITS_TRADE = """(SELECT d.multiplier FROM trades d
  WHERE d.account = t.account AND d.instrument = t.instrument AND d.product = t.product LIMIT 1)"""

TABLES: dict[ExportKind, ExportTable] = {
    ExportKind.TRADES: ExportTable(
        _BOOK, "trades",
        _columns(
            "account", "broker", "instrument", "segment", "kind", "product", "side", ("quantity", _WHOLE),
            ("multiplier", _WHOLE), ("opened_at", _TIME), ("entry_price", _PRICE), "entry_order", ("closed_at", _TIME),
            ("exit_price", _PRICE), "exit_order", ("gross", _PAISE, _KNOWN.format("gross")),
            *((head, _NUMBER, _KNOWN.format(head)) for head in _HEADS),
            ("charges", _PAISE, _KNOWN.format("charges")), ("net", _PAISE, _KNOWN.format("net")), "source",
        ),
        "t.last_at, t.id", moment="t.last_at", scale="t.price_scale",
    ),
    ExportKind.FILLS: ExportTable(
        _BOOK, "fills",
        _columns(
            "trade_date", ("filled_at", _TIME), "account", "broker", "instrument", "segment", "kind", "product",
            "side", ("quantity", _WHOLE), ("multiplier", _WHOLE, _OF_ITS_TRADE), ("price", _PRICE),
            "broker_order_id", "trade_id", "exchange", "source",
            "note", ("tags", Cell.TEXT, "(SELECT group_concat(value, ', ') FROM json_each(t.tags))"), "strategy",
            "category",
        ),
        "t.filled_at, length(t.trade_id), t.trade_id, t.id", day="t.trade_date", scale="t.price_scale",
        where="t.withdrawn_at IS NULL AND t.deleted_at IS NULL",
    ),
    ExportKind.ORDERS: ExportTable(
        _BOOK, "orders",
        _columns(
            ("placed_at", _TIME), "account", "broker_order_id", "exchange_order_id", "instrument", "side", "product",
            "kind", "variety", "validity", "status", ("quantity", _WHOLE), ("filled_quantity", _WHOLE),
            ("pending_quantity", _WHOLE), ("price", _PRICE), ("trigger_price", _PRICE), ("average_price", _PRICE),
            "tag", ("updated_at", _TIME), "status_text",
        ),
        "t.placed_at, t.broker_order_id", moment="t.placed_at", scale=_LISTED_SCALE,
    ),
    ExportKind.POSITIONS: ExportTable(
        _BOOK, "positions",
        _columns(
            "account", "instrument", "product", ("quantity", _WHOLE), ("average_price", _NUMBER),
            ("last_price", _PRICE), ("close_price", _PRICE), ("buy_quantity", _WHOLE), ("buy_value", _NUMBER),
            ("sell_quantity", _WHOLE), ("sell_value", _NUMBER), ("multiplier", _WHOLE), ("read_at", _TIME),
        ),
        "t.account, t.instrument, t.product", scale="t.price_scale",
    ),
    ExportKind.HOLDINGS: ExportTable(
        _BOOK, "holdings",
        _columns(
            "account", "instrument", "isin", "product", ("quantity", _WHOLE), ("t1_quantity", _WHOLE),
            ("authorised_quantity", _WHOLE), ("collateral_quantity", _WHOLE), ("average_price", _NUMBER),
            ("last_price", _PRICE), ("close_price", _PRICE), ("read_at", _TIME),
        ),
        "t.account, t.instrument", scale="100",
    ),
    ExportKind.STOPS: ExportTable(
        _JOURNAL, "stops",
        _columns(
            ("armed_at", _TIME), "account", "instrument", "product", "side", "state", ("quantity", _WHOLE),
            ("trigger_price", _PRICE), ("fired_at", _TIME), ("fired_price", _PRICE), "fired_by",
            ("closed_at", _TIME), ("exit_average", _PRICE), "exit_order", "note", ("stop", Cell.TEXT, "t.id"),
        ),
        "t.armed_at, t.id", moment="t.armed_at", scale="t.price_scale",
    ),
    ExportKind.AUDIT: ExportTable(
        _JOURNAL, "audit",
        _columns(
            ("line", _WHOLE, "t.id"), ("at", _TIME), "account", "subject", "what", "detail", "stop",
            ("seal", Cell.TEXT, "t.chain"),
        ),
        "t.id", moment="t.at",
    ),
    ExportKind.NOTICES: ExportTable(
        _BOOK, "notifications",
        _columns(
            ("at", _TIME), "level", "title", "cause", "next_step", "account", ("repeats", _WHOLE), ("read_at", _TIME),
        ),
        "t.at, t.id", moment="t.at",
    ),
    ExportKind.SYNCS: ExportTable(
        _BOOK, "sync_log",
        _columns(
            ("started_at", _TIME), ("ended_at", _TIME), "account", ("trigger", Cell.TEXT, "t.triggered_by"),
            "operation", ("result", Cell.TEXT, "t.step"), ("fetched", _WHOLE), ("created", _WHOLE),
            ("updated", _WHOLE), ("skipped", _WHOLE), ("conflicting", _WHOLE), ("took_ms", _WHOLE),
            ("retries", _WHOLE), ("rate_limited", _WHOLE), "error_class", "error",
        ),
        "t.started_at, t.id", moment="t.started_at",
    ),
    ExportKind.CURVE: ExportTable(
        _BOOK, "day_curve",
        _columns(("at", _TIME), "account", ("gross", _PAISE), ("net", _PAISE)),
        "t.at, t.account", moment="t.at",
    ),
}  # fmt: skip
