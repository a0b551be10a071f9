"""Accounts in the window: connecting, logging in, logging in again when a session died, and what is blind meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDialog, QMenu, QMessageBox, QWidget

from app.desk.messages import AccountView
from app.domain.errors import AppError
from app.domain.events import FeedState, LoginAsked, SessionChanged, SessionState
from app.domain.ids import AccountId
from app.domain.stop import Stop
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.connect import ConnectDialog
from app.ui.dialogs.login import LoginWindow
from app.ui.frame import NextFrame
from app.ui.models.facts import Facts
from app.ui.shell.banners import Banners
from app.ui.widgets.text import caption

_DESTRUCTIVE = QMessageBox.ButtonRole.DestructiveRole


def _disconnect_words(armed: Sequence[Stop], orders: int = 0, positions: int = 0) -> str:
    wiped = "Its tokens are wiped at the broker and here. Your trade book stays."
    left = [
        f"{count} open {what}{'s'[: count != 1]}"
        for count, what in ((orders, "order"), (positions, "position"))
        if count
    ]
    if left:
        verb = "stays" if orders + positions == 1 else "stay"
        wiped = f"{' and '.join(left)} {verb} at the broker, where Stopline no longer sees to them.\n\n{wiped}"
    if not armed:
        return wiped
    names = ", ".join(sorted({stop.key.instrument.partition(":")[2] for stop in armed}))
    count = "1 stop is" if len(armed) == 1 else f"{len(armed)} stops are"
    return (
        f"{count} armed: {names}. For each of them an order that rests at the broker is placed first (a trigger, GTT, "
        "for delivery), and seen in its book; then ours is disarmed. Orders of the day end with today's session; a "
        f"trailing stop stays where it is now.\n\n{wiped}"
    )


class AccountKeeper(QObject):
    """Opens the dialogs and keeps one strip for every account that is not logged in."""

    def __init__(
        self,
        bridge: Bridge,
        facts: Facts,
        banners: Banners,
        window: QWidget,
        open_dialog: Callable[[QDialog], None],
        *,
        open_paper_login: bool,
    ) -> None:
        super().__init__(window)
        self._bridge = bridge
        self._facts = facts
        self._banners = banners
        self._window = window
        self._open_dialog = open_dialog
        self._open_paper_login = open_paper_login
        self._started = False
        self._logins: dict[AccountId, LoginWindow] = {}
        self._reasons: dict[AccountId, str] = {}
        self._strips: set[AccountId] = set()
        self.said: set[str] = set()
        """Keys of the notices whose news the strips tell already."""
        self._menu: QMenu | None = None
        self._showing = NextFrame(self, self._show)
        facts.accounts_changed.connect(self._show)
        facts.stop_changed.connect(lambda _stop: self._showing.ask())
        bridge.subscribe(SessionChanged, self._on_session)
        bridge.subscribe(LoginAsked, self._on_asked)

    def start(self) -> None:
        """The accounts are known: asks for what is missing."""
        self._started = True
        self._show()

    def close(self) -> None:
        """No login page stays open."""
        for login in list(self._logins.values()):
            login.close()

    def fill(self, menu: QMenu) -> None:
        """The part of the menu that depends on who is connected."""
        self._menu = menu.addMenu("&Sessions")
        self._menu.aboutToShow.connect(self._fill_sessions)

    def connect_account(self) -> None:
        """Key and secret, then the login page."""
        dialog = ConnectDialog(self._bridge, self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.added.connect(lambda account: self._bridge.start(self._log_in_new(account), "first login"))
        dialog.connected.connect(lambda _account: self._bridge.start(self._facts.load_accounts(), "read accounts"))
        self._open_dialog(dialog)

    def log_in(self, account: AccountId) -> None:
        """Opens the account's login page, or brings the open one forward."""
        view = self._facts.accounts.get(account)
        if view is None:
            return
        login = self._logins.get(account)
        if login is None:
            login = self._logins[account] = LoginWindow(self._bridge, view, self._window)
            login.gone.connect(lambda: self._forget(account))
            login.logged_in.connect(lambda _view: self._bridge.start(self._facts.load_accounts(), "read accounts"))
            login.show()
            self._bridge.start(login.begin(), "begin login")
        login.raise_()
        login.activateWindow()

    async def _log_in_new(self, account: AccountId) -> None:
        await self._facts.load_accounts()
        self.log_in(account)

    def _forget(self, account: AccountId) -> None:
        login = self._logins.pop(account, None)
        if login is not None:
            login.deleteLater()
            self._window.activateWindow()

    def _on_asked(self, event: LoginAsked) -> None:
        """A session that still lives: its strip offers the login before it ends. A dead one has its strip already."""
        view = self._facts.accounts.get(event.account)
        if view is not None and view.state is SessionState.ACTIVE:
            self._banners.show_banner(
                f"ending-{event.account}",
                f"{view.name}: {event.words}",
                button="Log in again",
                do=partial(self.log_in, event.account),
                dismissable=True,
            )

    def _on_session(self, event: SessionChanged) -> None:
        self._banners.drop(f"ending-{event.account}")
        if event.state is SessionState.ACTIVE:
            self._reasons.pop(event.account, None)
            self._banners.drop(f"log in:{event.account}")  # it was done
        elif event.reason:
            self._reasons[event.account] = event.reason

    def _show(self) -> None:
        if not self._started:
            return
        present = [a for a in self._facts.accounts.values() if not a.disconnected or self._facts.blind(a.id)]
        wanted = {a.id: a for a in present if a.state is not SessionState.ACTIVE}
        for account in self._strips - set(wanted):
            self._banners.drop(f"session-{account}")
            self._banners.drop(f"account in error {account}")  # the alarm of its failed syncs is true no more
        self._strips = set(wanted)
        self.said = {f"blind:{account}" for account in wanted if self._facts.blind(account)}
        self.said |= {f"log in:{account}" for account, view in wanted.items() if view.state.dead}
        for name in self.said:
            self._banners.drop(name)
        for account, view in wanted.items():
            loud = view.state.dead or bool(self._facts.blind(account))
            button, do = self._way_out(view)
            self._banners.show_banner(
                f"session-{account}",
                self._words(view),
                role="strip-danger" if loud else "strip-warning",
                button=button,
                do=do,
            )
        if present:
            self._banners.drop("no-account")
        else:
            self._banners.show_banner(
                "no-account",
                "No account is connected. Connect one to see prices and trade.",
                role="strip",
                button="Connect an account",
                do=self.connect_account,
            )
        if self._open_paper_login:
            paper = [v for v in wanted.values() if v.paper and not v.state.may_live]
            if paper:
                self._open_paper_login = False  # by itself once; a closed page is not forced open again
                self.log_in(paper[0].id)

    def _way_out(self, view: AccountView) -> tuple[str, Callable[[], object]]:
        """What ends a state that is not a good one."""
        if view.state is SessionState.PAUSED:
            return "Resume", partial(self.go_on, view.id)
        if view.state is SessionState.ERROR and self._facts.feed_state(view.id) is not FeedState.OFF:
            return "Sync now", partial(self.sync, view.id)
        return "Log in again" if view.connected_at is not None else "Log in", partial(self.log_in, view.id)

    def pause(self, account: AccountId) -> None:
        """No sync by itself and no new order; stops and exits go on."""
        self._start(self._bridge.desk.session.pause(account), "pause")

    def go_on(self, account: AccountId) -> None:
        """Ends a pause."""
        self._start(self._bridge.desk.session.go_on(account), "resume")

    def sync(self, account: AccountId) -> None:
        """Brings this account's trades home."""
        self._start(self._bridge.desk.portfolio.sync(account), "sync")

    def _start(self, verb: Coroutine[Any, Any, object], name: str) -> None:
        self._bridge.start(self._run(self._bridge.call(verb)), name)

    async def _run(self, answer: asyncio.Future[object]) -> None:
        try:
            await answer
        except AppError as failure:
            self._bridge.report(failure)
        await self._facts.load_accounts()

    def _words(self, view: AccountView) -> str:
        alone = sum(other.broker == view.broker for other in self._facts.accounts.values()) == 1
        broker = view.title if alone else view.name
        reason = self._reasons.get(view.id) or view.last_error
        if view.state is SessionState.PAUSED:
            words = f"{broker} is paused: no sync by itself, no new order. Stops and exits go on."
        elif view.state is SessionState.REVOKED:
            words = f"{broker} is logged out."
        elif view.state is SessionState.EXPIRED:
            at = f" at {fmt.clock(view.token_expires_at)}" if view.token_expires_at is not None else ""
            words = f"{broker} logged out{at}."
        elif view.state is SessionState.ERROR:
            lives = self._facts.feed_state(view.id) is not FeedState.OFF
            words = f"Syncs of {broker} fail; stops and orders go on." if lives else f"{broker} is not usable now."
        else:
            words = f"{broker} is not logged in."
        if reason:
            words += f" {reason}"
        blind = len(self._facts.blind(view.id))
        if blind:
            words += f" {blind} {'stop is' if blind == 1 else 'stops are'} blind."
        return words

    def _fill_sessions(self) -> None:
        menu = self._menu
        if menu is None:
            return
        menu.clear()
        for view in self._facts.accounts.values():
            name = caption(f"{view.name} ({view.client_name or view.state})")
            entry = menu.addMenu(name)
            log_in = entry.addAction("&Log in…")
            log_in.triggered.connect(lambda _checked=False, account=view.id: self.log_in(account))
            if view.state is SessionState.PAUSED:
                entry.addAction("&Resume").triggered.connect(partial(self._on_go_on, view.id))
            elif view.state.may_live:
                entry.addAction("&Pause").triggered.connect(partial(self._on_pause, view.id))
            off = entry.addAction("&Disconnect…")
            off.triggered.connect(lambda _checked=False, view=view: self.ask_disconnect(view))
        if menu.isEmpty():
            menu.addAction("No account is connected").setEnabled(False)

    def _on_pause(self, account: AccountId, _checked: bool = False) -> None:
        self.pause(account)

    def _on_go_on(self, account: AccountId, _checked: bool = False) -> None:
        self.go_on(account)

    def ask_disconnect(self, view: AccountView) -> None:
        """Says what goes and what stays; stops that are armed are handed to the broker, or it stays connected."""
        armed = [stop for stop in self._facts.armed() if stop.key.account == view.id]
        box = QMessageBox(self._window)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Disconnect?")
        box.setText(f"End the session of {view.name}?")
        orders = sum(order.account == view.id and not order.status.is_final for order in self._facts.orders.values())
        positions = sum(position.key.account == view.id for position in self._facts.open_positions())
        box.setInformativeText(_disconnect_words(armed, orders, positions))
        keep = box.addButton("&Stay connected", QMessageBox.ButtonRole.RejectRole)
        go = box.addButton("&Hand over, then disconnect" if armed else "&Disconnect", _DESTRUCTIVE)
        go.setObjectName("disconnect.go")
        box.setDefaultButton(keep)
        verb = partial(self._bridge.desk.session.disconnect, view.id, hand_over=bool(armed))
        go.clicked.connect(lambda: self._start(verb(), "disconnect"))
        self._open_dialog(box)
