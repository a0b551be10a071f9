"""The day's P&L as a curve: net in front, gross behind, green above zero and red below, on a pyqtgraph scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPainterPath, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QWidget

from app.desk.messages import CurvePoint
from app.ui import format as fmt
from app.ui.charts.panes import TIME_HEIGHT, Layer, Pane
from app.ui.charts.tags import TAG_HEIGHT, AxisTag, Pen, Piece, spread
from app.ui.theme import DARK

_MINUTE = 60_000_000_000
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180)
"""Minutes between time labels."""
_IST = 330 * _MINUTE
Floats = npt.NDArray[np.float64]


class CurveLayer(Layer):
    """Paints the curve. Everything in one layer: it moves a few times a second at most."""

    def __init__(self, pane: Pane, pen: Pen) -> None:
        super().__init__(0)
        self._pane = pane
        self._pen = pen
        self.at: Floats = np.empty(0)
        self.gross: Floats = np.empty(0)
        self.net: Floats = np.empty(0)
        self.points: tuple[CurvePoint, ...] = ()
        self.pointed: int | None = None
        """The point under the mouse."""

    def draw(self, painter: QPainter) -> None:
        """Grid, tint, curves, peak, tags."""
        pane, pen = self._pane, self._pen
        if not self.points:
            text = "The curve begins with the first trade or position of the day"
            pen.text(painter, pane.rect.center().x() - pen.width(text) / 2, pane.rect.center().y(), text, DARK.muted)
            return
        tags = self._tags()
        axis = QRectF(pane.rect.right(), 0, self.boundingRect().width() - pane.rect.right(), pane.rect.height())
        places = spread([tag.y for tag in tags], TAG_HEIGHT + 1, axis.top(), axis.bottom())
        self._grid(painter, places)
        x = pane.rect.left() + (self.at - pane.first) * pane.pixels_per_index
        zero = min(max(pane.y(0.0), pane.rect.top()), pane.rect.bottom())
        painter.save()
        painter.setClipRect(pane.rect)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        net = self._line(x, self.net)
        self._tint(painter, net, zero)
        painter.setPen(_dashed(DARK.muted, 1.2))
        painter.drawPolyline(self._line(x, self.gross))
        for top, height, color in (
            (pane.rect.top(), zero - pane.rect.top(), DARK.up),
            (zero, pane.rect.bottom() - zero, DARK.down),
        ):
            painter.setClipRect(QRectF(pane.rect.left(), top, pane.rect.width(), height))
            painter.setPen(QPen(QColor(color), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPolyline(net)
        painter.setClipRect(pane.rect)
        self._peak(painter, x)
        painter.restore()
        if self.pointed is not None:
            self._moment(painter, x[self.pointed], self.points[self.pointed].at)
        for tag, y in zip(tags, places, strict=True):
            pen.axis_tag(painter, tag, axis, y)

    def _line(self, x: Floats, values: Floats) -> QPolygonF:
        """At most one point a pixel column: with more, each column keeps its last."""
        pane = self._pane
        y = pane.rect.top() + (pane.high - values) * (pane.rect.height() / (pane.high - pane.low))
        if len(x) > pane.rect.width():
            keep = np.append(np.flatnonzero(np.diff(np.floor(x))), len(x) - 1)
            x, y = x[keep], y[keep]
        return QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])

    def _tint(self, painter: QPainter, net: QPolygonF, zero: float) -> None:
        area = QPainterPath()
        area.addPolygon(net)
        area.lineTo(net.last().x(), zero)
        area.lineTo(net.first().x(), zero)
        area.closeSubpath()
        rect = self._pane.rect
        for top, height, color in (
            (rect.top(), zero - rect.top(), DARK.up),
            (zero, rect.bottom() - zero, DARK.down),
        ):
            tint = QColor(color)
            tint.setAlpha(34)
            painter.setClipRect(QRectF(rect.left(), top, rect.width(), height))
            painter.fillPath(area, tint)
        painter.setClipRect(rect)

    def _grid(self, painter: QPainter, taken: list[float]) -> None:
        pane, pen = self._pane, self._pen
        hairline = QColor(DARK.hairline)
        for value in money_ticks(pane.low, pane.high, pane.rect.height()):
            y = round(pane.y(value))
            painter.fillRect(QRectF(0, y, pane.rect.width(), 1), QColor(DARK.border if value == 0 else DARK.grid))
            inside = pane.rect.top() + 8 < y < pane.rect.bottom() - 8
            if inside and all(abs(y - other) > TAG_HEIGHT * 0.75 for other in taken):
                text = fmt.compact(value, signed=True).removesuffix(".00")
                pen.text(painter, pane.rect.right() + 8, y, text, DARK.faint)
        room = max(1, int(pane.rect.width() / 80))
        span = pane.last - pane.first
        step = next((s for s in _STEPS if span / (s * _MINUTE) <= room), _STEPS[-1]) * _MINUTE
        mark = -(-(int(pane.first) + _IST) // step) * step - _IST
        while mark < pane.last:
            x = round(pane.x(mark))
            text = fmt.clock(mark)
            width = pen.width(text)
            painter.fillRect(QRectF(x, 0, 1, pane.rect.bottom()), QColor(DARK.grid))
            if x - width / 2 > 0 and x + width / 2 < pane.rect.right():
                pen.text(painter, x - width / 2, pane.rect.bottom() + TIME_HEIGHT / 2, text, DARK.faint)
            mark += step
        painter.fillRect(QRectF(pane.rect.right(), 0, 1, self.boundingRect().height()), hairline)
        painter.fillRect(QRectF(0, pane.rect.bottom(), self.boundingRect().width(), 1), hairline)

    def _peak(self, painter: QPainter, x: Floats) -> None:
        """Where the day's best net stood, and how far below it the day is now."""
        pane, pen = self._pane, self._pen
        peak = int(np.argmax(self.net))
        fallen = self.points[-1].net - self.points[peak].net
        if fallen >= 0 or peak == len(self.points) - 1:
            return
        at = QPointF(x[peak], pane.y(self.net[peak]))
        painter.setPen(QPen(QColor(DARK.base), 2))
        painter.setBrush(QColor(DARK.text))
        painter.drawEllipse(at, 4, 4)
        pieces = [
            Piece(f"Peak {fmt.pnl(self.points[peak].net)}", DARK.text, strong=True),
            Piece(f"▼ {fmt.amount(-fallen)} since", DARK.down),
        ]
        width = pen.label_width(pieces)
        left = min(max(at.x() - width / 2, 8.0), pane.rect.right() - width - 8)
        above = at.y() - 30
        top = above if above >= pane.rect.top() + 4 else at.y() + 10
        pen.label(painter, QRectF(round(left), round(top), width, TAG_HEIGHT), pieces, DARK.overlay, DARK.border)

    def _moment(self, painter: QPainter, x: float, at: int) -> None:
        """The time under the mouse."""
        pane, pen = self._pane, self._pen
        painter.fillRect(QRectF(round(x), 0, 1, pane.rect.bottom()), QColor(DARK.faint))
        text = fmt.time(at)
        width = pen.width(text, strong=True) + 16
        left = min(max(x - width / 2, 0.0), pane.rect.right() - width)
        rect = QRectF(round(left), pane.rect.bottom() + 2, round(width), TAG_HEIGHT)
        pen.box(painter, rect, DARK.overlay, DARK.border)
        pen.text(painter, rect.left() + 8, rect.center().y(), text, DARK.text, strong=True)

    def _tags(self) -> list[AxisTag]:
        """Net and gross at the mouse, else now."""
        point = self.points[-1 if self.pointed is None else self.pointed]
        color = DARK.up if point.net > 0 else DARK.down if point.net < 0 else DARK.flat
        return [
            AxisTag(self._pane.y(point.net), _short(point.net), color),
            AxisTag(self._pane.y(point.gross), _short(point.gross), DARK.muted, filled=False),
        ]


