"""Where grid lines and axis labels stand, and the layer behind the candles that draws them.

The time axis counts candles, not seconds: nights, weekends and holidays take no room. Labels come from the candles' own
start times, in IST.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QFontMetricsF, QPainter

from app.domain.money import Price
from app.ui import format as fmt
from app.ui.charts.panes import Layer, Pane, Panes
from app.ui.charts.series import CandleSeries
from app.ui.charts.tags import TAG_HEIGHT, Pen
from app.ui.theme import DARK, font

PRICE_SPACING = 52
"""Pixels between price labels, at least."""
TIME_SPACING = 76
"""Pixels between time labels, at least."""

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_IST = 19_800 * _SECOND
_STEPS = tuple(s * _SECOND for s in (1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800))


def price_ticks(
    low: float, high: float, pixels: float, tick_size: Price, spacing: float = PRICE_SPACING
) -> list[Price]:
    """Round prices of [low, high] at 1, 2 or 5 times a power of ten, on ticks, `spacing` pixels apart or more."""
    if high <= low or pixels < spacing:
        return []
    least = max((high - low) * spacing / pixels, tick_size)
    power = 10 ** int(np.floor(np.log10(max(least, 1))))
    step = next(int(m * power) for m in (1, 2, 5, 10, 20, 50) if m * power >= least)
    step = -(-step // tick_size) * tick_size
    first = -(-int(np.ceil(low)) // step) * step
    return list(range(first, int(np.floor(high)) + 1, step))


@dataclass(frozen=True, slots=True)
class TimeLabel:
    """A label of the time axis, at a candle."""

    index: int
    text: str
    major: bool
    """A new day, month or year: stands out."""


def time_labels(series: CandleSeries, first: int, last: int, pixels_per_candle: float) -> list[TimeLabel]:
    """Labels of candles [first, last), days before hours before minutes, none closer than `TIME_SPACING`."""
    first, last = max(first, 0), min(last, len(series))
    if last - first < 2:
        return []
    stride = max(1, int((last - first) // 2000))
    starts = series.starts(first, last, stride) + _IST
    room = max(1, int((last - first) * pixels_per_candle / TIME_SPACING))
    days = _changes(starts // _DAY)
    if len(days) > room:
        return _calendar_labels(starts, first, stride, room, pixels_per_candle)
    labels: list[TimeLabel] = []
    taken: list[float] = []
    for i in days:
        index = first + int(i) * stride
        if not taken or index * pixels_per_candle - taken[-1] >= TIME_SPACING:
            labels.append(TimeLabel(index, _day_text(int(starts[i])), major=True))
            taken.append(index * pixels_per_candle)
    for step in _STEPS:
        marks = _changes(starts // step)
        if len(marks) <= room:
            for i in marks:
                index = first + int(i) * stride
                x = index * pixels_per_candle
                if all(abs(x - other) >= TIME_SPACING for other in taken):
                    text = fmt.clock(int(starts[i]) - _IST) if step >= 60 * _SECOND else fmt.time(int(starts[i]) - _IST)
                    labels.append(TimeLabel(index, text, major=False))
                    taken.append(x)
            break
    return sorted(labels, key=lambda label: label.index)


def _calendar_labels(
    starts: npt.NDArray[np.int64], first: int, stride: int, room: int, pixels_per_candle: float
) -> list[TimeLabel]:
    """Many days: label months and years, and between them days where there is room."""
    moments = starts.astype("datetime64[ns]")
    labels: list[TimeLabel] = []
    taken: list[float] = []
    for unit in ("Y", "M", "W", "D"):
        marks = _changes(moments.astype(f"datetime64[{unit}]").astype(np.int64))
        if len(marks) > room * 4:
            break
        for i in marks:
            index = first + int(i) * stride
            x = index * pixels_per_candle
            if all(abs(x - other) >= TIME_SPACING for other in taken):
                day = fmt.moment(int(starts[i]) - _IST).date()
                text = {"Y": str(day.year), "M": fmt.month(day)}.get(unit, fmt.short_day(day))
                labels.append(TimeLabel(index, text, major=unit == "Y"))
                taken.append(x)
    return sorted(labels, key=lambda label: label.index)


def _changes(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where a key differs from the one before."""
    return np.flatnonzero(np.diff(keys)) + 1


def _day_text(ist: int) -> str:
    return fmt.short_day(fmt.moment(ist - _IST).date())


class Backdrop(Layer):
    """Grid, axis labels, day separators, gaps in the data. Below everything; repainted when the view moves."""

    def __init__(self, panes: Panes, series: CandleSeries) -> None:
        super().__init__(-10)
        self.price_scale = 100
        self.tick_size: Price = 5
        self.interval_ns = 60 * _SECOND
        self._panes = panes
        self._series = series
        self._font = font(11)
        self._metrics = QFontMetricsF(self._font)

    def axis_width(self, high: float) -> float:
        """Room that the longest price label needs, on the 4 px grid."""
        text = fmt.price(int(high), self.price_scale, self.tick_size)
        return max(64.0, float(np.ceil((self._metrics.horizontalAdvance(text) + 20) / 4) * 4))

    def draw(self, painter: QPainter) -> None:
        """Hairlines by integer rectangles: crisp at every scale."""
        panes, series = self._panes, self._series
        price, volume = panes.price, panes.volume
        painter.setFont(self._font)
        grid, hairline = QColor(DARK.grid), QColor(DARK.hairline)
        self._paint_grid(painter, price, grid)
        first, last = price.visible(len(series))
        per_candle = price.pixels_per_index
        baseline = panes.time.center().y() + self._metrics.capHeight() / 2
        if len(series):
            for index in series.gaps(first, last, self.interval_ns) if per_candle >= 1.5 else ():
                x = price.x(index) - per_candle / 2
                painter.fillRect(QRectF(x - 2, price.rect.top(), 3, price.rect.height()), QColor(DARK.warning_fill))
            for label in time_labels(series, first, last, per_candle):
                x = round(price.x(label.index))
                painter.fillRect(QRectF(x, 0, 1, volume.rect.bottom()), hairline if label.major else grid)
                width = self._metrics.horizontalAdvance(label.text)
                if x - width / 2 < 0 or x + width / 2 > price.rect.right():
                    continue
                painter.setPen(QColor(DARK.text if label.major else DARK.faint))
                painter.drawText(int(x - width / 2), int(baseline), label.text)
        right = price.rect.right()
        painter.fillRect(QRectF(right, 0, 1, panes.whole.height()), hairline)
        painter.fillRect(QRectF(0, volume.rect.top() - 1, panes.whole.width(), 1), hairline)
        painter.fillRect(QRectF(0, panes.time.top(), panes.whole.width(), 1), hairline)

    def _paint_grid(self, painter: QPainter, pane: Pane, grid: QColor) -> None:
        for tick in price_ticks(pane.low, pane.high, pane.rect.height(), self.tick_size):
            painter.fillRect(QRectF(0, round(pane.y(tick)), pane.rect.width(), 1), grid)


def paint_price_labels(
    painter: QPainter, pane: Pane, pen: Pen, scale: int, tick_size: Price, taken: list[float]
) -> None:
    """Figures of the price axis, where no tag stands. By the top layer, because it knows the tags."""
    for tick in price_ticks(pane.low, pane.high, pane.rect.height(), tick_size):
        y = pane.y(tick)
        inside = pane.rect.top() + 8 < y < pane.rect.bottom() - 8
        if inside and all(abs(y - other) > TAG_HEIGHT * 0.75 for other in taken):
            pen.text(painter, pane.rect.right() + 8, y, fmt.price(tick, scale, tick_size), DARK.faint)
