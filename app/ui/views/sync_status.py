"""Sync: one click for every account, how each data set stands, what is left to settle, limits, and the log."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QTabWidget, QVBoxLayout, QWidget

from app.desk.messages import SyncRun, SyncStatus
from app.domain.errors import AppError
from app.domain.events import SyncPaused, SyncProgressed, SyncStep
from app.domain.ids import AccountId
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.dialogs.sync_plan import RangeDialog, SyncPlanDialog
from app.ui.models.facts import Facts
from app.ui.models.table import TableModel
from app.ui.views.sync_tables import (
    LIMIT_COLUMNS,
    LOG_COLUMNS,
    STATE_COLUMNS,
    LimitRow,
    RunRow,
    StateRow,
    figures_words,
    left_alone_words,
    limit_rows,
    past_words,
    state_rows,
)
from app.ui.views.sync_trouble import TroublePage
from app.ui.views.sync_words import brought, outcome
from app.ui.views.table_view import TableView
from app.ui.widgets.text import Message, label

_FINAL = frozenset({SyncStep.COMPLETED, SyncStep.SKIPPED, SyncStep.FAILED, SyncStep.CANCELLED})
LOOK_MS = 1000
"""Countdowns and gauges move once a second, while somebody looks."""


class SyncPanel(QWidget):
    """Starts a sync, shows how it goes, can cancel it; shows what stands behind it."""

    last_sync = Signal(object)
    """Moment of the newest completed run."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._running = False
        self._looking = False
        self._open = False
        """The profile is: there is something to read."""
        self._status: SyncStatus | None = None
        self._told = self._trouble = ""
        """What the trader's last verb brought, and why it did not do all: they stay until the next one."""
        self._runs: dict[tuple[str, str], RunRow] = {}
        """The log as read, newest first; the table shows what the filter leaves."""
        self._make_tables()
        self._progress = label("", "muted", wrap=True, name="sync.progress")
        self.message = Message(name="sync.message")
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.trouble = TroublePage(bridge, facts, self._look, self.ask_file)
        self.tabs.addTab(self.states, "Accounts")
        self.tabs.addTab(self.trouble, "To settle")
        self.tabs.addTab(self._limits_page(), "Limits and health")
        self.tabs.addTab(self._log_page(), "Log")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar())
        layout.addWidget(self._past_strip())
        layout.addWidget(self.message)
        layout.addWidget(self.tabs, 1)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        bridge.subscribe(SyncProgressed, self._on_progress)
        bridge.subscribe(SyncPaused, self._on_paused)

    def _make_tables(self) -> None:
        self._state_model: TableModel[StateRow] = TableModel(STATE_COLUMNS, self)
        self.states = TableView(
            self._state_model, name="sync.states", title="Accounts and data sets", empty="No account is connected",
            hint="Connect one: its trades, positions and holdings then come home by themselves.",
        )  # fmt: skip
        self.states.activated_key.connect(lambda _key: self._edit_plan())
        self._limit_model: TableModel[LimitRow] = TableModel(LIMIT_COLUMNS, self)
        self.limits = TableView(
            self._limit_model, name="sync.limits", title="Request limits", empty="Nothing was asked yet",
            hint="Request limits, circuit breakers and waits show here after the first sync.",
        )  # fmt: skip
        self._model: TableModel[RunRow] = TableModel(LOG_COLUMNS, self)
        self.table = TableView(
            self._model,
            name="sync.table",
            title="Sync log",
            empty="Nothing was synced yet",
            hint="Sync brings trades, positions and holdings of every connected account into your book. "
            "Running it again changes nothing.",
        )

    def _bar(self) -> QWidget:
        self.sync_button = _button("S&ync now", "sync.start", self.start)
        self.sync_button.setIcon(theme.icon("sync", theme.DARK.on_bright))
        theme.set_role(self.sync_button, "primary")
        self.cancel_button = _button("&Cancel sync", "sync.cancel", self.cancel)
        self.cancel_button.setEnabled(False)
        self._range_button = _button("&Dates…", "sync.range", self._ask_range)
        self._range_button.setToolTip("Fetch the trades of earlier days, where the broker keeps them")
        self._file_button = _button("&Import file…", "sync.file", self._on_file)
        self._file_button.setToolTip("Take the tradebook file of the broker's web site (Zerodha: Console, CSV)")
        self._plan_button = _button("Sched&ule…", "sync.plan", self._edit_plan)
        self._plan_button.setToolTip("When each account is synced by itself")
        bar = QWidget()
        lines, layout = QVBoxLayout(bar), QHBoxLayout()
        lines.setContentsMargins(8, 6, 12, 6)
        lines.setSpacing(4)
        buttons = (self.sync_button, self.cancel_button, self._range_button, self._file_button, self._plan_button)
        for button in buttons:  # they stand still under the hand, whatever the words below take
            layout.addWidget(button)
        layout.addStretch(1)
        lines.addLayout(layout)
        lines.addWidget(self._progress)
        return bar

    def _past_strip(self) -> QWidget:
        """How far the past was fetched, and the way to end that."""
        self._past_words = label("", "muted", wrap=True, name="sync.past")
        stop = _button("St&op fetching", "sync.stop_past", self._stop_past)
        stop.setToolTip("What was fetched stays; fetch on at any time with Dates…")
        self._past = QWidget()
        layout = QHBoxLayout(self._past)
        layout.setContentsMargins(12, 0, 12, 6)
        layout.addWidget(self._past_words, 1)
        layout.addWidget(stop)
        self._past.hide()
        return self._past

    def _limits_page(self) -> QWidget:
        self._hour = label("", "muted", wrap=True, name="sync.hour")
        self._day = label("", "muted", wrap=True, name="sync.day")
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        figures = QVBoxLayout()
        figures.setContentsMargins(12, 6, 12, 6)
        figures.setSpacing(2)
        figures.addWidget(self._hour)
        figures.addWidget(self._day)
        layout.addLayout(figures)
        layout.addWidget(self.limits, 1)
        return page

    def _log_page(self) -> QWidget:
        self.filter = QLineEdit()
        self.filter.setObjectName("sync.filter")
        self.filter.setAccessibleName("Filter the log")
        self.filter.setPlaceholderText("Filter: account, failed, scheduled, words of an error…")
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(lambda _text: self._show_log())
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        top = QHBoxLayout()
        top.setContentsMargins(8, 4, 12, 4)
        top.addWidget(self.filter)
        layout.addLayout(top)
        layout.addWidget(self.table, 1)
        return page

    # -- state -------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """The log of earlier runs, and how everything stands."""
        self._open = True
        runs = await self._bridge.call(self._bridge.desk.portfolio.sync_log())
        self._runs = {(run.run, run.account): self._row(run) for run in runs}
        self._show_log()
        done = [run.ended_at for run in runs if run.step == SyncStep.COMPLETED and run.ended_at is not None]
        if done:
            self.last_sync.emit(max(done))
        await self._read_status()

    def showEvent(self, event: QShowEvent) -> None:
        """Qt. Looked at: kept fresh."""
        super().showEvent(event)
        self._timer.start()
        self._look()

    def hideEvent(self, event: QHideEvent) -> None:
        """Qt. Nobody looks: nothing is read."""
        super().hideEvent(event)
        self._timer.stop()

    def _look(self) -> None:
        if not self._looking and self._open:
            self._looking = True
            self._bridge.start(self._read_status(), "sync status")

    async def _read_status(self) -> None:
        try:
            self.take(await self._bridge.call(self._bridge.desk.sync.status()))
        except AppError as failure:  # asked for each second: said here, not in a heap of notices
            self.message.say(str(failure), "strip-danger")
        finally:
            self._looking = False

    def take(self, status: SyncStatus) -> None:
        """Shows a state."""
        self._status = status
        name = self._facts.account_name
        self._state_model.replace(state_rows(status, name))
        self._limit_model.replace(limit_rows(status, name))
        self._hour.setText(figures_words("Last hour", status.hour))
        self._day.setText(figures_words("Last day", status.day))
        self.trouble.take(status)
        count = self.trouble.count
        self.tabs.setTabText(1, f"To settle ({count})" if count else "To settle")
        self._past_words.setText(past_words(status, name))
        self._past.setVisible(bool(self._past_words.text()))
        if not self._running:
            self._show_trouble()
            waits = [f"{name(p.account)}: {p.data_set} in {p.seconds_left:.0f} s" for p in status.pauses]
            asked = f"Waiting as the broker asked: {', '.join(waits)}" if waits else self._idle()
            self._progress.setText(left_alone_words(status.breakers) or asked)

    def _fetching_past(self) -> list[AccountId]:
        accounts = self._status.accounts if self._status is not None else ()
        return [a.account for a in accounts if a.backfill is not None and not a.backfill.done]

    def _stop_past(self) -> None:
        """Of the chosen account, or of every one."""
        chosen = self.states.current
        accounts = self._fetching_past()
        picked = [account for account in accounts if isinstance(chosen, tuple) and account == chosen[0]]
        for account in picked or accounts:
            self._bridge.start(self._stop_past_of(account), "stop fetching the past")

    async def _stop_past_of(self, account: AccountId) -> None:
        try:
            await self._bridge.call(self._bridge.desk.sync.stop_backfill(account))
        except AppError as failure:
            self._tell("", str(failure))
        self._look()

    def _tell(self, words: str, trouble: str = "") -> None:
        """What a verb of the trader came to."""
        self._told, self._trouble = words, trouble
        self._progress.setText(self._idle())
        self._show_trouble()

    def _show_trouble(self) -> None:
        alerts = " ".join(self._status.alerts) if self._status is not None else ""
        words, role = (self._trouble, "strip-danger") if self._trouble else (alerts, "strip-warning")
        if self.message.text != words:  # who marks the words to copy them keeps the mark
            self.message.say(words, role)

    def _idle(self) -> str:
        return " · ".join(words for words in (self._told, self._next()) if words)

    def _next(self) -> str:
        accounts = self._status.accounts if self._status is not None else ()
        due = [account.next_at for account in accounts if account.next_at is not None]
        return f"Next sync at {fmt.clock(min(due))}" if due else ""

    # -- runs --------------------------------------------------------------------------------------------------------

    def _row(self, run: SyncRun) -> RunRow:
        return RunRow(run, self._facts.account_name(run.account))

    def _show_log(self) -> None:
        words = self.filter.text().lower().split()
        shown = [(key, row) for key, row in self._runs.items() if all(word in row.searched for word in words)]
        self._model.replace(shown)
        if words:
            self.table.set_empty("No run of the log fits", "Clear the filter to see all.")

    def start(self) -> None:
        """One click syncs every connected account."""
        if not self._running:
            self._set_running(running=True)
            self._bridge.start(self._sync(), "sync")

    def cancel(self) -> None:
        """Stops it at the next step; what was saved stays."""
        self.cancel_button.setEnabled(False)
        self._progress.setText("Cancelling…")
        self._bridge.start(self._bridge.call(self._bridge.desk.portfolio.cancel_sync()), "cancel sync")

    async def _sync(self) -> None:
        self.message.clear()
        self._told = self._trouble = ""
        self._progress.setText("Starting…")
        told = trouble = ""
        try:
            summary = await self._bridge.call(self._bridge.desk.portfolio.sync())
        except AppError as failure:
            trouble = f"Sync did not run: {failure}"
        else:
            told, trouble = outcome(summary, self._facts.account_name)
        finally:
            self._set_running(running=False)
            await self.load()
        self._tell(told, trouble)

    def _set_running(self, *, running: bool) -> None:
        self._running = running
        self.sync_button.setEnabled(not running)
        self.sync_button.setText("Syncing…" if running else "S&ync now")
        self.cancel_button.setEnabled(running)

    def _on_progress(self, event: SyncProgressed) -> None:
        run = SyncRun(
            event.run, event.account, event.trigger, str(event.step), event.fetched, event.created, event.updated,
            event.skipped, event.conflicting, event.started_at, event.ended_at, event.error, event.operation,
            event.error_class.value, event.retries, event.took_ms,
        )  # fmt: skip
        key = (event.run, event.account)
        known = key in self._runs
        self._runs = {key: self._row(run), **self._runs} if not known else self._runs | {key: self._row(run)}
        self._show_log()
        if event.step in _FINAL:
            if event.step is SyncStep.COMPLETED and event.ended_at is not None:
                self.last_sync.emit(event.ended_at)
        elif self._running:
            name = self._facts.account_name(event.account)
            self._progress.setText(f"{name}: {event.step} · {fmt.group(event.fetched)} fetched")

    def _on_paused(self, event: SyncPaused) -> None:
        name = self._facts.account_name(event.account)
        self._progress.setText(f"{name}: the broker asks for a pause, {event.data_set} in {event.seconds:.0f} s")

    # -- dialogs -----------------------------------------------------------------------------------------------------

    def _edit_plan(self) -> None:
        if self._status is not None and self._status.accounts:
            chosen = self.states.current
            account = chosen[0] if isinstance(chosen, tuple) else self._status.accounts[0].account
            dialog = SyncPlanDialog(self._bridge, self._facts, self._status.accounts, account, self)
            dialog.finished.connect(lambda _code: self._look())
            dialog.open()

    def _on_file(self) -> None:
        self.ask_file()

    def ask_file(self, account: AccountId | None = None) -> None:
        """A tradebook file for an account: the chosen one, or the first."""
        if self._status is None or not self._status.accounts:
            return
        if account is None:
            chosen = self.states.current
            account = AccountId(str(chosen[0])) if isinstance(chosen, tuple) else self._status.accounts[0].account
        name = self._facts.account_name(account)
        path, _ = QFileDialog.getOpenFileName(self, f"Tradebook of {name}", "", "Tradebook (*.csv)")
        if path:
            self._bridge.start(self.take_file(account, path), "import file")

    async def take_file(self, account: AccountId, path: str) -> None:
        """All of it, or nothing; what it brought is said."""
        told = trouble = ""
        try:
            summary = await self._bridge.call(self._bridge.desk.sync.import_file(account, path))
        except AppError as failure:
            trouble = str(failure)
        else:
            await self.load()
            if all(run.step == SyncStep.COMPLETED for run in summary.accounts):
                told = f"{brought(summary)} in the file"
            else:
                trouble = f"Nothing was taken from the file: {'; '.join(run.error for run in summary.accounts)}"
        self._tell(told, trouble)

    def _ask_range(self) -> None:
        if self._status is not None and self._status.accounts:
            dialog = RangeDialog(self._bridge, self._facts, self._status, self)
            dialog.file_asked.connect(self.ask_file)
            dialog.fetched.connect(lambda summary: self._tell(f"{brought(summary)} in these dates"))
            dialog.finished.connect(lambda _code: self._bridge.start(self.load(), "sync log"))
            dialog.open()


def _button(text: str, name: str, do: object) -> QPushButton:
    made = QPushButton(text)
    made.setObjectName(name)
    made.clicked.connect(do)
    return made
