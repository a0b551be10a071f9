"""The rectangles of a chart and what stands where in them. A pane's ranges live in its pyqtgraph view box, so that
curves of pyqtgraph can be laid over the candles; our own layers draw in pixels, where a hairline stays one."""

from __future__ import annotations

import math
import sys

import pyqtgraph as pg
from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter

TIME_HEIGHT = 24
"""Of the time axis, pixels."""


class Pane:
    """One drawing area: candle index to x, value to y."""

    def __init__(self) -> None:
        self.view = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0)
        self.view.disableAutoRange()
        self.rect = QRectF(0, 0, 1, 1)
        self.first, self.last, self.low, self.high = 0.0, 1.0, 0.0, 1.0

    def place(self, rect: QRectF) -> None:
        """Where the pane stands in the scene."""
        self.rect = rect
        self.view.setGeometry(rect)

    def set_x(self, first: float, last: float) -> None:
        """Shows these candle indexes; a candle's middle is its index."""
        self.view.setXRange(first, last, padding=0)
        (self.first, self.last), _ = self.view.viewRange()

    def set_y(self, low: float, high: float) -> None:
        """Shows these values."""
        self.view.setYRange(low, high, padding=0)
        _, (self.low, self.high) = self.view.viewRange()

    @property
    def pixels_per_index(self) -> float:
        """Width of one candle with its gap."""
        return self.rect.width() / (self.last - self.first)

    def x(self, index: float) -> float:
        """Scene x of a candle's middle."""
        return self.rect.left() + (index - self.first) * self.pixels_per_index

    def index(self, x: float) -> float:
        """Candle index, fractional, at a scene x."""
        return self.first + (x - self.rect.left()) / self.pixels_per_index

    def y(self, value: float) -> float:
        """Scene y of a value."""
        return self.rect.top() + (self.high - value) * self.rect.height() / (self.high - self.low)

    def value(self, y: float) -> float:
        """Value at a scene y."""
        return self.high - (y - self.rect.top()) * (self.high - self.low) / self.rect.height()

    def visible(self, count: int) -> tuple[int, int]:
        """Candles [first, last) of `count` that touch the pane."""
        first = min(max(math.floor(self.first - 0.5), 0), count)
        return first, min(max(math.ceil(self.last + 0.5) + 1, first), count)


class Panes:
    """Price above volume above the time axis; the price axis on the right."""

    def __init__(self) -> None:
        self.price = Pane()
        self.volume = Pane()
        self.whole = QRectF(0, 0, 1, 1)
        self.time = QRectF(0, 0, 1, 1)
        self.with_volume = True
        """An index has none, and its candles take the room."""

    def place(self, width: float, height: float, axis_width: float) -> None:
        """Divides the canvas."""
        inner = max(width - axis_width, 16.0)
        volume = max(36.0, min(120.0, math.floor(height * 0.16))) if self.with_volume else 1.0
        price = max(height - TIME_HEIGHT - volume, 16.0)
        self.whole = QRectF(0, 0, width, height)
        self.price.place(QRectF(0, 0, inner, price))
        self.volume.place(QRectF(0, price, inner, volume))
        self.time = QRectF(0, price + volume, width, TIME_HEIGHT)

    def set_x(self, first: float, last: float) -> None:
        """Both panes show the same candles."""
        self.price.set_x(first, last)
        self.volume.set_x(first, last)


class Layer(pg.GraphicsObject):
    """One thing that is painted over the canvas, in scene pixels."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.setZValue(depth)
        self._area = QRectF(0, 0, 1, 1)

    def set_area(self, area: QRectF) -> None:
        """Where the layer may paint."""
        if area != self._area:
            self.prepareGeometryChange()
            self._area = area

    def boundingRect(self) -> QRectF:
        """For Qt: the area."""
        return self._area

    def paint(self, painter: QPainter, *_: object) -> None:
        """For Qt: paints with the state of the painter restored.

        A failure is a bug and is reported as one, but stays here: an exception that leaves an override in the middle
        of a repaint ends the process, and with it the stops.
        """
        painter.save()
        try:
            self.draw(painter)
        except Exception:  # noqa: BLE001 - reported, see above
            sys.excepthook(*sys.exc_info())
            self.setVisible(False)
        finally:
            painter.restore()

    def draw(self, painter: QPainter) -> None:
        """What the layer shows."""
        raise NotImplementedError
