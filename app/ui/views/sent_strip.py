"""What lines that change one thing at the broker have in common."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QPushButton, QToolButton, QWidget

from app.domain.errors import AppError, OutcomeUnknown
from app.ui import theme
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import label


class SentStrip(QFrame):
    """Hidden until a thing is named. Return sends, Esc backs out. Locked while the outcome is not known.

    Has the parts that every such line has; the line itself lays them out.
    """

    def __init__(self, name: str, thing: str, button: QPushButton, parent: QWidget | None = None) -> None:
        """`name` begins the names of its widgets; `thing` is what it changes, e.g. `order`."""
        super().__init__(parent)
        self._busy = False
        self.setObjectName(f"{name}.strip")
        theme.set_role(self, "strip")
        self._title = label("", name=f"{name}.title")
        self.quantity = QuantityEdit()
        self.quantity.setObjectName(f"{name}.quantity")
        self.quantity.setAccessibleName("New quantity")
        self.quantity.returnPressed.connect(self._submit)
        self._words = label("", "muted", wrap=True, name=f"{name}.words")
        self._button = button
        theme.set_role(button, "primary")
        button.clicked.connect(self._submit)
        self._close = QToolButton()
        self._close.setIcon(theme.icon("close"))
        self._close.setToolTip(f"Leave the {thing} as it is (Esc)")
        self._close.setAccessibleName(f"Leave the {thing} as it is")
        self._close.clicked.connect(self.put_away)
        self.hide()

    def put_away(self) -> None:
        """Nothing was changed."""
        self.hide()

    def _submit(self) -> None:
        """Reads what is typed, and sends it."""
        raise NotImplementedError

    def _fields(self) -> tuple[QWidget, ...]:
        """What is locked while the outcome is not known."""
        raise NotImplementedError

    def _begin(self) -> None:
        self._lock(busy=True)
        self._say("Sent to the broker…", "muted")

    async def _outcome(self, answer: asyncio.Future[object], failed: str = "Not changed", unknown: str = "") -> None:
        try:
            await answer
        except OutcomeUnknown as outcome:
            self._say(f"{unknown} {outcome}".strip(), "danger")
        except AppError as failure:
            self._say(f"{failed}: {failure}", "danger")
        else:
            self.put_away()
        finally:
            self._lock(busy=False)

    def _lock(self, *, busy: bool) -> None:
        self._busy = busy
        for widget in (*self._fields(), self.quantity, self._button):
            widget.setEnabled(not busy)

    def _say(self, text: str, role: str) -> None:
        self._words.setText(text)
        theme.set_role(self._words, role)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc backs out."""
        if event.key() == Qt.Key.Key_Escape:
            self.put_away()
        else:
            super().keyPressEvent(event)
