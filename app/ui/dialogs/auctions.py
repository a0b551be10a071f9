"""Auctions in which holdings may be sold: for buyers who were not delivered their shares."""

from __future__ import annotations

from decimal import Decimal

from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.domain.ids import AccountId
from app.domain.instrument import Instrument
from app.domain.portfolio import AuctionOffer
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.views.words import price_of, symbol_of
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from app.ui.widgets.text import label

COLUMNS: tuple[Column[AuctionOffer], ...] = (
    Column("symbol", "Instrument", lambda r: r.instrument, shown=lambda r: symbol_of(r.instrument), whole=True,
           width=130, tip=lambda r: f"{r.instrument} · {r.isin}"),
    Column("number", "Auction", lambda r: r.auction_number, whole=True, width=80, tone=lambda _r: Tone.DIM),
    Column("quantity", "You hold", lambda r: r.quantity, fmt.group, number=True, width=80),
    Column("average", "Avg", lambda r: r.average_price, lambda v: fmt.decimal(v, 2), number=True, width=90),
    Column("last", "Last", lambda r: r.last_price, shown=lambda r: price_of(None, r.last_price), number=True, width=90),
    Column("close", "Close", lambda r: r.close_price, shown=lambda r: price_of(None, r.close_price), number=True,
           width=90, tone=lambda _r: Tone.DIM),
    Column("gain", "Gain at last", lambda r: Decimal(r.last_price) / 100 * r.quantity - r.average_price * r.quantity,
           lambda v: fmt.rupees(v, signed=True), number=True, width=110),
)  # fmt: skip


class AuctionsPage(ServicePage):
    """Open auctions of what is held, and an offer in one of them."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="auctions",
            title="Auctions",
            can=lambda able: able.auctions,
            lacks="No account that is logged in lists auctions. Zerodha does: log in to one there.",
        )
        self._offers: dict[str, AuctionOffer] = {}
        self._model: TableModel[AuctionOffer] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model, name="auctions.table", title="Auctions", empty="No auction takes what you hold",
            hint="Auctions are held after the session, for shares that somebody sold and did not deliver.",
        )  # fmt: skip
        self.table.chosen.connect(self._show_offer)
        self.quantity = QuantityEdit()
        self.quantity.setObjectName("auctions.quantity")
        self.quantity.setAccessibleName("Quantity to offer")
        self.quantity.setFixedWidth(110)
        self.price = PriceEdit()
        self.price.setObjectName("auctions.price")
        self.price.setAccessibleName("Lowest price")
        self.price.setFixedWidth(120)
        self.price.returnPressed.connect(self.offer)
        self._go = button("&Offer for sale", "auctions.submit", self.offer, primary=True)
        self._what = label("Select an auction.", "muted", name="auctions.what")
        line = QHBoxLayout()
        line.addWidget(self._what, 1)
        for widget in (self.quantity, label("at no less than", "muted"), self.price, self._go):
            line.addWidget(widget)
        self.bar.addWidget(button("&Read again", "auctions.read", self.look))
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self.page.addWidget(self.table, 1)
        self.page.addLayout(line)
        self.resize(760, 380)
        self.fill_accounts()

    def show_busy(self) -> None:
        """Nothing is sent twice."""
        self._go.setEnabled(self.ready and self._chosen is not None)

    def account_changed(self) -> None:
        """Another account's auctions."""
        self._model.replace(())
        self.look()

    def look(self) -> None:
        """Asks the broker now."""
        account = self.account
        if account is not None:
            self.begin(lambda: self._look(account), "Reading auctions…")

    async def _look(self, account: AccountId) -> str:
        found = await self.bridge.call(self.bridge.desk.services.auctions(account))
        await self.facts.need([offer.instrument for offer in found])
        self._offers = {offer.auction_number + offer.instrument: offer for offer in found}
        self._model.replace(self._offers.items())
        if found and self._chosen is None:
            self.table.selectRow(0)
        return ""

    @property
    def _chosen(self) -> AuctionOffer | None:
        return self._offers.get(str(self.table.current))

    def _show_offer(self, _key: Key) -> None:
        offer = self._chosen
        known: Instrument | None = None if offer is None else self.facts.instruments.get(offer.instrument)
        if offer is not None and known is not None:
            self._what.setText(f"Sell {symbol_of(offer.instrument)} in auction {offer.auction_number}:")
            self.quantity.set_instrument(known)
            self.quantity.set_value(offer.quantity)
            self.price.set_instrument(known)
        self.show_busy()

    def offer(self) -> None:
        """Sends it by the way that every order takes."""
        offer, quantity, price = self._chosen, self.quantity.value, self.price.value
        if offer is None or not self.ready:
            return
        if not quantity or not price:
            self.message.say(self.quantity.problem or self.price.problem or "Type a quantity and the lowest price.")
            return

        async def send() -> str:
            await self.bridge.call(self.bridge.desk.services.bid(offer, quantity, price))
            self.price.clear()  # the next press would offer the same shares again
            return f"Offered {fmt.group(quantity)} {symbol_of(offer.instrument)}: see Orders for what becomes of it."

        self.begin(send, "Offering…")
