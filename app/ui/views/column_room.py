"""Which columns of a table have room: figures are never cut, and what matters least gives way in a narrow table."""

from __future__ import annotations

import time

from PySide6.QtCore import QByteArray, QObject, QTimer
from PySide6.QtWidgets import QHeaderView, QTableView

from app.ui.models.table import KeyedModel

FIT_MS = 60
"""Between cells that grew and the columns that make room for them."""
FIT_ALL_MS = 1_000
"""Between two looks at every column: rows come many times a second when a hundred exits go out."""


class ColumnRoom(QObject):
    """Widths and presence of a table's columns. GUI thread; owned by its table.

    A column with `spare` is left out while the others have no room without it; the highest number goes first. Nothing
    is lost by that: copied rows hold it, and it comes back with the room.
    """

    def __init__(self, table: QTableView, model: KeyedModel) -> None:
        super().__init__(table)
        self._table = table
        self._model = model
        self._header = table.horizontalHeader()
        self._header.setResizeContentsPrecision(0)  # what comes into sight later asks for its room when it is painted
        self._widths = [column.width for column in model.columns]
        self._longest = [0] * len(model.columns)
        """Letters of the longest text that each column has painted."""
        self._grown: set[int] = set()
        """Columns that are asked for their width with the next fit: each asks every cell in sight."""
        self._unwanted: set[int] = set()
        self._setting = False
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.setInterval(FIT_MS)
        self._fit.timeout.connect(self._fit_columns)
        self._fitted_all = -FIT_ALL_MS
        """When every column was last looked at, on the monotonic clock, in milliseconds."""
        for number, width in enumerate(self._widths):
            table.setColumnWidth(number, width)
        self._header.sectionResized.connect(self._on_resized)

    @property
    def wanted(self) -> list[int]:
        """Columns in the order shown, also those that have no room now."""
        places = (self._header.logicalIndex(place) for place in range(self._header.count()))
        return [number for number in places if number not in self._unwanted]

    def set_wanted(self, number: int, *, wanted: bool) -> None:
        """Whether a column has anything to say at all."""
        if wanted is (number in self._unwanted):
            (self._unwanted.discard if wanted else self._unwanted.add)(number)
            self.arrange()

    def painted(self, number: int, letters: int) -> None:
        """A cell was painted. One that is longer than those before may need a wider column."""
        if letters > self._longest[number]:
            self._longest[number] = letters
            column = self._model.columns[number]
            if column.number or column.whole:
                self._fit_with(number)

    def fit_soon(self) -> None:
        """Rows came."""
        self._fit_with(*range(len(self._widths)), wait=max(FIT_MS, self._fitted_all + FIT_ALL_MS - _now_ms()))

    def _fit_with(self, *columns: int, wait: int = FIT_MS) -> None:
        self._grown.update(columns)
        if not self._fit.isActive() or self._fit.remainingTime() > wait:
            self._fit.start(wait)

    def restore(self, state: QByteArray) -> None:
        """Order and widths as the trader left them."""
        self._header.restoreState(state)
        for number in range(len(self._widths)):
            if not self._header.isSectionHidden(number) and not self._stretches(number):
                self._widths[number] = self._header.sectionSize(number)
        self.arrange()

    def arrange(self) -> None:
        """Leaves out what has no room, and brings back what has."""
        room = self._table.viewport().width()
        wanted = self.wanted
        needed = sum(self._widths[number] for number in wanted)
        out = set(self._unwanted)
        for number in sorted(wanted, key=lambda n: self._model.columns[n].spare, reverse=True):
            if needed <= room or not self._model.columns[number].spare:
                break
            out.add(number)
            needed -= self._widths[number]
        self._setting = True
        try:
            for number in range(len(self._widths)):
                if self._header.isSectionHidden(number) is not (number in out):
                    self._header.setSectionHidden(number, number in out)
            for number, width in enumerate(self._widths):
                if number not in out and not self._stretches(number) and self._header.sectionSize(number) != width:
                    self._header.resizeSection(number, width)
        finally:
            self._setting = False

    def _fit_columns(self) -> None:
        """Names and figures are never cut: their columns grow with what they have to show, and never shrink."""
        grown, asked = False, self._grown
        self._grown = set()
        if len(asked) == len(self._widths):
            self._fitted_all = _now_ms()
        for number, column in enumerate(self._model.columns):
            if number not in asked or self._header.isSectionHidden(number):
                continue
            if column.number or column.whole:
                needed = self._table.sizeHintForColumn(number) + 2
                if needed > self._widths[number]:
                    self._widths[number] = needed
                    grown = True
        if grown:
            self.arrange()

    def _on_resized(self, number: int, _before: int, width: int) -> None:
        """By the trader's mouse."""
        if not self._setting and width and not self._stretches(number):
            self._widths[number] = width

    def _stretches(self, number: int) -> bool:
        """Its width is what the others leave."""
        if self._header.sectionResizeMode(number) is QHeaderView.ResizeMode.Stretch:
            return True
        shown = [n for n in self.wanted if not self._header.isSectionHidden(n)]
        return self._header.stretchLastSection() and bool(shown) and shown[-1] == number


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
