"""The audit trail of stops and orders: read, never edited."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHeaderView, QVBoxLayout, QWidget

from app.desk.messages import AuditLine
from app.domain.stop import stop_of_tag
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import Column, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.views.words import symbol_of

_PAUSE_MS = 400


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the trail as the table shows it."""

    line: AuditLine
    of: str
    """What it is about, as the trader calls it."""
    account: str


COLUMNS: tuple[Column[AuditRow], ...] = (
    Column("at", "Time", lambda r: r.line.at, fmt.date_time, whole=True, width=140, tone=lambda _r: Tone.DIM),
    Column("subject", "Of", lambda r: r.of, whole=True, width=112, tip=lambda r: r.line.subject),
    Column("what", "What", lambda r: r.line.what, whole=True, width=96),
    Column("detail", "Detail", lambda r: r.line.detail, width=150, tip=lambda r: r.line.detail),
    Column("account", "Account", lambda r: r.account, width=112, tone=lambda _r: Tone.DIM, spare=1),
)


class AuditPanel(QWidget):
    """The newest lines first; read again a moment after something happened, and only while looked at."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._stale = True
        self._model: TableModel[AuditRow] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="audit.table",
            title="Audit trail",
            empty="Nothing has happened yet",
            hint="Every order, trigger, retry and change of a stop is written down here.",
        )
        columns = self.table.horizontalHeader()
        columns.setStretchLastSection(False)
        columns.setSectionResizeMode(self._model.column("detail"), QHeaderView.ResizeMode.Stretch)
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
        names = {f"stop:{s.id}": f"stop {symbol_of(s.key.instrument)}" for s in self._facts.stops.values()}
        names |= {f"order:{o.id}": f"order {symbol_of(o.instrument)}" for o in self._facts.orders.values()}
        known = await self._bridge.call(self._bridge.desk.strategies.strategies())
        names |= {f"strategy:{s.id}": f"strategy {s.plan.name}" for s in known}
        for line in lines:  # an exit's order goes by the tag of its stop
            stop = stop_of_tag(line.subject.partition(":")[2])
            if stop is not None and (of := self._facts.stops.get(stop)) is not None:
                names[line.subject] = f"exit {symbol_of(of.key.instrument)}"
        newest = sorted(lines, key=lambda line: line.at, reverse=True)
        counted: dict[tuple[int, str, str], int] = {}
        rows = []
        for line in newest:
            place = (line.at, line.subject, line.what)
            counted[place] = counted.get(place, 0) + 1
            account = self._facts.account_name(line.account)
            rows.append(((*place, counted[place]), AuditRow(line, names.get(line.subject, line.subject), account)))
        self._model.replace(rows)
