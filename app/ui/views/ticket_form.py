"""The fields of the order ticket and where they stand; what they mean is decided in `order_ticket`."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.ui.bridge import Bridge
from app.ui.views.source import SourceLabel
from app.ui.views.ticket_special import TicketSpecial
from app.ui.widgets.badge import MoneyBadge
from app.ui.widgets.instrument_search import InstrumentSearch
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import Elided, Message, label


class TicketForm(QWidget):
    """Fields from top to bottom in the order of the tab key. GUI thread; the ticket fills and reads them."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.search = InstrumentSearch(bridge, "ticket.search", "Instrument", keeps_text=True)
        self._what = Elided("faint", name="ticket.what")
        self._price_now = label("", "heading", name="ticket.last")
        self.source = SourceLabel("ticket.source")
        self._badge = MoneyBadge()
        self._badge.setObjectName("ticket.badge")
        self._sides = QButtonGroup(self)
        self._buy, self._sell = QPushButton("Bu&y"), QPushButton("&Sell")
        for button, name in ((self._buy, "buy"), (self._sell, "sell")):
            button.setObjectName(f"ticket.{name}")
            button.setCheckable(True)
            button.setAccessibleName(name.capitalize())
            self._sides.addButton(button)
        self._buy.setChecked(True)
        self._kinds = QButtonGroup(self)
        self._market, self._limit = QPushButton("&Market"), QPushButton("&Limit")
        for button, name in ((self._market, "market"), (self._limit, "limit")):
            button.setObjectName(f"ticket.{name}")
            button.setCheckable(True)
            button.setAccessibleName(name.capitalize())
            self._kinds.addButton(button)
        self._market.setChecked(True)
        self._account = QComboBox()
        self._account.setObjectName("ticket.account")
        self._account.setAccessibleName("Account")
        self._product = QComboBox()
        self._product.setObjectName("ticket.product")
        self._product.setAccessibleName("Product")
        self.quantity = QuantityEdit()
        self.quantity.setObjectName("ticket.quantity")
        self.quantity.setAccessibleName("Quantity")
        self.price = PriceEdit()
        self.price.setObjectName("ticket.price")
        self.price.setAccessibleName("Limit price")
        self.special = TicketSpecial()
        self.authorise = QPushButton("A&uthorise the sale…")
        self.authorise.setObjectName("ticket.authorise")
        self.authorise.setToolTip("Opens the depository's page in your browser. Send the order again afterwards.")
        self.authorise.hide()
        self._sentence = label("", wrap=True, name="ticket.sentence")
        self._figures = {name: label("", name=f"ticket.{name}") for name in ("margin", "charges", "available")}
        self.message = Message(name="ticket.message")
        self.warnings = label("", "warning", wrap=True, name="ticket.warnings")
        self.warnings.hide()
        self.send = QPushButton()
        self.send.setObjectName("ticket.send")
        self.send.setMinimumHeight(36)
        self._lay_out()

    def _lay_out(self) -> None:
        def pair(first: QWidget, second: QWidget) -> QHBoxLayout:
            row = QHBoxLayout()
            row.setSpacing(8)
            row.addWidget(first, 1)
            row.addWidget(second, 1)
            return row

        now = QHBoxLayout()
        now.addWidget(self._price_now)
        now.addWidget(self.source)
        now.addWidget(self._what, 1)
        now.addWidget(self._badge)
        form = QFormLayout()
        form.setVerticalSpacing(8)
        form.setHorizontalSpacing(12)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("A&ccount", self._account)
        form.addRow("&Product", self._product)
        form.addRow("&Quantity", self.quantity)
        form.addRow("P&rice", self.price)
        self._form = form
        figures = QGridLayout()
        figures.setHorizontalSpacing(12)
        figures.setVerticalSpacing(4)
        for row, (name, title) in enumerate((("margin", "Margin"), ("charges", "Charges"), ("available", "Available"))):
            figures.addWidget(label(title, "muted"), row, 0)
            self._figures[name].setAlignment(Qt.AlignmentFlag.AlignRight)
            figures.addWidget(self._figures[name], row, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(10)
        layout.addWidget(self.search)
        layout.addLayout(now)
        layout.addLayout(pair(self._buy, self._sell))
        layout.addLayout(pair(self._market, self._limit))
        layout.addLayout(form)
        layout.addWidget(self.special)
        layout.addLayout(figures)
        layout.addWidget(self._sentence)
        layout.addWidget(self.warnings)
        layout.addWidget(self.message)
        layout.addWidget(self.authorise)
        layout.addWidget(self.send)
        layout.addStretch(1)
