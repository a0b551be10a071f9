"""How much of the money in the market something protects: a sentence and a bar.

Elsewhere in the window "at risk" is the way from the last price to a trigger; here it is all that open units are worth.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.domain.coverage import Coverage, Protection, sum_of
from app.ui import format as fmt
from app.ui import theme
from app.ui.widgets.text import label

_HEIGHT = 8


class _Bar(QWidget):
    """Green as far as something protects, amber beyond."""

    def __init__(self) -> None:
        super().__init__()
        self.percent = 100
        self.setObjectName("coverage.bar")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Qt."""
        return QSize(80, _HEIGHT)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Qt."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(0, 0, self.width(), self.height())
        painter.setBrush(QColor(theme.DARK.warning))
        painter.drawRoundedRect(whole, 2, 2)
        if self.percent:
            painter.setBrush(QColor(theme.DARK.up))
            painter.drawRoundedRect(QRectF(0, 0, whole.width() * self.percent / 100, whole.height()), 2, 2)


class CoverageMeter(QWidget):
    """Hidden while no position is open."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("coverage")
        self._words = label("", name="coverage.words")
        self._bar = _Bar()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 12, 6)
        layout.setSpacing(12)
        layout.addWidget(self._words)
        layout.addWidget(self._bar, 1)
        self.setVisible(False)

    def show_rows(self, rows: Iterable[Coverage]) -> None:
        """The sum of these positions; the tooltip has each kind."""
        rows = tuple(rows)
        total = sum_of(rows)
        self.setVisible(bool(rows))
        self._words.setText(meter_words(rows))
        theme.set_role(self._words, "warning" if total.unprotected else "up")
        self._bar.percent = total.protected_share
        self._bar.update()
        self.setToolTip(_kinds(rows))


def meter_words(rows: Iterable[Coverage]) -> str:
    """`₹18,400 of ₹62,000 in the market is unprotected`."""
    total = sum_of(rows)
    if not total.unprotected:
        return f"All {_whole(total.at_risk)} in the market is protected"
    if total.unprotected == total.at_risk:
        return f"{_whole(total.at_risk)} in the market, nothing of it protected"
    return f"{_whole(total.unprotected)} of {_whole(total.at_risk)} in the market is unprotected"


def coverage_words(row: Coverage | None) -> str:
    """Of one position: `local + backstop`, `local 75 of 150`, `none`."""
    if row is None:
        return ""
    if not row.protected or row.protected == row.units:
        return row.kind.value
    return f"{row.kind.value}, {fmt.group(row.protected)} of {fmt.group(row.units)}"


def coverage_tip(row: Coverage | None) -> str:
    """Every part of one position's protection, in words."""
    if row is None:
        return ""
    parts = "\n".join(f"{fmt.group(units)}: {_MEANS[kind]}" for kind, units in row.parts)
    return f"{_whole(row.unprotected)} of {_whole(row.at_risk)} unprotected\n{parts}"


_MEANS = {
    Protection.NONE: "nothing protects them",
    Protection.BLIND: "a local stop that no live price reaches",
    Protection.GTT: "a trigger at the broker sends a limit order, which may not fill",
    Protection.BROKER: "a stop order rests at the exchange",
    Protection.STRATEGY: "the local stop of a strategy",
    Protection.LOCAL: "a local stop; it needs this computer",
    Protection.GTT_TWIN: "a local stop, and behind it a trigger (GTT) at the broker that rests over days",
    Protection.TWIN: "a local stop, and a stop order at the exchange behind it",
}


def _kinds(rows: tuple[Coverage, ...]) -> str:
    units: dict[Protection, int] = {}
    for row in rows:
        for kind, _count in row.parts:
            units[kind] = units.get(kind, 0) + 1
    return "\n".join(f"{count} position{'s' * (count > 1)}: {kind.value}" for kind, count in units.items())


def _whole(paise: int) -> str:
    """Whole rupees: paise at risk are noise."""
    return fmt.amount((paise + 50) // 100 * 100).removesuffix(".00")
