"""Tables by row id: a changed row changes its own cells, with the next frame, and nothing else moves.

Thirty frames a second are what an eye can use, and 550,000 row-ticks a second fit in them.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.ui.frame import NextFrame

R = TypeVar("R")
Key = Hashable
Index = QModelIndex | QPersistentModelIndex

TONE_ROLE = int(Qt.ItemDataRole.UserRole)
KEY_ROLE = TONE_ROLE + 1

_CENTRE = Qt.AlignmentFlag.AlignVCenter
_RIGHT = int(Qt.AlignmentFlag.AlignRight | _CENTRE)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | _CENTRE)


class Tone(StrEnum):
    """What a cell's colour means; the theme says which colour that is."""

    PLAIN = ""
    DIM = "dim"
    UP = "up"
    DOWN = "down"
    BUY = "buy"
    SELL = "sell"
    WARN = "warn"
    ALARM = "alarm"
    GOOD = "good"


def tone_of(amount: Any) -> Tone:
    """Up for a gain, down for a loss, dim for nothing."""
    if amount is None or amount == 0:
        return Tone.DIM
    return Tone.UP if amount > 0 else Tone.DOWN


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column: what it is of a row, and how that is written. `value` decides sorting and whether a cell changed."""

    key: str
    title: str
    value: Callable[[R], Any]
    text: Callable[[Any], str] = str
    """How the value is written, when the value alone decides that."""
    shown: Callable[[R], str] | None = None
    """How it is written when the rest of the row has a say (tick size, lot). Not called where the value is None."""
    number: bool = False
    """Right-aligned, tabular."""
    tone: Callable[[R], Tone] | None = None
    tip: Callable[[R], str] | None = None
    width: int = 90
    whole: bool = False
    """Text that is never cut: the column grows with it, as columns of numbers do."""
    help: str = ""
    """What the column means, on the header."""
    spare: int = 0
    """Not 0: left out where the table is too narrow, the highest number first."""


class OfAccount(Protocol):
    """A row that tells whose it is."""

    @property
    def account(self) -> str:
        """The account as a trader calls it."""
        ...


A = TypeVar("A", bound=OfAccount)


def account_column(*, width: int = 112) -> Column[A]:
    """Whose a row is, for tables that show it once there are several accounts."""
    return Column(
        "account",
        "Account",
        lambda row: row.account,
        tone=lambda _row: Tone.DIM,
        help="Shown once there are several accounts",
        whole=True,
        width=width,
    )


class KeyedModel(QAbstractTableModel):
    """A table whose lines have ids and whose columns are declared: what `TableView` shows."""

    columns: tuple[Column[Any], ...]

    def key_at(self, index: Index) -> Key | None:
        """The id under an index."""
        raise NotImplementedError

    def place_of(self, key: Key) -> int | None:
        """The line that an id stands on."""
        raise NotImplementedError

    def shown(self, index: Index) -> tuple[str, Tone, bool]:
        """What a cell's painter needs, in one call: text, tone, whether it is a number."""
        tone = self.data(index, TONE_ROLE)
        return str(self.data(index) or ""), tone or Tone.PLAIN, self.columns[index.column()].number

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  Qt's own default
        """Qt."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> Any:
        """Qt."""
        if orientation is not Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.number else _LEFT
        return (column.help or None) if role == Qt.ItemDataRole.ToolTipRole else None

    def cell(self, row: Any, index: Index, role: int) -> Any:
        """What a cell of a known row shows in a role."""
        column = self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            value = column.value(row)
            if value is None:
                return ""
            return column.text(value) if column.shown is None else column.shown(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.number else _LEFT
        if role == TONE_ROLE:
            return column.tone(row) if column.tone is not None else Tone.PLAIN
        if role == Qt.ItemDataRole.ToolTipRole and column.tip is not None:
            return plain_tip(column.tip(row)) or None
        return None


def plain_tip(text: str) -> str:
    """A tooltip's text. Qt takes what looks like markup for markup there, so it is escaped."""
    if "<" not in text:
        return text
    return "<qt>" + html.escape(text).replace("\n", "<br>") + "</qt>"


