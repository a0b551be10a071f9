"""What the pages of a broker's extra services share: whose account, what is under way, what went wrong.

They stand beside the main window, not before it: stops, chart and ticket stay in reach.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.desk.messages import AccountView
from app.domain.broker import Capabilities, Support
from app.domain.errors import AppError, OutcomeUnknown
from app.domain.ids import AccountId
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.text import Message, caption, label


class ServicePage(QDialog):
    """A page of its own. `can` picks the accounts that it is for; `lacks` is said where there is none."""

    def __init__(
        self,
        bridge: Bridge,
        facts: Facts,
        parent: QWidget,
        *,
        name: str,
        title: str,
        can: Callable[[Capabilities], Support],
        lacks: str,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setObjectName(name)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.bridge = bridge
        self.facts = facts
        self._can = can
        self._lacks = lacks
        self._busy = ""
        self._gone = False
        self.accounts = QComboBox()
        self.accounts.setObjectName(f"{name}.account")
        self.accounts.setAccessibleName("Account")
        self.accounts.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.accounts.currentIndexChanged.connect(self._account_changed)
        self.message = Message(name=f"{name}.message")
        self.progress = label("", "muted", name=f"{name}.progress")
        self.bar = QHBoxLayout()
        self.bar.addWidget(label("Account", "muted"))
        self.bar.addWidget(self.accounts)
        self.page = QVBoxLayout(self)
        self.page.setContentsMargins(20, 16, 20, 16)
        self.page.setSpacing(8)
        self.page.addLayout(self.bar)
        self.page.addWidget(self.message)
        facts.accounts_changed.connect(self.fill_accounts)

    def suits(self, view: AccountView) -> bool:
        """Whether the page is for an account as it stands now."""
        return view.state.may_live

    def fill_accounts(self) -> None:
        """Those that can; the chosen one stays chosen."""
        if self._gone:
            return
        kept = self.accounts.currentData()
        self.accounts.blockSignals(True)
        self.accounts.clear()
        for view in self.facts.accounts.values():
            able = self.facts.can(view)
            if able is not None and self._can(able) is Support.YES and self.suits(view):
                self.accounts.addItem(caption(self.facts.account_name(view.id)), view.id)
        self.accounts.setCurrentIndex(max(0, self.accounts.findData(kept)))
        self.accounts.blockSignals(False)
        if self.account is None:
            self.message.say(self._lacks, "strip")
        elif self.message.text == self._lacks:
            self.message.clear()
        self.show_busy()
        if self.accounts.currentData() != kept:
            self.account_changed()

    @property
    def account(self) -> AccountId | None:
        """The chosen one; None while there is none that can."""
        found = self.accounts.currentData()
        return None if found is None else AccountId(str(found))

    def _account_changed(self, _index: int) -> None:
        if not self._gone:
            self.account_changed()

    def account_changed(self) -> None:
        """Another account: what is shown is another one's."""

    def show_busy(self) -> None:
        """Something began or ended: buttons follow."""

    @property
    def busy(self) -> bool:
        """A question to the broker is under way."""
        return bool(self._busy)

    @property
    def ready(self) -> bool:
        """There is an account to ask for, and nothing under way."""
        return self.account is not None and not self.busy

    def begin(self, work: Callable[[], Coroutine[Any, Any, str]], words: str) -> None:
        """Runs one piece of work; `words` stand there meanwhile, what it returns is said afterwards."""
        if self.busy:
            return
        self._busy = words
        self.progress.setText(words)
        self.message.clear()
        self.show_busy()
        self.bridge.start(self._run(work), words)

    async def _run(self, work: Callable[[], Coroutine[Any, Any, str]]) -> None:
        said, role = "", "strip"
        try:
            said = await work()
        except OutcomeUnknown as unknown:
            said, role = f"Not known yet whether it was taken. {unknown}", "strip-danger"
        except AppError as failure:
            said, role = str(failure), "strip-danger"
        finally:
            self._busy = ""
            if not self._gone:
                self.progress.setText("")
                self.message.say(said, role)
                self.show_busy()

    def done(self, result: int) -> None:
        """Qt. Esc and the window's cross end here. What is under way is finished; nobody here listens any more."""
        if not self._gone:
            self._gone = True
            self.facts.accounts_changed.disconnect(self.fill_accounts)
        super().done(result)


def button(text: str, name: str, do: Callable[[], object], tip: str = "", *, primary: bool = False) -> QPushButton:
    """A button of a page. Return in a field does not press it."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setAutoDefault(False)
    made.clicked.connect(lambda _checked=False: do())
    if tip:
        made.setToolTip(tip)
    if primary:
        theme.set_role(made, "primary")
    return made


def choice(name: str, words: str, entries: list[tuple[str, object]]) -> QComboBox:
    """A closed choice with values behind its words."""
    made = QComboBox()
    made.setObjectName(name)
    made.setAccessibleName(words)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    for title, value in entries:
        made.addItem(title, value)
    return made
