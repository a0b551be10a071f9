"""One line to move a position to another product."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QPushButton, QToolButton, QWidget

from app.domain.errors import AppError, OutcomeUnknown
from app.domain.instrument import Instrument, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import Conversion, Position
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.views.ticket_words import PRODUCTS
from app.ui.widgets.quantity_edit import QuantityEdit
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


class ConvertStrip(QFrame):
    """Hidden until a position is named. Return converts, Esc backs out. Locked while the outcome is not known."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._facts = facts
        self._position: Position | None = None
        self._busy = False
        self.setObjectName("convert.strip")
        theme.set_role(self, "strip")
        self._title = label("", name="convert.title")
        self.quantity = QuantityEdit()
        self.quantity.setObjectName("convert.quantity")
        self.quantity.setAccessibleName("Quantity to convert")
        self.quantity.setFixedWidth(120)
        self.product = QComboBox()
        self.product.setObjectName("convert.product")
        self.product.setAccessibleName("New product")
        self._button = QPushButton("&Convert")
        self._button.setObjectName("convert.send")
        theme.set_role(self._button, "primary")
        self._button.clicked.connect(self._submit)
        self._words = label("", "muted", wrap=True, name="convert.words")
        close = QToolButton()
        close.setIcon(theme.icon("close"))
        close.setToolTip("Leave the position as it is (Esc)")
        close.setAccessibleName("Leave the position as it is")
        close.clicked.connect(self.put_away)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        for widget in (self._title, self.quantity, label("to", "muted"), self.product, self._button):
            layout.addWidget(widget)
        layout.addWidget(self._words, 1)
        layout.addWidget(close)
        self.quantity.returnPressed.connect(self._submit)
        self.hide()

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
        self.hide()

    def _submit(self) -> None:
        position, quantity, product = self._position, self.quantity.value, self.product.currentData()
        if position is None or self._busy:
            return
        if not quantity or product is None:
            self._say(self.quantity.problem or "Type how many units to convert.", "warning")
            return
        side = Side.BUY if position.quantity > 0 else Side.SELL
        overnight = position.buy_quantity + position.sell_quantity == 0
        self._lock(busy=True)
        self._say("Sent to the broker…", "muted")
        conversion = Conversion(position.key, side, quantity, Product(product), overnight)
        self._bridge.start(self._send(conversion), "convert position")

    async def _send(self, conversion: Conversion) -> None:
        try:
            await self._bridge.call(self._bridge.desk.trading.convert(conversion))
        except OutcomeUnknown as unknown:
            self._say(f"Not known yet whether it was converted. {unknown}", "danger")
        except AppError as failure:
            self._say(f"Not converted: {failure}", "danger")
        else:
            self.put_away()
        finally:
            self._lock(busy=False)

    def _lock(self, *, busy: bool) -> None:
        self._busy = busy
        for widget in (self.quantity, self.product, self._button):
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
