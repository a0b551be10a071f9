"""Logins that are approved on the phone: asked for here, answered there, the token arrives at a registered address."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from app.desk.messages import AccountView
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button
from app.ui.models.facts import Facts
from app.ui.widgets.text import label, selectable


class ApprovalPage(ServicePage):
    """Asks for the approval, and takes the message that came of it."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="approval",
            title="Log in by approval",
            can=lambda able: able.approval_login,
            lacks="No account's broker has a login that is approved on the phone. Upstox has: connect one there.",
        )
        self._ask = button("&Ask my phone", "approval.ask", self.ask, primary=True)
        self.bar.addWidget(self._ask)
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self._how = selectable(
            label(
                "The broker asks you on your phone. When you approve, it sends a message with the day's token to the "
                "notifier address that is registered for your app. Paste that message here.",
                "muted",
                wrap=True,
                name="approval.how",
            )
        )
        self.notice = QPlainTextEdit()
        self.notice.setObjectName("approval.notice")
        self.notice.setAccessibleName("Message of the broker")
        self.notice.setPlaceholderText('{"client_id": "…", "user_id": "…", "access_token": "…"}')
        self.notice.setTabChangesFocus(True)
        self.notice.textChanged.connect(self.show_busy)
        self._go = button("&Log in", "approval.submit", self.log_in)
        self.page.addWidget(self._how)
        self.page.addWidget(self.notice, 1)
        self.page.addWidget(self._go, 0, Qt.AlignmentFlag.AlignRight)
        self.resize(560, 340)
        self.fill_accounts()

    def suits(self, view: AccountView) -> bool:
        """Also who is logged out: that is what it is for."""
        del view
        return True

    def show_busy(self) -> None:
        """Nothing is asked for twice."""
        self._ask.setEnabled(self.ready)
        self._go.setEnabled(self.ready and bool(self.notice.toPlainText().strip()))

    def ask(self) -> None:
        """The broker asks the trader."""
        account = self.account
        if account is not None:
            self.begin(lambda: self._request(account), "Asking…")

    async def _request(self, account: AccountId) -> str:
        asked = await self.bridge.call(self.bridge.desk.services.request_approval(account))
        goes = f"goes to {asked.notified}" if asked.notified else "goes nowhere: register a notifier address first"
        self._how.setText(f"Approve on your phone until {fmt.date_time(asked.until)}. The message then {goes}.")
        self.notice.setFocus()
        return ""

    def log_in(self) -> None:
        """With the message. It is gone from the page at once: its token is a secret."""
        account, said = self.account, self.notice.toPlainText().strip()
        if account is not None and said and self.ready:
            self.notice.clear()
            self.begin(lambda: self._take(account, Secret(said)), "Asking the broker whether its token is right…")

    async def _take(self, account: AccountId, notice: Secret) -> str:
        view = await self.bridge.call(self.bridge.desk.services.take_approval(account, notice))
        return f"Logged in as {view.client_name or view.user_id}."
