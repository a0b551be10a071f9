"""Diagnostics: what works and what does not, figures by day, and a report to send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app.domain.errors import AppError
from app.domain.health import Finding, HealthState
from app.domain.metrics import Metric, MetricHistory, folded
from app.domain.report import ReportMember
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.report import ReportPage
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.widgets.day_bars import DayBars
from app.ui.widgets.foot import close_button, foot
from app.ui.widgets.text import Message

DAYS = 60
WEEK, MONTH = 7, 30
_ORDER = (HealthState.FAILED, HealthState.WARNING, HealthState.OK)
_TONES = {HealthState.OK: Tone.GOOD, HealthState.WARNING: Tone.WARN, HealthState.FAILED: Tone.ALARM}
_TROUBLE = frozenset(
    {
        Metric.ORDERS_REJECTED,
        Metric.EXITS_SLOW,
        Metric.FEED_GAPS,
        Metric.FEED_GAP_MS,
        Metric.LOGINS_FAILED,
        Metric.SYNCS_FAILED,
        Metric.RATE_LIMITED,
        Metric.ERRORS_AUTH,
        Metric.ERRORS_RATE,
        Metric.ERRORS_CLIENT,
        Metric.ERRORS_SERVER,
        Metric.ERRORS_NETWORK,
        Metric.ALARMS,
    }
)
"""Better nought."""


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure of one subject over the days that are known."""

    subject: str
    named: str
    metric: Metric
    series: tuple[int | None, ...]

    def last(self, days: int) -> int | None:
        """Of the newest days as one."""
        return folded(self.metric, self.series[-days:])


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding, in words."""

    place: int
    finding: Finding
    name: str
    words: str


def _number(value: int | None) -> str:
    return "–" if value is None else fmt.group(value)


def _figure(key: str, title: str, days: int, words: str) -> Column[FigureRow]:
    return Column(
        key, title, lambda r: -1 if r.last(days) is None else r.last(days), shown=lambda r: _number(r.last(days)),
        number=True, width=84, help=words,
        tone=lambda r: Tone.WARN if r.metric in _TROUBLE and r.last(days) else Tone.PLAIN,
    )  # fmt: skip


FIGURES: tuple[Column[FigureRow], ...] = (
    Column("figure", "Figure", lambda r: r.metric.caption, tip=lambda r: r.metric.words, width=190),
    Column("subject", "Of", lambda r: r.named, width=150, tone=lambda _r: Tone.DIM),
    _figure("day", "Newest day", 1, "The newest day at work"),
    _figure("week", "7 days", WEEK, "The newest seven days at work: the sum, or the worst where a sum means nothing"),
    _figure("month", "30 days", MONTH, "The newest thirty days at work"),
)

FINDINGS: tuple[Column[FindingRow], ...] = (
    Column("state", "State", lambda r: r.finding.state.value, tone=lambda r: _TONES[r.finding.state], width=74),
    Column("name", "What", lambda r: r.name, width=210, tone=lambda _r: Tone.DIM),
    Column("words", "Found", lambda r: r.words, width=320, tip=lambda r: r.words),
)


class DiagnosticsDialog(QDialog):
    """Looks when it opens, and when asked."""

    def __init__(self, bridge: Bridge, parent: QWidget, named: Callable[[str], str]) -> None:
        super().__init__(parent)
        self.setObjectName("diagnostics")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Diagnostics")
        self._bridge = bridge
        self._named = named
        """Calls accounts by their names, wherever their ids stand."""
        self._history = MetricHistory((), ())
        self.message = Message(name="diagnostics.message")
        self._findings: TableModel[FindingRow] = TableModel(FINDINGS, self)
        self.health = TableView(
            self._findings, name="diagnostics.health", title="Health", empty="Looking…",
            hint="Every page of both databases is read; that takes a moment.",
        )  # fmt: skip
        self._figures: TableModel[FigureRow] = TableModel(FIGURES, self)
        self.figures = TableView(
            self._figures, name="diagnostics.figures", title="Figures by day", empty="No figures yet",
            hint="They are written down once a minute while Stopline runs.",
        )  # fmt: skip
        self.figures.sortable()
        self.figures.chosen.connect(self._choose)
        self.bars = DayBars("diagnostics.bars")
        self.report = ReportPage()
        self._again = QPushButton("Look &again")
        self._again.setObjectName("diagnostics.again")
        self._again.clicked.connect(self.look)
        self._build()
        self.resize(820, 600)
        self.look()

    def _build(self) -> None:
        header = self.health.horizontalHeader()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(self._findings.column("words"), QHeaderView.ResizeMode.Stretch)
        header = self.figures.horizontalHeader()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(self._figures.column("subject"), QHeaderView.ResizeMode.Stretch)
        page = QWidget()
        inside = QVBoxLayout(page)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.figures, 1)
        inside.addWidget(self.bars)
        tabs = QTabWidget()
        tabs.setObjectName("diagnostics.tabs")
        for title, shown in (("&Health", self.health), ("&Figures", page), ("&Report", self.report)):
            tabs.addTab(shown, title)
        self.report.make.connect(lambda: self._bridge.start(self._preview(), "preview of a report"))
        self.report.save.connect(self._ask_where)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(8)
        layout.addWidget(self.message)
        layout.addWidget(tabs, 1)
        layout.addLayout(foot(self._again, close_button(self)))

    def look(self) -> None:
        """At everything anew."""
        self._again.setEnabled(False)
        self._bridge.start(self._look(), "diagnostics")

    async def _look(self) -> None:
        try:
            self._show_figures(await self._bridge.call(self._bridge.desk.metrics.history(DAYS)))
            self._show_findings(await self._bridge.call(self._bridge.desk.health.look()))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        finally:
            self._again.setEnabled(True)

    def _show_findings(self, findings: Sequence[Finding]) -> None:
        """The worst first."""
        rows = []
        for place, finding in enumerate(sorted(findings, key=lambda one: _ORDER.index(one.state))):
            step = f". {finding.next_step}" if finding.next_step else ""
            words = self._named(f"{finding.words}{step}")
            rows.append((place, FindingRow(place, finding, self._named(finding.name), words)))
        self._findings.replace(rows)

    def _show_figures(self, history: MetricHistory) -> None:
        self._history = history
        rows = []
        for subject in sorted({one.subject for one in history.figures}):
            named = self._named(subject) if subject else "Stopline"
            for metric in Metric:
                series = history.series(subject, metric)
                if any(value is not None for value in series):
                    rows.append((f"{subject}\n{metric.value}", FigureRow(subject, named, metric, series)))
        self._figures.replace(rows)
        if rows and not self.bars.title:
            self._choose(rows[0][0])

    def _choose(self, key: Key | None) -> None:
        subject, _, name = str(key or "").partition("\n")
        if name:
            metric = Metric(name)
            named = self._named(subject) if subject else "Stopline"
            series = self._history.series(subject, metric)
            self.bars.show_series(f"{metric.caption} · {named}: {metric.words}", self._history.days, series)

    async def _preview(self) -> None:
        self.report.set_busy()
        try:
            self.report.show_members(await self._bridge.call(self._bridge.desk.reports.preview()))
        except AppError as failure:
            self.report.show_members(())
            self.message.say(str(failure), "strip-danger")

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", "stopline-report.zip", "Zip (*.zip)")
        if path:
            self.save_to(Path(path))

    def save_to(self, path: Path) -> None:
        """Exactly what was looked at."""
        self._bridge.start(self._save(path, self.report.members), "save the report")

    async def _save(self, path: Path, members: Sequence[ReportMember]) -> None:
        try:
            saved = await self._bridge.call(self._bridge.desk.reports.save(str(path), members))
        except AppError as failure:
            self.message.say(f"Nothing was saved. {failure}", "strip-danger")
        else:
            self.message.say(f"{len(saved.members)} files, {saved.size / 1000:.0f} kB, in {path.name}.", "strip")
