"""One line to change an order that the broker still works: price and quantity."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QToolButton, QWidget

from app.domain.errors import AppError, OutcomeUnknown
from app.domain.money import Price
from app.domain.order import Order, OrderKind
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import label


class OrderStrip(QFrame):
    """Hidden until an order is named. Return sends, Esc backs out. Locked while the outcome is not known."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._facts = facts
        self._order: Order | None = None
        self._busy = False
        self.setObjectName("order.strip")
        theme.set_role(self, "strip")
        self._title = label("", name="order.title")
        self.price = PriceEdit()
        self.price.setObjectName("order.price")
        self.price.setAccessibleName("New price")
        self.price.setFixedWidth(110)
        self.quantity = QuantityEdit()
        self.quantity.setObjectName("order.quantity")
        self.quantity.setAccessibleName("New quantity")
        self.quantity.setFixedWidth(130)
        self._at = label("at", "muted")
        self._words = label("", "muted", wrap=True, name="order.words")
        self._button = QPushButton("Mod&ify")
        self._button.setObjectName("order.modify")
        theme.set_role(self._button, "primary")
        self._button.clicked.connect(self._submit)
        close = QToolButton()
        close.setIcon(theme.icon("close"))
        close.setToolTip("Leave the order as it is (Esc)")
        close.setAccessibleName("Leave the order as it is")
        close.clicked.connect(self.put_away)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        for widget in (self._title, self.quantity, self._at, self.price, self._button):
            layout.addWidget(widget)
        layout.addWidget(self._words, 1)
        layout.addWidget(close)
        self.price.returnPressed.connect(self._submit)
        self.quantity.returnPressed.connect(self._submit)
        self.hide()

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
        self.hide()

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
        self._lock(busy=True)
        self._say("Sent to the broker…", "muted")
        self._bridge.start(self._send(order, new_quantity, new_price), "modify order")

    async def _send(self, order: Order, quantity: int | None, price: Price | None) -> None:
        try:
            await self._bridge.call(
                self._bridge.desk.trading.modify(order.account, order.broker_order_id, quantity=quantity, price=price)
            )
        except OutcomeUnknown as unknown:
            self._say(str(unknown), "danger")
        except AppError as failure:
            self._say(f"Not changed: {failure}", "danger")
        else:
            self.put_away()
        finally:
            self._lock(busy=False)

    def _lock(self, *, busy: bool) -> None:
        self._busy = busy
        for widget in (self.price, self.quantity, self._button):
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
