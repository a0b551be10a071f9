"""One line to move a position to another product."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from app.domain.instrument import Instrument, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import Conversion, Position
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.views.sent_strip import SentStrip
from app.ui.views.ticket_words import PRODUCTS
from app.ui.widgets.text import label


def targets(position: Position, instrument: Instrument | None) -> tuple[Product, ...]:
    """Products that a position can become."""
    now = position.key.product
    if position.quantity == 0 or instrument is None or now is Product.CO:
        return ()
    carried = Product.CNC if instrument.segment is Segment.EQUITY else Product.NRML
    short_shares = carried is Product.CNC and position.quantity < 0
    able = (Product.MIS,) if short_shares else (Product.MIS, carried)
    return tuple(product for product in able if product is not now)


class ConvertStrip(SentStrip):
    """Hidden until a position is named."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget | None = None) -> None:
        button = QPushButton("&Convert")
        button.setObjectName("convert.send")
        super().__init__("convert", "position", button, parent)
        self._bridge = bridge
        self._facts = facts
        self._position: Position | None = None
        self.quantity.setAccessibleName("Quantity to convert")
        self.quantity.setFixedWidth(120)
        self.product = QComboBox()
        self.product.setObjectName("convert.product")
        self.product.setAccessibleName("New product")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        for widget in (self._title, self.quantity, label("to", "muted"), self.product, self._button):
            layout.addWidget(widget)
        layout.addWidget(self._words, 1)
        layout.addWidget(self._close)

    def open_for(self, position: Position) -> None:
        """Offers the whole position and what it can become."""
        instrument = self._facts.instruments.get(position.key.instrument)
        able = targets(position, instrument)
        if instrument is None or not able or self._busy:
            return
        self._position = position
        self._title.setText(f"Convert {instrument.symbol} {position.key.product}")
        self.quantity.set_instrument(instrument)
        self.quantity.set_value(abs(position.quantity))
        self.product.clear()
        for product in able:
            self.product.addItem(PRODUCTS[product], product)
        stop = self._facts.stop_of(position.key)
        self._say("Its stop goes along." if stop is not None else "", "muted")
        self.show()
        self.quantity.setFocus()
        self.quantity.selectAll()

    def put_away(self) -> None:
        """Nothing was changed."""
        self._position = None
        super().put_away()

    def _submit(self) -> None:
        position, quantity, product = self._position, self.quantity.value, self.product.currentData()
        if position is None or self._busy:
            return
        if not quantity or product is None:
            self._say(self.quantity.problem or "Type how many units to convert.", "warning")
            return
        side = Side.BUY if position.quantity > 0 else Side.SELL
        of_today = (position.quantity - position.carried_quantity) * side.sign
        overnight = position.carried_quantity * side.sign > 0 and quantity > of_today
        self._begin()
        verb = self._bridge.desk.trading.convert(Conversion(position.key, side, quantity, Product(product), overnight))
        unknown = "Not known yet whether it was converted."
        self._bridge.start(self._outcome(self._bridge.call(verb), "Not converted", unknown), "convert position")

    def _fields(self) -> tuple[QWidget, ...]:
        return (self.product,)
