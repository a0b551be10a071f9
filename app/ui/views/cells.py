"""How a cell is painted. By hand: a table of live prices paints thousands of cells a second, and a style sheet's way
through a dozen calls per cell takes four times as long."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView

from app.ui.models.table import KeyedModel, Tone
from app.ui.theme import DARK
from app.ui.views.column_room import ColumnRoom

_COLORS: dict[Tone, QColor] = {
    Tone.PLAIN: QColor(DARK.text),
    Tone.DIM: QColor(DARK.muted),
    Tone.UP: QColor(DARK.up),
    Tone.DOWN: QColor(DARK.down),
    Tone.BUY: QColor(DARK.buy),
    Tone.SELL: QColor(DARK.sell),
    Tone.WARN: QColor(DARK.warning),
    Tone.ALARM: QColor(DARK.danger),
    Tone.GOOD: QColor(DARK.up),
}
_SELECTED, _HOVERED, _LINE = QColor(DARK.selection), QColor(DARK.hover), QColor(DARK.hairline)
_MARGIN = 9
"""Pixels left and right of the text, as the header has them."""
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)

Index = QModelIndex | QPersistentModelIndex


class CellDelegate(QStyledItemDelegate):
    """Text in the colour that its tone means. Selection and hover lie behind it, a hairline below."""

    def __init__(self, table: QTableView, model: KeyedModel, room: ColumnRoom) -> None:
        super().__init__(table)
        self._model = model
        self._room = room

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Qt."""
        rect: QRect = option.rect
        paint_ground(painter, option, rect)
        self.paint_behind(painter, rect, index)
        text, tone, number = self._model.shown(index)
        self._room.painted(index.column(), len(text))
        if not text:
            return
        area = rect.adjusted(_MARGIN, 0, -_MARGIN, 0)
        if not number:
            text = option.fontMetrics.elidedText(text, Qt.TextElideMode.ElideRight, area.width())
        painter.setPen(_COLORS[tone])
        painter.drawText(area, _RIGHT if number else _LEFT, text)

    def paint_behind(self, painter: QPainter, rect: QRect, index: Index) -> None:
        """What a table wants between ground and text."""


def paint_ground(painter: QPainter, option: QStyleOptionViewItem, rect: QRect) -> None:
    """Selection or hover, and the line below the row."""
    state = option.state
    if state & QStyle.StateFlag.State_Selected:
        painter.fillRect(rect, _SELECTED)
    elif state & QStyle.StateFlag.State_MouseOver:
        painter.fillRect(rect, _HOVERED)
    painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, _LINE)
