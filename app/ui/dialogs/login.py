"""Logs an account in: the broker's page on the left, for a paper account what to type beside it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QCloseEvent, QDesktopServices, QKeyEvent
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.desk.messages import AccountView, LoginPage, PaperLogin
from app.domain.errors import AppError, Cancelled
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.widgets.text import Message, label

if TYPE_CHECKING:
    from app.ui.web.login_page import LoginBrowser


class LoginWindow(QFrame):
    """One account's login, as often as it takes. A window of its own, so that charts and stops stay in sight."""

    logged_in = Signal(object)
    """The AccountView."""
    gone = Signal()

    def __init__(self, bridge: Bridge, account: AccountView, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self._bridge = bridge
        self._account = account
        self._browser: LoginBrowser | None = None
        self._waiting_for_broker = False
        self._succeeded = False
        self._outside = False
        """The page is in the trader's own browser."""
        self.setObjectName("login")
        self.setWindowTitle(f"Log in to {account.title} {account.user_id}".strip())
        theme.set_role(self, "card")
        self.resize(880 if account.paper else 560, 680)
        if parent is not None:
            self.move(parent.mapToGlobal(parent.rect().center()) - self.rect().center())
        self._status = label("Opening the login page…", "muted", wrap=True, name="login.status")
        self._address = label("", "faint", name="login.address")
        self._message = Message(name="login.message")
        self._again = QPushButton("&Try again")
        self._again.setObjectName("login.again")
        self._again.clicked.connect(lambda: bridge.start(self.begin(), "begin login"))
        self._again.hide()
        self._own = QPushButton("Use my own &browser")
        self._own.setObjectName("login.own")
        self._own.setToolTip("With your password manager. The broker must send it back to this computer.")
        self._own.clicked.connect(lambda: bridge.start(self._in_own_browser(), "login in the browser"))
        self._redirect = QLineEdit()
        self._redirect.setObjectName("login.redirect")
        self._redirect.setAccessibleName("Redirect URL")
        self._redirect.setPlaceholderText("redirect URL as registered, e.g. http://127.0.0.1:8765/stopline")
        self._redirect.returnPressed.connect(self._own.click)
        self._redirect.hide()
        self._cancel = QPushButton("&Cancel")
        self._cancel.setObjectName("login.cancel")
        self._cancel.clicked.connect(self.close)
        self._place = QFrame()
        self._place.setMinimumSize(420, 420)
        QVBoxLayout(self._place).setContentsMargins(0, 0, 0, 0)
        self._paper = PaperStrip(bridge, account)
        self._paper.setVisible(False)
        top = QHBoxLayout()
        top.setContentsMargins(16, 12, 16, 8)
        top.addWidget(self._status, 1)
        top.addWidget(self._address)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self._place, 1)
        middle.addWidget(self._paper)
        bottom = QHBoxLayout()
        bottom.setContentsMargins(16, 8, 16, 12)
        bottom.setSpacing(8)
        bottom.addWidget(self._own)
        bottom.addWidget(self._redirect, 8)
        bottom.addStretch(1)
        bottom.addWidget(self._again)
        bottom.addWidget(self._cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self._message)
        layout.addLayout(middle, 1)
        layout.addLayout(bottom)

    async def begin(self) -> None:
        """A fresh attempt: a fresh page with a fresh state."""
        await self._leave_own_browser()
        self._message.clear()
        self._again.hide()
        self._drop_browser()
        self._status.setText("Opening the login page…")
        try:
            page = await self._bridge.call(self._bridge.desk.session.begin_login(self._account.id))
        except AppError as failure:
            self._fail(str(failure))
            return
        if self._account.paper:
            await self._paper.refresh()
        self._open(page)

    def _open(self, page: LoginPage) -> None:
        from app.ui.web.login_page import LoginBrowser

        self._browser = LoginBrowser(page, self._place)
        self._browser.arrived.connect(self._on_redirected)
        self._browser.loaded.connect(self._on_loaded)
        self._browser.blocked.connect(self._on_blocked)
        layout = self._place.layout()
        if layout is not None:
            layout.addWidget(self._browser)
        self._address.setText(page.allowed_hosts[0] if page.allowed_hosts else "")
        self._browser.start()
        self._browser.setFocus()

    async def _in_own_browser(self) -> None:
        """The same page in the system's browser; this window waits until it comes back."""
        self._message.clear()
        self._drop_browser()
        verbs = self._bridge.desk.browser
        try:
            page = await self._bridge.call(verbs.begin(self._account.id, self._redirect.text().strip()))
        except AppError as failure:
            self._redirect.show()
            self._fail(str(failure))
            self._redirect.setFocus()  # another address is what helps
            return
        self._outside = True
        self._again.show()
        self._status.setText("Log in on the broker's page in your browser. Stopline waits for it to come back.")
        if not QDesktopServices.openUrl(QUrl(page.url)):
            self._message.say(f"No browser could be started. Open this address in one: {page.url}")
        try:
            view = await self._bridge.call(verbs.finish(self._account.id))
        except Cancelled:
            return
        except AppError as failure:
            self._fail(str(failure))
        else:
            self._succeeded = True
            self.logged_in.emit(view)
            self.close()
        finally:
            self._outside = False

    async def _leave_own_browser(self) -> None:
        if self._outside:
            await self._bridge.call(self._bridge.desk.browser.cancel(self._account.id))

    def _on_loaded(self, ok: bool) -> None:
        if ok:
            who = f" as {self._account.user_id}" if self._account.user_id else ""
            self._status.setText(f"Log in{who} on the broker's own page. Stopline does not see what you type there.")
        else:
            self._fail("The login page could not be loaded. Check the connection, then try again.")

    def _on_blocked(self, host: str) -> None:
        self._address.setToolTip(f"Blocked: {host}")

    def _on_redirected(self, url: str) -> None:
        self._bridge.start(self._complete(url), "complete login")

    async def _complete(self, url: str) -> None:
        self._status.setText("Checking the login with the broker…")
        self._waiting_for_broker = True
        self._drop_browser()
        try:
            view = await self._bridge.call(self._bridge.desk.session.complete_login(self._account.id, url))
        except AppError as failure:
            self._fail(str(failure))
        else:
            self._succeeded = True
            self.logged_in.emit(view)
            self.close()
        finally:
            self._waiting_for_broker = False

    def _fail(self, words: str) -> None:
        self._status.setText("Not logged in.")
        self._message.say(words, "strip-danger")
        self._drop_browser()
        self._again.show()
        self._again.setFocus()

    def _drop_browser(self) -> None:
        if self._browser is not None:
            self._browser.close_browser()
            self._browser.deleteLater()
            self._browser = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc backs out."""
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Qt. Closing it is cancelling: the attempt's state is forgotten at once."""
        self._drop_browser()
        self._paper.stop()
        if not self._succeeded and not self._waiting_for_broker:
            desk = self._bridge.desk
            verb = desk.browser.cancel if self._outside else desk.session.cancel_login
            self._bridge.start(self._bridge.call(verb(self._account.id)))
        event.accept()
        self.gone.emit()


