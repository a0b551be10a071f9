"""One strategy's day on a time axis: its states, its timers, its fills, its stop and target, and the price as it goes.

Painted from facts alone; the owner hands in a new picture whenever one changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.domain.ids import Nanos
from app.domain.money import Price
from app.domain.order import Side
from app.domain.strategy import MarkKind, Strategy, StrategyMark, StrategyState
from app.ui import format as fmt
from app.ui import theme
from app.ui.theme import DARK
from app.ui.views.strategy_words import entry_word, exit_word, state_words

SECOND = 1_000_000_000
S = StrategyState
_RIBBON = 22
_AXIS = 20
_LEFT, _RIGHT, _TOP = 12, 112, 22
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800)
"""Seconds between two figures of the axis."""
_COLORS = {
    S.WAITING: DARK.overlay,
    S.BUYING: DARK.buy_fill,
    S.BOUGHT: "#1d5c47",
    S.SELLING: DARK.sell_fill,
    S.SOLD: DARK.border,
    S.EXITED_BY_SL: "#7a2b45",
    S.BUY_FAILED: DARK.danger_fill,
    S.ABORTED: DARK.danger_fill,
    S.PAUSED: DARK.warning_fill,
    S.BROKER_UNREACHABLE: DARK.danger_fill,
    S.IDLE: DARK.raised,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is painted."""

    strategy: Strategy
    marks: tuple[StrategyMark, ...]
    now: Nanos | None
    """Exchange time; None while nothing tells it."""
    prices: tuple[tuple[Nanos, Price], ...]
    """As heard while the view was open, oldest first."""
    stop: Price | None
    target: Price | None
    price_scale: int
    tick_size: int


def cycle_of(marks: tuple[StrategyMark, ...]) -> tuple[StrategyMark, ...]:
    """Those of the last day: from where it last began to wait. Pure."""
    begins = [n for n, mark in enumerate(marks) if mark.kind is MarkKind.STATE and mark.state is S.WAITING]
    return marks[begins[-1] :] if begins else marks


