"""The editor of a strategy: what, when, with which stop; and at once what that would mean, in words and rupees."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from PySide6.QtCore import QTime, QTimer
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.domain.errors import AppError
from app.domain.ids import AccountId, StrategyId
from app.domain.instrument import Exchange, Instrument, Product
from app.domain.order import Side
from app.domain.strategy import (
    Days,
    DaysKind,
    Level,
    Measure,
    StrategyPlan,
    new_strategy_id,
)
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.dialogs.strategy_parts import beside, preview_words, read_dates, second_of, time_field
from app.ui.dialogs.strategy_stop import StrategyStop
from app.ui.models.facts import Facts
from app.ui.views.strategy_words import WEEKDAYS
from app.ui.widgets.foot import foot
from app.ui.widgets.instrument_search import InstrumentSearch
from app.ui.widgets.level_edit import LevelEdit
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import Message, caption, label

PAUSE_MS = 150
"""After the last change: a typed number asks once."""
_EXCHANGES = (Exchange.NSE, Exchange.BSE)


class StrategyDialog(QDialog):
    """One plan, new or changed. Saved, or saved and started."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget, plan: StrategyPlan | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._facts = facts
        self._plan = plan
        self._instrument: Instrument | None = None
        self._asked: asyncio.Future[object] | None = None
        self.setObjectName("strategy")
        self.setWindowTitle("New strategy" if plan is None else "Change strategy")
        self.setFixedWidth(640)
        self._make_fields()
        self.message = Message(name="strategy.message")
        self.preview_words = label("", "muted", wrap=True, name="strategy.preview")
        self.preview_words.setMinimumHeight(58)
        self._save = QPushButton("&Save")
        self._save.setObjectName("strategy.save")
        self._save.clicked.connect(lambda _checked=False: self._submit(start=False))
        self._start = QPushButton("Save and s&tart")
        self._start.setObjectName("strategy.start")
        self._start.setDefault(True)
        theme.set_role(self._start, "primary")
        self._start.clicked.connect(lambda _checked=False: self._submit(start=True))
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(12)
        layout.addLayout(self._form())
        layout.addWidget(self.preview_words)
        layout.addWidget(self.message)
        layout.addLayout(foot(cancel, self._save, self._start))
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self._fill(plan)
        self._listen()
        self._on_changed()

    # Building

    def _make_fields(self) -> None:
        self.name = QLineEdit()
        self.name.setObjectName("strategy.name")
        self.name.setPlaceholderText("Opening drive")
        self.account = QComboBox()
        self.account.setObjectName("strategy.account")
        for account in self._facts.accounts:
            self.account.addItem(caption(self._facts.account_name(account)), account)
        self.search = InstrumentSearch(
            self._bridge, "strategy.instrument", "Symbol, name, expiry or strike", keeps_text=True
        )
        self.side = QComboBox()
        self.side.setObjectName("strategy.side")
        self.side.addItem("Long: buy, then sell", Side.BUY)
        self.side.addItem("Short: sell, then buy back", Side.SELL)
        self.product = QComboBox()
        self.product.setObjectName("strategy.product")
        self.quantity = QuantityEdit()
        self.quantity.setObjectName("strategy.quantity")
        self.entry = time_field("strategy.entry", "Entry time, IST")
        self.exit = time_field("strategy.exit", "Exit time, IST")
        self.carry = QSpinBox()
        self.carry.setObjectName("strategy.carry")
        self.carry.setRange(0, 250)
        self.carry.setSpecialValueText("the same day")
        self.carry.setSuffix(" trading days later")
        self.carry.valueChanged.connect(
            lambda days: self.carry.setSuffix(" trading day later" if days == 1 else " trading days later")
        )
        self.patience = QSpinBox()
        self.patience.setObjectName("strategy.patience")
        self.patience.setRange(1, 3_600)
        self.patience.setSuffix(" s")
        self.patience.setToolTip("How long the entry order may stay open; then its rest is cancelled.")
        self.limit = PriceEdit()
        self.limit.setObjectName("strategy.limit")
        self.limit.setPlaceholderText("market")
        self.limit.setToolTip("Worst price at which it enters; empty: as the market gives it.")
        self.stop = LevelEdit("strategy.stop", "Stop", (Measure.PERCENT, Measure.POINTS, Measure.PRICE))
        self.target = LevelEdit("strategy.target", "Target", (Measure.PERCENT, Measure.POINTS, Measure.PRICE))
        self.beyond = StrategyStop()
        self._kinds = QButtonGroup(self)
        self.every = self._kind("Every trading &day", "strategy.every")
        self.weekly = self._kind("&Weekdays", "strategy.weekly")
        self.dated = self._kind("Dat&es", "strategy.dated")
        self.weekdays = [QCheckBox(name) for name in WEEKDAYS]
        for number, box in enumerate(self.weekdays):
            box.setObjectName(f"strategy.weekday{number}")
        self.dates = QLineEdit()
        self.dates.setObjectName("strategy.dates")
        self.dates.setPlaceholderText("2026-11-25, 2026-11-27")
        self.dates.setAccessibleName("Dates, separated by commas")

    def _kind(self, text: str, name: str) -> QRadioButton:
        button = QRadioButton(text)
        button.setObjectName(name)
        button.setMinimumWidth(button.sizeHint().width() + 12)
        self._kinds.addButton(button)
        return button

    def _form(self) -> QFormLayout:
        form = QFormLayout()
        form.setVerticalSpacing(8)
        form.addRow("&Name", self.name)
        form.addRow("&Account", self.account)
        form.addRow("&Instrument", self.search)
        form.addRow("Side", beside(self.side, label("as", "muted"), self.product))
        form.addRow("Quantity", beside(self.quantity, label("worst price", "muted"), self.limit))
        form.addRow("Enter at", beside(self.entry, label("IST, rest cancelled after", "muted"), self.patience))
        form.addRow("Leave at", beside(self.exit, label("IST", "muted"), self.carry))
        form.addRow("Stop at", beside(self.stop, label("target", "muted"), self.target))
        self.beyond.add_to(form)
        form.addRow("Days", beside(self.every, self.weekly, self.dated))
        form.addRow("", beside(*self.weekdays))
        form.addRow("", self.dates)
        self._order_tabs()
        return form

    def _order_tabs(self) -> None:
        """As the eye reads."""
        levels: list[QWidget] = [part for edit in (self.stop, self.target) for part in (edit.number, edit.measure)]
        levels += self.beyond.in_order
        days: list[QWidget] = [self.every, self.weekly, self.dated, *self.weekdays, self.dates]
        first: list[QWidget] = [self.name, self.account, self.search, self.side, self.product, self.quantity]
        read = [*first, self.limit, self.entry, self.patience, self.exit, self.carry, *levels, *days]
        for before, after in pairwise(read):
            self.setTabOrder(before, after)

    def _fill(self, plan: StrategyPlan | None) -> None:
        self.entry.setTime(QTime(9, 20))
        self.exit.setTime(QTime(15, 0))
        self.patience.setValue(60)
        self.every.setChecked(True)
        self.stop.show_level(Level(Measure.PERCENT, 100))
        self._offer_products(None)
        if plan is None:
            return
        self.name.setText(plan.name)
        self.account.setCurrentIndex(max(0, self.account.findData(plan.account)))
        self.side.setCurrentIndex(self.side.findData(plan.side))
        instrument = self._facts.instruments.get(plan.instrument)
        if instrument is not None:
            self._pick(instrument)
        self.product.setCurrentIndex(max(0, self.product.findData(plan.product)))
        self.quantity.set_value(plan.quantity)
        self.entry.setTime(QTime(0, 0).addSecs(plan.entry_second))
        self.exit.setTime(QTime(0, 0).addSecs(plan.exit_second))
        self.carry.setValue(plan.carry)
        self.patience.setValue(plan.entry_seconds)
        self.limit.set_value(plan.limit)
        for edit, level in ((self.stop, plan.stop), (self.target, plan.target)):
            edit.show_level(level)
        self.beyond.show_plan(plan)
        kinds = {DaysKind.TRADING_DAYS: self.every, DaysKind.WEEKDAYS: self.weekly, DaysKind.DATES: self.dated}
        kinds[plan.days.kind].setChecked(True)
        for number, box in enumerate(self.weekdays):
            box.setChecked(number in plan.days.weekdays)
        self.dates.setText(", ".join(day.isoformat() for day in plan.days.dates))

    def _listen(self) -> None:
        self.search.picked.connect(self._on_picked)
        for line in (self.name, self.dates):
            line.textChanged.connect(lambda _text: self._on_changed())
        for combo in (self.account, self.side, self.product):
            combo.currentIndexChanged.connect(lambda _index: self._on_changed())
        for number in (self.quantity, self.limit):
            number.value_changed.connect(lambda _value: self._on_changed())
        for moment in (self.entry, self.exit):
            moment.timeChanged.connect(lambda _time: self._on_changed())
        for spin in (self.carry, self.patience):
            spin.valueChanged.connect(lambda _value: self._on_changed())
        for level in (self.stop, self.target, self.beyond):
            level.changed.connect(self._on_changed)
        for box in (self.every, self.weekly, self.dated, *self.weekdays):
            box.toggled.connect(lambda _on: self._on_changed())

    # What is typed

    def _on_picked(self, instrument: Instrument) -> None:
        self._facts.learn(instrument)
        self._pick(instrument)
        self._on_changed()
        self.quantity.setFocus()
        self.quantity.selectAll()

    def _pick(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.search.setText(instrument.symbol)
        self.quantity.set_instrument(instrument)
        self.limit.set_instrument(instrument)
        for edit in (self.stop, self.target, self.beyond):
            edit.set_instrument(instrument)
        self._offer_products(instrument)

    def _offer_products(self, instrument: Instrument | None) -> None:
        shares = instrument is None or instrument.exchange in _EXCHANGES
        offered = (Product.MIS, Product.CNC) if shares else (Product.MIS, Product.NRML)
        before = self.product.currentData()
        self.product.clear()
        for product in offered:
            self.product.addItem(product.value, product)
        self.product.setCurrentIndex(max(0, self.product.findData(before)))

    def _on_changed(self) -> None:
        short = self.side.currentData() == Side.SELL
        self.entry.setToolTip("Sells short" if short else "Buys")
        self.exit.setToolTip("Buys back" if short else "Sells")
        for box in self.weekdays:
            box.setEnabled(self.weekly.isChecked())
        self.dates.setEnabled(self.dated.isChecked())
        self.beyond.guards(self.stop.level is not None)
        self.target.setEnabled(self.stop.level is not None)
        self._pause.start()

    def plan(self) -> StrategyPlan:
        """What the fields say. Raises ValueError in words where they say nothing."""
        instrument, account = self._instrument, self.account.currentData()
        if account is None:
            raise ValueError("Connect an account first.")
        if instrument is None or self.search.text() != instrument.symbol:
            raise ValueError("Choose an instrument.")
        for name, edit in (("quantity", self.quantity), ("worst price", self.limit)):
            if edit.problem:
                raise ValueError(f"The {name}: {edit.problem}.")
        if not self.quantity.value:
            raise ValueError("Enter a quantity.")
        for level in (self.stop, self.target):
            if level.problem:
                raise ValueError(level.problem)
        guarded = self.stop.level is not None
        fresh = StrategyPlan(
            id=StrategyId(new_strategy_id()) if self._plan is None else self._plan.id,
            name=self.name.text().strip() or f"{instrument.symbol} {self.entry.time().toString('HH:mm')}",
            account=AccountId(account),
            instrument=instrument.id,
            product=Product(self.product.currentData()),  # Qt hands plain words back
            side=Side(self.side.currentData()),
            quantity=self.quantity.value,
            entry_second=second_of(self.entry),
            exit_second=second_of(self.exit),
            days=self._days(),
            carry=self.carry.value(),
            stop=self.stop.level,
            target=self.target.level if guarded else None,
            limit=self.limit.value,
            entry_seconds=self.patience.value(),
        )
        return self.beyond.onto(fresh)

    def _days(self) -> Days:
        if self.weekly.isChecked():
            return Days(DaysKind.WEEKDAYS, tuple(n for n, box in enumerate(self.weekdays) if box.isChecked()))
        if self.dated.isChecked():
            return Days(DaysKind.DATES, dates=read_dates(self.dates.text()))
        return Days()

    # What it would mean

    def _ask(self) -> None:
        try:
            plan = self.plan()
        except ValueError as missing:
            self._say(str(missing), "muted")
            self._allow(ready=False)
            return
        if self._asked is not None:
            self._asked.cancel()
        self._asked = self._bridge.start(self._foresee(plan), "preview a strategy")

    async def _foresee(self, plan: StrategyPlan) -> None:
        try:
            preview = await self._bridge.call(self._bridge.desk.strategies.preview(plan))
        except AppError as failure:
            self._say(str(failure), "danger")
            self._allow(ready=False)
            return
        if preview.problems:
            self._say("\n".join(problem.words for problem in preview.problems), "danger")
        else:
            self._say(preview_words(plan, preview, self._instrument), "muted")
        self._allow(ready=not preview.problems, startable=preview.entry_at is not None)

    def _say(self, text: str, role: str) -> None:
        self.preview_words.setText(text)
        theme.set_role(self.preview_words, role)

    def _allow(self, *, ready: bool, startable: bool = True) -> None:
        self._save.setEnabled(ready)
        self._start.setEnabled(ready and startable)

    def _submit(self, *, start: bool) -> None:
        try:
            plan = self.plan()
        except ValueError as missing:
            self.message.say(str(missing), "strip-danger")
            return
        self._allow(ready=False)
        self._bridge.start(self._keep(plan, start=start), "save a strategy")

    async def _keep(self, plan: StrategyPlan, *, start: bool) -> None:
        self.message.clear()
        verbs = self._bridge.desk.strategies
        try:
            saved = await self._bridge.call(verbs.save(plan))
            self._plan = saved.plan  # a second try changes this one
            if start:
                await self._bridge.call(verbs.start(saved.id))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            self._allow(ready=True)
        else:
            self.accept()

    def done(self, result: int) -> None:
        """Qt."""
        self._pause.stop()
        super().done(result)
