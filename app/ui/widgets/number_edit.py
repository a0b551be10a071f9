"""A field for a number as traders type it; base of price and quantity fields."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QWheelEvent
from PySide6.QtWidgets import QLineEdit, QWidget


class NumberEdit(QLineEdit):
    """Right-aligned text that is a whole number underneath. Up and Down step, PgUp and PgDn step by ten.

    What cannot be read is kept as typed, framed in red, with the reason as tooltip and in `problem`.
    """

    value_changed = Signal(object)
    """(int or None)"""
    problem_changed = Signal()
    """Another reason why the text is no value, or none any more."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setMinimumWidth(96)
        self._value: int | None = None
        self._problem = ""
        self.textEdited.connect(self._on_edited)

    def read(self, text: str) -> int:
        """What a text means. Raises ValueError in words."""
        raise NotImplementedError

    def written(self, value: int) -> str:
        """How a value is shown."""
        raise NotImplementedError

    def stepped(self, value: int, steps: int) -> int:
        """The value some steps away."""
        raise NotImplementedError

    @property
    def value(self) -> int | None:
        """What the field holds; None when it is empty or cannot be read."""
        return self._value

    @property
    def problem(self) -> str:
        """Why the text is no value, in words; empty when it is one."""
        return self._problem

    def set_value(self, value: int | None) -> None:
        """Shows a value."""
        self.setText("" if value is None else self.written(value))
        self._take(value, "")

    def step(self, steps: int) -> None:
        """Some steps up or down."""
        if self.isReadOnly() or not self.isEnabled():
            return
        self.set_value(self.stepped(self._value or 0, steps))
        self.selectAll()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows step. Return that is held down was meant once."""
        key = Qt.Key(event.key())
        steps = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1, Qt.Key.Key_PageUp: 10, Qt.Key.Key_PageDown: -10}
        found = steps.get(key)
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and event.isAutoRepeat():
            event.accept()
        elif found is None:
            super().keyPressEvent(event)
        else:
            event.accept()
            self.step(found)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Steps while focused; else the page scrolls."""
        if self.hasFocus() and event.angleDelta().y():
            event.accept()
            self.step(1 if event.angleDelta().y() > 0 else -1)
        else:
            event.ignore()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """What was read is shown as it was understood."""
        super().focusOutEvent(event)
        if self._value is not None and not self._problem:
            self.setText(self.written(self._value))

    def _on_edited(self, text: str) -> None:
        if not text.strip():
            self._take(None, "")
            return
        try:
            self._take(self.read(text), "")
        except ValueError as unreadable:
            self._take(None, str(unreadable))

    def _take(self, value: int | None, problem: str) -> None:
        changed, told = value != self._value, problem != self._problem
        self._value = value
        if problem != self._problem:
            self._problem = problem
            self.setToolTip(problem)
            self.setProperty("invalid", bool(problem))
            self.style().unpolish(self)
            self.style().polish(self)
        if changed:
            self.value_changed.emit(value)
        if told:
            self.problem_changed.emit()