class PaperStrip(QFrame):
    """What to type into the paper exchange's page: play money has no secrets worth hiding from its own trader."""

    def __init__(self, bridge: Bridge, account: AccountView) -> None:
        super().__init__()
        self._bridge = bridge
        self._account = account
        self._ends = 0.0
        self._asking = False
        self.setObjectName("login.paper")
        self.setFixedWidth(300)
        self._values = {part: label("", "heading", name=f"login.paper.{part}") for part in ("user", "password", "code")}
        self._left = label("", "faint", name="login.paper.left")
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(2)
        for number, (part, title) in enumerate((("user", "User ID"), ("password", "Password"), ("code", "Code"))):
            value = self._values[part]
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            copy = QToolButton()
            copy.setIcon(theme.icon("copy"))
            copy.setToolTip(f"Copy the {title.lower()}")
            copy.setAccessibleName(f"Copy {title.lower()}")
            copy.clicked.connect(lambda _checked=False, shown=value: QApplication.clipboard().setText(shown.text()))
            grid.addWidget(label(title, "muted"), number * 3, 0)
            grid.addWidget(value, number * 3 + 1, 0)
            grid.addWidget(copy, number * 3 + 1, 1)
            grid.setRowMinimumHeight(number * 3 + 2, 12)
        grid.setColumnStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(8)
        layout.addWidget(label("Paper exchange", "heading"))
        layout.addWidget(label("Play money on this computer. Type this into the page:", "muted", wrap=True))
        layout.addSpacing(8)
        layout.addLayout(grid)
        layout.addWidget(self._left)
        layout.addStretch(1)
        self._timer = QTimer(self)
        self._timer.setInterval(500)
        self._timer.timeout.connect(self._tick)

    async def refresh(self) -> None:
        """The code of this half minute."""
        if self._asking:
            return
        self._asking = True
        try:
            shown = await self._bridge.call(self._bridge.desk.session.paper_login(self._account.id))
        finally:
            self._asking = False
        self.setVisible(shown is not None)
        if shown is not None:
            self._show(shown)

    def stop(self) -> None:
        """No clock runs on behind a closed window."""
        self._timer.stop()

    def _show(self, shown: PaperLogin) -> None:
        self._values["user"].setText(shown.user_id)
        self._values["password"].setText(shown.password)
        self._values["code"].setText(shown.totp)
        self._ends = time.monotonic() + shown.seconds_left
        self._tick()
        self._timer.start()

    def _tick(self) -> None:
        left = int(self._ends - time.monotonic() + 0.999)
        self._left.setText(f"The code changes in {max(left, 0)} s.")
        if left <= 0:
            self._timer.stop()
            self._bridge.start(self._again(), "new paper code")

    async def _again(self) -> None:
        await asyncio.sleep(0.3)
        await self.refresh()
