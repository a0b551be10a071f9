"""Buttons inside table cells: one click, drawn and not made of widgets, so a thousand rows cost nothing."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QAbstractItemModel, QEvent, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QColor, QFont, QMouseEvent, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.ui import theme
from app.ui.models.table import KEY_ROLE, TONE_ROLE, Tone
from app.ui.theme import DARK
from app.ui.views.cells import paint_ground

_WIDEST = 88
"""Of a button, in pixels."""

Index = QModelIndex | QPersistentModelIndex


class ButtonDelegate(QStyledItemDelegate):
    """Draws a cell's text as a button where there is text; emits `clicked` with the row's id."""

    clicked = Signal(object)

    def __init__(self, parent: QWidget, enabled: Callable[[object], bool] = lambda _key: True) -> None:
        super().__init__(parent)
        self._enabled = enabled

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Qt."""
        text = index.data()
        paint_ground(painter, option, option.rect)
        if not text:
            return
        on = self._enabled(index.data(KEY_ROLE))
        tone = index.data(TONE_ROLE)
        ink = DARK.faint if not on else {Tone.SELL: DARK.sell, Tone.WARN: DARK.warning}.get(tone, DARK.text)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = self._area(option)
        painter.setPen(QColor(DARK.border))
        painter.setBrush(QColor(DARK.raised))
        painter.drawRoundedRect(area, 3, 3)
        painter.setPen(QColor(ink))
        painter.setFont(theme.font(11, QFont.Weight.Medium))
        painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter), str(text))
        painter.restore()

    def editorEvent(self, event: QEvent, model: QAbstractItemModel, option: QStyleOptionViewItem, index: Index) -> bool:
        """Qt."""
        if (
            event.type() is QEvent.Type.MouseButtonRelease
            and isinstance(event, QMouseEvent)
            and event.button() is Qt.MouseButton.LeftButton
            and index.data()
            and self._area(option).contains(event.position().toPoint())
            and self._enabled(index.data(KEY_ROLE))
        ):
            self.clicked.emit(index.data(KEY_ROLE))
            return True
        return super().editorEvent(event, model, option, index)

    def _area(self, option: QStyleOptionViewItem) -> QRect:
        cell: QRect = option.rect
        area = cell.adjusted(4, 4, -4, -4)
        area.setWidth(min(area.width(), _WIDEST))  # also where the column takes what room is left
        return area
