"""What can be exported for other programs, and in which form (K2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from app.domain.ids import AccountId


class ExportKind(StrEnum):
    """One kind of rows."""

    TRADES = "trades"
    FILLS = "fills"
    ORDERS = "orders"
    POSITIONS = "positions"
    HOLDINGS = "holdings"
    STOPS = "stops"
    AUDIT = "audit"
    NOTICES = "notices"
    SYNCS = "syncs"
    CURVE = "curve"

    @property
    def words(self) -> str:
        """What the rows are."""
        return _WORDS[self]

    @property
    def has_days(self) -> bool:
        """A range of dates means something; the others are as last read."""
        return self not in (ExportKind.POSITIONS, ExportKind.HOLDINGS)


_WORDS = {
    ExportKind.TRADES: "round trips with gross, charges by head and net",
    ExportKind.FILLS: "executions, with your notes and tags",
    ExportKind.ORDERS: "what the broker says of each order",
    ExportKind.POSITIONS: "as last read",
    ExportKind.HOLDINGS: "as last read",
    ExportKind.STOPS: "every stop that was armed, and how it ended",
    ExportKind.AUDIT: "the audit trail with its seals",
    ExportKind.NOTICES: "what you were told",
    ExportKind.SYNCS: "each account in each sync run",
    ExportKind.CURVE: "profit and loss through each day",
}


class ExportFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """What is asked for."""

    kind: ExportKind
    file: str
    """A whole path; there is no such file yet."""
    form: ExportFormat = ExportFormat.CSV
    account: AccountId | None = None
    """None: all."""
    since: date | None = None
    """Indian dates; both are among those exported."""
    until: date | None = None


@dataclass(frozen=True, slots=True)
class ExportMade:
    """A file that was written."""

    file: str
    rows: int
    size: int
    """Bytes."""
