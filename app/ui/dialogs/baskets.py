"""A basket: several orders, what they block and cost together, and then, line by line, what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.desk.services_messages import BasketPlan
from app.domain.errors import AppError, OutcomeUnknown
from app.domain.ids import AccountId
from app.domain.instrument import Instrument, Product
from app.domain.margin import Margin, PlannedNote
from app.domain.order import OrderKind, OrderRequest, Side
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button, choice
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView, action
from app.ui.views.words import price_of, quantity_of, side_tone, symbol_of
from app.ui.widgets.instrument_search import InstrumentSearch
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import Question, label


@dataclass(frozen=True, slots=True)
class Line:
    """One order of the basket, as far as it has come."""

    order: OrderRequest
    instrument: Instrument
    margin: Margin | None = None
    note: PlannedNote | None = None
    outcome: str = ""
    failed: bool = False


COLUMNS: tuple[Column[Line], ...] = (
    Column("symbol", "Instrument", lambda r: r.order.instrument, shown=lambda r: symbol_of(r.order.instrument),
           whole=True, width=150, tip=lambda r: str(r.order.instrument)),
    Column("side", "Side", lambda r: r.order.side, tone=lambda r: side_tone(r.order.side), width=54),
    Column("quantity", "Qty", lambda r: r.order.quantity, shown=lambda r: quantity_of(r.instrument, r.order.quantity),
           number=True, width=80),
    Column("product", "Product", lambda r: r.order.product, width=70, tone=lambda _r: Tone.DIM),
    Column("price", "Price", lambda r: r.order.price or 0,
           shown=lambda r: price_of(r.instrument, r.order.price) if r.order.price else "market", number=True, width=90),
    Column("margin", "Margin alone", lambda r: None if r.margin is None else r.margin.total, fmt.rupees, number=True,
           width=110, help="What it would block without the others"),
    Column("charges", "Charges", lambda r: None if r.note is None else r.note.total, fmt.rupees, number=True, width=90),
    Column("outcome", "Outcome", lambda r: r.outcome, width=220, tip=lambda r: r.outcome,
           tone=lambda r: Tone.ALARM if r.failed else Tone.GOOD),
)  # fmt: skip


class BasketPage(ServicePage):
    """Lines are worked out together after every change; nothing is sent before the trader has said so twice."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="basket",
            title="Basket",
            can=lambda able: able.basket_margin,
            lacks="No account that is logged in computes the margin of a basket. Log in first.",
        )
        self._lines: dict[int, Line] = {}
        self._number = 0
        self._instrument: Instrument | None = None
        self._model: TableModel[Line] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model, name="basket.table", title="Basket", empty="The basket is empty",
            hint="Add orders above: margin and charges of all of them together stand below.",
        )  # fmt: skip
        self.table.key("Del", lambda: self.remove(self.table.selected))
        self.table.set_menu(self._menu)
        self.question = Question(name="basket.question")
        self._sum = label("", "muted", wrap=True, name="basket.summary")
        self._send = button("&Send all…", "basket.send", self.ask_to_send, primary=True)
        self.bar.addWidget(button("&Work out again", "basket.plan", self.plan))
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self.page.addLayout(self._entry(bridge))
        self.page.addWidget(self.table, 1)
        self.page.addWidget(self._sum)
        self.page.addWidget(self.question)
        self.page.addWidget(self._send, 0, Qt.AlignmentFlag.AlignRight)
        self.resize(980, 480)
        self.fill_accounts()

    def _entry(self, bridge: Bridge) -> QHBoxLayout:
        self.search = InstrumentSearch(bridge, "basket.instrument", "Instrument", keeps_text=True)
        self.search.picked.connect(self.pick)
        self.side = choice("basket.side", "Side", [("Buy", Side.BUY), ("Sell", Side.SELL)])
        self.product = choice("basket.product", "Product", [])
        self.quantity = QuantityEdit()
        self.quantity.setObjectName("basket.quantity")
        self.quantity.setAccessibleName("Quantity")
        self.quantity.setFixedWidth(110)
        self.price = PriceEdit()
        self.price.setObjectName("basket.price")
        self.price.setAccessibleName("Limit price; empty: at market")
        self.price.setPlaceholderText("at market")
        self.price.setFixedWidth(110)
        for field in (self.quantity, self.price):
            field.returnPressed.connect(self.add)
        self._add = button("&Add", "basket.add", self.add)
        row = QHBoxLayout()
        row.addWidget(self.search, 1)
        for widget in (self.side, self.quantity, self.product, self.price, self._add):
            row.addWidget(widget)
        return row

    def show_busy(self) -> None:
        """Nothing is sent twice, and nothing that was sent already."""
        self._send.setEnabled(self.ready and any(not line.outcome for line in self._lines.values()))
        self._add.setEnabled(self.ready)

    def account_changed(self) -> None:
        """The basket is of one account."""
        self._lines.clear()
        self._show(None)

    def pick(self, instrument: Instrument) -> None:
        """What to trade, with the products that it can be held in."""
        self._instrument = instrument
        held = (Product.CNC, Product.MIS) if instrument.kind == "share" else (Product.NRML, Product.MIS)
        self.product.clear()
        for product in held:
            self.product.addItem(str(product), product)
        self.quantity.set_instrument(instrument)
        self.price.set_instrument(instrument)
        self.quantity.setFocus()

    def add(self) -> None:
        """One more line, and all of them worked out."""
        account, instrument, quantity = self.account, self._instrument, self.quantity.value
        if account is None or not self.ready:
            return
        if instrument is None or not instrument.tradable:
            self.message.say("Pick an instrument that can be traded.")
            return
        if not quantity or self.price.problem:
            self.message.say(self.quantity.problem or self.price.problem or "Type a quantity.")
            return
        price = self.price.value
        order = OrderRequest(
            account, instrument.id, Side(self.side.currentData()), quantity, Product(self.product.currentData()),
            OrderKind.LIMIT if price else OrderKind.MARKET, price,
        )  # fmt: skip
        self._number += 1
        self._lines[self._number] = Line(order, instrument)
        self._show(None)
        self.quantity.clear()
        self.plan()

    def remove(self, keys: Sequence[Key]) -> None:
        """Takes lines out, and works out the rest."""
        if self.busy:
            return
        for key in keys:
            self._lines.pop(int(str(key)), None)
        self._show(None)
        self.plan()

    def _waiting(self) -> dict[int, Line]:
        return {number: line for number, line in self._lines.items() if not line.outcome}

    def plan(self) -> None:
        """Margin and charges of what was not sent yet."""
        waiting = self._waiting()
        if waiting and self.ready:
            self.begin(lambda: self._plan(waiting), "Working out margin and charges…")

    async def _plan(self, waiting: dict[int, Line]) -> str:
        found = await self.bridge.call(self.bridge.desk.services.plan_basket([line.order for line in waiting.values()]))
        for place, (number, line) in enumerate(waiting.items()):
            margin = None if found.margin is None else found.margin.orders[place]
            self._lines[number] = replace(line, margin=margin, note=found.notes[place])
        self._show(found)
        return ""

    def _show(self, plan: BasketPlan | None) -> None:
        self._model.replace(self._lines.items())
        self.question.hide()
        self.show_busy()
        if plan is None:
            self._sum.clear()
            return
        if plan.margin is None:
            margin = plan.lacks
        else:
            saved = plan.margin.initial.total - plan.margin.final.total
            hedged = f", {fmt.rupees(saved)} less than alone" if saved > 0 else ""
            short = plan.margin.final.total - plan.available
            there = f"; {fmt.rupees(short)} more than there is" if short > 0 else ""
            margin = f"Margin together {fmt.rupees(plan.margin.final.total)}{hedged}{there}."
        self._sum.setText(f"{margin} Charges {fmt.rupees(plan.charges)}. Available {fmt.rupees(plan.available)}.")

    # -- sending -----------------------------------------------------------------------------------------------------

    def ask_to_send(self) -> None:
        """Once more, with what it is."""
        count = len(self._waiting())
        if count and self.ready:
            orders = "1 order" if count == 1 else f"{count} orders"
            text = f"Send {orders}? {self._sum.text()}"
            self.question.ask(text, f"&Yes, send {orders}", "&Not yet", self.send)

    def send(self) -> None:
        """Each by the way that every order takes; one that is refused does not hold up the others."""
        account = self.account
        if account is not None and self.ready:
            self.begin(lambda: self._send_all(account), "Sending…")

    async def _send_all(self, account: AccountId) -> str:
        refused = 0
        for number, line in self._waiting().items():
            try:
                await self.bridge.call(self.bridge.desk.trading.place(replace(line.order, account=account)))
                outcome, failed = "sent", False
            except OutcomeUnknown as unknown:
                outcome, failed = f"not known yet: {unknown}", True
            except AppError as failure:
                outcome, failed = str(failure), True
            refused += failed
            self._lines[number] = replace(line, outcome=outcome, failed=failed)
            self._model.replace(self._lines.items())
        self._sum.clear()
        return f"{refused} of them were refused: see the lines." if refused else "All were sent: see Orders."

    def _menu(self, key: Key) -> Sequence[QAction]:
        return (action(self, "Take out\tDel", lambda: self.remove(self.table.selected or [key]), "cancel"),)
