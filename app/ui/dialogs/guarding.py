"""Guarding: who takes over when this program dies, and what each account's stops may do when prices fail."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QDialog, QHBoxLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.guard import AccountGuarding, GuardSettings, GuardView
from app.domain.ids import AccountId
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.foot import foot
from app.ui.widgets.text import Message, caption, label


class GuardingDialog(QDialog):
    """The Guarding page. Reads when it opens, writes when asked."""

    saved = Signal(object)
    """The GuardSettings that are in force now."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("guarding")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Guarding")
        self._bridge = bridge
        self._facts = facts
        self._polled: dict[AccountId, QCheckBox] = {}
        self._missed: dict[AccountId, QCheckBox] = {}
        self._tight: dict[AccountId, QCheckBox] = {}
        self._head = label("Looking…", "heading", wrap=True, name="guarding.head")
        self._awake = label("", "muted", wrap=True, name="guarding.awake")
        self._start = QCheckBox("Start a &guard beside the window, where the keyring opens the profile")
        self._start.setObjectName("guarding.start")
        self._lock = QSpinBox()
        self._lock.setObjectName("guarding.lock")
        self._lock.setRange(0, 240)
        self._lock.setSuffix(" minutes")
        self._lock.setSpecialValueText("never")
        self._lock.setAccessibleName("Lock the screen when nobody was here for")
        lock = QHBoxLayout()
        lock.addWidget(label("Lock the screen when nobody was here for"))
        lock.addWidget(self._lock)
        lock.addStretch(1)
        self._accounts = QVBoxLayout()
        self._accounts.setSpacing(6)
        self.message = Message(name="guarding.message")
        self._save = QPushButton("&Save")
        self._save.setObjectName("guarding.save")
        self._save.setDefault(True)
        self._save.setEnabled(False)
        self._save.clicked.connect(lambda: self._bridge.start(self._write(), "save guarding"))
        close = QPushButton("&Close")
        close.clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        for widget in (self._head, self._awake, self._start):
            layout.addWidget(widget)
        layout.addLayout(lock)
        layout.addLayout(self._accounts)
        layout.addStretch(1)
        layout.addWidget(self.message)
        layout.addLayout(foot(self._save, close))
        self.resize(620, 400)
        self._bridge.start(self._read(), "guarding")

    async def _read(self) -> None:
        try:
            view = await self._bridge.call(self._bridge.desk.guard.view())
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            return
        self.show_view(view)

    def show_view(self, view: GuardView) -> None:
        """How things stand, and what was chosen."""
        count = len(view.companions)
        waits = "A guard waits beside this window" if count == 1 else f"{count} guards wait beside this window"
        self._head.setText(view.alone or f"{waits}: it watches on when this program dies.")
        self._awake.setText(view.awake and f"This computer may fall asleep while stops are armed: {view.awake}")
        self._awake.setVisible(bool(view.awake))
        self._start.setChecked(view.settings.start_guard)
        self._lock.setValue(view.settings.lock_minutes)
        for account in self._facts.accounts:
            chosen = view.settings.of(account)
            self._accounts.addWidget(label(self._facts.account_name(account)))
            polled = QCheckBox("While the price stream is silent, quotes that are asked for may fire a stop")
            tight = QCheckBox("While it is silent, backstops at the exchange move up to a tick behind their stops")
            missed = QCheckBox("A trade at the level that no packet showed (by the day's high or low) fires the stop")
            for box, name, on, kept in (
                (polled, "polled", chosen.polled_fires, self._polled),
                (tight, "tight", chosen.tightens, self._tight),
                (missed, "missed", chosen.missed_fires, self._missed),
            ):
                box.setObjectName(f"guarding.{name}.{account}")
                box.setAccessibleName(caption(f"{self._facts.account_name(account)}: {box.text()}"))
                box.setChecked(on)
                kept[account] = box
                self._accounts.addWidget(box)
        self._save.setEnabled(True)

    async def _write(self) -> None:
        accounts = tuple(
            AccountGuarding(
                account, box.isChecked(), self._tight[account].isChecked(), self._missed[account].isChecked()
            )
            for account, box in self._polled.items()
        )
        settings = GuardSettings(self._start.isChecked(), accounts, self._lock.value())
        try:
            await self._bridge.call(self._bridge.desk.guard.save_settings(settings))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self.saved.emit(settings)
            self.accept()
