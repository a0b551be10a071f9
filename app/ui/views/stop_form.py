"""What a stop can do beyond its price: target, trail, break-even, time, what it looks at, how much it owns.

Every field may stay empty. Tab goes through them, Return arms.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import time

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.domain.ids import InstrumentId, split_instrument_id
from app.domain.instrument import Instrument
from app.domain.market import Interval
from app.domain.money import Price
from app.domain.stop import BreakEven, StopPlan, TimeExit, Trail, TrailKind, TriggerSource
from app.ui import format as fmt
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import label

INTERVALS = (
    Interval.MINUTE,
    Interval.MINUTES_3,
    Interval.MINUTES_5,
    Interval.MINUTES_15,
    Interval.MINUTES_30,
    Interval.HOUR,
    Interval.DAY,
)
_INTERVAL_WORDS = {Interval.HOUR: "1 h", Interval.DAY: "1 day"}
_TRAILS = (("no trail", None), ("points", TrailKind.POINTS), ("%", TrailKind.PERCENT), ("x ATR", TrailKind.ATR))
SOURCES = (
    ("last price", TriggerSource.LAST),
    ("two trades in a row", TriggerSource.DOUBLE_LAST),
    ("bid (sell) or ask (buy)", TriggerSource.BID_ASK),
    ("mid of bid and ask", TriggerSource.MID),
    ("underlying", TriggerSource.UNDERLYING),
)
_TIME = re.compile(r"^([01]?\d|2[0-3])[:.]?([0-5]\d)$")


class StopForm(QWidget):
    """Fields of a `StopPlan`. `changed` on every edit, `submitted` on Return."""

    changed = Signal()
    submitted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("stop.form")
        self._instrument: Instrument | None = None
        self._kept = StopPlan(0)
        """What was shown: what has no field of its own stays as it was."""
        self.underlying: InstrumentId | None = None
        self.level = PriceEdit()
        self.level.setObjectName("stop.level")
        self.level.setFixedWidth(104)
        self.target = PriceEdit()
        self.target.setObjectName("stop.target")
        self.target.setPlaceholderText("none")
        self.target.setFixedWidth(96)
        self.trail = QComboBox()
        self.trail.setObjectName("stop.trail")
        for words, kind in _TRAILS:
            self.trail.addItem(words, kind)
        self.amount = self._text("stop.amount", "distance", 72)
        self.interval = QComboBox()
        self.interval.setObjectName("stop.interval")
        for one in INTERVALS:
            self.interval.addItem(interval_words(one), one)
        self.step = PriceEdit()
        self.step.setObjectName("stop.step")
        self.step.setPlaceholderText("each tick")
        self.step.setToolTip("The level moves by so much at least")
        self.step.setFixedWidth(88)
        self.period = self._text("stop.period", "14", 44)
        self.period.setToolTip("Candles that the average range spans")
        self._period_label, self._step_label = label("of", "muted"), label("&steps of", "muted")
        self.even = PriceEdit()
        self.even.setObjectName("stop.even")
        self.even.setPlaceholderText("never")
        self.even.setFixedWidth(80)
        self.offset = PriceEdit()
        self.offset.setObjectName("stop.offset")
        self.offset.setPlaceholderText("0")
        self.offset.setToolTip("So far beyond the entry the stop goes")
        self.offset.setFixedWidth(64)
        self.charges = QCheckBox("with &charges")
        self.charges.setToolTip("The stop goes to where closing nets zero after all charges, not to the average price")
        self.when = self._text("stop.when", "never", 64)
        self.when.setToolTip("14:45, or -10 for ten minutes before continuous trading ends")
        self.source = QComboBox()
        self.source.setObjectName("stop.source")
        for words, source in SOURCES:
            self.source.addItem(words, source)
        self.wait = self._text("stop.wait", "5", 40)
        self.wait.setToolTip("Seconds after which the last price alone decides")
        self.units = QuantityEdit()
        self.units.setObjectName("stop.units")
        self.units.setPlaceholderText("all")
        self.units.setFixedWidth(84)
        self._level_label = label("&Level", "muted")
        self._wait_label = label("&wait, s", "muted")
        self._lay_out()
        for price in (self.level, self.target, self.step, self.even, self.offset):
            price.value_changed.connect(lambda _value: self.changed.emit())
            price.problem_changed.connect(self.changed)
            price.returnPressed.connect(self.submitted)
        self.units.value_changed.connect(lambda _value: self.changed.emit())
        self.units.problem_changed.connect(self.changed)
        self.units.returnPressed.connect(self.submitted)
        for choice in (self.trail, self.interval, self.source):
            choice.currentIndexChanged.connect(lambda _index: self._on_choice())
        self.charges.toggled.connect(lambda _on: self.changed.emit())
        self._fit()

    def _text(self, name: str, empty: str, width: int) -> QLineEdit:
        edit = QLineEdit()
        edit.setObjectName(name)
        edit.setPlaceholderText(empty)
        edit.setFixedWidth(width)
        edit.textEdited.connect(lambda _text: self.changed.emit())
        edit.returnPressed.connect(self.submitted)
        return edit

    def _lay_out(self) -> None:
        first, middle, second, last = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(), QHBoxLayout()

        def named(line: QHBoxLayout, words: QLabel | str, *fields: QWidget) -> None:
            shown = words if isinstance(words, QLabel) else label(words, "muted")
            shown.setBuddy(fields[0])
            fields[0].setAccessibleName(shown.text().replace("&", ""))
            line.addWidget(shown)
            for field in fields:
                line.addWidget(field)
            line.addSpacing(10)

        named(first, "Tar&get", self.target)
        named(first, "Trail b&y", self.trail, self.amount, self._period_label, self.period, self.interval)
        named(first, self._step_label, self.step)
        first.addStretch(1)
        named(middle, "Break-eve&n after", self.even)
        named(middle, "o&ffset", self.offset, self.charges)
        middle.addStretch(1)
        named(second, "Loo&ks at", self.source)
        named(second, self._level_label, self.level)
        named(second, self._wait_label, self.wait)
        second.addStretch(1)
        named(last, "Leaves at (&IST)", self.when)
        named(last, "&Units", self.units)
        last.addStretch(1)
        lines = QVBoxLayout(self)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setSpacing(4)
        lines.addLayout(first)
        lines.addLayout(middle)
        lines.addLayout(second)
        lines.addLayout(last)

    # -- a plan in and out -------------------------------------------------------------------------------------------

    def show_plan(self, plan: StopPlan | None, instrument: Instrument, underlying: InstrumentId | None) -> None:
        """A plan's fields; None: all empty."""
        self._instrument, self.underlying = instrument, underlying
        shown = plan or StopPlan(0)
        with QSignalBlocker(self):
            looks = shown.source is TriggerSource.UNDERLYING
            for edit in (self.level, self.target, self.step, self.even, self.offset):
                edit.set_instrument(instrument)
            self.units.set_instrument(instrument)
            self.source.setCurrentIndex(self.source.findData(shown.source))
            self._offer_underlying()
            self.level.set_value(shown.trigger if looks else None)
            self.target.set_value(shown.target)
            trail = shown.trail
            self.trail.setCurrentIndex(self.trail.findData(None if trail is None else trail.kind))
            self.interval.setCurrentIndex(self.interval.findData(trail.interval if trail else Interval.MINUTES_5))
            self.amount.setText("" if trail is None else self._amount_words(trail))
            self.step.set_value(None if trail is None else trail.step or None)
            self.period.setText("" if trail is None else str(trail.period))
            even = shown.break_even
            self.even.set_value(None if even is None else even.after)
            self.offset.set_value(None if even is None else even.offset or None)
            self.charges.setChecked(even is None or even.with_charges)
            self.when.setText(_when_words(shown.time_exit))
            self.wait.setText("" if plan is None else str(shown.longest_wait))
            self.units.set_value(shown.quantity)
            self._kept = shown
        self._fit()

    def offer(self, underlying: InstrumentId) -> None:
        """It became known what the contract is written on."""
        self.underlying = underlying
        with QSignalBlocker(self):
            self._offer_underlying()

    def plan(self, price: Price) -> StopPlan:
        """The plan with the strip's price. Raises ValueError in words."""
        for edit in (self.level, self.target, self.step, self.even, self.offset, self.units):
            if edit.problem:
                raise ValueError(f"{edit.accessibleName()}: {edit.problem}.")
        source = self._source
        looks = source is TriggerSource.UNDERLYING
        level = self.level.value
        if looks and (level is None or self.underlying is None):
            raise ValueError("Enter the level of the underlying." if self.underlying else "There is no underlying.")
        even = self.even.value
        return replace(
            self._kept,
            trigger=level if looks and level is not None else price,
            target=self.target.value,
            trail=self._read_trail(),
            break_even=None if even is None else BreakEven(even, self.offset.value or 0, self.charges.isChecked()),
            time_exit=self._read_when(),
            source=source,
            underlying=self.underlying if looks else None,
            longest_wait=_whole(self.wait.text(), "Wait") if self.wait.text().strip() else 5,
            last_trigger=price if looks else None,
            quantity=self.units.value,
        )

    # A combo box hands words back where it was given an enum's value.

    @property
    def _kind(self) -> TrailKind | None:
        data = self.trail.currentData()
        return None if data is None else TrailKind(data)

    @property
    def _source(self) -> TriggerSource:
        return TriggerSource(self.source.currentData())

    def _read_trail(self) -> Trail | None:
        kind = self._kind
        if kind is None or self._instrument is None:
            return None
        if not self.amount.text().strip():
            raise ValueError("Enter how far the stop stays behind the best price.")
        try:
            amount = fmt.parse(self.amount.text())
        except ValueError as problem:
            raise ValueError(f"Trail: {problem}.") from None
        if kind is TrailKind.POINTS:
            amount *= self._instrument.price_scale
        period = _whole(self.period.text(), "Candles of the average") if self.period.text().strip() else 14
        return Trail(kind, amount, self.step.value or 0, period, Interval(self.interval.currentData()))

    def _read_when(self) -> TimeExit | None:
        text = self.when.text().strip()
        if not text:
            return None
        if text.startswith("-"):
            return TimeExit(before_end=_whole(text[1:], "Minutes before the end"))
        found = _TIME.match(text)
        if found is None:
            raise ValueError("A time is written as 14:45, or -10 for ten minutes before the end.")
        return TimeExit(time(int(found[1]), int(found[2])))

    def _amount_words(self, trail: Trail) -> str:
        if trail.kind is TrailKind.POINTS and self._instrument is not None:
            return f"{(trail.amount / self._instrument.price_scale).normalize():f}"
        return f"{trail.amount.normalize():f}"

    # -- what is shown when ------------------------------------------------------------------------------------------

    def _offer_underlying(self) -> None:
        place = self.source.findData(TriggerSource.UNDERLYING)
        if self.underlying is None and place >= 0:
            self.source.removeItem(place)
        elif self.underlying is not None:
            name = split_instrument_id(self.underlying)[1]
            if place < 0:
                self.source.addItem(name, TriggerSource.UNDERLYING)
            else:
                self.source.setItemText(place, name)
            self._level_label.setText(f"{name} &level")

    def _on_choice(self) -> None:
        self._fit()
        self.changed.emit()

    def _fit(self) -> None:
        kind, source = self._kind, self._source
        self.amount.setVisible(kind is not None)
        for part in (self._period_label, self.period, self.interval):
            part.setVisible(kind is TrailKind.ATR)
        for part in (self._step_label, self.step):
            part.setVisible(kind is not None)
        looks = source is TriggerSource.UNDERLYING
        for part in (self._level_label, self.level):
            part.setVisible(looks)
        for other in (self._wait_label, self.wait):
            other.setVisible(source is not TriggerSource.LAST)
        self.even.setEnabled(not looks)
        self.charges.setEnabled(not looks)
        self.offset.setEnabled(not looks)


