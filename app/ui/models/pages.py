"""Virtual rows: a table over a million trades that asks only for the pages it shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal

from app.domain.fill import Trade
from app.ui.models.table import TONE_ROLE, Column, Key, KeyedModel, Tone

Index = QModelIndex | QPersistentModelIndex

PAGE = 200
_KEPT = 64
"""Pages held: 12,800 rows, a few megabytes."""


class TradePages(KeyedModel):
    """Trades by page. A cell of a page that is not here yet shows `…` and asks for the page. GUI thread."""

    wanted = Signal(int)
    """Offset of a page that is about to be seen."""

    def __init__(self, columns: Sequence[Column[Trade]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self._total = 0
        self._pages: OrderedDict[int, tuple[Trade, ...]] = OrderedDict()
        self._asked: set[int] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._ask)
        self._want: set[int] = set()

    def reset(self, total: int, first: Sequence[Trade]) -> None:
        """Another selection: how many rows it has, and its first page."""
        self.beginResetModel()
        self._total = total
        self._pages.clear()
        self._asked.clear()
        self._want.clear()
        self._pages[0] = tuple(first)
        self.endResetModel()

    def fill(self, offset: int, trades: Sequence[Trade]) -> None:
        """A page arrived."""
        number = offset // PAGE
        self._asked.discard(number)
        self._pages[number] = tuple(trades)
        while len(self._pages) > _KEPT:
            self._pages.popitem(last=False)
        if trades:
            last = min(offset + len(trades), self._total) - 1
            self.dataChanged.emit(self.index(offset, 0), self.index(last, len(self.columns) - 1))

    def failed(self, offset: int) -> None:
        """A page did not come; it is asked for again when it is seen again."""
        self._asked.discard(offset // PAGE)

    def trade_at(self, row: int) -> Trade | None:
        """The trade on a line, None while its page is on the way."""
        number, place = divmod(row, PAGE)
        page = self._pages.get(number)
        if page is None:
            self._want.add(number)
            if not self._timer.isActive():
                self._timer.start()
            return None
        self._pages.move_to_end(number)
        return page[place] if place < len(page) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  Qt's own default
        """Qt."""
        return 0 if parent.isValid() else self._total

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Qt."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self.cell(None, index, role)
        if role not in (Qt.ItemDataRole.DisplayRole, TONE_ROLE, Qt.ItemDataRole.ToolTipRole):
            return None
        trade = self.trade_at(index.row())
        if trade is not None:
            return self.cell(trade, index, role)
        if role == TONE_ROLE:
            return Tone.DIM
        return "…" if role == Qt.ItemDataRole.DisplayRole else None

    def key_at(self, index: Index) -> Key | None:
        """The line itself: a trade has no id of its own in this view."""
        return index.row() if index.isValid() else None

    def place_of(self, key: Key) -> int | None:
        """The line itself."""
        return key if isinstance(key, int) and key < self._total else None

    def _ask(self) -> None:
        for number in sorted(self._want - self._asked - set(self._pages)):
            self._asked.add(number)
            self.wanted.emit(number * PAGE)
        self._want.clear()
