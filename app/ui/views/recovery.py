"""What happened while nobody watched: every absence of the window, the machine or the prices, and what it meant."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.domain.events import Returned
from app.domain.guard import AwayKind, AwayReport, Fate
from app.domain.ids import Nanos
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import Column, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.views.words import symbol_of

_WHY = {
    AwayKind.CRASH: "Stopline ended unexpectedly",
    AwayKind.CLOSED: "Stopline was closed",
    AwayKind.SLEEP: "this computer slept",
    AwayKind.FEED: "no prices came",
}
_TONES = {Fate.HIT: Tone.ALARM, Fate.LEFT: Tone.WARN, Fate.CLOSED: Tone.WARN, Fate.SKIPPED: Tone.WARN}


@dataclass(frozen=True, slots=True)
class AwayRow:
    """A line of the page: an absence, or (indented) one thing that happened in it."""

    order: tuple[int, int]
    when: str
    why: str
    watched: str
    what: str
    account: str
    tone: Tone


COLUMNS: tuple[Column[AwayRow], ...] = (
    Column("when", "Away", lambda r: r.when, whole=True, width=190),
    Column("what", "What happened", lambda r: r.what, whole=True, width=300, tone=lambda r: r.tone),
    Column("why", "Why", lambda r: r.why, width=170, tone=lambda _r: Tone.DIM, tip=lambda r: r.why,
           spare=1),
    Column("watched", "Watched meanwhile", lambda r: r.watched, width=170, tone=lambda _r: Tone.DIM,
           help="Who watched the stops while the window was away", spare=2),
    Column("account", "Account", lambda r: r.account, width=112, tone=lambda _r: Tone.DIM, spare=3),
)  # fmt: skip


class RecoveryPanel(QWidget):
    """The newest absence first. Read when it is shown and when somebody returns."""

    told = Signal(object)
    """An AwayReport: somebody has just returned."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._stale = True
        self._model: TableModel[AwayRow] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="recovery.table",
            title="Recovery",
            empty="Nobody was away",
            hint="After a crash, a sleep or a silence of the prices this page says what happened meanwhile.",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        bridge.subscribe(Returned, self._on_returned)

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        if self._stale:
            self._read()

    def _on_returned(self, event: Returned) -> None:
        self._stale = True
        if self.isVisible():
            self._read()
        self.told.emit(event.report)

    def _read(self) -> None:
        self._stale = False
        self._bridge.start(self._load(), "absences")

    async def _load(self) -> None:
        reports = await self._bridge.call(self._bridge.desk.guard.absences())
        self._model.replace([(row.order, row) for report in reports for row in self._rows(report)])

    def _rows(self, report: AwayReport) -> list[AwayRow]:
        absence = report.absence
        account = "" if absence.account is None else self._facts.account_name(absence.account)
        worst = next((_TONES[line.fate] for line in report.lines if line.fate in _TONES), Tone.GOOD)
        head = AwayRow(
            (-absence.id, 0),
            span(absence.since, absence.until),
            _WHY[absence.kind],
            _watched(report),
            report.headline,
            account,
            worst,
        )
        lines = [
            AwayRow(
                (-absence.id, number),
                "",
                line.fate.value,
                "",
                f"{symbol_of(line.instrument)}: {line.words}" if line.instrument else line.words,
                self._facts.account_name(line.account),
                _TONES.get(line.fate, Tone.DIM),
            )
            for number, line in enumerate(report.lines, 1)
        ]
        return [head, *lines]


def span(since: Nanos, until: Nanos) -> str:
    """`18 Sep 10:31:02 to 10:31:47`."""
    return f"{fmt.date_time(since)} to {fmt.time(until)}"


def sentence(report: AwayReport) -> str:
    """For the strip: `Away from 10:31:02 to 10:31:47: 1 stop was hit, sold 75 at 181.20.`"""
    absence = report.absence
    words = "No prices" if absence.kind is AwayKind.FEED else "Away"
    watched = _watched(report)
    rest = f" ({watched})" if watched else ""
    return f"{words} from {fmt.time(absence.since)} to {fmt.time(absence.until)}{rest}: {report.headline}."


def _watched(report: AwayReport) -> str:
    since = report.absence.guarded_since
    return "" if since is None else f"the guard watched from {fmt.time(since)}"
