"""Accounts: how each one stands, what they come to together, and what can be done with the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QTimer, Signal, SignalInstance
from PySide6.QtGui import QAction, QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QTabWidget, QVBoxLayout, QWidget

from app.desk.messages import AccountView
from app.domain.events import SessionState, SyncProgressed
from app.domain.ids import AccountId
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.frame import SUM_MS, NextFrame
from app.ui.models.facts import Facts
from app.ui.models.table import Key, TableModel
from app.ui.views.account_columns import (
    ABILITY_COLUMNS,
    ACCOUNT_COLUMNS,
    ALL,
    AbilityRow,
    AccountRow,
    ability_rows,
    account_rows,
    facts_words,
)
from app.ui.views.table_view import TableView, action
from app.ui.widgets.text import label, selectable

LOOK_MS = 5_000
"""Between two readings while somebody looks: syncs move totals without an event of the account."""


class AccountsPanel(QWidget):
    """The list, the way into and out of every session, and what each broker can do."""

    connect_asked = Signal()
    login_asked = Signal(object)
    pause_asked = Signal(object)
    resume_asked = Signal(object)
    sync_asked = Signal(object)
    disconnect_asked = Signal(object)
    """The AccountView; the others carry the account's id."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._reading = False
        self._model: TableModel[AccountRow] = TableModel(ACCOUNT_COLUMNS, self)
        self.table = TableView(
            self._model, name="accounts.table", title="Accounts", empty="No account is connected",
            hint="Connect one: its prices, positions and trades then show here and everywhere.",
        )  # fmt: skip
        self.table.chosen.connect(lambda _key: self._show_chosen())
        self.table.activated_key.connect(self._on_activated)
        self.table.set_menu(self._menu)
        self._can_model: TableModel[AbilityRow] = TableModel(ABILITY_COLUMNS, self)
        self.abilities = TableView(
            self._can_model, name="accounts.abilities", title="What the brokers can do", empty="Nothing is known yet",
            hint="What a broker can do, how far back it tells of trades and how often it may be asked.",
        )  # fmt: skip
        self._about = selectable(label("", "muted", wrap=True, name="accounts.about"))
        self._about.setContentsMargins(12, 4, 12, 6)
        page = QWidget()
        inside = QVBoxLayout(page)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(0)
        inside.addWidget(self.table, 1)
        inside.addWidget(self._about)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(page, "Accounts")
        self.tabs.addTab(self.abilities, "What they can do")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar())
        layout.addWidget(self.tabs, 1)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        facts.accounts_changed.connect(self._show)
        self._showing = NextFrame(self, self._show_if_seen, SUM_MS)
        facts.stop_changed.connect(lambda _stop: self._showing.ask())
        facts.feed_changed.connect(lambda _feed: self._showing.ask())
        bridge.subscribe(SyncProgressed, self._on_sync)
        self._show()

    def _bar(self) -> QWidget:
        self._connect = _button("&Connect an account…", "accounts.connect", self.connect_asked.emit)
        self._log_in = _button("&Log in…", "accounts.login", self.log_in)
        self._pause = _button("&Pause", "accounts.pause", self.turn)
        self._sync = _button("S&ync", "accounts.sync", lambda: self._ask(self.sync_asked))
        self._end = _button("&Disconnect…", "accounts.disconnect", self.disconnect_chosen)
        theme.set_role(self._connect, "primary")
        bar = QWidget()
        layout = QHBoxLayout(bar)
        layout.setContentsMargins(8, 6, 12, 6)
        for button in (self._connect, self._log_in, self._pause, self._sync, self._end):
            layout.addWidget(button)
        layout.addStretch(1)
        return bar

    # -- what is shown -----------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> AccountView | None:
        """The account of the current line, else the only one there is."""
        key = self.table.current
        view = self._facts.accounts.get(AccountId(str(key))) if key is not None and key != ALL else None
        if view is None and len(self._facts.accounts) == 1:
            view = next(iter(self._facts.accounts.values()))
        return view

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
        if not self._reading and self._facts.accounts:
            self._reading = True
            self._bridge.start(self._read(), "read accounts")

    async def _read(self) -> None:
        try:
            await self._facts.load_accounts(by_the_clock=True)
            self._show_if_seen()  # times that are told from now, too
        finally:
            self._reading = False

    def _on_sync(self, event: SyncProgressed) -> None:
        if event.ended_at is not None and self.isVisible():
            self._look()

    def _show_if_seen(self) -> None:
        if self.isVisible():
            self._show()

    def _show(self) -> None:
        views = list(self._facts.accounts.values())
        feeds = {str(view.id): self._facts.feed_state(view.id) for view in views}
        armed: dict[str, int] = {}
        for stop in self._facts.armed():
            armed[stop.key.account] = armed.get(stop.key.account, 0) + 1
        self._model.replace(account_rows(views, feeds, armed))
        known = [(view, info) for view in views if (info := self._facts.info(view.id)) is not None]
        self._can_model.replace(row for view, info in known for row in ability_rows(view.name, view.id, info))
        self._show_chosen()

    def _show_chosen(self) -> None:
        view = self.chosen
        lives = view is not None and view.state.may_live
        paused = view is not None and view.state is SessionState.PAUSED
        self._log_in.setEnabled(view is not None)
        self._log_in.setText("&Log in again…" if view is not None and view.connected_at is not None else "&Log in…")
        self._pause.setText("&Resume" if paused else "&Pause")
        self._pause.setEnabled(lives)
        self._sync.setEnabled(lives)
        self._end.setEnabled(_can_end(view))
        self._about.setText("" if view is None else f"{view.name}: {facts_words(view)}")

    # -- what is done ------------------------------------------------------------------------------------------------

    def _ask(self, signal: SignalInstance) -> None:
        view = self.chosen
        if view is not None:
            signal.emit(view.id)

    def log_in(self) -> None:
        """To the chosen account."""
        self._ask(self.login_asked)

    def turn(self) -> None:
        """Pauses the chosen account, or ends its pause."""
        view = self.chosen
        if view is not None:
            (self.resume_asked if view.state is SessionState.PAUSED else self.pause_asked).emit(view.id)

    def disconnect_chosen(self) -> None:
        """Asks first."""
        view = self.chosen
        if view is not None:
            self.disconnect_asked.emit(view)

    def _on_activated(self, key: Key) -> None:
        """Return or a double click: the login where one is needed."""
        view = self._facts.accounts.get(AccountId(str(key)))
        if view is not None and not view.state.may_live:
            self.login_asked.emit(view.id)

    def _menu(self, key: Key) -> Sequence[QAction]:
        view = self._facts.accounts.get(AccountId(str(key)))
        if view is None:
            return ()
        lives, paused = view.state.may_live, view.state is SessionState.PAUSED
        turn = self.resume_asked if paused else self.pause_asked
        return (
            action(self, "Log in…", partial(self.login_asked.emit, view.id)),
            action(self, "Resume" if paused else "Pause", partial(turn.emit, view.id), enabled=lives),
            action(self, "Sync", partial(self.sync_asked.emit, view.id), "sync", enabled=lives),
            action(self, "Disconnect…", partial(self.disconnect_asked.emit, view), enabled=_can_end(view)),
        )


def _can_end(view: AccountView | None) -> bool:
    return view is not None and view.state is not SessionState.LOGGED_OUT


def _button(text: str, name: str, do: object) -> QPushButton:
    made = QPushButton(text)
    made.setObjectName(name)
    made.clicked.connect(do)
    return made
