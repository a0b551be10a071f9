"""The part of the order ticket for orders that are more than "now": after hours, in legs, or waiting at the broker."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from PySide6.QtCore import Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QSpinBox, QWidget

from app.domain.broker import Capabilities, Support
from app.domain.gtt import GttLeg, GttRequest, GttRole
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest, Side, Variety
from app.ui.views.words import price_of
from app.ui.widgets.price_edit import PriceEdit

MOST_LEGS = 50
"""That the field offers; how many the broker takes it says itself."""


class Way(StrEnum):
    """How an order reaches the market."""

    NOW = "Now"
    AFTER_MARKET = "After market (AMO)"
    ICEBERG = "In legs (iceberg)"
    TRIGGER = "At a trigger (GTT)"
    STOP_AND_TARGET = "Stop and target (GTT)"
    BRACKET = "Entry, then exits (GTT)"

    @property
    def rests(self) -> bool:
        """It waits at the broker for a price, for up to a year."""
        return self in (Way.TRIGGER, Way.STOP_AND_TARGET, Way.BRACKET)

    @property
    def suffix(self) -> str:
        """What it adds to the words on the button."""
        return " with exits" if self is Way.BRACKET else " at a trigger" if self.rests else ""


class TicketSpecial(QWidget):
    """Fields that show themselves as the way asks for them. GUI thread."""

    changed = Signal()
    touched = Signal()
    """By the trader's own hand."""

    def __init__(self) -> None:
        super().__init__()
        self._can: Capabilities | None = None
        self.choice = QComboBox()
        self.choice.setObjectName("ticket.way")
        self.choice.setAccessibleName("When")
        for way in Way:
            self.choice.addItem(way.value, way)
        self.legs = QSpinBox()
        self.legs.setObjectName("ticket.legs")
        self.legs.setAccessibleName("Legs")
        self.legs.setRange(2, MOST_LEGS)
        self.legs.setValue(5)
        self.trigger = self._price("ticket.trigger", "Trigger")
        self.target_trigger = self._price("ticket.targettrigger", "Target trigger")
        self.target = self._price("ticket.target", "Target price")
        self.stop_trigger = self._price("ticket.stoptrigger", "Stop trigger")
        self.gap = self._price("ticket.gap", "Stop trails by")
        self.sliced = QCheckBox("Slice above the &freeze quantity")
        self.sliced.setObjectName("ticket.slice")
        self.sliced.setAccessibleName("Slice above the freeze quantity")
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setVerticalSpacing(8)
        self._form.setHorizontalSpacing(12)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow("&When", self.choice)
        self._form.addRow("Le&gs", self.legs)
        self._form.addRow("Trigg&er", self.trigger)
        self._form.addRow("Target tr&igger", self.target_trigger)
        self._form.addRow("Target price", self.target)
        self._form.addRow("St&op trigger", self.stop_trigger)
        self._form.addRow("Stop trails by", self.gap)
        self._form.addRow(self.sliced)
        self.choice.currentIndexChanged.connect(lambda _row: self._show())
        self.choice.activated.connect(lambda _row: self.touched.emit())
        self.legs.valueChanged.connect(lambda _value: self.changed.emit())
        self.sliced.toggled.connect(lambda _on: self.changed.emit())
        self._show()

    def _price(self, name: str, words: str) -> PriceEdit:
        edit = PriceEdit()
        edit.setObjectName(name)
        edit.setAccessibleName(words)
        edit.setPlaceholderText(words)
        edit.value_changed.connect(lambda _value: self.changed.emit())
        edit.textEdited.connect(lambda _text: self.touched.emit())
        return edit

    def offer(self, can: Capabilities | None) -> None:
        """Greys out what the broker is known not to take. What nobody has said stays: the broker will say it."""
        if can == self._can:
            return
        self._can = can
        model = self.choice.model()
        lacking = _lacking(can) if can is not None else frozenset()
        if isinstance(model, QStandardItemModel):
            for row, way in enumerate(Way):
                model.item(row).setEnabled(way not in lacking)
        self.sliced.setEnabled(can is None or can.autoslice is not Support.NO)
        if not self.sliced.isEnabled():
            self.sliced.setChecked(False)
        if self.way in lacking:
            self.choice.setCurrentIndex(0)
        self._show()

    @property
    def way(self) -> Way:
        """What the trader chose."""
        return Way(self.choice.currentData())

    @property
    def edits(self) -> tuple[PriceEdit, ...]:
        """Its price fields."""
        return (self.trigger, self.target_trigger, self.target, self.stop_trigger, self.gap)

    @property
    def limited(self) -> bool:
        """What a trigger sends has a limit price; else it goes at market."""
        return self.way is not Way.BRACKET and (self._can is None or self._can.gtt_limit is not Support.NO)

    @property
    def problem(self) -> str:
        """What is missing, in words; empty when nothing is."""
        pair = (self.trigger, self.target_trigger, self.target) if self.limited else (self.trigger, self.target_trigger)
        wanted = {Way.TRIGGER: (self.trigger,), Way.STOP_AND_TARGET: pair}.get(self.way, ())
        if self.way is Way.BRACKET:
            typed = next((edit.problem for edit in self.edits if edit.text() and not edit.value), "")
            if typed or not (self.target_trigger.value or self.stop_trigger.value):
                return typed or "Give a target, a stop, or both."
        return next((edit.problem or f"{edit.accessibleName()} is missing." for edit in wanted if not edit.value), "")

    def set_instrument(self, instrument: Instrument) -> None:
        """Whose tick holds; prices of another instrument mean nothing here."""
        for edit in self.edits:
            edit.set_instrument(instrument)

    def apply(self, request: OrderRequest) -> OrderRequest:
        """The order with what was chosen here."""
        variety = {Way.AFTER_MARKET: Variety.AMO, Way.ICEBERG: Variety.ICEBERG}.get(self.way, Variety.REGULAR)
        return replace(
            request,
            variety=variety,
            iceberg_legs=self.legs.value() if variety is Variety.ICEBERG else 0,
            autoslice=self.sliced.isChecked() and variety is Variety.REGULAR,
        )

    def gtt(self, order: OrderRequest, last: Price | None) -> GttRequest | None:
        """The order as a trigger at the broker; None while something is missing."""
        trigger, price = self.trigger.value, order.price
        if not self.way.rests or not last or self.problem or (self.limited and not price):
            return None
        kind = OrderKind.LIMIT if self.limited else OrderKind.MARKET
        leg = GttLeg(trigger or last, order.side, order.quantity, order.product, price or 0, kind)
        if self.way is Way.BRACKET:
            return GttRequest(order.account, order.instrument, last, self._bracket(leg))
        legs = [leg]
        if self.way is Way.STOP_AND_TARGET:
            legs.append(replace(leg, trigger=self.target_trigger.value or 0, price=self.target.value or 0))
        legs.sort(key=lambda leg: leg.trigger)
        return GttRequest(order.account, order.instrument, last, tuple(legs))

    def _bracket(self, leg: GttLeg) -> tuple[GttLeg, ...]:
        """Entry, and what of the exits was typed. Without a trigger the entry does not wait."""
        entry = replace(leg, role=GttRole.ENTRY, at_once=self.trigger.value is None)
        out = replace(leg, side=Side.SELL if leg.side is Side.BUY else Side.BUY)
        target, stop = self.target_trigger.value, self.stop_trigger.value
        exits = [replace(out, trigger=target, role=GttRole.TARGET)] if target else []
        if stop:
            exits.append(replace(out, trigger=stop, role=GttRole.STOP, gap=self.gap.value or 0))
        return (entry, *exits)

    def words(self, instrument: Instrument | None) -> str:
        """The choice as part of a sentence."""
        if self.way is Way.AFTER_MARKET:
            return ", when the market opens next"
        if self.way is Way.ICEBERG:
            return f", in {self.legs.value()} legs"
        if not self.way.rests:
            return ", in slices if the exchange wants it" if self.sliced.isChecked() else ""
        waits = "; it waits at the broker for up to a year"
        if self.way is Way.BRACKET:
            return self._bracket_words(instrument) + waits
        stop = f", once the price reaches {price_of(instrument, self.trigger.value)}"
        if self.way is Way.TRIGGER:
            return stop + waits
        target = f" or {price_of(instrument, self.target_trigger.value)}"
        if self.limited:
            target += f", then at {price_of(instrument, self.target.value)} or better"
        return f"{stop}{target}{waits}"

    def _bracket_words(self, instrument: Instrument | None) -> str:
        trigger, target, stop, gap = (
            edit.value for edit in (self.trigger, self.target_trigger, self.stop_trigger, self.gap)
        )
        entry = f", once the price reaches {price_of(instrument, trigger)}" if trigger else ", at once"
        exits = [f"at {price_of(instrument, target)}"] if target else []
        if stop:
            trails = f", trailing by {price_of(instrument, gap)}" if gap else ""
            exits.append(f"at a stop of {price_of(instrument, stop)}{trails}")
        return f"{entry}; once filled, out {' or '.join(exits)}"

    def _show(self) -> None:
        way = self.way
        self._form.setRowVisible(self.legs, way is Way.ICEBERG)
        self._form.setRowVisible(self.trigger, way.rests)
        self._form.setRowVisible(self.target_trigger, way in (Way.STOP_AND_TARGET, Way.BRACKET))
        self._form.setRowVisible(self.target, way is Way.STOP_AND_TARGET and self.limited)
        for edit in (self.stop_trigger, self.gap):
            self._form.setRowVisible(edit, way is Way.BRACKET)
        self.trigger.setPlaceholderText("At once" if way is Way.BRACKET else "Trigger")
        self._form.setRowVisible(self.sliced, way is Way.NOW)
        self.changed.emit()


def _lacking(can: Capabilities) -> frozenset[Way]:
    needs = {
        Way.AFTER_MARKET: (can.amo,),
        Way.ICEBERG: (can.iceberg,),
        Way.TRIGGER: (can.gtt,),
        Way.STOP_AND_TARGET: (can.gtt, can.gtt_two_leg),
        Way.BRACKET: (can.gtt, can.gtt_bracket),
    }
    return frozenset(way for way, wanted in needs.items() if any(one is Support.NO for one in wanted))
