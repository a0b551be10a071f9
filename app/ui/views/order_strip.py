"""One line to change an order that the broker still works: price and quantity."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from app.domain.order import Order, OrderKind
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.views.sent_strip import SentStrip
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.text import label


class OrderStrip(SentStrip):
    """Hidden until an order is named."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget | None = None) -> None:
        button = QPushButton("Mod&ify")
        button.setObjectName("order.modify")
        super().__init__("order", "order", button, parent)
        self._bridge = bridge
        self._facts = facts
        self._order: Order | None = None
        self.price = PriceEdit()
        self.price.setObjectName("order.price")
        self.price.setAccessibleName("New price")
        self.price.setFixedWidth(110)
        self.quantity.setFixedWidth(130)
        self._at = label("at", "muted")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        for widget in (self._title, self.quantity, self._at, self.price, self._button):
            layout.addWidget(widget)
        layout.addWidget(self._words, 1)
        layout.addWidget(self._close)
        self.price.returnPressed.connect(self._submit)

    def open_for(self, order: Order) -> None:
        """Offers what the order says now."""
        instrument = self._facts.instruments.get(order.instrument)
        if instrument is None or self._busy:
            return
        self._order = order
        self._title.setText(f"{order.side.capitalize()} {instrument.symbol}")
        priced = order.kind in (OrderKind.LIMIT, OrderKind.SL)
        self.price.set_instrument(instrument)
        self.price.setVisible(priced)
        self._at.setVisible(priced)
        if order.price is not None:
            self.price.set_value(order.price)
        self.quantity.set_instrument(instrument)
        self.quantity.set_value(order.quantity)
        self._words.setText("")
        self.show()
        first = self.price if priced else self.quantity
        first.setFocus()
        first.selectAll()

    def put_away(self) -> None:
        """Nothing was changed."""
        self._order = None
        super().put_away()

    def _submit(self) -> None:
        order = self._order
        if order is None or self._busy:
            return
        quantity = self.quantity.value
        priced = not self.price.isHidden()
        price = self.price.value if priced else None
        if quantity is None or (priced and price is None):
            self._say("Type a quantity and a price that this instrument trades at.", "warning")
            return
        new_quantity = quantity if quantity != order.quantity else None
        new_price = price if price != order.price else None
        if new_quantity is None and new_price is None:
            self.put_away()
            return
        self._begin()
        verb = self._bridge.desk.trading.modify(
            order.account, order.broker_order_id, quantity=new_quantity, price=new_price
        )
        self._bridge.start(self._outcome(self._bridge.call(verb)), "modify order")

    def _fields(self) -> tuple[QWidget, ...]:
        return (self.price,)
