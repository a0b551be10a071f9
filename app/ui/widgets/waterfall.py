"""An exit as a waterfall: one line a step, a bar from the step before to this one, on a scale that shows microseconds
and seconds alike."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.domain.flight import Flight, FlightMark, FlightStep
from app.ui import format as fmt
from app.ui.models.table import plain_tip
from app.ui.theme import DARK

ROW = 22
LABEL, TIME, GAP = 92, 84, 10
_COLORS = {
    FlightStep.BREACH: DARK.warning,
    FlightStep.DECIDED: DARK.accent,
    FlightStep.WRITTEN: DARK.accent,
    FlightStep.ANSWERED: DARK.muted,
    FlightStep.FILLED: DARK.up,
    FlightStep.FLAT: DARK.up,
}


def steps_of(flight: Flight) -> list[FlightMark]:
    """What gets a line: everything but the prices around it."""
    return [mark for mark in flight.marks if mark.step is not FlightStep.TICK]


def duration(us: int) -> str:
    """`183 µs`, `2.75 ms`, `1.20 s`."""
    if abs(us) < 1_000:
        return f"{us} µs"
    if abs(us) < 1_000_000:
        return f"{us / 1_000:.2f} ms"
    return f"{us / 1_000_000:.2f} s"


def describe(mark: FlightMark, flight: Flight) -> str:
    """A step as the end of its line."""
    price = "" if mark.price is None else fmt.price(mark.price, flight.price_scale)
    if mark.step is FlightStep.BREACH:
        level = fmt.price(flight.level, flight.price_scale)
        if flight.looked is not None:
            return f"{flight.looked.partition(':')[2]} {price} arrived, the level was {level}"
        by = f" · decided by {flight.source}" if flight.source else ""
        return f"{price} arrived, the level was {level}{by}"
    if mark.step is FlightStep.FILLED:
        return f"{fmt.group(mark.quantity)} at {price}"
    if mark.step is FlightStep.WRITTEN:
        return mark.words or f"{_count(mark.quantity, 'unit')} in {_count(len(flight.sent), 'order')}"
    return mark.words


class Waterfall(QWidget):
    """Of one flight. Empty until `show_flight`."""

    def __init__(self) -> None:
        super().__init__()
        self._flight: Flight | None = None
        self.setObjectName("flights.waterfall")
        self.setAccessibleName("The exit step by step")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.MinimumExpanding)

    @property
    def flight(self) -> Flight | None:
        """What it shows."""
        return self._flight

    def show_flight(self, flight: Flight | None) -> None:
        """Another one, or none."""
        self._flight = flight
        words = [] if flight is None else [self.line(mark) for mark in steps_of(flight)]
        self.setAccessibleDescription("; ".join(words))
        self.setToolTip("" if flight is None or not flight.sent else plain_tip("\n\n".join(flight.sent)))
        self.setMinimumHeight(self.sizeHint().height())
        self.updateGeometry()
        self.update()

    def line(self, mark: FlightMark) -> str:
        """A line as text, for readers of the screen."""
        said = "" if self._flight is None else describe(mark, self._flight)
        return f"{mark.step} {duration(mark.at_us)} {said}".strip()

    def sizeHint(self) -> QSize:
        """Qt."""
        rows = 0 if self._flight is None else len(steps_of(self._flight)) + 2
        return QSize(480, rows * ROW + 8)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(DARK.panel))
        flight = self._flight
        if flight is None:
            painter.setPen(QColor(DARK.faint))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Choose an exit above.")
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        steps = steps_of(flight)
        words = LABEL + TIME + GAP
        bars = max(60.0, (self.width() - words) * 0.42)
        last = max((mark.at_us for mark in flight.marks), default=0)

        def x(us: int) -> float:
            """Where a moment stands: logarithmic, so that 200 µs and 2 s are both seen."""
            return words + (math.log1p(max(0, us)) / math.log1p(max(last, 1))) * (bars - 6)

        self._ticks(painter, flight, x(0), x)
        before = 0
        for row, mark in enumerate(steps, 1):
            top = row * ROW
            color = QColor(DARK.danger if _refused(mark) else _COLORS[mark.step])
            middle = top + ROW / 2
            painter.setPen(QColor(DARK.text))
            painter.drawText(QRectF(8, top, LABEL, ROW), Qt.AlignmentFlag.AlignVCenter, str(mark.step))
            painter.setPen(QColor(DARK.muted))
            right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(LABEL, top, TIME, ROW), right, duration(mark.at_us))
            begin, end = x(before), x(mark.at_us)
            painter.fillRect(QRectF(begin, middle - 4, max(2.0, end - begin), 8), color)
            painter.setPen(QColor(DARK.danger if _refused(mark) else DARK.muted))
            text = QRectF(words + bars + GAP, top, self.width() - words - bars - GAP - 8, ROW)
            said = painter.fontMetrics().elidedText(
                describe(mark, flight), Qt.TextElideMode.ElideRight, int(text.width())
            )
            painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, said)
            before = mark.at_us
        painter.setPen(QPen(QColor(DARK.hairline)))
        painter.drawLine(int(words), ROW, int(words), (len(steps) + 1) * ROW)

    def _ticks(self, painter: QPainter, flight: Flight, zero: float, x: Callable[[int], float]) -> None:
        """The prices around it: what came before in words, what came after as dots below the bars."""
        before = [mark for mark in flight.marks if mark.step is FlightStep.TICK and mark.at_us < 0]
        painter.setPen(QColor(DARK.faint))
        told = "no price before"
        if before:
            newest = before[-1]
            price = fmt.price(newest.price or 0, flight.price_scale)
            told = f"{_count(len(before), 'price')} before, the last {price} at {duration(newest.at_us)}"
        painter.drawText(QRectF(8, 0, max(zero - 16, 400), ROW), Qt.AlignmentFlag.AlignVCenter, told)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(DARK.faint))
        bottom = (len(steps_of(flight)) + 1) * ROW + 6
        for mark in flight.marks:
            if mark.step is FlightStep.TICK and mark.at_us >= 0:
                painter.drawEllipse(QRectF(x(mark.at_us) - 2, bottom, 4, 4))


def _count(number: int, thing: str) -> str:
    return f"{fmt.group(number)} {thing}{'' if number == 1 else 's'}"


def _refused(mark: FlightMark) -> bool:
    return mark.step is FlightStep.ANSWERED and not mark.words.startswith("order ")
