"""Everything above the candles: last price, positions with break-even, fills, stop lines, crosshair, readout."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from app.domain.ids import Nanos
from app.domain.market import Interval
from app.domain.money import Paise, Price, Rounding, to_tick
from app.domain.order import Side
from app.ui import format as fmt
from app.ui.charts import stop_paint
from app.ui.charts.axes import paint_price_labels
from app.ui.charts.crosshair import Crosshair, paint_cross_lines, paint_cross_tags, paint_readout, time_text
from app.ui.charts.panes import Layer, Panes
from app.ui.charts.series import CandleSeries
from app.ui.charts.stop_line import Phase, StopLine
from app.ui.charts.stop_paint import PlacedStop
from app.ui.charts.tags import TAG_HEIGHT, AxisTag, Pen, Piece, spread
from app.ui.theme import DARK

_GAP_ALPHA = 28
_READOUT = 30.0
"""Kept free at the top left for the readout, pixels."""


@dataclass(frozen=True, slots=True)
class PositionMark:
    """An open position as a line."""

    quantity: int
    lot_size: int
    average: float
    """Minor units with fraction: for the line's place alone."""
    average_text: str
    unrealised: Paise | None
    """None: shares that were sold out of demat, by which nothing is won or lost any more."""
    break_even: Price | None
    product: str
    """With the account before it where several hold the instrument."""


@dataclass(frozen=True, slots=True)
class FillMark:
    """A fill as ▲ (bought) or ▼ (sold), its tip at the price."""

    at: Nanos
    price: Price
    side: Side


