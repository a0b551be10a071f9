"""One figure day by day, as bars: the newest on the right, the largest and the newest named."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui import format as fmt
from app.ui.theme import DARK

_TEXT = 18
_WIDEST = 28.0


class DayBars(QWidget):
    """Of one figure. Empty until `show_series`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName("The chosen figure day by day")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._title = ""
        self._days: Sequence[str] = ()
        self._values: Sequence[int | None] = ()

    @property
    def title(self) -> str:
        """What is shown."""
        return self._title

    def show_series(self, title: str, days: Sequence[str], values: Sequence[int | None]) -> None:
        """Another figure; a day without one has no bar."""
        self._title, self._days, self._values = title, days, values
        told = [f"{day} {value}" for day, value in zip(days, values, strict=True) if value is not None]
        self.setAccessibleDescription(f"{title}: {', '.join(told)}")
        self.update()

    def sizeHint(self) -> QSize:
        """Qt."""
        return QSize(320, 132)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(DARK.panel))
        if not self._days:
            painter.setPen(QColor(DARK.faint))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Choose a figure above.")
            return
        inside = QRectF(self.rect()).adjusted(12, 8, -12, -6)
        painter.setPen(QColor(DARK.muted))
        painter.drawText(QRectF(inside.left(), inside.top(), inside.width(), _TEXT), 0, self._title)
        bars = inside.adjusted(0, _TEXT + 4, 0, -_TEXT)
        most = max((value for value in self._values if value is not None), default=0)
        step = min(_WIDEST, bars.width() / len(self._days))
        left = bars.right() - step * len(self._days)
        for number, value in enumerate(self._values):
            if value is None:
                continue
            height = max(2.0, bars.height() * value / most) if most else 2.0
            bar = QRectF(left + number * step + 1, bars.bottom() - height, max(1.0, step - 2), height)
            painter.fillRect(bar, QColor(DARK.accent if number == len(self._days) - 1 else DARK.muted))
        painter.setPen(QColor(DARK.faint))
        foot = QRectF(inside.left(), bars.bottom() + 2, inside.width(), _TEXT)
        painter.drawText(foot, int(Qt.AlignmentFlag.AlignRight), self._days[-1])
        painter.drawText(
            foot,
            int(Qt.AlignmentFlag.AlignLeft),
            f"most {fmt.group(most)}, {len(self._days)} day{'' if len(self._days) == 1 else 's'}",
        )
