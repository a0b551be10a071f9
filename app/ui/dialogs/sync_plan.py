"""When an account is synced by itself, and the trades of which days are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from PySide6.QtCore import QDate, QTime, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDateEdit,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QTimeEdit,
    QVBoxLayout,
    QWidget,
)

from app.desk.messages import SyncAccount, SyncStatus
from app.domain.errors import AppError
from app.domain.events import SyncStep
from app.domain.ids import AccountId
from app.domain.instrument import Segment
from app.domain.sync import Conflicts, SyncPlan
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.foot import foot
from app.ui.widgets.text import Message, label, make_room

_MARKETS = (
    (Segment.EQUITY, "&Shares"),
    (Segment.FUTURES, "&Futures"),
    (Segment.OPTIONS, "&Options"),
    (Segment.COMMODITY, "&Commodities"),
    (Segment.CURRENCY, "Curre&ncies"),
)
_RULES = (
    (Conflicts.ASK, "Ask me"),
    (Conflicts.BROKER, "Take the broker's"),
    (Conflicts.BOOK, "Keep the book's"),
)


class SyncPlanDialog(QDialog):
    """One account's plan at a time."""

    def __init__(
        self, bridge: Bridge, facts: Facts, accounts: Sequence[SyncAccount], chosen: AccountId, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._plans = {account.account: account.plan for account in accounts}
        self.setObjectName("plan")
        self.setWindowTitle("Sync schedule")
        self.setFixedWidth(620)
        self._account = QComboBox()
        self._account.setObjectName("plan.account")
        for account in accounts:
            self._account.addItem(facts.account_name(account.account), account.account)
        self._on = QCheckBox("Sync &by itself on trading days")
        self._on.setObjectName("plan.on")
        self._every = QSpinBox()
        self._every.setObjectName("plan.every")
        self._every.setRange(1, 240)
        self._every.setSuffix(" min")
        self._begins = QTimeEdit()
        self._begins.setObjectName("plan.begins")
        self._begins.setDisplayFormat("HH:mm")
        self._after = QSpinBox()
        self._after.setObjectName("plan.after")
        self._after.setRange(0, 120)
        self._after.setSuffix(" min")
        self._markets = {segment: QCheckBox(title) for segment, title in _MARKETS}
        markets = QHBoxLayout()
        for segment, box in self._markets.items():
            box.setObjectName(f"plan.{segment}")
            markets.addWidget(box)
        self._rule = QComboBox()
        self._rule.setObjectName("plan.rule")
        for rule, title in _RULES:
            self._rule.addItem(title, rule)
        form = QFormLayout()
        form.setVerticalSpacing(8)
        form.addRow("&Account", self._account)
        form.addRow("", self._on)
        form.addRow("&Every", self._every)
        form.addRow("Fr&om", self._begins)
        form.addRow("Until the close of", markets)
        form.addRow("Closing sync &after", self._after)
        form.addRow("Fills that &differ", self._rule)
        hint = label(
            "The closing sync after the last session cannot be turned off: brokers forget the day overnight. "
            "A market in which the account traded within five weeks counts, ticked or not. "
            "Times are the exchange's; holidays have no syncs.",
            "faint",
            wrap=True,
        )
        self.message = Message(name="plan.message")
        save, cancel = QPushButton("&Save"), QPushButton("Cance&l")
        save.setObjectName("plan.save")
        save.setDefault(True)
        theme.set_role(save, "primary")
        save.clicked.connect(lambda: self._bridge.start(self._save(), "save plan"))
        cancel.clicked.connect(self.reject)
        layout = _framed(self, "Sync schedule", form, hint, self.message, save, cancel)
        layout.setSpacing(10)
        self._account.currentIndexChanged.connect(lambda _i: self._show())
        self._account.setCurrentIndex(max(0, self._account.findData(chosen)))
        self._show()

    def _show(self) -> None:
        plan = self._plans[self._account.currentData()]
        self._on.setChecked(plan.on)
        self._every.setValue(max(1, plan.every_s // 60))
        self._begins.setTime(QTime(plan.begins // 60, plan.begins % 60))
        self._after.setValue(plan.after_close_s // 60)
        for segment, box in self._markets.items():
            box.setChecked(segment in plan.segments)
        self._rule.setCurrentIndex(self._rule.findData(plan.conflicts))

    def plan(self) -> SyncPlan:
        """What is entered."""
        begins = self._begins.time()
        return SyncPlan(
            account=self._account.currentData(),
            on=self._on.isChecked(),
            every_s=self._every.value() * 60,
            begins=begins.hour() * 60 + begins.minute(),
            after_close_s=self._after.value() * 60,
            segments=tuple(segment for segment, box in self._markets.items() if box.isChecked()),
            conflicts=Conflicts(self._rule.currentData()),
        )

    async def _save(self) -> None:
        try:
            await self._bridge.call(self._bridge.desk.sync.save_plan(self.plan()))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self.accept()


class RangeDialog(QDialog):
    """Trades of some dates, now or in the background. Emits `file_asked` with the account whose tradebook file is to
    be imported instead, where the broker tells of today only."""

    file_asked = Signal(object)
    fetched = Signal(object)
    """What a run of the dates came to."""

    def __init__(self, bridge: Bridge, facts: Facts, status: SyncStatus, parent: QWidget) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._days = {account.account: account.history_days for account in status.accounts}
        self.setObjectName("range")
        self.setWindowTitle("Trades of earlier days")
        self.setFixedWidth(470)
        today = date.fromisoformat(f"{fmt.moment(status.now):%Y-%m-%d}")
        self._account = QComboBox()
        self._account.setObjectName("range.account")
        for account in status.accounts:
            self._account.addItem(facts.account_name(account.account), account.account)
        self._account.currentIndexChanged.connect(lambda _i: self._say())
        self._since = _date_edit("range.since", today - timedelta(days=7))
        self._until = _date_edit("range.until", today)
        self._background = QCheckBox("In the &background, newest first, until the first date")
        self._background.setObjectName("range.background")
        self._background.toggled.connect(self._until.setDisabled)
        form = QFormLayout()
        form.setVerticalSpacing(8)
        form.addRow("&Account", self._account)
        form.addRow("&From", self._since)
        form.addRow("&To", self._until)
        form.addRow("", self._background)
        self._hint = label("", "faint", wrap=True, name="range.hint")
        self._file = QPushButton("&Import its file…")
        self._file.setObjectName("range.file")
        self._file.clicked.connect(self._ask_file)
        form.addRow("", self._file)
        self.message = Message(name="range.message")
        self._fetch, cancel = QPushButton("Fetc&h"), QPushButton("Cance&l")
        self._fetch.setObjectName("range.fetch")
        self._fetch.setDefault(True)
        theme.set_role(self._fetch, "primary")
        self._fetch.clicked.connect(lambda: self._bridge.start(self._run(), "fetch dates"))
        cancel.clicked.connect(self.reject)
        _framed(self, "Trades of earlier days", form, self._hint, self.message, self._fetch, cancel)
        self._say()

    def _say(self) -> None:
        days = self._days[self._account.currentData()]
        if days == 1:
            words = (
                "This broker gives the trades of today only. Earlier ones come from its tradebook file "
                "(Zerodha: Console, Reports, Tradebook)."
            )
        elif days is None:
            words = "How far back this broker's trades go is not known."
        else:
            words = f"This broker keeps the trades of about {fmt.group(days)} days."
        self._hint.setText(words)
        self._file.setVisible(days == 1)
        self.message.clear()  # it was about another account

    def _ask_file(self) -> None:
        self.reject()
        self.file_asked.emit(AccountId(self._account.currentData()))

    async def _run(self) -> None:
        account = AccountId(self._account.currentData())
        since, until = _date_of(self._since), _date_of(self._until)
        self._fetch.setEnabled(False)
        self.message.clear()
        try:
            if self._background.isChecked():
                await self._bridge.call(self._bridge.desk.sync.backfill(account, since))
            else:
                summary = await self._bridge.call(self._bridge.desk.sync.run(account, "manual", since, until))
                if any(run.step != SyncStep.COMPLETED for run in summary.accounts):  # skipped is not fetched either
                    self.message.say("; ".join(run.error for run in summary.accounts), "strip-danger")
                    return
                self.fetched.emit(summary)
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self.accept()
        finally:
            self._fetch.setEnabled(True)


def _framed(
    dialog: QDialog,
    title: str,
    form: QFormLayout,
    hint: QWidget,
    message: Message,
    do: QPushButton,
    cancel: QPushButton,
) -> QVBoxLayout:
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(24, 20, 24, 20)
    layout.addWidget(label(title, "heading"))
    layout.addLayout(form)
    layout.addWidget(hint)
    layout.addWidget(message)
    layout.addLayout(foot(cancel, do))
    make_room(dialog, message)
    return layout


def _date_edit(name: str, value: date) -> QDateEdit:
    made = QDateEdit(QDate(value.year, value.month, value.day))
    made.setObjectName(name)
    made.setDisplayFormat("dd MMM yyyy")
    made.setCalendarPopup(True)
    return made


def _date_of(edit: QDateEdit) -> date:
    chosen = edit.date()
    return date(chosen.year(), chosen.month(), chosen.day())
