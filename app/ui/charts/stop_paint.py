"""How stop lines are laid out and painted: line, handle, label, axis tag, and where each can be taken hold of."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.domain.money import Price
from app.domain.order import Side
from app.ui import format as fmt
from app.ui.charts.panes import Pane
from app.ui.charts.stop_line import Phase, StopLine
from app.ui.charts.tags import TAG_HEIGHT, AxisTag, Pen, Piece
from app.ui.theme import DARK

GRIP = 6.0
"""Pixels above and below a line within which it is taken hold of."""
BELOW_READOUT = 36.0
"""Pixels from the top of the picture to the label of a line above it: open, high, low and close stay readable."""


@dataclass(slots=True)
class PlacedStop:
    """A stop line with its rectangles, in scene pixels."""

    line: StopLine
    y: float
    """Of the line that can be dragged, clamped to the pane."""
    outside: int
    """-1 above the picture, +1 below, 0 inside."""
    pieces: list[Piece]
    label: QRectF
    close: QRectF | None
    handle: QRectF
    color: str
    tag: AxisTag | None

    def grips(self, x: float, y: float) -> bool:
        """Whether a press here takes hold: on the line, its handle, its label or its axis tag."""
        point = QPointF(x, y)
        if self.close is not None and self.close.contains(point):
            return False
        return abs(y - self.y) <= GRIP or self.label.contains(point) or self.handle.contains(point)

    def closes(self, x: float, y: float) -> bool:
        """Whether a click here disarms."""
        return self.close is not None and self.close.contains(QPointF(x, y))


def place(line: StopLine, pane: Pane, pen: Pen, last: Price | None, *, hovered: bool) -> PlacedStop | None:
    """Lays a line out; None when there is nothing to show."""
    if not line.shown:
        return None
    price = line.trigger
    offered = price is None
    if price is None:
        if last is None:
            return None
        price = line.parking(last, pane.low, pane.high)
    rect = pane.rect
    wanted = pane.y(price)
    y = min(max(wanted, rect.top() + 2), rect.bottom() - 4)
    outside = 0 if y == wanted else (1 if wanted > y else -1)
    highest = rect.top() + (12 if outside >= 0 else BELOW_READOUT)
    centre = min(max(y, highest), rect.bottom() - 12)
    color = _color(line, last)
    pieces = pen.fit(_pieces(line, last, color, outside), rect.width() * 0.72, closable=line.closable)
    width = pen.label_width(pieces, closable=line.closable)
    label = QRectF(rect.right() - 24 - width, round(centre - TAG_HEIGHT / 2), width, TAG_HEIGHT)
    close = QRectF(label.right() - 20, label.top(), 20, TAG_HEIGHT) if line.closable else None
    handle = QRectF(rect.right() - 18, round(centre) - 9, 14, 19)
    text = fmt.price(price, line.instrument.price_scale, line.instrument.tick_size)
    tag = None if offered and not hovered else AxisTag(y, text, color, filled=not offered and line.wish is None)
    return PlacedStop(line, y, outside, pieces, label, close, handle, color, tag)


def _color(line: StopLine, last: Price | None) -> str:
    if line.dragged is not None:
        return DARK.danger if line.objection(line.dragged, last) else DARK.stop
    if line.refused or line.closing:
        return DARK.danger
    if line.wish is not None or line.phase is Phase.PENDING:
        return DARK.muted
    return {
        Phase.OFFERED: DARK.faint,
        Phase.BLIND: DARK.blind,
        Phase.FIRED: DARK.danger,
        Phase.EXITING: DARK.danger,
    }.get(line.phase, DARK.stop)


def _pieces(line: StopLine, last: Price | None, color: str, outside: int) -> list[Piece]:
    """The label's words. Side as letter and word, so that colour never speaks alone."""
    lot = fmt.quantity(line.quantity, line.instrument.lot_size)
    side = "SELL" if line.side is Side.SELL else "BUY"
    arrow = {0: "", 1: "▼ ", -1: "▲ "}[outside]
    if line.dragged is not None:
        wrong = line.objection(line.dragged, last)
        head = Piece(f"NO {line.word} HERE" if wrong else line.word, color, strong=True)
        return [head, Piece(wrong, DARK.text)] if wrong else [head, *_money(line, last, side, lot)]
    if line.closing:
        bare = Piece(line.gone.format(lot), DARK.text)
        how = Piece("× again: do it   Esc: keep", DARK.muted, importance=1)
        return [Piece("DISARM?" if line.word == "STOP" else f"NO {line.word}?", color, strong=True), bare, how]
    if line.refused:
        head = Piece("REFUSED", color, strong=True)
        stands = Piece("the stop stays where it is", DARK.muted, importance=1) if line.stop is not None else None
        return [head, Piece(line.refused, DARK.text), *([stands] if stands else [])]
    if line.wish is not None:
        word = "DISARMING…" if line.wish.trigger is None else "MOVING…" if line.stop is not None else "ARMING…"
        return [Piece(word, color, strong=True), *_money(line, last, side, lot)]
    match line.phase:
        case Phase.OFFERED:
            offer = [Piece("Drag to set a stop", DARK.muted), *_whose(line)]
            return [*offer, Piece(f"{side} {lot}", DARK.faint, importance=1)]
        case Phase.PENDING:
            return [Piece("ARMING…", color, strong=True), *_money(line, last, side, lot)]
        case Phase.BLIND:
            head = Piece(f"{arrow}BLIND", color, strong=True)
            return [head, Piece("no live prices", DARK.text), *_money(line, last, side, lot)]
        case Phase.FIRED:
            return [Piece("FIRED", color, strong=True), *_whose(line), Piece(f"exit {side} {lot} sent", DARK.text)]
        case Phase.EXITING:
            return [Piece("EXITING", color, strong=True), *_whose(line), Piece(f"{side} {lot} until flat", DARK.text)]
        case _:
            return [Piece(f"{arrow}{_kind(line)}", color, strong=True), *_money(line, last, side, lot)]