class MoneyCanvas(pg.GraphicsView):
    """The curve in its axes. The session is shown from its first point; the right edge follows the time."""

    AXIS = 92.0

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, useOpenGL=False, background=QColor(DARK.base))
        self.setCentralItem(None)
        self.setMinimumSize(240, 120)
        self._pane = Pane()
        self._layer = CurveLayer(self._pane, Pen())
        self.addItem(self._pane.view)
        self.addItem(self._layer)

    def show_points(self, points: Sequence[CurvePoint]) -> None:
        """The whole curve, oldest first."""
        layer = self._layer
        layer.points = tuple(points)
        layer.at = np.array([p.at for p in points], dtype=np.float64)
        layer.gross = np.array([p.gross for p in points], dtype=np.float64)
        layer.net = np.array([p.net for p in points], dtype=np.float64)
        layer.pointed = None
        self._fit()

    def _fit(self) -> None:
        layer, pane = self._layer, self._pane
        if layer.points:
            first, last = float(layer.at[0]), float(layer.at[-1])
            span = max(last - first, 15.0 * _MINUTE)
            pane.set_x(first - span * 0.01, first + span * 1.05)
            low = min(float(layer.net.min()), float(layer.gross.min()), 0.0)
            high = max(float(layer.net.max()), float(layer.gross.max()), 0.0)
            span = max(high - low, 1000_00.0)
            # Room above for the peak's label, as much as the height allows.
            above = min(0.5, 40.0 / max(pane.rect.height(), 60.0))
            pane.set_y(low - span * 0.1, high + span * (0.06 + above))
        layer.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Divides the canvas anew."""
        super().resizeEvent(event)  # type: ignore[arg-type]  # pyqtgraph itself calls it with None
        if not hasattr(self, "_layer"):
            return  # pyqtgraph resizes while it is being built
        size = self.viewport().size()
        self._pane.place(QRectF(0, 0, max(size.width() - self.AXIS, 16.0), max(size.height() - TIME_HEIGHT, 16.0)))
        self._layer.set_area(QRectF(0, 0, size.width(), size.height()))
        self._fit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The figures of the moment under the mouse."""
        event.accept()
        layer = self._layer
        if layer.points and event.position().x() <= self._pane.rect.right():
            at = self._pane.index(event.position().x())
            layer.pointed = min(int(np.searchsorted(layer.at, at)), len(layer.points) - 1)
            layer.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Back to now."""
        event.accept()
        self._layer.pointed = None
        self._layer.update()


def money_ticks(low: float, high: float, pixels: float) -> list[int]:
    """Round amounts in paise, whole rupees, at least 44 pixels apart; zero among them."""
    least = max((high - low) * 44 / max(pixels, 44.0), 100.0)
    power = 10 ** int(np.floor(np.log10(least)))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= least)
    first = -(-int(low) // step) * step
    return list(range(first, int(high) + 1, step))


def _short(paise: int) -> str:
    return fmt.compact(paise, signed=True)


def _dashed(color: str, width: float) -> QPen:
    pen = QPen(QColor(color), width)
    pen.setDashPattern([4, 3])
    return pen
