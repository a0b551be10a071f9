"""Buttons inside table cells: one click, drawn and not made of widgets, so a thousand rows cost nothing."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QAbstractItemModel, QEvent, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QMouseEvent, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from app.ui import theme
from app.ui.models.table import KEY_ROLE, KeyedModel, Tone
from app.ui.theme import DARK
from app.ui.views.cells import paint_ground
from app.ui.views.column_room import ColumnRoom

_WIDEST = 112
"""Of a button, in pixels."""
_INSET, _AIR = 4, 6
"""Pixels between cell and button, and between button and words."""

_BORDER, _RAISED = QColor(DARK.border), QColor(DARK.raised)
_TEXT, _FAINT = QColor(DARK.text), QColor(DARK.faint)
_INKS = {Tone.SELL: QColor(DARK.sell), Tone.WARN: QColor(DARK.warning)}
_CENTRED = int(Qt.AlignmentFlag.AlignCenter)

Index = QModelIndex | QPersistentModelIndex


class ButtonDelegate(QStyledItemDelegate):
    """Draws a cell's text as a button where there is text; emits `clicked` with the row's id."""

    clicked = Signal(object)

    def __init__(
        self, parent: QWidget, enabled: Callable[[object], bool] = lambda _key: True, room: ColumnRoom | None = None
    ) -> None:
        """`room`: of the table, where the words of a button grow and must not be cut."""
        super().__init__(parent)
        self._room = room
        self._enabled = enabled
        self._font = theme.font(11, QFont.Weight.Medium)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Qt."""
        paint_ground(painter, option, option.rect)
        model = index.model()
        if not isinstance(model, KeyedModel):
            raise TypeError("a button stands in a table of rows with ids")
        text, tone, _number = model.shown(index)  # at once: asked one by one through Qt, it takes three times as long
        if not text:
            return
        if self._room is not None:
            self._room.painted(index.column(), len(text))
        ink = _INKS.get(tone, _TEXT) if self._enabled(model.key_at(index)) else _FAINT
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = self._area(option)
        painter.setPen(_BORDER)
        painter.setBrush(_RAISED)
        painter.drawRoundedRect(area, 3, 3)
        painter.setPen(ink)
        painter.setFont(self._font)
        painter.drawText(area, _CENTRED, text)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Qt. Its words with air on both sides: a column that must not be cut takes this much."""
        text = index.data()
        width = QFontMetrics(self._font).horizontalAdvance(text) + 2 * (_INSET + _AIR) if text else 0
        return QSize(width, super().sizeHint(option, index).height())

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
        area = cell.adjusted(_INSET, _INSET, -_INSET, -_INSET)
        area.setWidth(min(area.width(), _WIDEST))  # also where the column takes what room is left
        return area
