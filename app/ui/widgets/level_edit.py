"""A field for a stop, target or trail: a number, and whether it is percent, points or a price."""

from __future__ import annotations

from decimal import Decimal

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from app.domain.instrument import Instrument
from app.domain.strategy import Level, Measure
from app.ui import format as fmt

_WORDS = {Measure.PERCENT: "%", Measure.POINTS: "points", Measure.PRICE: "price"}


class LevelEdit(QWidget):
    """Empty: no such level."""

    changed = Signal()

    def __init__(self, name: str, words: str, measures: tuple[Measure, ...]) -> None:
        super().__init__()
        self._words = words
        self._scale, self._tick = 100, 1
        self.number = QLineEdit()
        self.number.setObjectName(name)
        self.number.setAccessibleName(words)
        self.number.setPlaceholderText("none")
        self.number.setFixedWidth(92)
        self.measure = QComboBox()
        self.measure.setObjectName(f"{name}.measure")
        self.measure.setAccessibleName(f"{words} measured in")
        for measure in measures:
            self.measure.addItem(_WORDS[measure], measure)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.number)
        layout.addWidget(self.measure)
        self.number.textChanged.connect(lambda _text: self.changed.emit())
        self.measure.currentIndexChanged.connect(lambda _index: self.changed.emit())

    def set_instrument(self, instrument: Instrument) -> None:
        """Whose decimals points and prices have."""
        self._scale, self._tick = instrument.price_scale, instrument.tick_size

    def show_level(self, level: Level | None) -> None:
        """Shows one, or none."""
        if level is None:
            self.number.clear()
            return
        self.measure.setCurrentIndex(max(0, self.measure.findData(level.measure)))
        percent = level.measure is Measure.PERCENT
        self.number.setText(
            f"{Decimal(level.value) / 100:f}" if percent else fmt.price(level.value, self._scale, self._tick)
        )

    @property
    def level(self) -> Level | None:
        """What the field says; None where it is empty or cannot be read."""
        try:
            return self._read()
        except ValueError:
            return None

    @property
    def problem(self) -> str:
        """Why it cannot be read, in words; empty when it can."""
        try:
            self._read()
        except ValueError as wrong:
            return f"{self._words}: {wrong}."
        return ""

    def _read(self) -> Level | None:
        text = self.number.text().strip().removesuffix("%")
        if not text:
            return None
        measure = Measure(self.measure.currentData())
        if measure is Measure.PERCENT:
            value = fmt.parse(text) * 100
            if value != int(value):
                raise ValueError("a percentage has two decimals")
            return Level(measure, int(value))
        return Level(measure, fmt.parse_price(text, self._scale))
