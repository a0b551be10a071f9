"""Before the market opens: what stands and what does not, on one page, each with the click that mends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QDialog, QFrame, QGridLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app.domain.errors import AppError, Denied
from app.domain.events import FeedChanged, FeedState, SessionChanged
from app.domain.health import Finding, HealthState, PreflightReport, Remedy
from app.domain.ids import AccountId
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.widgets.foot import close_button, foot
from app.ui.widgets.text import Message, label, selectable

_TONES = {HealthState.OK: "up", HealthState.WARNING: "warning", HealthState.FAILED: "danger"}
_ORDER = (HealthState.FAILED, HealthState.WARNING, HealthState.OK)
_BUTTONS = {
    Remedy.LOG_IN: "Log in",
    Remedy.IMPORT_INSTRUMENTS: "Import now",
    Remedy.BACK_UP: "Back up now",
    Remedy.RECONNECT: "Reconnect",
}


class PreflightDialog(QDialog):
    """The pre-flight page. Looks when it opens, after every remedy, when a session or a feed turns, and when asked.

    Beside the main window and not before it: the login page that it opens would take no key.
    """

    def __init__(
        self, bridge: Bridge, parent: QWidget, log_in: Callable[[AccountId], None], named: Callable[[str], str]
    ) -> None:
        super().__init__(parent)
        self.setObjectName("preflight")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Pre-flight")
        self._bridge = bridge
        self._log_in = log_in
        self._named = named
        """Calls accounts by their names, wherever a finding has their ids."""
        self._feeds: dict[AccountId, FeedState] = {}
        """As last told: feeds tell their state every second."""
        self._looking = False
        self._stale = False
        """Something turned while it looked."""
        self._head = label("Looking…", "heading", name="preflight.head")
        self.message = Message(name="preflight.message")
        self._area = QScrollArea()
        self._area.setObjectName("preflight.findings")
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._again = QPushButton("Look &again")
        self._again.setObjectName("preflight.again")
        self._again.clicked.connect(self.look)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(8)
        layout.addWidget(self._head)
        layout.addWidget(self.message)
        layout.addWidget(self._area, 1)
        layout.addLayout(foot(self._again, close_button(self)))
        self.resize(720, 480)
        bridge.subscribe(SessionChanged, self._on_session)
        bridge.subscribe(FeedChanged, self._on_feed)
        self.look()

    def look(self) -> None:
        """Looks at everything anew; once more where it is looking already."""
        self._stale = self._looking
        if self._looking:
            return
        self._looking = True
        self._again.setEnabled(False)
        self._bridge.start(self._look(), "pre-flight")

    def hideEvent(self, event: QHideEvent) -> None:
        """Qt. Closed, by whichever key: nobody reads on."""
        self._bridge.unsubscribe(self._on_session)
        self._bridge.unsubscribe(self._on_feed)
        super().hideEvent(event)

    def _on_session(self, _event: SessionChanged) -> None:
        self.look()

    def _on_feed(self, event: FeedChanged) -> None:
        before = self._feeds.get(event.account)
        self._feeds[event.account] = event.state
        if before not in (None, event.state):
            self.look()

    async def _look(self) -> None:
        try:
            self.show_report(await self._bridge.call(self._bridge.desk.health.preflight()))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        finally:
            self._looking = False
            self._again.setEnabled(True)
        if self._stale and self.isVisible():
            self.look()

    def show_report(self, report: PreflightReport) -> None:
        """The worst first."""
        count = len(report.open)
        state = "Everything stands" if not count else f"{count} {'thing' if count == 1 else 'things'} to see to"
        self._head.setText(f"{state}, {fmt.clock(report.at)}")
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 4, 0, 4)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(10)
        findings = sorted(report.findings, key=lambda finding: _ORDER.index(finding.state))
        for row, finding in enumerate(findings):
            self._add(grid, row, finding)
        grid.setColumnStretch(2, 1)
        grid.setRowStretch(len(findings), 1)
        self._area.setWidget(inside)

    def _add(self, grid: QGridLayout, row: int, finding: Finding) -> None:
        step = f". {finding.next_step}" if finding.next_step else ""
        words = finding.words.rstrip(".") if step else finding.words
        texts = (
            label(str(finding.state), _TONES[finding.state]),
            label(self._named(finding.name), "muted"),
            selectable(label(self._named(f"{words}{step}"), wrap=True)),
        )
        for column, text in enumerate(texts):
            text.setAlignment(Qt.AlignmentFlag.AlignTop)
            grid.addWidget(text, row, column)
        remedy = _BUTTONS.get(finding.remedy)
        if remedy is not None:
            button = QPushButton(remedy)
            button.setObjectName(f"preflight.{finding.remedy.name.lower()}.{finding.about}")
            button.clicked.connect(lambda _checked=False, found=finding: self._mend(found))
            grid.addWidget(button, row, len(texts), Qt.AlignmentFlag.AlignTop)

    def _mend(self, finding: Finding) -> None:
        if finding.remedy is Remedy.LOG_IN:
            self._log_in(AccountId(finding.about))
        elif finding.remedy is Remedy.RECONNECT:
            self._start(self._bridge.desk.health.reconnect(AccountId(finding.about)), "Reconnecting…")
        elif finding.remedy is Remedy.BACK_UP:
            self._start(self._bridge.desk.data.backup(), "Making a backup…")
        elif finding.remedy is Remedy.IMPORT_INSTRUMENTS:
            self._start(self._import(finding.about), "Importing instruments…")

    def _start(self, verb: Coroutine[Any, Any, object], words: str) -> None:
        self.message.say(words)
        self._bridge.start(self._run(self._bridge.call(verb)), "remedy")

    async def _import(self, broker: str) -> None:
        """A list that could not be taken over is a failure here; its own page has the whole report."""
        for report in await self._bridge.desk.instruments.sync(broker):
            if report.error:
                raise Denied(report.error, "See Instruments in the Book menu.")

    async def _run(self, answer: asyncio.Future[object]) -> None:
        try:
            await answer
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            return
        self.message.clear()
        self.look()


def show_preflight(
    bridge: Bridge, window: QWidget, log_in: Callable[[AccountId], None], named: Callable[[str], str]
) -> None:
    """Opens the page, or brings the open one forward. The window takes the keyboard back when it is gone."""
    page = next((one for one in window.findChildren(PreflightDialog) if one.isVisible()), None)
    if page is None:
        page = PreflightDialog(bridge, window, log_in, named)
        page.finished.connect(window.activateWindow)
        page.show()
    page.raise_()
    page.activateWindow()