def _whose(line: StopLine) -> list[Piece]:
    """Two accounts with one instrument would have labels that look alike."""
    return [Piece(line.whose, DARK.muted)] if line.whose else []


def _kind(line: StopLine) -> str:
    """A trail says that it moves by itself."""
    trails = line.word == "STOP" and line.stop is not None and line.stop.plan.trail is not None
    return "TRAILING STOP" if trails else line.word


def _money(line: StopLine, last: Price | None, side: str, lot: str) -> list[Piece]:
    pieces = [*_whose(line), Piece(f"{side} {lot}", DARK.text, importance=2)]
    if last is not None:
        points, percent = line.distance(last)
        pieces.append(Piece(f"{points} ({percent})", DARK.muted, importance=4))
    outcome = line.outcome()
    if outcome is None:
        pieces.append(Piece(f"at {line.word.lower()} …", DARK.muted, importance=1))
    else:
        ink = DARK.up if outcome > 0 else DARK.down if outcome < 0 else DARK.text
        pieces.append(Piece(f"at {line.word.lower()} {fmt.pnl(outcome)} net", ink, strong=True, importance=1))
    if last is not None and line.word == "STOP":
        pieces.append(Piece(f"risk {fmt.amount(line.at_risk(last))}", DARK.muted, importance=3))
    return pieces


def paint_line(painter: QPainter, placed: PlacedStop, pane: Pane, *, hovered: bool) -> None:
    """The line itself, and the ghost of where the stop stands while it is dragged or being moved."""
    line, rect = placed.line, pane.rect
    held = line.dragged is not None
    under_way = line.wish is not None
    if line.standing is not None and (held or under_way):
        ghost = pane.y(line.standing)
        if rect.top() < ghost < rect.bottom():
            # While a move is under way the old trigger is what guards: it stays solid, the wish is dashed.
            color = QColor(DARK.blind if line.blind else DARK.stop)
            if held:
                color.setAlpha(110)
            painter.fillRect(QRectF(rect.left(), round(ghost), rect.width(), 1 if held else 2), color)
    y = round(placed.y)
    if placed.outside:
        return
    color = QColor(placed.color)
    if held or under_way or line.phase is Phase.PENDING:
        _dashed(painter, rect, y, color, [5, 4], 1 if line.wish else 2)
    elif line.phase is Phase.OFFERED:
        color.setAlpha(200 if hovered else 120)
        _dashed(painter, rect, y, color, [2, 5], 1)
    elif line.phase is Phase.BLIND:
        painter.fillRect(QRectF(rect.left(), y, rect.width(), 2), QColor(DARK.border))
        _dashed(painter, rect, y, QColor(DARK.blind), [6, 6], 2)
    else:
        armed = QColor(DARK.stop if line.phase is Phase.ARMED else DARK.danger)
        painter.fillRect(QRectF(rect.left(), y, rect.width(), 2), armed)


def paint_label(painter: QPainter, placed: PlacedStop, pen: Pen, *, hovered: bool) -> None:
    """Label, × and handle, above all lines."""
    offered = placed.line.phase is Phase.OFFERED and placed.line.dragged is None and not placed.line.refused
    border = DARK.border if offered and not hovered else placed.color
    pen.label(painter, placed.label, placed.pieces, DARK.overlay, border)
    if placed.close is not None:
        cross = DARK.danger if placed.line.closing else DARK.muted
        pen.cross(painter, placed.close.center() - QPointF(1, 0), cross)
    if placed.line.draggable:
        pen.box(painter, placed.handle, placed.color if not offered else DARK.overlay, border if offered else None)
        ink = QColor(DARK.on_bright if not offered else DARK.muted)
        middle = round(placed.handle.center().y())
        for offset in (-3, 0, 3):
            painter.fillRect(QRectF(placed.handle.left() + 4, middle + offset, 6, 1), ink)


def _dashed(painter: QPainter, rect: QRectF, y: float, color: QColor, pattern: list[float], width: int) -> None:
    pen = QPen(color, width)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    pen.setDashPattern([n / width for n in pattern])
    painter.setPen(pen)
    middle = y + width / 2
    painter.drawLine(QPointF(rect.left(), middle), QPointF(rect.right(), middle))
