"""The audit trail of stops and orders: read, never edited."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.desk.messages import AuditLine
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import Column, TableModel, Tone
from app.ui.views.table_view import TableView

_PAUSE_MS = 400

COLUMNS: tuple[Column[AuditLine], ...] = (
    Column("at", "Time", lambda a: a.at, fmt.date_time, whole=True, width=150, tone=lambda _a: Tone.DIM),
    Column("what", "What", lambda a: a.what, whole=True, width=150),
    Column("subject", "Of", lambda a: a.subject, width=170, tone=lambda _a: Tone.DIM),
    Column("account", "Account", lambda a: a.account, width=120, tone=lambda _a: Tone.DIM),
    Column("detail", "Detail", lambda a: a.detail, width=300, tip=lambda a: a.detail),
)


class AuditPanel(QWidget):
    """The newest lines first; read again a moment after something happened, and only while looked at."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._stale = True
        self._model: TableModel[AuditLine] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="audit.table",
            title="Audit trail",
            empty="Nothing has happened yet",
            hint="Every order, trigger, retry and change of a stop is written down here.",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._reload)
        facts.stop_changed.connect(lambda _stop: self._ask())
        facts.order_changed.connect(lambda _order: self._ask())

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        if self._stale:
            self._reload()

    def _ask(self) -> None:
        self._stale = True
        if self.isVisible() and not self._pause.isActive():
            self._pause.start()

    def _reload(self) -> None:
        self._stale = False
        self._bridge.start(self._read(), "audit trail")

    async def _read(self) -> None:
        lines = await self._bridge.call(self._bridge.desk.stops.audit())
        newest = sorted(lines, key=lambda line: line.at, reverse=True)
        counted: dict[tuple[int, str, str], int] = {}
        rows = []
        for line in newest:
            place = (line.at, line.subject, line.what)
            counted[place] = counted.get(place, 0) + 1
            rows.append(((*place, counted[place]), line))
        self._model.replace(rows)