def span_of(picture: Picture) -> tuple[Nanos, Nanos]:
    """From when to when the axis runs: around what happened and what is still to come. Pure."""
    strategy, marks = picture.strategy, cycle_of(picture.marks)
    happened = [mark.at for mark in marks if mark.state is not S.WAITING or mark.kind is not MarkKind.STATE]
    begins = [at for at in (strategy.entry_at, *happened) if at is not None]
    ends = list(happened)
    if not strategy.state.is_over:
        ends += [at for at in (strategy.exit_at, picture.now) if at is not None]
    first = min(begins or ends or [0])
    last = max([*ends, first])
    edge = max((last - first) // 16, 20 * SECOND)
    return first - edge, last + (3 * edge if strategy.state.is_over else edge)  # room for the word of its last state


def segments_of(picture: Picture, until: Nanos) -> list[tuple[Nanos, Nanos, StrategyState]]:
    """(from, to, state), one after the other. Pure."""
    states = [mark for mark in cycle_of(picture.marks) if mark.kind is MarkKind.STATE]
    ends = [*(mark.at for mark in states[1:]), until]
    return [(mark.at, end, mark.state) for mark, end in zip(states, ends, strict=False)]


class Timeline(QWidget):
    """Shows one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("strategies.timeline")
        self.setAccessibleName("Timeline of the strategy")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(128)
        self.setMouseTracking(True)
        self._picture: Picture | None = None

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self._picture

    def show_picture(self, picture: Picture | None) -> None:
        """Painted with the next frame."""
        self._picture = picture
        self.setAccessibleDescription("" if picture is None else spoken(picture))
        self.update()

    def sizeHint(self) -> QSize:
        """Qt."""
        return QSize(420, 170)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Qt."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(DARK.base))
        painter.setFont(theme.font(11))
        picture = self._picture
        if picture is None:
            painter.setPen(QColor(DARK.faint))
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter), "Select a strategy to see its day.")
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        _Sketch(painter, picture, self.width(), self.height()).draw()


class _Sketch:
    """One painting of one picture."""

    def __init__(self, painter: QPainter, picture: Picture, width: int, height: int) -> None:
        self._p = painter
        self._picture = picture
        self._since, self._until = span_of(picture)
        self._lane = QRectF(_LEFT, _TOP, max(40, width - _LEFT - _RIGHT), max(20, height - _TOP - _RIBBON - _AXIS - 8))
        self._ribbon = QRectF(_LEFT, self._lane.bottom() + 6, self._lane.width(), _RIBBON)
        self._low, self._high = self._price_range()

    def draw(self) -> None:
        """Back to front."""
        self._axis()
        self._levels()
        self._price()
        self._states()
        self._timers()
        self._fills()

    def _x(self, at: Nanos) -> float:
        share = (at - self._since) / max(1, self._until - self._since)
        return self._lane.left() + self._lane.width() * min(1.0, max(0.0, share))

    def _y(self, price: float) -> float:
        share = (price - self._low) / max(1e-9, self._high - self._low)
        return self._lane.bottom() - self._lane.height() * share

    def _price_range(self) -> tuple[float, float]:
        picture = self._picture
        known = [mark.price for mark in cycle_of(picture.marks) if mark.price is not None]
        known += [price for _, price in picture.prices]
        known += [price for price in (picture.stop, picture.target, picture.strategy.entry_average) if price]
        if not known:
            return 0.0, 1.0
        low, high = min(known), max(known)
        edge = max((high - low) * 0.12, picture.tick_size * 4)
        return low - edge, high + edge

    def _line(self, color: str, width: float = 1.0, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> None:
        pen = QPen(QColor(color), width, style)
        pen.setCosmetic(True)
        self._p.setPen(pen)

    def _text(self, x: float, y: float, text: str, color: str) -> None:
        self._p.setPen(QColor(color))
        self._p.drawText(QPointF(x, y), text)

    def _axis(self) -> None:
        span = (self._until - self._since) / SECOND
        room = max(1.0, self._lane.width() / 76)
        step = next((s for s in _STEPS if span / s <= room), _STEPS[-1])
        moment = fmt.moment(self._since)
        midnight = self._since - (moment.hour * 3600 + moment.minute * 60 + moment.second) * SECOND
        at = midnight - midnight % SECOND
        at += -(-(self._since - at) // (step * SECOND)) * step * SECOND
        while at <= self._until:
            x = self._x(at)
            self._line(DARK.grid)
            self._p.drawLine(QPointF(x, self._lane.top()), QPointF(x, self._lane.bottom()))
            day = fmt.moment(at)
            midnight_here = (day.hour, day.minute, day.second) == (0, 0, 0)
            words = fmt.short_day(day.date()) if midnight_here else fmt.clock(at) if step >= 60 else fmt.time(at)
            half = self._p.fontMetrics().horizontalAdvance(words) / 2
            if x >= half:
                self._text(x - half, self._ribbon.bottom() + 15, words, DARK.faint)
            at += step * SECOND

    def _levels(self) -> None:
        picture = self._picture
        entry = picture.strategy.entry_average
        rows = ((picture.target, "target", DARK.up), (entry, "entry", DARK.position), (picture.stop, "stop", DARK.stop))
        begins = next((m.at for m in picture.marks if m.kind is MarkKind.ENTRY_FILL), None)
        left = self._lane.left() if begins is None else self._x(begins)
        taken: list[float] = []
        for price, words, color in rows:
            if not price:
                continue
            y = self._y(price)
            self._line(color, 1.4, Qt.PenStyle.SolidLine if words == "stop" else Qt.PenStyle.DashLine)
            self._p.drawLine(QPointF(left, y), QPointF(self._lane.right(), y))
            at = y + 4
            while any(abs(at - other) < 13 for other in taken):
                at += 13
            taken.append(at)
            shown = fmt.price(price, picture.price_scale, picture.tick_size)
            self._text(self._lane.right() + 6, at, f"{words} {shown}", color)

    def _price(self) -> None:
        prices = [(at, price) for at, price in self._picture.prices if self._since <= at <= self._until]
        if len(prices) > 1:
            self._line(DARK.muted, 1.2)
            self._p.drawPolyline(QPolygonF([QPointF(self._x(at), self._y(price)) for at, price in prices]))
        if prices:
            self._p.setBrush(QColor(DARK.text))
            self._p.setPen(Qt.PenStyle.NoPen)
            self._p.drawEllipse(QPointF(self._x(prices[-1][0]), self._y(prices[-1][1])), 2.5, 2.5)

    def _states(self) -> None:
        now = self._picture.now or 0
        end = self._until if self._picture.strategy.state.is_over else max(now, self._since)
        metrics = self._p.fontMetrics()
        for since, until, state in segments_of(self._picture, end):
            left, right = self._x(since), self._x(max(since, until))
            box = QRectF(left, self._ribbon.top(), max(2.0, right - left), self._ribbon.height())
            self._p.setPen(Qt.PenStyle.NoPen)
            self._p.setBrush(QColor(_COLORS[state]))
            self._p.drawRoundedRect(box.adjusted(0.5, 0, -0.5, 0), 2, 2)
            words = state_words(state, self._picture.strategy.plan.side)
            if metrics.horizontalAdvance(words) + 8 <= box.width():
                self._p.setPen(QColor(DARK.text))
                self._p.drawText(box, int(Qt.AlignmentFlag.AlignCenter), words)

    def _timers(self) -> None:
        strategy = self._picture.strategy
        side = strategy.plan.side
        void = strategy.state.is_over
        taken = -1e9
        for at, words in ((strategy.entry_at, entry_word(side)), (strategy.exit_at, exit_word(side))):
            if at is None or not self._since <= at <= self._until:
                continue
            x = self._x(at)
            self._line(DARK.faint if void else DARK.accent, 1.2, Qt.PenStyle.DashLine)
            self._p.drawLine(QPointF(x, _TOP - 6), QPointF(x, self._ribbon.bottom()))
            shown = f"{words} {fmt.clock(at)}"
            width = self._p.fontMetrics().horizontalAdvance(shown)
            left = min(x + 4, self._lane.right() + _RIGHT - width - 4)
            if left > taken:
                self._text(left, _TOP - 8, shown, DARK.faint if void else DARK.accent_text)
                taken = left + width + 6
        now = self._picture.now
        if now is not None and self._since <= now <= self._until and strategy.state.is_running:
            self._line(DARK.warning, 1.0)
            x = self._x(now)
            self._p.drawLine(QPointF(x, self._lane.top()), QPointF(x, self._ribbon.bottom()))

    def _fills(self) -> None:
        buys = self._picture.strategy.plan.side is Side.BUY
        for mark in cycle_of(self._picture.marks):
            if mark.price is None or mark.kind not in (MarkKind.ENTRY_FILL, MarkKind.EXIT_FILL):
                continue
            up = buys is (mark.kind is MarkKind.ENTRY_FILL)
            x, y = self._x(mark.at), self._y(mark.price)
            tip = -5.5 if up else 5.5
            shape = QPolygonF([QPointF(x, y + tip), QPointF(x - 5, y - tip), QPointF(x + 5, y - tip)])
            self._p.setPen(QPen(QColor(DARK.base), 1))
            self._p.setBrush(QColor(DARK.buy if up else DARK.sell))
            self._p.drawPolygon(shape)


def spoken(picture: Picture) -> str:
    """The same for a screen reader, and for a tooltip: one line a point."""
    return "\n".join(f"{fmt.time(mark.at)} {mark.words}" for mark in cycle_of(picture.marks))
