"""What the stop of a strategy does beyond its level: trail, break-even, backstop, and which price it looks at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from app.domain.instrument import Instrument
from app.domain.market import Interval
from app.domain.stop import Trail, TrailKind, TriggerSource
from app.domain.strategy import Measure, StrategyPlan
from app.ui.dialogs.strategy_parts import beside
from app.ui.views.stop_form import INTERVALS, SOURCES, interval_words
from app.ui.widgets.level_edit import LevelEdit
from app.ui.widgets.text import label

_DISTANCE = (Measure.PERCENT, Measure.POINTS)


class StrategyStop(QObject):
    """The fields, for the rows of the editor's form. Empty: the stop stays fixed."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.trail = LevelEdit("strategy.trail", "Trail", _DISTANCE)
        self.ranges = QLineEdit()
        self.ranges.setObjectName("strategy.ranges")
        self.ranges.setAccessibleName("Trail by so many average ranges")
        self.ranges.setPlaceholderText("none")
        self.ranges.setFixedWidth(56)
        self.period = QSpinBox()
        self.period.setObjectName("strategy.period")
        self.period.setAccessibleName("Candles of the average range")
        self.period.setRange(2, 200)
        self.period.setValue(14)
        self.interval = QComboBox()
        self.interval.setObjectName("strategy.interval")
        self.interval.setAccessibleName("Length of those candles")
        for one in INTERVALS:
            self.interval.addItem(interval_words(one), one)
        self.interval.setCurrentIndex(self.interval.findData(Interval.MINUTES_5))
        self.even = LevelEdit("strategy.even", "Break-even after", _DISTANCE)
        self.even.setToolTip("At so much profit per unit the stop goes to where closing nets zero after all charges")
        self.backstop = LevelEdit("strategy.backstop", "Backstop", _DISTANCE)
        self.backstop.setToolTip(
            "How far behind the stop an order rests at the exchange. It outlives this computer. Empty: none."
        )
        self.source = QComboBox()
        self.source.setObjectName("strategy.source")
        self.source.setAccessibleName("The stop looks at")
        for words, source in SOURCES:
            if source is not TriggerSource.UNDERLYING:
                self.source.addItem(words, source)
        for level in self._levels:
            level.changed.connect(self.changed)
        self.ranges.textChanged.connect(lambda _text: self.changed.emit())
        self.period.valueChanged.connect(lambda _value: self.changed.emit())
        for combo in (self.interval, self.source):
            combo.currentIndexChanged.connect(lambda _index: self.changed.emit())

    @property
    def _levels(self) -> tuple[LevelEdit, ...]:
        return self.trail, self.even, self.backstop

    @property
    def in_order(self) -> list[QWidget]:
        """As the eye reads."""
        found: list[QWidget] = [self.trail.number, self.trail.measure, self.ranges, self.period, self.interval]
        found += [self.even.number, self.even.measure, self.backstop.number, self.backstop.measure, self.source]
        return found

    def add_to(self, form: QFormLayout) -> None:
        """Its rows."""
        muted = "muted"
        form.addRow(
            "Trail by",
            beside(
                self.trail, label("or", muted), self.ranges, label("x ATR of", muted), self.period, self.interval,
            ),
        )  # fmt: skip
        form.addRow("Break-even", beside(label("after", muted), self.even, label("of profit per unit", muted)))
        form.addRow("Backstop", beside(self.backstop, label("behind · stop looks at", muted), self.source))

    def set_instrument(self, instrument: Instrument) -> None:
        """Whose decimals points have."""
        for level in self._levels:
            level.set_instrument(instrument)

    def show_plan(self, plan: StrategyPlan) -> None:
        """Its fields."""
        for edit, level in zip(self._levels, (plan.trail, plan.break_even, plan.backstop), strict=True):
            edit.show_level(level)
        trail = plan.range_trail
        self.ranges.setText("" if trail is None else f"{trail.amount.normalize():f}")
        if trail is not None:
            self.period.setValue(trail.period)
            self.interval.setCurrentIndex(self.interval.findData(trail.interval))
        self.source.setCurrentIndex(self.source.findData(plan.source))

    def guards(self, there: bool) -> None:
        """Whether there is a stop at all."""
        for part in (*self._levels, self.ranges, self.period, self.interval, self.source):
            part.setEnabled(there)

    def onto(self, plan: StrategyPlan) -> StrategyPlan:
        """The plan with what the fields say. Raises ValueError in words."""
        if plan.stop is None:
            return plan
        for level in self._levels:
            if level.problem:
                raise ValueError(level.problem)
        return replace(
            plan,
            trail=self.trail.level,
            range_trail=self._range_trail(),
            break_even=self.even.level,
            backstop=self.backstop.level,
            source=TriggerSource(self.source.currentData()),
        )

    def _range_trail(self) -> Trail | None:
        text = self.ranges.text().strip()
        if not text:
            return None
        try:
            amount = Decimal(text)
        except InvalidOperation:
            raise ValueError("Trail: enter how many average ranges, 2.5 say.") from None
        interval = Interval(self.interval.currentData())
        return Trail(TrailKind.ATR, amount, period=self.period.value(), interval=interval)
