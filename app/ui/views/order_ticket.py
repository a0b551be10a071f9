"""The order ticket: what, how many, at which price, what it costs; sent once, and locked until the outcome is known."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QKeyEvent

from app.desk.messages import AccountView, OrderPreview
from app.domain.errors import AppError, AuthorisationNeeded, OutcomeUnknown
from app.domain.events import OrderUnresolved
from app.domain.gtt import GttRequest
from app.domain.ids import AccountId, OrderId
from app.domain.instrument import Instrument, Product, Segment
from app.domain.order import Order, OrderKind, OrderRequest, Side
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.views.ticket_form import TicketForm
from app.ui.views.ticket_intents import OpenIntents
from app.ui.views.ticket_words import PRODUCTS, Intent, account_place, account_words, barred, plain
from app.ui.views.words import price_of
from app.ui.widgets.instrument_search import describe
from app.ui.widgets.text import caption

_PAUSE_MS = 250
"""After the last change: margin and charges are asked of the broker, which counts requests."""

_FOLLOW_MS = 1200
"""The same after the chart went to another instrument: who walks down a list asks nothing on the way."""


class OrderTicket(TicketForm):
    """Market and limit orders. B and S elsewhere open it; Return in a field sends; Esc clears the message."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__(bridge)
        self._bridge = bridge
        self._facts = facts
        self._instrument: Instrument | None = None
        self._intents = OpenIntents()
        self._asked: asyncio.Future[object] | None = None
        self._preview: OrderPreview | None = None
        self.page = ""
        """Where the depository asks for the authorisation of the last sale that needed one."""
        self._begun = False
        """The trader means something by this ticket: it does not follow the chart any more."""
        self.setObjectName("ticket")
        self.search.picked.connect(lambda instrument: self.open_for(instrument, self.side))
        self._sides.buttonToggled.connect(lambda _button, on: self._changed() if on else None)
        self._kinds.buttonToggled.connect(lambda _button, on: self._changed() if on else None)
        self._account.currentIndexChanged.connect(lambda _row: self._changed())
        self._product.currentIndexChanged.connect(lambda _row: self._changed())
        self.quantity.value_changed.connect(lambda _value: self._changed())
        self.price.value_changed.connect(lambda _value: self._changed())
        for edit in (self.quantity, self.price):
            edit.returnPressed.connect(self._submit)
            edit.textEdited.connect(lambda _text: self._begin())
        for group in (self._sides, self._kinds):
            group.buttonClicked.connect(lambda _button: self._begin())
        self.special.changed.connect(self._on_special)
        self.special.touched.connect(self._begin)
        for edit in self.special.edits:
            edit.returnPressed.connect(self._submit)
        self.send.clicked.connect(self._submit)
        self.authorise.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(self.page)))
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self._ask)
        facts.accounts_changed.connect(self._on_accounts)
        facts.ticks_changed.connect(self._on_ticks)
        facts.order_changed.connect(self._on_order)
        facts.funds_changed.connect(self._on_funds)
        bridge.subscribe(OrderUnresolved, self._on_unresolved)
        self._on_accounts()
        self._refresh()

    # What the trader does

    @property
    def side(self) -> Side:
        """Which way."""
        return Side.BUY if self._buy.isChecked() else Side.SELL

    def open_for(self, instrument: Instrument, side: Side, price: int | None = None) -> None:
        """Fills the ticket and puts the cursor on the quantity."""
        self._begun = True
        fresh = self._take(instrument)
        (self._buy if side is Side.BUY else self._sell).setChecked(True)
        if price is not None:
            self._limit.setChecked(True)
            self.price.set_value(price)
        elif fresh:
            self._offer_price()
        if not self._intents:
            self.message.clear()
        self._changed()
        self.quantity.setFocus()
        self.quantity.selectAll()

    def follow(self, instrument: Instrument) -> None:
        """What the chart shows, while the trader means nothing by the ticket yet. Never under a typed quantity."""
        if not self._begun and not self._intents and self._take(instrument):
            self.message.clear()
            self._offer_price()
            self._changed()

    def _take(self, instrument: Instrument) -> bool:
        """Another instrument: one lot, no price. False when it is the one already shown."""
        if instrument == self._instrument:
            return False
        self._instrument = instrument
        self._facts.learn(instrument)
        self._bridge.start(self._facts.need([instrument.id]), "learn instrument")
        self.search.setText(instrument.symbol)
        self._what.setText(describe(instrument))
        self.quantity.set_instrument(instrument)
        self.price.set_instrument(instrument)
        self.special.set_instrument(instrument)
        self._fill_products(instrument)
        self._bridge.start(self._watch(instrument), "subscribe ticket")
        return True

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._changed()

    async def _watch(self, instrument: Instrument) -> None:
        await self._bridge.call(self._bridge.desk.market.subscribe("ticket", (instrument.id,)))
        for tick in await self._bridge.call(self._bridge.desk.market.last_ticks((instrument.id,))):
            self._facts.ticks.setdefault(tick.instrument, tick)
        if self._instrument == instrument:
            self._offer_price()
            self._changed()

    def _offer_price(self) -> None:
        last = self._facts.last(self._instrument.id) if self._instrument is not None else None
        if last is not None and self.price.value is None:
            self.price.set_value(last)

    def _fill_products(self, instrument: Instrument) -> None:
        kept = self._product.currentData()
        self._product.blockSignals(True)
        self._product.clear()
        cash = instrument.segment is Segment.EQUITY
        carried = Product.CNC if cash else Product.NRML
        for product in (carried,) if self.special.way.rests else (Product.MIS, carried):
            self._product.addItem(PRODUCTS[product], product)
        at = self._product.findData(kept)
        self._product.setCurrentIndex(max(at, 0))
        self._product.blockSignals(False)

    # The request

    def request(self) -> OrderRequest | None:
        """What would be sent; None while something is missing."""
        account, instrument = self._account.currentData(), self._instrument
        quantity = self.quantity.value
        limit = self._is_limit()
        price = self.price.value if limit else None
        product = self._product.currentData()
        if account is None or instrument is None or not quantity or product is None or (limit and price is None):
            return None
        order = OrderRequest(
            AccountId(account), instrument.id, self.side, quantity, Product(product),
            OrderKind.LIMIT if limit else OrderKind.MARKET, price,
        )  # fmt: skip
        return self.special.apply(order)

    def gtt(self, request: OrderRequest) -> GttRequest | None:
        """The same as a trigger, where one was chosen and nothing is missing."""
        return self.special.gtt(request, self._facts.last(request.instrument))

    def _is_limit(self) -> bool:
        """What a trigger sends is a limit order, but for brokers whose triggers send at market."""
        return self.special.limited if self.special.way.rests else self._limit.isChecked()

    def _on_special(self) -> None:
        if self._instrument is not None:
            self._fill_products(self._instrument)  # a trigger outlives the day, an intraday position does not
        self._changed()

    def _changed(self) -> None:
        self._preview = None
        self._pause.start(_PAUSE_MS if self._begun else _FOLLOW_MS)
        self._refresh()

    def _ask(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
        request = self.request()
        if request is not None and self.isVisible() and not self.special.way.rests:
            self._asked = self._bridge.start(self._read_preview(request), "preview order")

    async def _read_preview(self, request: OrderRequest) -> None:
        try:
            preview = await self._bridge.call(self._bridge.desk.trading.preview(request))
        except AppError as failure:
            if request == self.request():
                self._show_warnings(f"Margin and charges are not known: {failure}")
            return
        if request == self.request():
            self._preview = preview
            self._refresh()

    def _submit(self) -> None:
        request = self.request()
        if request is None or not self.send.isEnabled():
            return
        gtt = self.gtt(request) if self.special.way.rests else None
        intent = Intent.of(request, gtt)
        self._intents.begin(intent)
        self.message.clear()
        self.authorise.hide()
        self._refresh()
        if gtt is not None:
            self._bridge.start(self._send_gtt(intent, gtt), "place trigger")
        else:
            self._bridge.start(self._send(intent), "place order")

    async def _send_gtt(self, intent: Intent, gtt: GttRequest) -> None:
        try:
            await self._bridge.call(self._bridge.desk.gtts.place(gtt))
        except AppError as failure:
            self.message.say(f"No trigger was confirmed. {failure}", "strip-danger")
        else:
            self._begun = False
            self.message.say("The trigger waits at the broker: see the list of triggers.", "strip")
        finally:
            self._intents.end(intent)
            self._refresh()

    async def _send(self, intent: Intent) -> None:
        request = intent.request
        try:
            number = await self._bridge.call(self._bridge.desk.trading.place(request))
        except AuthorisationNeeded as needed:
            self._intents.end(intent)
            self.page = needed.url
            self.authorise.setVisible(bool(needed.url))
            self.message.say(f"Not placed. {needed}", "strip-danger")
        except OutcomeUnknown as unknown:
            # Locked until the order book has told: see _on_order.
            self.message.say(str(unknown), "strip-danger")
            self._settle_unknown(self._intents.lost(intent))
        except AppError as failure:
            self._intents.end(intent)
            self.message.say(f"Not placed. {failure}", "strip-danger")
        else:
            self._intents.end(intent, number)
            self._begun = False
            what = f"{request.side.capitalize()} {fmt.group(request.quantity)} {request.instrument.partition(':')[2]}"
            self.message.say(f"Acknowledged by the broker: {what}.", "strip")
            self._settle_unknown(number)
        finally:
            self._refresh()

    # What happened

    def _on_unresolved(self, event: OrderUnresolved) -> None:
        self._intents.unresolved(event)
        self._refresh()

    def _on_order(self, order: Order) -> None:
        told, role = self._intents.news(order)
        if told and (self._intents or self.message.text):  # what was put away does not come back
            self.message.say(told, role)
        if told or self._intents:
            self._refresh()

    def _settle_unknown(self, number: OrderId | None) -> None:
        """The news may have been quicker than the answer or the failure that it belongs to."""
        order = next((o for o in self._facts.orders.values() if o.id is not None and o.id == number), None)
        if order is not None:
            self._on_order(order)

    def _on_accounts(self) -> None:
        kept = self._account.currentData()
        self._account.blockSignals(True)
        self._account.clear()
        offered = [view for view in self._facts.accounts.values() if not view.disconnected]
        for view in offered:
            self._account.addItem(account_words(view), view.id)
        self._account.setCurrentIndex(account_place(offered, kept))
        self._account.blockSignals(False)
        self._form.setRowVisible(self._account, self._account.count() > 1)
        self._refresh()
        self._pause.start()  # margin and refusals were told by the session before

    def _on_ticks(self, instruments: list[str]) -> None:
        if self._instrument is not None and self._instrument.id in instruments and self.isVisible():
            self._show_last()

    def _on_funds(self) -> None:
        if self._preview is None:
            self._refresh()

    # Showing

    def _refresh(self) -> None:
        request, instrument = self.request(), self._instrument
        self._form.setRowVisible(self.price, self._is_limit())
        self._market.setEnabled(not self.special.way.rests)
        side = self.side
        theme.set_role(self._buy, "buy" if side is Side.BUY else "")
        theme.set_role(self._sell, "sell" if side is Side.SELL else "")
        theme.set_role(self.send, "buy" if side is Side.BUY else "sell")
        self._show_last()
        self._show_badge()
        self._show_preview()
        gtt = self.gtt(request) if request is not None and self.special.way.rests else None
        locked = self._intents.words(None if request is None else Intent.of(request, gtt))
        if locked:
            self.send.setText(locked)
        elif instrument is None:
            self.send.setText("Choose an instrument")
        else:
            quantity = self.quantity.value
            when = self.special.way.suffix
            words = f"{side.capitalize()} {fmt.group(quantity) if quantity else ''} {instrument.symbol}{when}"
            self.send.setText(caption(" ".join(words.split())))
        ready = request is not None and (not self.special.way.rests or gtt is not None)
        self.send.setEnabled(ready and not locked and not self._blocked())
        missing = self.special.problem or (self._missing() if request is None else "")
        view = self._view()
        self._sentence.setText(
            missing or (plain(request, instrument, view, self.special.words(instrument)) if request is not None else "")
        )

    def _blocked(self) -> str:
        view = self._view()
        if view is not None and (words := barred(view.state, self._facts.can(view))):
            return words
        if self._instrument is not None and not self._instrument.tradable:
            return "An index has a price and no orders."
        return self._preview.denied if self._preview is not None else ""

    def _missing(self) -> str:
        if self._view() is None:
            return "Connect an account to trade."
        if self._instrument is None:
            return "Pick an instrument above, or press B or S on a row of the watchlist."
        return self.quantity.problem or (self.price.problem if self._is_limit() else "")

    def _view(self) -> AccountView | None:
        account = self._account.currentData()
        return self._facts.accounts.get(AccountId(account)) if account is not None else None

    def _show_last(self) -> None:
        instrument = self._instrument
        tick = self._facts.ticks.get(instrument.id) if instrument is not None else None
        self._price_now.setText(price_of(instrument, tick.last_price) if tick is not None else "")
        change = tick.change if tick is not None else None
        self._price_now.setToolTip(
            "" if change is None else f"{fmt.arrow(change)} {price_of(instrument, change, signed=True)}"
        )
        self.source.tell(None if instrument is None else self._facts.polled.get(instrument.id))

    def _show_badge(self) -> None:
        view = self._view()
        self.special.offer(self._facts.can(view))
        self._badge.show_paper(None if view is None else view.paper)

    def _show_preview(self) -> None:
        preview, view = self._preview, self._view()
        margin, charges, available = (self._figures[n] for n in ("margin", "charges", "available"))
        funds = self._facts.funds.get(view.id) if view is not None else None
        left = preview.available if preview is not None and preview.available is not None else None
        left = funds.available if left is None and funds is not None else left
        available.setText(fmt.NOTHING if left is None else fmt.amount(left))
        if preview is None:
            margin.setText(fmt.NOTHING)
            charges.setText(fmt.NOTHING)
            self._show_warnings(self._blocked())
            return
        about = "about " if preview.estimated else ""
        margin.setText(about + fmt.amount(preview.margin))
        charges.setText(about + fmt.rupees(preview.charges.total))
        short = left is not None and preview.margin > left
        theme.set_role(margin, "danger" if short else "")
        lines = [self._blocked(), *preview.warnings]
        if short:
            lines.append("The margin is above what is available; the broker will probably refuse it.")
        self._show_warnings("\n".join(line for line in lines if line))

    def _show_warnings(self, text: str) -> None:
        self.warnings.setText(text)
        self.warnings.setVisible(bool(text))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc puts a message away and lets the ticket follow the chart; a question that is still open stays."""
        if event.key() == Qt.Key.Key_Escape and not self._intents:
            self._begun = False
            self.message.clear()
        else:
            super().keyPressEvent(event)
