"""Labels that stand on an axis or a line, and how they make room for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from app.ui.theme import DARK, font

TAG_HEIGHT = 20.0
"""Of an axis tag or a line's label, pixels."""


def spread(centres: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Centres moved apart so that labels of `height` do not overlap, each as near to its wish as the others allow.

    Labels that touch form a block that sits at the mean of its members' wishes. Within [low, high] where they fit.
    """
    order = sorted(range(len(centres)), key=lambda i: centres[i])
    blocks: list[tuple[list[int], float]] = []
    for i in order:
        members, wish = [i], min(max(centres[i], low + height / 2), high - height / 2)
        while blocks and wish - len(members) * height / 2 < blocks[-1][1] + len(blocks[-1][0]) * height / 2:
            before, centre = blocks.pop()
            total = len(before) + len(members)
            wish = (centre * len(before) + wish * len(members)) / total
            members = before + members
            half = total * height / 2
            wish = max(min(wish, high - half), low + half)
        blocks.append((members, wish))
    placed = [0.0] * len(centres)
    for members, centre in blocks:
        top = centre - len(members) * height / 2
        for k, i in enumerate(members):
            placed[i] = top + (k + 0.5) * height
    return placed


@dataclass(frozen=True, slots=True)
class AxisTag:
    """A price on the price axis."""

    y: float
    """Where it wants to stand."""
    text: str
    color: str
    filled: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a label with its own colour; the least important parts are dropped when room is short."""

    text: str
    color: str
    strong: bool = False
    importance: int = 0
    """0 is never dropped."""


class Pen:
    """Paints tags and labels. One per canvas: holds fonts and their measures."""

    def __init__(self) -> None:
        self.plain: QFont = font(11)
        self.strong: QFont = font(11, QFont.Weight.DemiBold)
        self._plain = QFontMetricsF(self.plain)
        self._strong = QFontMetricsF(self.strong)

    def width(self, text: str, *, strong: bool = False) -> float:
        """Of a text, pixels."""
        return float((self._strong if strong else self._plain).horizontalAdvance(text))

    def label_width(self, pieces: Sequence[Piece], *, closable: bool = False) -> float:
        """Of a label with its margins, whole pixels."""
        inner = sum(self.width(p.text, strong=p.strong) for p in pieces) + 12 * (len(pieces) - 1)
        return float(int(inner + 16 + (18 if closable else 0)))

    def fit(self, pieces: Sequence[Piece], room: float, *, closable: bool = False) -> list[Piece]:
        """The pieces that have room, the important ones first."""
        kept = list(pieces)
        while self.label_width(kept, closable=closable) > room and any(p.importance for p in kept):
            kept.remove(max(kept, key=lambda p: p.importance))
        return kept

    def text(self, painter: QPainter, x: float, middle: float, text: str, color: str, *, strong: bool = False) -> None:
        """One line, vertically centred on its capitals."""
        painter.setFont(self.strong if strong else self.plain)
        painter.setPen(QColor(color))
        painter.drawText(QPointF(x, round(middle + (self._strong if strong else self._plain).capHeight() / 2)), text)

    def box(self, painter: QPainter, rect: QRectF, fill: str, border: str | None = None) -> None:
        """A rounded box."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setBrush(QColor(fill))
        painter.setPen(QPen(QColor(border), 1) if border else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5) if border else rect, 3, 3)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def axis_tag(self, painter: QPainter, tag: AxisTag, axis: QRectF, y: float) -> None:
        """A tag at `y`; when it had to move, a hairline leads to where it belongs."""
        rect = QRectF(axis.left() + 1, round(y - TAG_HEIGHT / 2), axis.width() - 3, TAG_HEIGHT)
        self.box(painter, rect, tag.color if tag.filled else DARK.overlay, None if tag.filled else tag.color)
        ink = DARK.on_bright if tag.filled else tag.color
        self.text(painter, axis.left() + 8, rect.center().y(), tag.text, ink, strong=True)
        if abs(y - tag.y) > 1.5:
            painter.fillRect(QRectF(axis.left() - 3, min(y, tag.y), 1, abs(y - tag.y)), QColor(tag.color))

    def label(self, painter: QPainter, rect: QRectF, pieces: Sequence[Piece], fill: str, border: str) -> None:
        """A line's label: pieces side by side."""
        self.box(painter, rect, fill, border)
        x, middle = rect.left() + 8, rect.center().y()
        for piece in pieces:
            self.text(painter, x, middle, piece.text, piece.color, strong=piece.strong)
            x += self.width(piece.text, strong=piece.strong) + 12

    def cross(self, painter: QPainter, centre: QPointF, color: str) -> None:
        """The × that closes."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(QPen(QColor(color), 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLine(centre + QPointF(-3, -3), centre + QPointF(3, 3))
        painter.drawLine(centre + QPointF(3, -3), centre + QPointF(-3, 3))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
