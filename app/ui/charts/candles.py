"""The candles' layer. Draws only what is visible, at most one candle per pixel column, in batches by direction.

Up candles are outlined and filled faintly, down candles are solid: the direction can be told without colour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt.internals import PrimitiveArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.charts.panes import Layer, Panes
from app.ui.charts.series import CandleSeries, Columns
from app.ui.theme import DARK

Floats = npt.NDArray[np.float64]


def blend(one: str, other: str, share: float) -> QColor:
    """`share` of one colour over another; opaque, because translucent fills cost a frame more."""
    a, b = QColor(one), QColor(other)
    return QColor(
        *(round(x * share + y * (1 - share)) for x, y in zip(a.getRgb()[:3], b.getRgb()[:3], strict=True))  # type: ignore[index]  # PySide's stub says object
    )


class Rectangles:
    """A reusable array of rectangles that the painter takes in one call."""

    def __init__(self) -> None:
        self._array = PrimitiveArray(QRectF, 4)

    def draw(self, painter: QPainter, x: Floats, y: Floats, width: Floats | float, height: Floats) -> None:
        """All at once, with the painter's pen and brush."""
        if not len(x):
            return
        self._array.resize(len(x))
        memory = self._array.ndarray()
        memory[:, 0] = x
        memory[:, 1] = y
        memory[:, 2] = width
        memory[:, 3] = height
        painter.drawRects(*self._array.drawargs())


class CandleLayer(Layer):
    """Candles of the price pane."""

    def __init__(self, panes: Panes, series: CandleSeries) -> None:
        super().__init__(2)
        self._panes = panes
        self._series = series
        self._rectangles = Rectangles()
        self._up, self._down = QColor(DARK.up), QColor(DARK.down)
        self._up_fill = blend(DARK.up, DARK.base, 0.28)

    def draw(self, painter: QPainter) -> None:
        """Wicks and bodies as whole pixels: no smoothing, no blur."""
        pane = self._panes.price
        first, last = pane.visible(len(self._series))
        columns = self._series.window(first, last, int(pane.rect.width()))
        if not len(columns):
            return
        painter.setClipRect(pane.rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        rising = columns.close >= columns.open
        spacing = pane.pixels_per_index * columns.stride
        middle = np.floor(pane.x(0) + (columns.first + (columns.stride - 1) / 2) * pane.pixels_per_index)
        per_unit = pane.rect.height() / (pane.high - pane.low)
        top = np.round(pane.rect.top() + (pane.high - columns.high) * per_unit)
        bottom = np.round(pane.rect.top() + (pane.high - columns.low) * per_unit)
        painter.setPen(Qt.PenStyle.NoPen)
        for direction, color in ((rising, self._up), (~rising, self._down)):
            painter.setBrush(color)
            self._rectangles.draw(
                painter, middle[direction], top[direction], 1.0, np.maximum(bottom - top, 1.0)[direction]
            )
        if spacing >= 3:
            self._bodies(painter, columns, middle, rising, spacing)

    def _bodies(
        self, painter: QPainter, columns: Columns, middle: Floats, rising: npt.NDArray[np.bool_], spacing: float
    ) -> None:
        pane = self._panes.price
        half = max(1, int(spacing * 0.36))
        width = 2 * half + 1
        per_unit = pane.rect.height() / (pane.high - pane.low)
        upper = np.round(pane.rect.top() + (pane.high - np.maximum(columns.open, columns.close)) * per_unit)
        lower = np.round(pane.rect.top() + (pane.high - np.minimum(columns.open, columns.close)) * per_unit)
        height = np.maximum(lower - upper, 1.0)
        falling = ~rising
        painter.setBrush(self._down)
        self._rectangles.draw(painter, middle[falling] - half, upper[falling], float(width), height[falling])
        painter.setBrush(self._up)
        if width < 5:
            self._rectangles.draw(painter, middle[rising] - half, upper[rising], float(width), height[rising])
            return
        painter.setPen(QPen(self._up, 1))
        painter.setBrush(self._up_fill)
        self._rectangles.draw(
            painter, middle[rising] - half, upper[rising], width - 1.0, np.maximum(height - 1, 0)[rising]
        )
