"""Search as you type over the whole instrument list; one pick by Return or click."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFocusEvent, QHideEvent, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app.domain.instrument import Instrument
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.theme import DARK

_PAUSE_MS = 60
"""After the last key: a typed word asks once, not once a letter."""

Index = QModelIndex | QPersistentModelIndex


class InstrumentSearch(QLineEdit):
    """A line to type parts of a symbol, name, expiry or strike into: `nifty 26000 ce`."""

    picked = Signal(object)
    """The Instrument that was chosen."""

    def __init__(self, bridge: Bridge, name: str, placeholder: str, *, keeps_text: bool = False) -> None:
        super().__init__()
        self._bridge = bridge
        self._keeps_text = keeps_text
        self._asked: asyncio.Future[object] | None = None
        self._found: list[Instrument] = []
        self.setObjectName(name)
        self.setAccessibleName(placeholder)
        self.setPlaceholderText(placeholder)
        self.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.setClearButtonEnabled(True)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self._list = _Results(self)
        self._list.setObjectName(f"{name}.results")
        self._list.itemClicked.connect(self._pick_item)
        self.textEdited.connect(self._on_edited)

    def _on_edited(self, text: str) -> None:
        if text.strip():
            self._pause.start()
        else:
            self._pause.stop()
            self._list.hide()

    def _ask(self) -> None:
        if self._asked is not None:
            self._asked.cancel()  # its answer would be of an older text
        self._asked = self._bridge.start(self._search(self.text()), "search instruments")

    async def _search(self, text: str) -> None:
        found = list(await self._bridge.call(self._bridge.desk.market.search(text)))
        if text != self.text():
            return
        self._found = found
        self._list.fill(found)
        if self.hasFocus():
            self._list.drop_below(self)

    def _pick_item(self, item: QListWidgetItem) -> None:
        row = self._list.row(item)
        if 0 <= row < len(self._found):
            self._pick(self._found[row])

    def _pick(self, instrument: Instrument) -> None:
        self._list.hide()
        self.setText(instrument.symbol if self._keeps_text else "")
        self.picked.emit(instrument)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Arrows walk the results, Return takes one, Esc puts them away."""
        key = event.key()
        shown = self._list.isVisible()
        if shown and key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            step = 1 if key == Qt.Key.Key_Down else -1
            self._list.setCurrentRow(max(0, min(self._list.currentRow() + step, len(self._found) - 1)))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and shown and self._found:
            self._pick(self._found[max(self._list.currentRow(), 0)])
        elif key == Qt.Key.Key_Escape and (shown or self.text()):
            self._list.hide()
            if not self._keeps_text:
                self.clear()
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Qt."""
        super().focusOutEvent(event)
        self._list.hide()

    def hideEvent(self, event: QHideEvent) -> None:
        """Qt."""
        self._list.hide()
        super().hideEvent(event)


class _Results(QListWidget):
    """The list under the line. Never takes the focus, so that typing goes on."""

    def __init__(self, owner: QWidget) -> None:
        super().__init__(owner)
        self.setWindowFlags(Qt.WindowType.ToolTip | Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setItemDelegate(_ResultDelegate(self))
        self.setMouseTracking(True)
        theme.set_role(self, "popup")

    def fill(self, found: list[Instrument]) -> None:
        self.clear()
        for instrument in found:
            item = QListWidgetItem(instrument.symbol)
            item.setData(Qt.ItemDataRole.UserRole, describe(instrument))
            self.addItem(item)
        if not found:
            item = QListWidgetItem("No instrument matches")
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.addItem(item)
        self.setCurrentRow(0)

    def drop_below(self, edit: QWidget) -> None:
        rows = max(1, min(self.count(), 10))
        self.resize(max(edit.width(), 380), rows * theme.ROW_HEIGHT + 4)
        self.move(edit.mapToGlobal(QPoint(0, edit.height() + 2)))
        self.show()
        self.raise_()


class _ResultDelegate(QStyledItemDelegate):
    """Symbol on the left, what it is on the right."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Qt."""
        return QSize(100, theme.ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Qt."""
        super().paint(painter, option, index)
        words = index.data(Qt.ItemDataRole.UserRole)
        if not words:
            return
        rect: QRect = option.rect.adjusted(8, 0, -12, 0)
        taken = painter.fontMetrics().horizontalAdvance(str(index.data())) + 24
        painter.save()
        painter.setPen(QColor(DARK.faint))
        painter.setFont(theme.font(12))
        room = rect.adjusted(taken, 0, 0, 0)
        text = painter.fontMetrics().elidedText(str(words), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), text)
        painter.restore()


def describe(instrument: Instrument) -> str:
    """What a contract is, in a few words: `NFO · NIFTY · 24 Nov · lot 75`."""
    parts = [str(instrument.exchange)]
    if instrument.name and instrument.name != instrument.symbol:
        parts.append(instrument.name)
    if instrument.expiry is not None:
        parts.append(fmt.short_day(instrument.expiry))
    if instrument.lot_size > 1:
        parts.append(f"lot {instrument.lot_size}")
    return " · ".join(parts)
