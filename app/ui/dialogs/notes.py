"""The virtual contract note of today: what was done, and what it cost by head."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from PySide6.QtWidgets import QWidget

from app.desk.services_messages import NotedOrder
from app.domain.fill import Charges
from app.domain.ids import AccountId
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button
from app.ui.models.facts import Facts
from app.ui.models.table import Column, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.views.words import side_tone, symbol_of
from app.ui.widgets.text import label


def _head(key: str, title: str, read: Callable[[Charges], Decimal], words: str, spare: int) -> Column[NotedOrder]:
    return Column(
        key, title, lambda r: read(r.note.charges), lambda v: fmt.decimal(v, 2), number=True, width=80,
        tone=lambda _r: Tone.DIM, help=words, spare=spare,
    )  # fmt: skip


COLUMNS: tuple[Column[NotedOrder], ...] = (
    Column("symbol", "Instrument", lambda r: r.note.instrument, shown=lambda r: symbol_of(r.note.instrument),
           whole=True, width=140, tip=lambda r: f"{r.note.instrument} · order {r.order}"),
    Column("side", "Side", lambda r: r.note.side, tone=lambda r: side_tone(r.note.side), width=54),
    Column("quantity", "Qty", lambda r: r.note.quantity, fmt.group, number=True, width=70),
    Column("price", "Price", lambda r: r.note.price, lambda v: fmt.decimal(v, 2), number=True, width=90),
    Column("product", "Product", lambda r: r.note.product, width=70, tone=lambda _r: Tone.DIM, spare=8),
    _head("brokerage", "Brokerage", lambda c: c.brokerage, "What the broker takes", 1),
    _head("tax", "STT, CTT", lambda c: c.transaction_tax, "Securities or commodities transaction tax", 2),
    _head("exchange", "Exchange", lambda c: c.exchange_charge, "The exchange's turnover charge", 3),
    _head("sebi", "SEBI", lambda c: c.sebi_fee, "SEBI's turnover fee", 6),
    _head("stamp", "Stamp", lambda c: c.stamp_duty, "Stamp duty, on what is bought", 4),
    _head("gst", "GST", lambda c: c.gst, "On brokerage and charges", 5),
    _head("other", "Other", lambda c: c.other, "Depository, clearing and other fees", 7),
    Column("total", "Total", lambda r: r.note.total, lambda v: fmt.decimal(v, 2), number=True, width=90),
)  # fmt: skip


class NotesPage(ServicePage):
    """Read when it opens, and again when asked: orders go on being done."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="notes",
            title="Contract note of today",
            can=lambda able: able.order_cost,
            lacks="No account that is logged in computes charges. Log in first.",
        )
        self._model: TableModel[NotedOrder] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model, name="notes.table", title="Contract note", empty="Nothing was done today",
            hint="Every order that was filled is a line here, with the charges that its contract note will have.",
        )  # fmt: skip
        self.table.sortable()
        self._sum = label("", "muted", wrap=True, name="notes.summary")
        self.bar.addWidget(button("&Read again", "notes.read", self.look))
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self.page.addWidget(self.table, 1)
        self.page.addWidget(self._sum)
        self.resize(1080, 480)
        self.fill_accounts()

    def account_changed(self) -> None:
        """Another account's day."""
        self._model.replace(())
        self._sum.clear()
        self.look()

    def look(self) -> None:
        """Asks the broker now."""
        account = self.account
        if account is not None:
            self.begin(lambda: self._look(account), "Working out charges…")

    async def _look(self, account: AccountId) -> str:
        note = await self.bridge.call(self.bridge.desk.services.contract_note(account))
        self._model.replace((line.order, line) for line in note.lines)
        count = len(note.lines)
        orders = "1 order" if count == 1 else f"{fmt.group(count)} orders"
        self._sum.setText(
            f"{orders}, charges {fmt.rupees(note.total)}, by the broker's {note.computed_by}. "
            "Depository fees of delivery sales come on top, once a day for each share."
            if count
            else ""
        )
        return ""
