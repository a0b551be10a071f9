"""One line to set or move a stop: the price, and what it would mean before it is armed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from app.desk.messages import BackstopPreview, StopPreview
from app.domain.errors import AppError
from app.domain.instrument import Instrument
from app.domain.money import Price, Rounding, to_tick
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.views.words import price_of, quantity_of
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.text import label

_PAUSE_MS = 120
_FIRST_DISTANCE = 100
"""A new stop is offered this part of the price away from it: near enough to mean it, far enough not to fire."""


class StopStrip(QFrame):
    """Hidden until a position is named. Return arms, Esc backs out. Locked while the outcome is not known."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._facts = facts
        self._key: PositionKey | None = None
        self._instrument: Instrument | None = None
        self._busy = False
        self._denied = ""
        self._asked: asyncio.Task[object] | None = None
        self.setObjectName("stop.strip")
        theme.set_role(self, "strip")
        self._title = label("", name="stop.title")
        self.price = PriceEdit()
        self.price.setObjectName("stop.price")
        self.price.setAccessibleName("Stop price")
        self.price.setFixedWidth(120)
        self.backstop = PriceEdit()
        self.backstop.setObjectName("stop.backstop")
        self.backstop.setAccessibleName("Backstop at the exchange, so far behind the stop")
        self.backstop.setPlaceholderText("No backstop")
        self.backstop.setToolTip(
            "How far behind the stop an order rests at the exchange.\n"
            "It outlives this computer; when the stop fires, that order becomes the exit. Empty: none."
        )
        self.backstop.setFixedWidth(104)
        self._meaning = label("", "muted", wrap=True, name="stop.meaning")
        self._button = QPushButton("&Arm stop")
        self._button.setObjectName("stop.arm")
        theme.set_role(self._button, "primary")
        self._button.clicked.connect(self._submit)
        close = QToolButton()
        close.setIcon(theme.icon("close"))
        close.setToolTip("Leave the stop as it is (Esc)")
        close.setAccessibleName("Leave the stop as it is")
        close.clicked.connect(self.put_away)
        line = QHBoxLayout()
        line.addWidget(self._title)
        line.addWidget(self.price)
        line.addWidget(label("backstop", "muted"))
        line.addWidget(self.backstop)
        line.addWidget(self._button)
        line.addStretch(1)
        line.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        layout.addLayout(line)
        layout.addWidget(self._meaning)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self.price.value_changed.connect(lambda _value: self._on_changed())
        self.price.returnPressed.connect(self._submit)
        self.backstop.value_changed.connect(lambda _value: self._on_changed())
        self.backstop.returnPressed.connect(self._submit)
        self.hide()

    def open_for(self, position: Position) -> None:
        """Offers the present stop's price, or one near the last price."""
        instrument = self._facts.instruments.get(position.key.instrument)
        if instrument is None or self._busy:
            return
        self._key, self._instrument = position.key, instrument
        stop = self._facts.stop_of(position.key)
        self._title.setText(f"{'Move the stop of' if stop else 'Stop for'} {instrument.symbol}")
        self._button.setText("&Move stop" if stop else "&Arm stop")
        self.price.set_instrument(instrument)
        self.price.set_value(stop.trigger if stop else self._suggest(position, instrument))
        self.backstop.set_instrument(instrument)
        self.backstop.set_value(None if stop is None else stop.plan.backstop)
        self._meaning.setText("")
        self.show()
        self.price.setFocus()
        self.price.selectAll()
        self._ask()

    def put_away(self) -> None:
        """Nothing was changed."""
        self._key = None
        self.hide()

    def _suggest(self, position: Position, instrument: Instrument) -> Price:
        last = self._facts.last(position.key.instrument) or position.last_price
        if position.quantity > 0:
            return to_tick(last - last // _FIRST_DISTANCE, instrument.tick_size, Rounding.DOWN)
        return to_tick(last + last // _FIRST_DISTANCE, instrument.tick_size, Rounding.UP)

    def _on_changed(self) -> None:
        self._denied = ""
        self._button.setEnabled(not self._busy and self.price.value is not None and not self.backstop.problem)
        self._pause.start()

    def _ask(self) -> None:
        trigger = self.price.value
        if self._asked is not None:
            self._asked.cancel()
        if self._key is not None and trigger is not None:
            self._asked = self._bridge.start(self._preview(self._key, trigger, self.backstop.value), "preview stop")

    async def _preview(self, key: PositionKey, trigger: Price, backstop: Price | None) -> None:
        try:
            preview = await self._bridge.call(self._bridge.desk.stops.preview(key, trigger, backstop))
        except AppError as failure:
            self._say(str(failure), "warning")
            return
        if key == self._key and (trigger, backstop) == (self.price.value, self.backstop.value):
            self._show_preview(preview)

    def _show_preview(self, preview: StopPreview) -> None:
        self._denied = preview.denied
        self._button.setEnabled(not self._busy and not preview.denied)
        if preview.denied:
            self._say(preview.denied, "warning")
            return
        points = price_of(self._instrument, preview.distance)
        role = "up" if preview.outcome > 0 else "muted"
        self._say(
            f"{quantity_of(self._instrument, preview.quantity)} out at {price_of(self._instrument, preview.trigger)}: "
            f"net {fmt.pnl(preview.outcome)} · {points} ({fmt.percent(preview.distance_percent)}) away · "
            f"{fmt.amount(preview.at_risk)} at risk{f'. {preview.alone}' if preview.alone else ''}"
            f"{self._backstop_words(preview.backstop)}",
            role,
        )

    def _backstop_words(self, backstop: BackstopPreview | None) -> str:
        if backstop is None:
            return ""
        at = price_of(self._instrument, backstop.trigger)
        if backstop.margin is None:
            return f"\nBackstop at {at} at the exchange; what it blocks is not known. {backstop.unknown}"
        return f"\nBackstop at {at} at the exchange; an order like it blocks {fmt.amount(backstop.margin)}"

    def _submit(self) -> None:
        trigger = self.price.value
        if self._key is None or self._busy or self._denied or trigger is None or self.backstop.problem:
            return
        stop = self._facts.stop_of(self._key)
        if stop is not None and stop.state is not StopState.ARMED:
            self._say(f"The stop is {stop.state}; it cannot be moved now.", "warning")
            return
        verbs = self._bridge.desk.stops
        behind = self.backstop.value
        if stop is None:
            verb = verbs.arm(self._key, StopPlan(trigger, backstop=behind))
        elif behind == stop.plan.backstop:
            verb = verbs.move(stop.id, trigger)
        else:
            verb = verbs.change(stop.id, replace(stop.plan, trigger=trigger, backstop=behind))
        self._busy = True
        self._button.setEnabled(False)
        self.price.setEnabled(False)
        self._say("Writing it to the journal…", "muted")
        self._bridge.start(self._send(verb), "arm stop")

    async def _send(self, verb: Coroutine[Any, Any, Stop]) -> None:
        try:
            await self._bridge.call(verb)
        except AppError as failure:
            self._say(str(failure), "danger")
        else:
            self.put_away()
        finally:
            self._busy = False
            self.price.setEnabled(True)
            self._button.setEnabled(True)

    def _say(self, text: str, role: str) -> None:
        self._meaning.setText(text)
        theme.set_role(self._meaning, role)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc backs out."""
        if event.key() == Qt.Key.Key_Escape:
            self.put_away()
        else:
            super().keyPressEvent(event)