class TableModel(KeyedModel, Generic[R]):
    """Rows by id with gathered updates. GUI thread.

    `put`, `stale` and `drop` are cheap and may be called for every event; the view hears of them once a frame, and
    only of the cells whose value differs. A stale row that nobody sees is not even made.
    """

    flushed = Signal(object)
    """A list: ids of the rows whose cells changed in this frame. As an object: Qt would copy a list value by value."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        parent: QObject | None = None,
        make: Callable[[Any], R | None] | None = None,
    ) -> None:
        """`make` gives the row of an id as it is now; None: the id is gone and its row stands as it was."""
        super().__init__(parent)
        self.columns: tuple[Column[R], ...] = tuple(columns)
        self._make = make
        self._stale: set[Key] = set()
        self._unheard: dict[Key, R] = {}
        """Rows that were made anew when somebody asked for them, as the view last heard of them."""
        self.in_sight: Callable[[], range] = lambda: range(len(self._rows))
        """Lines that are on the screen; set by the view."""
        self._rows: list[R] = []
        self._keys: list[Key] = []
        self._at: dict[Key, int] = {}
        self._pending: dict[Key, R] = {}
        self._frame = NextFrame(self, self.flush)
        self._sorted_by: tuple[int, Qt.SortOrder] | None = None

    # What views do with it

    def put(self, key: Key, row: R) -> None:
        """The row as it is now; shown within a frame."""
        self._pending[key] = row
        self._frame.ask()

    def stale(self, keys: Iterable[Key]) -> None:
        """Rows whose facts moved: made anew with the next frame where they are seen, else when they come into sight."""
        self._stale.update(key for key in keys if key in self._at)
        if self._stale:
            self._frame.ask()

    def drop(self, key: Key) -> None:
        """Takes a row away."""
        self._pending.pop(key, None)
        self._stale.discard(key)
        self._unheard.pop(key, None)
        at = self._at.get(key)
        if at is None:
            return
        self.beginRemoveRows(QModelIndex(), at, at)
        del self._rows[at]
        del self._keys[at]
        self._number()
        self.endRemoveRows()

    def replace(self, rows: Iterable[tuple[Key, R]]) -> None:
        """Exactly these rows, in this order. Rows that stay keep their place in the view, and the selection with it."""
        wanted = list(rows)
        keys = [key for key, _ in wanted]
        if keys == self._keys:
            self._pending.update(wanted)
            self.flush()
            return
        if set(keys) >= set(self._keys) and self._sorted_by is not None:
            self._pending.update(wanted)
            self.flush()
            return
        self._pending.clear()
        self._stale.clear()
        self._unheard.clear()
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        held = [self._keys[index.row()] for index in before]
        self._keys = keys
        self._rows = [row for _, row in wanted]
        self._number()
        after = [
            self.index(self._at[key], index.column()) if key in self._at else QModelIndex()
            for key, index in zip(held, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def flush(self) -> None:
        """Shows what was gathered. Called by the timer; tests may call it."""
        self._frame.stop()
        pending, self._pending = self._pending, {}
        changed: list[Key] = []
        fresh: list[tuple[Key, R]] = []
        if self._stale:
            for at in self.in_sight():
                key = self._keys[at]
                if key in self._stale and key not in pending:
                    anew = self._made(key)
                    if anew is not None and self._update(at, anew):
                        changed.append(key)
        for key, row in pending.items():
            self._stale.discard(key)
            place = self._at.get(key)
            if place is None:
                fresh.append((key, row))
            elif self._update(place, row):
                changed.append(key)
        if self._unheard:
            changed += self._tell_late()
        if fresh:
            first = len(self._rows)
            self.beginInsertRows(QModelIndex(), first, first + len(fresh) - 1)
            for key, row in fresh:
                self._at[key] = len(self._rows)
                self._keys.append(key)
                self._rows.append(row)
            self.endInsertRows()
        if changed:
            self.flushed.emit(changed)

    def row(self, key: Key) -> R | None:
        """The row of an id, as shown."""
        at = self._at.get(key)
        return None if at is None else self._row(at)

    def latest(self, key: Key) -> R | None:
        """The row of an id, gathered updates included."""
        return self._pending.get(key) or self.row(key)

    def key_at(self, index: Index) -> Key | None:
        """The id under an index."""
        return self._keys[index.row()] if index.isValid() and index.row() < len(self._keys) else None

    def place_of(self, key: Key) -> int | None:
        """The line that an id stands on."""
        return self._at.get(key)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Ids in the order shown."""
        return tuple(self._keys)

    def column(self, key: str) -> int:
        """The number of a column."""
        return next(i for i, c in enumerate(self.columns) if c.key == key)

    def touch(self, key: Key) -> None:
        """Paints a row again although no value changed (a flash ends, a clock ran on)."""
        at = self._at.get(key)
        if at is not None:
            self.dataChanged.emit(self.index(at, 0), self.index(at, len(self.columns) - 1))

    def touch_all(self) -> None:
        """Paints every row again: what a value means was learnt (an instrument's name, its tick)."""
        self.flush()
        self.layoutAboutToBeChanged.emit()
        self.layoutChanged.emit()

    # What Qt asks

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  Qt's own default
        """Qt."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Qt. Text is made here, so only of cells that are on the screen."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        if role == KEY_ROLE:
            return self._keys[index.row()]
        return self.cell(self._row(index.row()), index, role)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Qt. Sorts once, when asked: rows never move under the cursor because a price moved."""
        if not 0 <= column < len(self.columns):
            self._sorted_by = None
            return
        self._sorted_by = (column, order)
        value = self.columns[column].value
        for at in range(len(self._rows)):
            self._row(at)
        known = [(k, r) for k, r in zip(self._keys, self._rows, strict=True) if value(r) is not None]
        empty = [(k, r) for k, r in zip(self._keys, self._rows, strict=True) if value(r) is None]
        known.sort(key=lambda pair: value(pair[1]), reverse=order is Qt.SortOrder.DescendingOrder)
        sorted_by, self._sorted_by = self._sorted_by, None
        self.replace([*known, *empty])
        self._sorted_by = sorted_by

    # Inside

    def _made(self, key: Key) -> R | None:
        self._stale.discard(key)
        return None if self._make is None else self._make(key)

    def _row(self, at: int) -> R:
        """A line, made anew when it came into sight stale."""
        if self._stale and self._keys[at] in self._stale:
            row = self._made(self._keys[at])
            if row is not None:
                # Who asked may be painting a corner of it, or not painting at all: the view hears of the whole.
                self._unheard.setdefault(self._keys[at], self._rows[at])
                self._frame.ask()
                self._rows[at] = row
        return self._rows[at]

    def _tell_late(self) -> list[Key]:
        """The view hears of rows that were made anew when somebody asked for them. Those that differ."""
        rows = [(key, self._at[key]) for key in self._unheard]
        return [key for key, at in rows if self._update(at, self._rows[at])]

    def _update(self, at: int, row: R) -> bool:
        before = self._unheard.pop(self._keys[at], self._rows[at])
        self._rows[at] = row
        if before == row:  # one comparison of two tuples, where the columns would be asked one by one
            return False
        first = last = -1
        for number, column in enumerate(self.columns):
            if column.value(before) != column.value(row):
                first = number if first < 0 else first
                last = number
        if first < 0:
            return False
        self.dataChanged.emit(self.index(at, first), self.index(at, last))
        return True

    def _number(self) -> None:
        self._at = {key: at for at, key in enumerate(self._keys)}