def interval_words(interval: Interval) -> str:
    """`5 min`, `1 h`."""
    return _INTERVAL_WORDS.get(interval, f"{int(interval) // 60} min")


def _when_words(when: TimeExit | None) -> str:
    if when is None:
        return ""
    return f"-{when.before_end}" if when.at is None else f"{when.at:%H:%M}"


def _whole(text: str, what: str) -> int:
    try:
        return fmt.parse_quantity(text)
    except ValueError as problem:
        raise ValueError(f"{what}: {problem}.") from None


class Fields(QScrollArea):
    """As high as a form where there is room; in a low panel it scrolls, where its lines would lie over each other."""

    def __init__(self, form: StopForm) -> None:
        super().__init__()
        self._form = form
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setWidget(form)
        for behind in (self.viewport(), form):
            behind.setAutoFillBackground(False)  # the strip's own colour shows through
        form.installEventFilter(self)
        for field in form.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            field.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """Qt. All lines of the form."""
        return self._form.sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Qt. One line, and part of the next, so that there is more to be seen."""
        whole = self._form.minimumSizeHint()
        return QSize(whole.width(), whole.height() // 3)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt. As wide as the fields are that are shown now; a field that is written in comes into sight."""
        if event.type() is QEvent.Type.LayoutRequest:
            self.updateGeometry()
        elif event.type() is QEvent.Type.FocusIn and isinstance(watched, QWidget):
            self.ensureWidgetVisible(watched, 0, 6)
        return super().eventFilter(watched, event)
