"""Connects an account: which broker, the key and secret of its developer page, then its login page."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.domain.account import Endpoints
from app.domain.broker import AuthKind, BrokerInfo, BrokerListing, Support
from app.domain.errors import AppError
from app.runtime.secret import Secret
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.widgets.badge import MoneyBadge
from app.ui.widgets.foot import foot
from app.ui.widgets.text import Message, label, make_room

_ENDPOINTS = (
    ("api_url", "&API address", "https://…"),
    ("login_url", "&Login page", "https://…"),
    ("ws_url", "&Price stream", "wss://…"),
    ("ca_file", "Certificate &file", "PEM of a private authority, if any"),
)


class ConnectDialog(QDialog):
    """Asks for what the broker's developer page shows. Emits `added` with the new account's id, which has to log in
    yet, or `connected` where an access token did."""

    added = Signal(object)
    connected = Signal(object)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self.setObjectName("connect")
        self.setWindowTitle("Connect an account")
        self.setFixedWidth(480)
        self._broker = QComboBox()
        self._broker.setObjectName("connect.broker")
        self._broker.setAccessibleName("Broker")
        self._broker.currentIndexChanged.connect(self._show_broker)
        self._listings: tuple[BrokerListing, ...] = ()
        self._key = QLineEdit()
        self._key.setObjectName("connect.api_key")
        self._key.setAccessibleName("API key")
        self._secret = QLineEdit()
        self._secret.setObjectName("connect.api_secret")
        self._secret.setAccessibleName("API secret")
        self._secret.setEchoMode(QLineEdit.EchoMode.Password)
        self._secret.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
        self._token = QLineEdit()
        self._token.setObjectName("connect.access_token")
        self._token.setAccessibleName("Access token")
        self._token.setPlaceholderText("only if you have one: then there is no login page")
        self._token.setEchoMode(QLineEdit.EchoMode.Password)
        self._token.setInputMethodHints(self._secret.inputMethodHints())
        self._token.textChanged.connect(self._show_go)
        self._redirect = QLineEdit()
        self._redirect.setObjectName("connect.redirect_url")
        self._redirect.setAccessibleName("Redirect URL")
        self._redirect.setPlaceholderText("as registered, e.g. http://127.0.0.1:8765/stopline")
        self._redirect.setToolTip("The login page ends on it. To log in with your own browser it is on this computer.")
        self._about = label("", "faint", wrap=True, name="connect.about")
        self._form = form = QFormLayout()
        form.setVerticalSpacing(8)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.addRow("&Broker", self._broker)
        form.addRow("", self._about)
        form.addRow("API &key", self._key)
        form.addRow("API &secret", self._secret)
        form.addRow("Access &token", self._token)
        form.addRow("&Redirect URL", self._redirect)
        self._more = QToolButton()
        self._more.setObjectName("connect.more")
        self._more.setText("Other addresses (paper exchange, test systems)")
        self._more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._more.setArrowType(Qt.ArrowType.RightArrow)
        self._more.setCheckable(True)
        self._more.toggled.connect(self._show_more)
        self._advanced = QWidget()
        advanced = QFormLayout(self._advanced)
        advanced.setContentsMargins(16, 0, 0, 0)
        advanced.setVerticalSpacing(8)
        advanced.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        self._addresses: dict[str, QLineEdit] = {}
        for name, title, placeholder in _ENDPOINTS:
            edit = QLineEdit()
            edit.setObjectName(f"connect.{name}")
            edit.setAccessibleName(title.replace("&", ""))
            edit.setPlaceholderText(placeholder)
            edit.textChanged.connect(self._show_badge)
            self._addresses[name] = edit
            advanced.addRow(title, edit)
        self._advanced.hide()
        self._badge = MoneyBadge()
        self._badge.setObjectName("connect.badge")
        self._why = label("", "faint", wrap=True, name="connect.why")
        self.message = Message(name="connect.message")
        self._go = QPushButton("&Continue to login")
        self._go.setObjectName("connect.submit")
        self._go.setDefault(True)
        theme.set_role(self._go, "primary")
        self._go.clicked.connect(self._submit)
        cancel = QPushButton("Ca&ncel")
        cancel.setObjectName("connect.cancel")
        cancel.clicked.connect(self.reject)
        badge_line = QHBoxLayout()
        badge_line.addWidget(self._badge)
        badge_line.addWidget(self._why, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 20)
        layout.setSpacing(10)
        layout.addWidget(label("Connect an account", "heading"))
        layout.addWidget(
            label(
                "Key and secret are on your broker's developer page. They are encrypted before they are stored; "
                "your password is typed only into the broker's own page.",
                "muted",
                wrap=True,
            )
        )
        layout.addLayout(form)
        layout.addWidget(self._more)
        layout.addWidget(self._advanced)
        layout.addLayout(badge_line)
        layout.addWidget(self.message)
        layout.addLayout(foot(cancel, self._go))
        make_room(self, self.message)
        self._show_badge()
        self._key.setFocus()
        self._submitted_early = False
        bridge.start(self._load(), "list brokers")

    async def _load(self) -> None:
        try:
            self._listings = tuple(await self._bridge.call(self._bridge.desk.session.brokers()))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            return
        for listing in self._listings:
            whose = f" (of {listing.package})" if listing.package else ""
            self._broker.addItem(f"{listing.info.title}{whose}", listing.info.name)
        if self._submitted_early:
            self._submit()

    @property
    def _info(self) -> BrokerInfo | None:
        chosen = self._broker.currentIndex()
        return self._listings[chosen].info if 0 <= chosen < len(self._listings) else None

    def _show_broker(self) -> None:
        """What the chosen broker calls its keys, and what it can do."""
        info = self._info
        if info is None:
            return
        by_name = {field.name: field for field in info.fields}
        for edit, name in ((self._key, "api_key"), (self._secret, "api_secret")):
            field = by_name.get(name)
            self._form.setRowVisible(edit, field is not None)
            if field is not None:
                edit.setToolTip(field.help)
                edit.setPlaceholderText(field.example)
                edit.setAccessibleDescription(field.help)
        takes_token = info.capabilities.access_token is Support.YES or info.auth is AuthKind.HAND_MADE
        self._form.setRowVisible(self._token, takes_token)
        if not takes_token:
            self._token.clear()
        self._about.setText(about(info))
        self._show_badge()
        self._show_go()

    def _show_go(self) -> None:
        self._go.setText("&Connect" if self._token.text().strip() else "&Continue to login")

    def _endpoints(self) -> Endpoints | None:
        values = dict.fromkeys(self._addresses, "")
        if self._more.isChecked():
            values = {name: edit.text().strip() for name, edit in self._addresses.items()}
        values["redirect_url"] = self._redirect.text().strip()
        return Endpoints(**values) if any(values.values()) else None

    def _show_more(self, shown: bool) -> None:
        self._more.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._advanced.setVisible(shown)
        self._show_badge()
        self.adjustSize()

    def _show_badge(self) -> None:
        endpoints = self._endpoints()
        paper = endpoints is not None and endpoints.paper
        self._badge.show_paper(paper)
        info = self._info
        only_read = info is not None and info.capabilities.trading is not Support.YES
        real = "A real account, which is only read." if only_read else "Orders on this account use real money."
        self._why.setText("Every address is on this computer: play money." if paper else real)

    def _submit(self) -> None:
        if not self._go.isEnabled():
            return
        if not self._listings:  # quicker than the list of brokers: nothing typed is lost
            self._submitted_early = True
            return
        key, secret = self._key.text().strip(), self._secret.text().strip()
        if not key or not secret:
            self.message.say("Type the API key and the API secret.")
            (self._secret if key else self._key).setFocus()
            return
        token = self._token.text().strip()
        endpoints = self._endpoints()
        if self._more.isChecked() and endpoints is not None:
            others = (endpoints.api_url, endpoints.login_url, endpoints.ws_url)
            if any(others) and not all(others):
                self.message.say("Other addresses need all of: API, login page and price stream.")
                return
        info = self._info
        by_page = info is not None and info.auth is AuthKind.LOGIN_PAGE and not token
        if by_page and not (endpoints and endpoints.redirect_url):
            self.message.say("Type the redirect URL that is registered with the broker: the login ends on it.")
            self._redirect.setFocus()
            return
        self.message.clear()
        self._go.setEnabled(False)
        broker = str(self._broker.currentData())
        if token:
            by_hand = self._by_hand(broker, key, Secret(secret), Secret(token), endpoints)
            self._bridge.start(by_hand, "connect by hand")
        else:
            self._bridge.start(self._add(broker, key, Secret(secret), endpoints), "add account")

    async def _add(self, broker: str, key: str, secret: Secret, endpoints: Endpoints | None) -> None:
        try:
            account = await self._bridge.call(self._bridge.desk.session.add_account(broker, key, secret, endpoints))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self._done()
            self.added.emit(account)
        finally:
            self._go.setEnabled(True)

    async def _by_hand(self, broker: str, key: str, secret: Secret, token: Secret, where: Endpoints | None) -> None:
        self.message.say("Asking the broker whether key and token are right…")
        session = self._bridge.desk.session
        try:
            view = await self._bridge.call(session.connect_by_hand(broker, key, secret, token, where))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self._done()
            self.connected.emit(view.id)
        finally:
            self._go.setEnabled(True)

    def _done(self) -> None:
        self._secret.clear()
        self._token.clear()
        self.accept()


def about(info: BrokerInfo) -> str:
    """One line on what the broker can do, before anything is typed."""
    can = info.capabilities
    words = []
    if can.trading is not Support.YES:
        words.append("Is only read: no orders, no stops.")
    elif can.streaming is not Support.YES:
        words.append("No live prices: no local stops.")
    if info.history_days == 1:
        words.append("Gives the trades of today only.")
    elif info.history_days is not None:
        words.append(f"Gives the trades of {info.history_days} days.")
    if info.session_dies_at:
        words.append(f"Wants a login every day; sessions end at {info.session_dies_at}.")
    return " ".join(words)
