"""The day's profit and loss: its figures large, its curve below. Gross before, net after every charge."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.desk.messages import CurvePoint
from app.domain.errors import AppError
from app.domain.events import BookChanged, Event, PositionsChanged
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.charts.money_curve import MoneyCanvas
from app.ui.widgets.badge import Badge

REFRESH_MS = 2000
"""Between two looks at the curve while it is shown; a fill or a sync is shown at once."""


class PnlView(QWidget):
    """The curve of the day. Asks the desk only while it is visible. `dispose` before the bridge closes."""

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("pnl")
        self._bridge = bridge
        self._reading = False
        self._again = False
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self._net, self._gross, self._charges = QLabel(), QLabel(), QLabel()
        self._peak, self._fallen, self._problem = QLabel(), QLabel(), Badge("Not up to date", "badge-warning")
        self.canvas = MoneyCanvas(self)
        self._build()
        self._kinds = (BookChanged, PositionsChanged)
        for kind in self._kinds:
            bridge.subscribe(kind, self.on_event)
        self.show_points(())

    def _build(self) -> None:
        bar = QFrame()
        theme.set_role(bar, "toolbar")
        row = QHBoxLayout(bar)
        row.setContentsMargins(16, 8, 16, 8)
        row.setSpacing(32)
        bar.setMinimumWidth(240)
        self._cells: list[QWidget] = []
        for title, figure, role in (
            ("Net today", self._net, "figure"),
            ("Gross", self._gross, "heading"),
            ("Charges", self._charges, "heading"),
            ("Peak net", self._peak, "heading"),
            ("From peak", self._fallen, "heading"),
        ):
            caption = QLabel(title)
            theme.set_role(caption, "faint")
            theme.set_role(figure, role)
            figure.setTextFormat(Qt.TextFormat.PlainText)
            figure.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            figure.setAccessibleName(title)
            cell = QWidget()
            column = QVBoxLayout(cell)
            # The small figures stand on the large one's baseline.
            column.setContentsMargins(0, 0, 0, 0 if role == "figure" else 4)
            column.setSpacing(0)
            column.addWidget(caption)
            column.addStretch(1)
            column.addWidget(figure)
            row.addWidget(cell)
            self._cells.append(cell)
        row.addStretch(1)
        self._problem.hide()
        row.addWidget(self._problem, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(self.canvas, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow view keeps the net; the others give way from the right."""
        super().resizeEvent(event)
        for cell, least in zip(self._cells, (0, 400, 500, 620, 740), strict=True):
            cell.setVisible(event.size().width() >= least)

    def refresh(self) -> None:
        """Reads the curve; while one read is under way the next waits for its end."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        self._bridge.start(self._read(), "day curve")

    async def _read(self) -> None:
        try:
            while True:
                self._again = False
                try:
                    points = await self._bridge.call(self._bridge.desk.portfolio.day_curve())
                except AppError as failure:
                    self._problem.setToolTip(str(failure))
                    self._problem.show()
                else:
                    self._problem.hide()
                    self.show_points(points)
                if not self._again:
                    return
        finally:
            self._reading = False

    def show_points(self, points: Sequence[CurvePoint]) -> None:
        """The curve and its figures."""
        self.canvas.show_points(points)
        if not points:
            for figure in (self._net, self._gross, self._charges, self._peak, self._fallen):
                figure.setText(fmt.NOTHING)
            return
        now = points[-1]
        peak = max(p.net for p in points)
        _money(self._net, now.net)
        self._gross.setText(fmt.pnl(now.gross))
        self._charges.setText(fmt.amount(now.gross - now.net))
        self._peak.setText(fmt.pnl(peak))
        self._fallen.setText(fmt.pnl(now.net - peak))

    def on_event(self, _event: Event) -> None:
        """Something that moves the curve happened."""
        if self.isVisible():
            self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Up to date at once, then every two seconds."""
        super().showEvent(event)
        self.refresh()
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """A hidden view asks nothing."""
        self._timer.stop()
        super().hideEvent(event)

    def dispose(self) -> None:
        """Hears and asks nothing any more."""
        self._timer.stop()
        self._bridge.unsubscribe(self.on_event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """A view that is closed, not hidden, is gone."""
        self.dispose()
        super().closeEvent(event)


def _money(label: QLabel, paise: int) -> None:
    """With sign, arrow and colour."""
    label.setText(f"{fmt.pnl(paise)} {fmt.arrow(paise)}".strip())
    theme.set_role(label, "figure-up" if paise > 0 else "figure-down" if paise < 0 else "figure")
