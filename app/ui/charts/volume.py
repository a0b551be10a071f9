"""The volume layer: one bar a column, tinted by the candle's direction."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter

from app.ui import format as fmt
from app.ui.charts.candles import Rectangles, blend
from app.ui.charts.panes import Layer, Panes
from app.ui.charts.series import CandleSeries
from app.ui.theme import DARK, font


class VolumeLayer(Layer):
    """Bars of the volume pane. The tallest visible bar fills it; its volume stands on the axis."""

    def __init__(self, panes: Panes, series: CandleSeries) -> None:
        super().__init__(1)
        self._panes = panes
        self._series = series
        self._rectangles = Rectangles()
        self._up, self._down = blend(DARK.up, DARK.base, 0.42), blend(DARK.down, DARK.base, 0.5)
        self._font = font(11)
        self._ascent = QFontMetricsF(self._font).ascent()

    def draw(self, painter: QPainter) -> None:
        """Whole pixels from the floor up."""
        pane = self._panes.volume
        first, last = pane.visible(len(self._series))
        columns = self._series.window(first, last, int(pane.rect.width()))
        peak = int(columns.volume.max()) if len(columns) else 0
        if peak <= 0:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        rising = columns.close >= columns.open
        spacing = pane.pixels_per_index * columns.stride
        half = max(0, int(spacing * 0.36)) if spacing >= 3 else 0
        left = np.floor(pane.x(0) + (columns.first + (columns.stride - 1) / 2) * pane.pixels_per_index) - half
        height = np.ceil(columns.volume * ((pane.rect.height() - 8) / peak))
        top = np.floor(pane.rect.bottom()) - height
        painter.setClipRect(pane.rect)
        painter.setPen(Qt.PenStyle.NoPen)
        for direction, color in ((rising, self._up), (~rising, self._down)):
            painter.setBrush(color)
            self._rectangles.draw(painter, left[direction], top[direction], 2.0 * half + 1, height[direction])
        painter.setClipping(False)
        painter.setFont(self._font)
        painter.setPen(QColor(DARK.faint))
        painter.drawText(int(pane.rect.right()) + 8, int(pane.rect.top() + 8 + self._ascent), fmt.volume(peak))
