"""Prices: who is asked where no feed brings them, in the trader's order; keys of providers that only quote."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.domain.errors import AppError
from app.domain.quotes import QuoteSource, QuoteSources
from app.runtime.secret import Secret
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.widgets.foot import foot
from app.ui.widgets.text import Message, caption, label

_INTRO = (
    "Where no price stream brings an instrument's price, these are asked for it, from the top down. Such a price is "
    "shown in amber with its source and age. It never reaches a stop."
)


class QuotesDialog(QDialog):
    """Reads when it opens and after every change; each change holds at once."""

    def __init__(self, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("quotes")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Where prices come from")
        self._bridge = bridge
        self._order: list[str] = []
        self.message = Message(name="quotes.message")
        self._rows = QWidget()
        self._place = QVBoxLayout()
        self._place.addWidget(self._rows)
        close = QPushButton("&Close")
        close.setAutoDefault(False)  # Return in the key's field tries the key
        close.clicked.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(label(_INTRO, "muted", wrap=True))
        layout.addLayout(self._place)
        layout.addStretch(1)
        layout.addWidget(self.message)
        layout.addLayout(foot(close))
        self.resize(680, 360)
        self._do(self._bridge.desk.quotes.view())

    def _do(self, verb: Coroutine[Any, Any, QuoteSources], words: str = "") -> None:
        self.message.say(words, "strip")
        self._bridge.start(self._run(self._bridge.call(verb)), "quotes")

    async def _run(self, answer: asyncio.Future[QuoteSources]) -> None:
        try:
            sources = await answer
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            return
        self.message.clear()
        self.show_sources(sources)

    def show_sources(self, sources: QuoteSources) -> None:
        """A line each, in order."""
        focus: QWidget | None = self.focusWidget()
        name = "" if focus is None else focus.objectName()
        self._order = [source.name for source in sources.sources]
        rows = QWidget()
        grid = QGridLayout(rows)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(8)
        for number, source in enumerate(sources.sources):
            self._add(grid, number, source)
        grid.setColumnStretch(3, 1)
        self._place.replaceWidget(self._rows, rows)
        self._rows.deleteLater()
        self._rows = rows
        again: QWidget | None = rows.findChild(QWidget, name) if name else None
        if again is not None and again.isEnabled():
            again.setFocus()  # who works by keys goes on where they were

    def _add(self, grid: QGridLayout, number: int, source: QuoteSource) -> None:
        on = QCheckBox(caption(f"{number + 1}. {source.title}"))
        on.setObjectName(f"quotes.on.{source.name}")
        on.setChecked(source.on)
        on.toggled.connect(lambda checked: self._do(self._bridge.desk.quotes.switch(source.name, on=checked)))
        up = self._button("Up", f"quotes.up.{source.name}", lambda: self._move(number, -1))
        up.setAccessibleName(f"{source.title}: ask earlier")
        up.setEnabled(number > 0)
        down = self._button("Down", f"quotes.down.{source.name}", lambda: self._move(number, 1))
        down.setAccessibleName(f"{source.title}: ask later")
        down.setEnabled(number + 1 < len(self._order))
        for column, widget in enumerate((on, up, down, label(_words(source), "muted", wrap=True))):
            grid.addWidget(widget, 2 * number, column)
        if not source.account:
            grid.addWidget(self._key_line(source), 2 * number + 1, 0, 1, 4)

    def _key_line(self, source: QuoteSource) -> QWidget:
        line = QWidget()
        layout = QHBoxLayout(line)
        layout.setContentsMargins(24, 0, 0, 0)
        if source.ready:
            layout.addWidget(label("Its key is stored.", "muted"))
            forget = self._button("Forget the key", f"quotes.forget.{source.name}", lambda: self._forget(source))
            layout.addWidget(forget)
        else:
            field = QLineEdit()
            field.setObjectName(f"quotes.key.{source.name}")
            field.setAccessibleName(f"Key of {source.title}")
            field.setPlaceholderText(f"Key from {source.title}'s page")
            field.setEchoMode(QLineEdit.EchoMode.Password)
            save = self._button("Try and keep", f"quotes.save.{source.name}", lambda: self._keep(source, field))
            field.returnPressed.connect(save.click)
            field.setMinimumWidth(280)
            layout.addWidget(field)
            layout.addWidget(save)
        layout.addStretch(1)
        return line

    def _button(self, text: str, name: str, do: object) -> QPushButton:
        made = QPushButton(text)
        made.setObjectName(name)
        made.setAutoDefault(False)
        made.clicked.connect(do)
        return made

    def _move(self, number: int, by: int) -> None:
        order = list(self._order)
        order.insert(number + by, order.pop(number))
        self._do(self._bridge.desk.quotes.arrange(order))

    def _keep(self, source: QuoteSource, field: QLineEdit) -> None:
        key = Secret(field.text())
        field.clear()
        self._do(self._bridge.desk.quotes.save_key(source.name, key), f"Trying the key at {source.title}…")

    def _forget(self, source: QuoteSource) -> None:
        self._do(self._bridge.desk.quotes.forget_key(source.name))


def _words(source: QuoteSource) -> str:
    said = [source.words] if source.words else []
    if source.ready and not source.words:
        said.append("ready")
    if source.limit and source.ready:
        said.append(f"{source.used} of {source.limit} requests a minute used")
    if source.last_at is not None:
        said.append(f"last answer {fmt.time(source.last_at)}")
    return " · ".join(said)