class Overlay(Layer):
    """The top layer. Its facts are set by the canvas; `layout` decides where things stand, `draw` paints them."""

    def __init__(self, panes: Panes, series: CandleSeries, pen: Pen) -> None:
        super().__init__(10)
        self._panes = panes
        self._series = series
        self._pen = pen
        self.price_scale = 100
        self.tick_size: Price = 5
        self.interval = Interval.MINUTE
        self.last: Price | None = None
        self.rising = True
        """Whether the last price stands above the previous close."""
        self.stale = False
        self.positions: tuple[PositionMark, ...] = ()
        self.fills: tuple[FillMark, ...] = ()
        self.stops: tuple[StopLine, ...] = ()
        self.gaps: tuple[tuple[Nanos, Nanos], ...] = ()
        """From when to when no prices came: what is drawn there was read afterwards, and no stop saw it."""
        self.hovered: StopLine | None = None
        self.cross: Crosshair | None = None
        self.message = ""
        """In the middle of an empty chart: loading, nothing here, what went wrong."""
        self.warning = ""
        """A line at the bottom: history is incomplete."""
        self.loading = False
        """History is on the way and the scale will jump: no line is offered that would slip out of the hand."""
        self.placed: list[PlacedStop] = []

    def layout(self) -> list[PlacedStop]:
        """Places the stop lines anew, labels apart from each other. Also what presses are tested against."""
        pane = self._panes.price
        found = [
            stop_paint.place(line, pane, self._pen, self.last, hovered=line is self.hovered)
            for line in self.stops
            if not (self.loading and line.phase is Phase.OFFERED and line.dragged is None)
        ]
        self.placed = [placed for placed in found if placed is not None]
        centres = spread(
            [p.label.center().y() for p in self.placed], TAG_HEIGHT + 2, pane.rect.top(), pane.rect.bottom()
        )
        for placed, centre in zip(self.placed, centres, strict=True):
            placed.label.moveTop(round(centre - TAG_HEIGHT / 2))
            if placed.close is not None:
                placed.close.moveTop(placed.label.top())
        return self.placed

    def price_text(self, price: Price) -> str:
        """With the instrument's decimals."""
        return fmt.price(price, self.price_scale, self.tick_size)

    def draw(self, painter: QPainter) -> None:
        """From the bottom up."""
        pane, pen = self._panes.price, self._pen
        if self.message:
            self._paint_message(painter)
        placed = self.layout()
        cross = self._cross()
        if cross is not None:
            paint_cross_lines(painter, self._panes, *cross)
        painter.save()
        painter.setClipRect(pane.rect)
        self._paint_gaps(painter)
        self._paint_fills(painter)
        self._paint_price_lines(painter)
        for stop in placed:
            stop_paint.paint_line(painter, stop, pane, hovered=stop.line is self.hovered)
        self._paint_position_labels(painter)
        for stop in placed:
            stop_paint.paint_label(painter, stop, pen, hovered=stop.line is self.hovered)
        if self.warning:
            rect = QRectF(8, pane.rect.bottom() - 28, pen.width(self.warning) + 20, TAG_HEIGHT)
            pen.label(painter, rect, [Piece(self.warning, DARK.warning)], DARK.warning_fill, DARK.warning)
        painter.restore()
        self._paint_axis_tags(painter, placed, cross)
        self._paint_readout(painter, cross)

    def _paint_message(self, painter: QPainter) -> None:
        rect = self._panes.price.rect
        width = self._pen.width(self.message)
        self._pen.text(painter, rect.center().x() - width / 2, rect.center().y(), self.message, DARK.muted)

    def _paint_gaps(self, painter: QPainter) -> None:
        """A band over the time in which nothing was heard, with its length at the foot."""
        pane, count = self._panes.price, len(self._series)
        if not count:
            return
        for since, until in self.gaps:
            left, right = (pane.x(self._place(at)) for at in (since, until))
            if right < pane.rect.left() or left > pane.rect.right():
                continue
            band = QRectF(left, pane.rect.top(), max(right - left, 2.0), pane.rect.height())
            ink = QColor(DARK.warning)
            ink.setAlpha(_GAP_ALPHA)
            painter.fillRect(band, ink)
            words = f"no prices {fmt.age((until - since) // 1_000_000)}"
            # At the newest bar there is no room to the right: words that end early would tell another length.
            room = pane.rect.right() - self._pen.width(words) - 4
            self._pen.text(painter, min(left + 4, room), pane.rect.bottom() - 12, words, DARK.warning)

    def _place(self, at: Nanos) -> float:
        """Where a moment lies between two candles."""
        index = self._series.index_at(at)
        if index < 0:
            return 0.0
        within = (at - self._series.start(index)) / (int(self.interval) * 1_000_000_000)
        return index - 0.5 + min(within, 1.0)

    def _paint_fills(self, painter: QPainter) -> None:
        """Triangles with their tips at the fill's price; only the visible ones."""
        pane = self._panes.price
        count = len(self._series)
        if not count:
            return
        first, last = pane.visible(count)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(QPen(QColor(DARK.base), 1))
        for fill in self.fills:
            index = self._series.index_at(fill.at)
            if not first <= index < last:
                continue
            x, y = pane.x(index), pane.y(fill.price)
            way = 1 if fill.side is Side.BUY else -1
            painter.setBrush(QColor(DARK.buy if fill.side is Side.BUY else DARK.sell))
            painter.drawPolygon(QPolygonF([QPointF(x, y), QPointF(x - 5, y + way * 9), QPointF(x + 5, y + way * 9)]))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _paint_price_lines(self, painter: QPainter) -> None:
        pane = self._panes.price
        for mark in self.positions:
            if mark.break_even is not None:
                self._hairline(painter, pane.y(mark.break_even), DARK.break_even, [6, 4])
            y = round(pane.y(mark.average))
            painter.fillRect(QRectF(pane.rect.left(), y, pane.rect.width(), 1), QColor(DARK.position))
        if self.last is not None:
            self._hairline(painter, pane.y(self.last), self._last_color(), [1, 3])

    def _hairline(self, painter: QPainter, y: float, color: str, pattern: list[float]) -> None:
        line = QPen(QColor(color), 1)
        line.setCapStyle(Qt.PenCapStyle.FlatCap)
        line.setDashPattern(pattern)
        painter.setPen(line)
        at = round(y) + 0.5
        painter.drawLine(QPointF(0, at), QPointF(self._panes.price.rect.right(), at))

    def _last_color(self) -> str:
        if self.stale:
            return DARK.muted
        return DARK.up if self.rising else DARK.down

    def _paint_position_labels(self, painter: QPainter) -> None:
        """At the left, below the readout: what is held at which average, and where it breaks even."""
        pane, pen = self._panes.price, self._pen
        labels: list[tuple[float, list[Piece], str]] = []
        for mark in self.positions:
            made = mark.unrealised
            way = "SOLD" if made is None else "LONG" if mark.quantity > 0 else "SHORT"
            pieces = [
                Piece(f"{way} {fmt.quantity(abs(mark.quantity), mark.lot_size)}", DARK.position, strong=True),
                Piece(f"{mark.product} @ {mark.average_text}", DARK.muted, importance=2),
            ]
            if made is not None:
                ink = DARK.up if made > 0 else DARK.down if made < 0 else DARK.muted
                pieces.append(Piece(fmt.pnl(made), ink, strong=True, importance=1))
            labels.append((pane.y(mark.average), pieces, DARK.position))
            if mark.break_even is not None:
                text = f"Break-even {self.price_text(mark.break_even)}"
                labels.append((pane.y(mark.break_even), [Piece(text, DARK.break_even)], DARK.border))
        shown = [entry for entry in labels if pane.rect.top() < entry[0] < pane.rect.bottom()]
        centres = spread([y for y, _, _ in shown], TAG_HEIGHT + 2, pane.rect.top() + _READOUT, pane.rect.bottom())
        for (_, pieces, border), centre in zip(shown, centres, strict=True):
            room = self._room_left_of_stops(centre)
            kept = pen.fit(pieces, room)
            if pen.label_width(kept) <= room:
                rect = QRectF(8, round(centre - TAG_HEIGHT / 2), pen.label_width(kept), TAG_HEIGHT)
                pen.label(painter, rect, kept, DARK.overlay, border)

    def _room_left_of_stops(self, centre: float) -> float:
        """Width for a label at the left: a stop's label at the same height comes first."""
        edges = [p.label.left() for p in self.placed if abs(p.label.center().y() - centre) < TAG_HEIGHT + 2]
        return min([self._panes.price.rect.right(), *edges]) - 16

    def _paint_axis_tags(
        self, painter: QPainter, placed: list[PlacedStop], cross: tuple[Crosshair, int] | None
    ) -> None:
        pane = self._panes.price
        axis = QRectF(pane.rect.right(), 0, self._panes.whole.width() - pane.rect.right(), pane.rect.height())
        tags: list[AxisTag] = []
        for mark in self.positions:
            if mark.break_even is not None:
                tags.append(AxisTag(pane.y(mark.break_even), self.price_text(mark.break_even), DARK.break_even, False))
            tags.append(AxisTag(pane.y(mark.average), mark.average_text, DARK.position, filled=False))
        tags = [tag for tag in tags if pane.rect.top() <= tag.y <= pane.rect.bottom()]
        for stop in placed:
            if stop.tag is not None:
                tags.append(stop.tag)
            standing = stop.line.standing
            if standing is not None and stop.line.trigger != standing:
                tags.append(AxisTag(pane.y(standing), self.price_text(standing), DARK.stop, stop.line.wish is not None))
        if self.last is not None:
            tags.append(AxisTag(pane.y(self.last), self.price_text(self.last), self._last_color()))
        centres = spread([tag.y for tag in tags], TAG_HEIGHT + 1, axis.top(), axis.bottom())
        taken = centres if cross is None else [*centres, cross[0].y]
        paint_price_labels(painter, pane, self._pen, self.price_scale, self.tick_size, taken)
        for tag, centre in zip(tags, centres, strict=True):
            self._pen.axis_tag(painter, tag, axis, centre)
        if cross is not None:
            paint_cross_tags(painter, self._panes, self._pen, *cross, self._cross_texts(*cross))

    def _cross(self) -> tuple[Crosshair, int] | None:
        """The crosshair and the candle it stands on; none while a stop line is in the hand."""
        if self.cross is None or any(line.dragged is not None for line in self.stops):
            return None
        return self.cross, round(self._panes.price.index(self.cross.x))

    def _cross_texts(self, cross: Crosshair, pointed: int) -> tuple[str, str]:
        """Price and time under it."""
        price, time = "", ""
        if self._panes.price.rect.contains(QPointF(cross.x, cross.y)):
            at = to_tick(round(self._panes.price.value(cross.y)), self.tick_size, Rounding.NEAREST)
            price = self.price_text(at)
        if 0 <= pointed < len(self._series):
            time = time_text(self._series.start(pointed), self.interval)
        return price, time

    def _paint_readout(self, painter: QPainter, cross: tuple[Crosshair, int] | None) -> None:
        """Of the candle under the crosshair, else of the newest."""
        series = self._series
        count = len(series)
        if count:
            index = count - 1 if cross is None else min(max(cross[1], 0), count - 1)
            before = series.candle(index - 1).close if index > 0 else None
            paint_readout(painter, self._pen, series.candle(index), before, self.price_scale, self.tick_size)

    @property
    def offers(self) -> bool:
        """Whether some position could have a stop and has none."""
        return any(line.phase is Phase.OFFERED and line.shown for line in self.stops)
