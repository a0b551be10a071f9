"""The crosshair with its tags, and the readout of the candle under it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QPainter, QPen

from app.domain.market import Candle, Interval
from app.domain.money import Price
from app.ui import format as fmt
from app.ui.charts.panes import Panes
from app.ui.charts.tags import TAG_HEIGHT, AxisTag, Pen
from app.ui.theme import DARK


@dataclass(slots=True)
class Crosshair:
    """Where the mouse is, in scene pixels; None when it is elsewhere."""

    x: float
    y: float


def paint_cross_lines(painter: QPainter, panes: Panes, cross: Crosshair, index: int) -> None:
    """Dashed hairlines, snapped to the candle. Below the labels, so that none is struck through."""
    line = QPen(QColor(DARK.faint), 1)
    line.setDashPattern([3, 4])
    painter.setPen(line)
    x, y = round(panes.price.x(index)), round(cross.y)
    if panes.price.rect.left() <= x <= panes.price.rect.right():
        painter.drawLine(x, 0, x, int(panes.volume.rect.bottom()))
    painter.drawLine(0, y, int(panes.price.rect.right()), y)


def paint_cross_tags(
    painter: QPainter, panes: Panes, pen: Pen, cross: Crosshair, index: int, texts: tuple[str, str]
) -> None:
    """Price and time on the axes, above everything. `texts`: price, time; an empty one is not shown."""
    x, y = round(panes.price.x(index)) + 0.5, round(cross.y) + 0.5
    price_text, time_text = texts
    if price_text:
        axis = QRectF(panes.price.rect.right(), 0, panes.whole.width() - panes.price.rect.right(), 1)
        pen.axis_tag(painter, AxisTag(y, price_text, DARK.text, filled=False), axis, y)
    if time_text:
        width = pen.width(time_text, strong=True) + 16
        left = min(max(x - width / 2, 0.0), panes.price.rect.right() - width)
        rect = QRectF(round(left), panes.time.top() + 2, round(width), TAG_HEIGHT)
        pen.box(painter, rect, DARK.overlay, DARK.border)
        pen.text(painter, rect.left() + 8, rect.center().y(), time_text, DARK.text, strong=True)


def paint_readout(painter: QPainter, pen: Pen, candle: Candle, before: Price | None, scale: int, tick: Price) -> None:
    """Open, high, low, close, change and, where there is any, volume; top left."""
    color = DARK.up if candle.close >= candle.open else DARK.down
    x = 10.0
    for name, value in (("O", candle.open), ("H", candle.high), ("L", candle.low), ("C", candle.close)):
        pen.text(painter, x, 16, name, DARK.faint)
        x += pen.width(name) + 4
        text = fmt.price(value, scale, tick)
        pen.text(painter, x, 16, text, color)
        x += pen.width(text) + 10
    base = candle.open if before is None else before
    if base:
        change = fmt.percent(Decimal(candle.close - base) * 100 / base, signed=True)
        pen.text(painter, x, 16, change, color)
        x += pen.width(change) + 10
    if not candle.volume:
        return
    pen.text(painter, x, 16, "V", DARK.faint)
    pen.text(painter, x + pen.width("V") + 4, 16, fmt.volume(candle.volume), DARK.muted)


def time_text(at: int, interval: Interval) -> str:
    """The moment of a candle as precisely as its interval asks for."""
    if interval >= Interval.DAY:
        return fmt.day_of(at)
    clock = fmt.clock(at) if interval >= Interval.MINUTE else fmt.time(at)
    return f"{fmt.short_day(fmt.moment(at).date())}  {clock}"
