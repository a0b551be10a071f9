"""A line that says whose money is at stake."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.ui.theme import DARK


class Tint(QWidget):
    """A thin line across the window in the colour of the money: amber for play, red for real."""

    def __init__(self) -> None:
        super().__init__()
        self._color = DARK.hairline
        self.setFixedHeight(2)

    def set_color(self, color: str) -> None:
        """One of the palette's."""
        self._color = color
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._color))
        painter.end()
