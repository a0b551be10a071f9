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
            self.source.addItem(words, source)
        self.own = LevelEdit("strategy.own", "Own stop", (Measure.PERCENT, Measure.POINTS, Measure.PRICE))
        self.own.setToolTip(
            "Stop and target are prices of the underlying; a distance counts from where it stands at the entry.\n"
            "Where the underlying says nothing, the instrument's own last price gets it out here."
        )
        for level in (*self._levels, self.own):
            level.changed.connect(self.changed)
        self.ranges.textChanged.connect(lambda _text: self.changed.emit())
        self.period.valueChanged.connect(lambda _value: self.changed.emit())
        for combo in (self.interval, self.source):
            combo.currentIndexChanged.connect(lambda _index: self.changed.emit())
        self.source.currentIndexChanged.connect(lambda _index: self._show_own())
        self._guarded = True
        self._show_own()

    @property
    def _levels(self) -> tuple[LevelEdit, ...]:
        return self.trail, self.even, self.backstop

    @property
    def in_order(self) -> list[QWidget]:
        """As the eye reads."""
        found: list[QWidget] = [self.trail.number, self.trail.measure, self.ranges, self.period, self.interval]
        found += [self.even.number, self.even.measure, self.backstop.number, self.backstop.measure, self.source]
        return [*found, self.own.number, self.own.measure]

    @property
    def _looks_away(self) -> bool:
        return bool(self.source.currentData() == TriggerSource.UNDERLYING)

    def _show_own(self) -> None:
        """The own stop belongs to an underlying; break-even and backstop go by the instrument's own price."""
        self.own.setEnabled(self._guarded and self._looks_away)
        for edit in (self.even, self.backstop):
            edit.setEnabled(self._guarded and not self._looks_away)

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
        form.addRow("Backstop", beside(self.backstop, label("behind the stop", muted)))
        form.addRow("Looks at", beside(self.source, label("· own price, if that is silent", muted), self.own))

    def set_instrument(self, instrument: Instrument) -> None:
        """Whose decimals points have."""
        for level in (*self._levels, self.own):
            level.set_instrument(instrument)

    def show_plan(self, plan: StrategyPlan) -> None:
        """Its fields."""
        for edit, level in zip(self._levels, (plan.trail, plan.break_even, plan.backstop), strict=True):
            edit.show_level(level)
        self.own.show_level(plan.own_stop)
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
        self._guarded = there
        self._show_own()

    def onto(self, plan: StrategyPlan) -> StrategyPlan:
        """The plan with what the fields say. Raises ValueError in words."""
        if plan.stop is None:
            return plan
        away = self._looks_away
        for level in (self.trail, self.own) if away else self._levels:
            if level.problem:
                raise ValueError(level.problem)
        return replace(
            plan,
            trail=self.trail.level,
            range_trail=self._range_trail(),
            break_even=None if away else self.even.level,
            backstop=None if away else self.backstop.level,
            source=TriggerSource(self.source.currentData()),
            own_stop=self.own.level if away else None,
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
