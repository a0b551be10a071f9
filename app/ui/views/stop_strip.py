"""One line to set or move a stop: the price, and what it would mean before it is armed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from app.desk.messages import BackstopPreview, StopPreview
from app.domain.errors import AppError
from app.domain.instrument import Instrument
from app.domain.money import Price, Rounding, to_tick
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, StopPlan, StopState, TriggerSource
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.guardable import guardable
from app.ui.views.stop_form import Fields, StopForm
from app.ui.views.words import price_of, quantity_of, standing_price
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
        self._stop: Stop | None = None
        """Which one is being changed."""
        self._asked: asyncio.Future[object] | None = None
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
        self.backstop.setPlaceholderText("distance, or none")
        self.backstop.setToolTip(
            "How far behind the stop an order rests at the exchange.\n"
            "It outlives this computer; when the stop fires, that order becomes the exit.\n"
            "Behind shares of delivery it is a GTT at the broker, which rests over days. Empty: none."
        )
        self.backstop.setFixedWidth(104)
        self._rests = label("", "muted", name="stop.rests")
        """The price that the distance comes to."""
        self._meaning = label("", "muted", wrap=True, name="stop.meaning")
        self._button = QPushButton("A&rm stop")
        self._button.setObjectName("stop.arm")
        theme.set_role(self._button, "primary")
        self._button.clicked.connect(self._submit)
        self._more = QToolButton()
        self._more.setObjectName("stop.more")
        self._more.setText("M&ore")
        self._more.setCheckable(True)
        self._more.setToolTip("Target, trail, break-even, time, what it looks at (Alt+O)")
        self._more.toggled.connect(self._on_more)
        close = QToolButton()
        close.setIcon(theme.icon("close"))
        close.setToolTip("Leave the stop as it is (Esc)")
        close.setAccessibleName("Leave the stop as it is")
        close.clicked.connect(self.put_away)
        head, line = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self._title, 1)  # a line of its own: a strike that is cut off could be another contract's
        head.addWidget(close)
        line.addWidget(self.price)
        line.addWidget(label("backstop", "muted"))
        line.addWidget(self.backstop)
        line.addWidget(self._rests)
        line.addWidget(self._button)
        line.addWidget(self._more)
        line.addStretch(1)
        self.form = StopForm()
        self._fields = Fields(self.form)
        self._fields.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addLayout(line)
        layout.addWidget(self._fields)
        layout.addWidget(self._meaning)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self.price.value_changed.connect(lambda _value: self._on_changed())
        self.price.problem_changed.connect(self._on_changed)
        self.price.returnPressed.connect(self._submit)
        self.backstop.problem_changed.connect(self._on_changed)
        self.backstop.value_changed.connect(lambda _value: self._on_changed())
        self.backstop.returnPressed.connect(self._submit)
        self.form.changed.connect(self._on_changed)
        self.form.submitted.connect(self._submit)
        self.hide()

    def open_for(self, position: Position, stop: Stop | None = None) -> None:
        """Offers the present stop's price and plan, or a price near the last one. `stop`: which of several."""
        instrument = self._facts.instruments.get(position.key.instrument)
        if instrument is None or self._busy:
            return
        self._key, self._instrument = position.key, instrument
        stop = self._stop = stop or self._offered(position)
        suspended = stop is not None and stop.state is StopState.SUSPENDED
        verb = "Arm again the stop of" if suspended else "Change the stop of" if stop else "Stop for"
        whose = f" · {self._facts.account_name(self._key.account)}" if len(self._facts.accounts) > 1 else ""
        self._title.setText(f"{verb} {instrument.symbol}{whose}")
        self._button.setText("A&rm again" if suspended else "Chang&e stop" if stop else "A&rm stop")
        self.price.set_instrument(instrument)
        price = None if stop is None else standing_price(stop)
        self.price.set_value(price or self._suggest(position, instrument))
        plan = None if stop is None else stop.plan
        self.backstop.set_instrument(instrument)
        self.backstop.set_value(None if stop is None else stop.plan.backstop)
        self.form.show_plan(plan, instrument, None if plan is None else plan.underlying)
        self._more.setChecked(plan is not None and plan != StopPlan(plan.trigger, backstop=plan.backstop))
        if instrument.expiry is not None and self.form.underlying is None:
            self._bridge.start(self._read_underlying(instrument, plan), "underlying")
        self._meaning.setText("")
        self._show_rest()
        self._make_room()
        self.show()
        self.price.setFocus()
        self.price.selectAll()
        self._ask()

    def put_away(self) -> None:
        """Nothing was changed."""
        self._key = None
        self._pause.stop()
        self.hide()

    def _offered(self, position: Position) -> Stop | None:
        """Which stop is changed where none was named: the trader's own. A strategy's only where no unit is left that
        could have one."""
        found = self._facts.stop_of(position.key)
        if found is None or found.strategy is None:
            return found
        guarded = sum(stop.quantity for stop in self._facts.armed() if stop.key == position.key)
        return found if guarded >= abs(position.quantity) else None

    def _suggest(self, position: Position, instrument: Instrument) -> Price:
        last = self._facts.last(position.key.instrument) or position.last_price
        if position.quantity > 0:
            return to_tick(last - last // _FIRST_DISTANCE, instrument.tick_size, Rounding.DOWN)
        return to_tick(last + last // _FIRST_DISTANCE, instrument.tick_size, Rounding.UP)

    def _on_changed(self) -> None:
        self._denied = ""
        self._show_rest()
        self._button.setEnabled(not self._busy and self.price.value is not None and not self.backstop.problem)
        self._pause.start()

    def _show_rest(self) -> None:
        """At once beside the field: who types a price where a distance belongs sees it before the desk is asked."""
        trigger, distance, instrument = self.price.value, self.backstop.value, self._instrument
        position = None if self._key is None else guardable(self._facts, self._key)
        if trigger is None or not distance or instrument is None or position is None or position.quantity == 0:
            self._rests.setText("")
            return
        at = trigger - distance if position.quantity > 0 else trigger + distance
        self._rests.setText(f"behind: at {price_of(instrument, at)}" if at > 0 else "behind: below zero")

    def _read(self) -> tuple[Price, StopPlan]:
        """The price and the plan that the fields say. Raises ValueError in words, which name the field."""
        for edit in (self.price, self.backstop):
            if edit.problem:
                raise ValueError(f"{edit.accessibleName().partition(',')[0]}: {edit.problem}.")
        trigger = self.price.value
        if trigger is None:
            raise ValueError("Enter the stop price.")
        return trigger, replace(self.form.plan(trigger), backstop=self.backstop.value)

    def _ask(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
        if self._key is None:
            return
        try:
            trigger, plan = self._read()
        except ValueError as problem:
            self._denied = str(problem)
            self._button.setEnabled(False)
            self._say(self._denied, "warning")
            return
        self._asked = self._bridge.start(self._preview(self._key, trigger, plan), "preview stop")

    async def _preview(self, key: PositionKey, trigger: Price, plan: StopPlan) -> None:
        verbs = self._bridge.desk.stops
        plain = plan == StopPlan(trigger, backstop=plan.backstop)
        verb = verbs.preview(key, trigger, plan.backstop) if plain else verbs.foresee(key, plan)
        try:
            preview = await self._bridge.call(verb)
        except AppError as failure:
            self._say(str(failure), "warning")
            return
        if key == self._key and (trigger, plan.backstop) == (self.price.value, self.backstop.value):
            self._show_preview(preview, plan)

    async def _read_underlying(self, instrument: Instrument, plan: StopPlan | None) -> None:
        try:
            found = await self._bridge.call(self._bridge.desk.stops.underlying(instrument.id))
        except AppError:
            return  # a choice less
        if found is not None and self._instrument is instrument and not self.form.isVisible():
            self.form.show_plan(plan, instrument, found)
        elif found is not None and self._instrument is instrument:
            self.form.offer(found)

    def _on_more(self, shown: bool) -> None:
        self._fields.setVisible(shown)
        if shown:
            self.form.target.setFocus()

    def _show_preview(self, preview: StopPreview, plan: StopPlan) -> None:
        self._denied = preview.denied
        self._button.setEnabled(not self._busy and not preview.denied)
        if preview.denied:
            self._say(preview.denied, "warning")
            return
        points = price_of(self._instrument, abs(preview.distance))
        role = "up" if preview.outcome > 0 else "muted"
        units, at = quantity_of(self._instrument, preview.quantity), price_of(self._instrument, preview.trigger)
        day = "" if preview.day_outcome is None else f" (the day in it {fmt.pnl(preview.day_outcome)})"
        told = [
            f"{units} out at {at}: net {fmt.pnl(preview.outcome)}{day}",
            f"{points} ({fmt.percent(abs(preview.distance_percent))}) away",
            f"{fmt.amount(preview.at_risk)} at risk",
        ]
        if plan.source is TriggerSource.UNDERLYING:
            told = [f"{units} out"]
            if preview.looks_at is not None:
                told.append(f"the underlying stands at {fmt.price(preview.looks_at)}")
            told.append(f"silent for {plan.longest_wait} s: at {price_of(self._instrument, plan.last_trigger)}")
        if preview.target_outcome is not None:
            told.append(f"at target net {fmt.pnl(preview.target_outcome)}")
        if preview.target_beyond is not None:
            limit = price_of(self._instrument, preview.target_beyond)
            told.append(f"the target lies beyond today's circuit limit of {limit}: it cannot be reached today")
            role = "warning"
        if preview.average_range is not None:
            told.append(f"trails {price_of(self._instrument, preview.average_range)} behind")
        if preview.leaves_at is not None:
            told.append(f"leaves {fmt.moment(preview.leaves_at):%a %H:%M}")
        alone = f". {preview.alone}" if preview.alone else ""
        if preview.beyond is not None and plan.source is not TriggerSource.UNDERLYING:
            limit = price_of(self._instrument, preview.beyond)
            told[:1] = [f"Beyond today's circuit limit of {limit}: it cannot be hit today", told[0]]
            role = "warning"
        self._say(f"{' · '.join(told)}{alone}{self._backstop_words(preview.backstop)}", role)

    def _backstop_words(self, backstop: BackstopPreview | None) -> str:
        if backstop is None:
            return ""
        at = price_of(self._instrument, backstop.trigger)
        if backstop.gtt:
            return f"\nGTT at {at} at the broker behind it: it rests over days and blocks nothing"
        if backstop.margin is None:
            return f"\nBackstop at {at} at the exchange; what it blocks is not known. {backstop.unknown}"
        return f"\nBackstop at {at} at the exchange; an order like it blocks {fmt.amount(backstop.margin)}"

    def _submit(self) -> None:
        if self._key is None or self._busy or self._denied:
            return
        try:
            trigger, plan = self._read()
        except ValueError as problem:
            self._say(str(problem), "warning")
            return
        stop = None if self._stop is None else self._facts.stops.get(self._stop.id)
        if stop is None or stop.state.is_final:
            stop = self._facts.stop_of(self._key)
            stop = None if stop is None or stop.strategy is not None else stop
        if stop is not None and stop.state not in (StopState.ARMED, StopState.SUSPENDED):
            self._say(f"The stop is {stop.state}; it cannot be moved now.", "warning")
            return
        if stop is not None and stop.state is StopState.ARMED:
            plan = self._at_its_level(stop, plan)
            if plan == stop.plan:
                self.put_away()
                return
        verbs = self._bridge.desk.stops
        if stop is None:
            verb = verbs.arm(self._key, plan)
        elif stop.state is StopState.SUSPENDED:
            verb = verbs.resume(stop.id, plan)
        elif plan == replace(stop.plan, trigger=trigger):
            verb = verbs.move(stop.id, trigger)
        else:
            verb = verbs.change(stop.id, plan)
        self._busy = True
        self._button.setEnabled(False)
        self.price.setEnabled(False)
        self._say("Writing it to the journal…", "muted")
        self._bridge.start(self._send(self._bridge.call(verb)), "arm stop")

    def _at_its_level(self, stop: Stop, plan: StopPlan) -> StopPlan:
        """Where the price is as it was shown, the stop stays where it is by now: a trail may have moved it since."""
        looks = TriggerSource.UNDERLYING in (stop.plan.source, plan.source)
        if looks or self._stop is None or stop.id != self._stop.id or plan.trigger != self._stop.trigger:
            return plan
        return replace(plan, trigger=stop.plan.trigger if plan.source is stop.plan.source else stop.trigger)

    async def _send(self, answer: asyncio.Future[Stop]) -> None:
        try:
            await answer
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
        self._make_room()

    def _make_room(self) -> None:
        """For every line of the words: a low panel takes it from the fields, which scroll."""
        self._meaning.setMinimumHeight(max(0, self._meaning.heightForWidth(self._meaning.width())))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Qt."""
        super().resizeEvent(event)
        self._make_room()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc backs out."""
        if event.key() == Qt.Key.Key_Escape:
            self.put_away()
        else:
            super().keyPressEvent(event)
