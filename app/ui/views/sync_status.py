"""Sync: one click for every account, progress by account and step, and the log of every run."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.desk.messages import SyncRun
from app.domain.errors import AppError
from app.domain.events import SyncProgressed, SyncStep
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import Column, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.widgets.text import Message, label

_TONES = {
    "completed": Tone.GOOD,
    "failed": Tone.ALARM,
    "cancelled": Tone.WARN,
    "skipped": Tone.DIM,
}
_FINAL = frozenset({SyncStep.COMPLETED, SyncStep.SKIPPED, SyncStep.FAILED, SyncStep.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunRow:
    """One account in one run."""

    run: SyncRun
    account: str
    """Its name, as the trader calls it."""

    @property
    def milliseconds(self) -> int | None:
        """How long it took."""
        return None if self.run.ended_at is None else (self.run.ended_at - self.run.started_at) // 1_000_000


def _figure(key: str, title: str, help_text: str, spare: int = 0) -> Column[RunRow]:
    return Column(
        key, title, lambda r: getattr(r.run, key), fmt.group, number=True, width=70, help=help_text, spare=spare
    )


COLUMNS: tuple[Column[RunRow], ...] = (
    Column(
        "started", "Started", lambda r: r.run.started_at, fmt.date_time, whole=True, width=150, tone=lambda _r: Tone.DIM
    ),
    Column("account", "Account", lambda r: r.account, whole=True, width=112),
    Column("trigger", "By", lambda r: r.run.trigger, width=72, tone=lambda _r: Tone.DIM, spare=4),
    Column("step", "Step", lambda r: r.run.step, width=92, tone=lambda r: _TONES.get(r.run.step, Tone.WARN)),
    _figure("fetched", "Fetched", "Rows that the broker sent"),
    _figure("created", "New", "Fills that were not in the book"),
    _figure("updated", "Changed", "Fills that the broker changed", 1),
    _figure("skipped", "Known", "Fills that were already in the book"),
    _figure("conflicting", "Conflicts", "Differences that are yours to settle", 2),
    Column("took", "Took", lambda r: r.milliseconds, fmt.age, number=True, width=62, tone=lambda _r: Tone.DIM, spare=3),
    Column("error", "Error", lambda r: r.run.error, tone=lambda _r: Tone.ALARM, tip=lambda r: r.run.error, width=60),
)


class SyncPanel(QWidget):
    """Starts a sync, shows how it goes, can cancel it."""

    last_sync = Signal(object)
    """Moment of the newest completed run."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._running = False
        self._model: TableModel[RunRow] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="sync.table",
            title="Sync log",
            empty="Nothing was synced yet",
            hint="Sync brings trades, positions and holdings of every connected account into your book. "
            "Running it again changes nothing.",
        )
        self.sync_button = QPushButton("S&ync now")
        self.sync_button.setObjectName("sync.start")
        self.sync_button.setIcon(theme.icon("sync", theme.DARK.on_bright))
        theme.set_role(self.sync_button, "primary")
        self.sync_button.clicked.connect(self.start)
        self.cancel_button = QPushButton("&Cancel sync")
        self.cancel_button.setObjectName("sync.cancel")
        self.cancel_button.setEnabled(False)
        self.cancel_button.clicked.connect(self.cancel)
        self._progress = label("", "muted", name="sync.progress")
        self.message = Message(name="sync.message")
        bar = QWidget()
        bar_layout = QHBoxLayout(bar)
        bar_layout.setContentsMargins(8, 6, 12, 6)
        bar_layout.addWidget(self.sync_button)
        bar_layout.addWidget(self.cancel_button)
        bar_layout.addSpacing(8)
        bar_layout.addWidget(self._progress, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(bar)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        bridge.subscribe(SyncProgressed, self._on_progress)

    async def load(self) -> None:
        """The log of earlier runs."""
        runs = await self._bridge.call(self._bridge.desk.portfolio.sync_log())
        self._model.replace(((run.run, run.account), self._row(run)) for run in runs)
        done = [run.ended_at for run in runs if run.step == SyncStep.COMPLETED and run.ended_at is not None]
        if done:
            self.last_sync.emit(max(done))

    def _row(self, run: SyncRun) -> RunRow:
        return RunRow(run, self._facts.account_name(run.account))

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
        self._progress.setText("Starting…")
        try:
            summary = await self._bridge.call(self._bridge.desk.portfolio.sync())
        except AppError as failure:
            self._progress.setText("")
            self.message.say(f"Sync did not run: {failure}", "strip-danger")
        else:
            runs = summary.accounts
            created = sum(run.created for run in runs)
            failed = [run for run in runs if run.step == SyncStep.FAILED]
            self._progress.setText(f"{fmt.group(created)} new fills from {len(runs)} account{'s'[: len(runs) != 1]}")
            if failed:
                self.message.say("; ".join(f"{run.account}: {run.error}" for run in failed), "strip-danger")
            elif not runs:
                self._progress.setText("")
                self.message.say("No account is connected. Connect one first.")
        finally:
            self._set_running(running=False)
            await self.load()

    def _set_running(self, *, running: bool) -> None:
        self._running = running
        self.sync_button.setEnabled(not running)
        self.sync_button.setText("Syncing…" if running else "S&ync now")
        self.cancel_button.setEnabled(running)

    def _on_progress(self, event: SyncProgressed) -> None:
        run = SyncRun(
            event.run, event.account, event.trigger, str(event.step), event.fetched, event.created, event.updated,
            event.skipped, event.conflicting, event.started_at, event.ended_at, event.error,
        )  # fmt: skip
        key = (event.run, event.account)
        if self._model.latest(key) is None:
            shown = [(k, row) for k in self._model.keys if (row := self._model.row(k)) is not None]
            self._model.replace([(key, self._row(run)), *shown])
        else:
            self._model.put(key, self._row(run))
        if event.step in _FINAL:
            if event.step is SyncStep.COMPLETED and event.ended_at is not None:
                self.last_sync.emit(event.ended_at)
        else:
            name = self._facts.account_name(event.account)
            self._progress.setText(f"{name}: {event.step} · {fmt.group(event.fetched)} fetched")
