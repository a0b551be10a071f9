"""The look and manners of every table: keyboard, menu, copy, colours, and words where there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, QRect, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFont,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QMenu,
    QTableView,
    QWidget,
)

from app.ui import theme
from app.ui.models.facts import Facts
from app.ui.models.table import Key, KeyedModel, TableModel
from app.ui.theme import DARK
from app.ui.views.cells import CellDelegate
from app.ui.views.column_room import ColumnRoom
from app.ui.widgets.text import caption

Index = QModelIndex | QPersistentModelIndex

_MOVES = frozenset(
    {Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown}
)
_THIS_ROW = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows


class TableView(QTableView):
    """A table of the window. `commands` fill its menu; keys among them act while it has the focus."""

    chosen = Signal(object)
    """The id of the row that was selected by mouse or keys."""
    activated_key = Signal(object)
    """The id of the row that was double-clicked, or on which Return was pressed."""

    def __init__(self, model: KeyedModel, *, name: str, title: str, empty: str, hint: str = "") -> None:
        super().__init__()
        self._model = model
        self._empty = empty
        self._hint = hint
        self._menu_for: Callable[[Key], Sequence[QAction]] | None = None
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.setModel(model)
        self.room = ColumnRoom(self, model)
        self.setItemDelegate(CellDelegate(self, model, self.room))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setMouseTracking(True)
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(theme.ROW_HEIGHT)
        columns = self.horizontalHeader()
        columns.setResizeContentsPrecision(0)  # widths follow the rows in sight, not a thousand of them
        columns.setHighlightSections(False)
        columns.setStretchLastSection(True)
        columns.setSectionsMovable(True)
        columns.setMinimumSectionSize(28)
        columns.setFixedHeight(theme.ROW_HEIGHT)
        if isinstance(model, TableModel):
            model.in_sight = self._in_sight
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.doubleClicked.connect(self._activate)
        copy = QShortcut(QKeySequence.StandardKey.Copy, self)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self.copy)
        for signal in (model.rowsInserted, model.rowsRemoved, model.layoutChanged, model.modelReset):
            signal.connect(self._on_rows)

    def sortable(self) -> None:
        """Headers sort. In the model's own order until one is clicked."""
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)

    def want_with_several(self, facts: Facts, name: str) -> None:
        """A column that is worth its room once there are several accounts."""
        number = next(n for n, column in enumerate(self._model.columns) if column.key == name)

        def look() -> None:
            self.room.set_wanted(number, wanted=len(facts.accounts) > 1)

        facts.accounts_changed.connect(look)
        look()

    def key(self, keys: str, handler: Callable[[], object]) -> None:
        """A key that acts only while this table has the focus; held down it acts once."""
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
        shortcut.setAutoRepeat(False)
        shortcut.activated.connect(handler)

    def set_menu(self, actions_for: Callable[[Key], Sequence[QAction]]) -> None:
        """What the menu of a row offers, besides copying."""
        self._menu_for = actions_for

    def set_empty(self, empty: str, hint: str = "") -> None:
        """What stands where rows would be."""
        self._empty, self._hint = empty, hint
        self.viewport().update()

    @property
    def current(self) -> Key | None:
        """The id of the current row."""
        return self._model.key_at(self.currentIndex())

    @property
    def selected(self) -> list[Key]:
        """Ids of the selected rows, from top to bottom."""
        rows = sorted(self.selectionModel().selectedRows(), key=lambda index: index.row())
        keys = (self._model.key_at(index) for index in rows)
        return [key for key in keys if key is not None]

    def select(self, key: Key) -> None:
        """Makes a row current."""
        at = self._model.place_of(key)
        if at is not None:
            self.setCurrentIndex(self._model.index(at, 0))

    def copy(self) -> None:
        """The selected rows with their headers as tab-separated text, as spreadsheets take it.

        Columns that have no room on the screen are among them.
        """
        shown = self.room.wanted
        lines = ["\t".join(self._model.columns[i].title for i in shown)]
        for row in sorted({index.row() for index in self.selectionModel().selectedRows()}):
            cells = (str(self._model.index(row, i).data() or "") for i in shown)
            lines.append("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells))
        QApplication.clipboard().setText("\n".join(lines))

    # Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Qt."""
        super().resizeEvent(event)
        self.room.arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Return acts on the row; letters are commands, not a search for a row that begins with them."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._activate(self.currentIndex())
            return
        if event.text().isprintable() and event.text():
            event.ignore()
            return
        super().keyPressEvent(event)
        if event.key() in _MOVES and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            # Qt moves on without selecting: buttons and letters would act on another row than the one that is lit.
            self.selectionModel().select(self.currentIndex(), _THIS_ROW)

    def currentChanged(self, current: Index, previous: Index) -> None:
        """Qt."""
        super().currentChanged(current, previous)
        key = self._model.key_at(current)
        if key is not None and current.row() != previous.row():
            self.chosen.emit(key)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Qt. Where there is no row, says what this table is and what to do."""
        super().paintEvent(event)
        if self._model.rowCount():
            return
        painter = QPainter(self.viewport())
        area = self.viewport().rect().adjusted(24, 12, -24, -12)
        flags = int(Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap)
        painter.setFont(theme.font(13, QFont.Weight.Medium))
        head = painter.boundingRect(area, flags, self._empty)
        painter.setFont(theme.font(12))
        body = painter.boundingRect(area, flags, self._hint)
        top = max(area.top(), area.center().y() - (head.height() + 4 + body.height()) // 2)
        painter.setPen(QColor(DARK.muted))
        painter.setFont(theme.font(13, QFont.Weight.Medium))
        painter.drawText(QRect(area.left(), top, area.width(), head.height()), flags, self._empty)
        painter.setPen(QColor(DARK.faint))
        painter.setFont(theme.font(12))
        painter.drawText(QRect(area.left(), top + head.height() + 4, area.width(), body.height()), flags, self._hint)
        painter.end()

    # Inside

    def _in_sight(self) -> range:
        """Lines on the screen; none while the table is hidden behind another tab."""
        if not self.isVisible():
            return range(0)
        first, last = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        return range(max(first, 0), self._model.rowCount() if last < 0 else last + 1)

    def _activate(self, index: Index) -> None:
        key = self._model.key_at(index)
        if key is not None:
            self.activated_key.emit(key)

    def _on_rows(self) -> None:
        self.viewport().update()
        if self._model.rowCount():
            self.room.fit_soon()

    def _show_menu(self, at: QPoint) -> None:
        index = self.indexAt(at)
        key = self._model.key_at(index) if index.isValid() else None
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if key is not None and self._menu_for is not None:
            for action in self._menu_for(key):
                menu.addAction(action)
            menu.addSeparator()
        copy = menu.addAction(theme.icon("copy"), "Copy rows")
        copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copy.triggered.connect(lambda _checked=False: self.copy())
        copy.setEnabled(bool(self.selected))
        menu.popup(self.viewport().mapToGlobal(at))


def action(
    parent: QWidget, text: str, handler: Callable[[], object], icon: str = "", *, enabled: bool = True
) -> QAction:
    """An entry of a row's menu."""
    made = QAction(caption(text), parent)
    if icon:
        made.setIcon(theme.icon(icon))
    made.setEnabled(enabled)
    made.triggered.connect(lambda _checked=False: handler())
    return made
