"""One line to change a trigger that rests at the broker: triggers, limit prices and quantity."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.domain.gtt import Gtt, GttKind, GttRequest, GttRole
from app.domain.instrument import Instrument
from app.domain.order import OrderKind
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.views.sent_strip import SentStrip
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.text import label

LEGS = (1, 2, 3)
_AT = {GttRole.TRIGGER: "At", GttRole.ENTRY: "Entry at", GttRole.TARGET: "target at", GttRole.STOP: "stop at"}


class GttStrip(SentStrip):
    """Hidden until a trigger is named."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget | None = None) -> None:
        button = QPushButton("&Change")
        button.setObjectName("gtt.change")
        super().__init__("gtt", "trigger", button, parent)
        self._bridge = bridge
        self._facts = facts
        self._gtt: Gtt | None = None
        self.quantity.setFixedWidth(110)
        self.triggers = tuple(self._price(f"gtt.trigger{n}", f"Trigger {n}") for n in LEGS)
        self.prices = tuple(self._price(f"gtt.price{n}", f"Limit {n}") for n in LEGS)
        self.gap = self._price("gtt.gap", "The stop trails by")
        self._gap_mark = label("trailing by", "muted")
        what, prices = QHBoxLayout(), QHBoxLayout()
        what.addWidget(self._title)
        what.addWidget(self.quantity)
        what.addWidget(self._words, 1)
        what.addWidget(self._close)
        self._marks = tuple((label("At", "muted"), label("limit", "muted")) for _ in self.triggers)
        for trigger, price, (at, limit) in zip(self.triggers, self.prices, self._marks, strict=True):
            for widget in (at, trigger, limit, price):
                prices.addWidget(widget)
        prices.addWidget(self._gap_mark)
        prices.addWidget(self.gap)
        prices.addStretch(1)
        prices.addWidget(self._button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        layout.setSpacing(6)
        layout.addLayout(what)
        layout.addLayout(prices)

    def _price(self, name: str, words: str) -> PriceEdit:
        edit = PriceEdit()
        edit.setObjectName(name)
        edit.setAccessibleName(words)
        edit.setToolTip(words)
        edit.setFixedWidth(96)
        edit.returnPressed.connect(self._submit)
        return edit

    def open_for(self, gtt: Gtt) -> None:
        """Offers what it says now."""
        instrument = self._facts.instruments.get(gtt.instrument)
        if instrument is None or self._busy:
            return
        self._gtt = gtt
        self._title.setText(f"{gtt.legs[0].side.capitalize()} {instrument.symbol}")
        self.quantity.set_instrument(instrument)
        self.quantity.set_value(gtt.legs[0].quantity)
        for n, (trigger, price) in enumerate(zip(self.triggers, self.prices, strict=True)):
            for edit in (trigger, price):
                edit.set_instrument(instrument)
            leg = gtt.legs[n] if n < len(gtt.legs) else None
            at, limit = self._marks[n]
            for widget in (trigger, at):
                widget.setVisible(leg is not None)
            for widget in (price, limit):
                widget.setVisible(leg is not None and leg.kind is OrderKind.LIMIT)
            if leg is not None:
                at.setText(_AT[leg.role])
                trigger.set_value(leg.trigger)
                price.set_value(leg.price or None)
        self._show_gap(gtt, instrument)
        self._lock(busy=False)
        self._say("", "muted")
        self.show()
        first = next((edit for edit in self.triggers if edit.isEnabled()), self.triggers[0])
        first.setFocus()
        first.selectAll()

    def _show_gap(self, gtt: Gtt, instrument: Instrument) -> None:
        stop = next((leg for leg in gtt.legs if leg.role is GttRole.STOP), None)
        self.gap.set_instrument(instrument)
        for widget in (self.gap, self._gap_mark):
            widget.setVisible(stop is not None)
        self.gap.set_value((stop.gap if stop is not None else 0) or None)

    def put_away(self) -> None:
        """Nothing was changed."""
        self._gtt = None
        super().put_away()

    def request(self) -> GttRequest | None:
        """What would be sent; None while something is missing."""
        gtt, quantity = self._gtt, self.quantity.value
        if gtt is None or not quantity:
            return None
        legs = []
        for leg, trigger, price in zip(gtt.legs, self.triggers, self.prices, strict=False):
            if not trigger.value or (leg.kind is OrderKind.LIMIT and not price.value):
                return None
            if self.gap.text() and not self.gap.value:
                return None
            gap = (self.gap.value or 0) if leg.role is GttRole.STOP else 0
            legs.append(replace(leg, trigger=trigger.value, price=price.value or 0, quantity=quantity, gap=gap))
        last = self._facts.last(gtt.instrument) or gtt.last_price
        if gtt.kind is not GttKind.BRACKET:
            legs.sort(key=lambda leg: leg.trigger)
        return GttRequest(gtt.account, gtt.instrument, last, tuple(legs))

    def _submit(self) -> None:
        gtt, request = self._gtt, self.request()
        if gtt is None or self._busy:
            return
        if request is None:
            self._say("Type prices and a quantity that this instrument trades at.", "warning")
        elif request.legs == gtt.legs:
            self.put_away()
        else:
            self._begin()
            verb = self._bridge.desk.gtts.modify(gtt.id, request)
            self._bridge.start(self._outcome(self._bridge.call(verb)), "change trigger")

    def _fields(self) -> tuple[QWidget, ...]:
        return (*self.triggers, *self.prices, self.gap)

    def _lock(self, *, busy: bool) -> None:
        super()._lock(busy=busy)
        gtt = self._gtt
        if gtt is not None and not busy:
            for trigger, price, result in zip(self.triggers, self.prices, gtt.results, strict=False):
                for edit in (trigger, price):
                    edit.setEnabled(result is None)  # what has fired stays as it was
            self.quantity.setEnabled(not gtt.entered)
