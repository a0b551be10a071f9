"""The trade book: every round trip, newest first, with totals of the selection, net after charges."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.events import BookChanged
from app.domain.fill import Trade
from app.domain.ids import Nanos, split_instrument_id
from app.domain.money import Price
from app.domain.order import Side
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.pages import PAGE, TradePages
from app.ui.models.table import Column, Tone, tone_of
from app.ui.views.table_view import TableView
from app.ui.views.words import lots_words
from app.ui.widgets.text import Message, label

_WIDE = 640
"""Pixels from which the totals have room beside the filter."""

_RANGES: tuple[tuple[str, int | None], ...] = (("Today", 0), ("7 days", 6), ("30 days", 29), ("All", None))


def _charges_tip(trade: Trade) -> str:
    if trade.multiplier is None:
        return _UNSIZED
    charges = trade.charges
    heads = (
        ("Brokerage", charges.brokerage),
        ("Transaction tax", charges.transaction_tax),
        ("Exchange charge", charges.exchange_charge),
        ("SEBI fee", charges.sebi_fee),
        ("Stamp duty", charges.stamp_duty),
        ("GST", charges.gst),
        ("Other", charges.other),
    )
    return "\n".join(f"{name}  {fmt.rupees(value)}" for name, value in heads if value)


_UNSIZED = "How much a lot of it holds is not known yet. It is learnt from the broker's positions, with a sync."
"""On the figures of a trade that has none."""


def _price(trade: Trade, price: Price | None) -> str:
    """Two decimals, or the four that currencies are quoted in."""
    if price is None:
        return ""
    return fmt.price(price, trade.price_scale, max(1, trade.price_scale // 10_000))


def _figure(trade: Trade, said: str) -> str:
    return fmt.NOTHING if trade.multiplier is None else said


def _figure_tip(trade: Trade) -> str:
    return _UNSIZED if trade.multiplier is None else ""


def _quantity_tip(trade: Trade) -> str:
    if trade.multiplier is None:
        return _UNSIZED
    return lots_words(trade.quantity, trade.multiplier)


COLUMNS: tuple[Column[Trade], ...] = (
    Column("day", "Date", lambda t: fmt.day_of(t.opened_at), whole=True, width=92, tone=lambda _t: Tone.DIM, spare=1),
    Column(
        "symbol",
        "Instrument",
        lambda t: split_instrument_id(t.instrument)[1],
        tip=lambda t: f"{t.instrument} · {t.segment} · {t.account}",
        whole=True,
        width=112,
    ),
    Column(
        "side",
        "Side",
        lambda t: "Long" if t.side is Side.BUY else "Short",
        width=54,
        tone=lambda t: Tone.BUY if t.side is Side.BUY else Tone.SELL,
    ),
    Column(
        "quantity",
        "Qty",
        lambda t: t.quantity,
        fmt.group,
        number=True,
        width=56,
        tip=_quantity_tip,
        tone=lambda t: Tone.WARN if t.multiplier is None else Tone.PLAIN,
        help="As the broker counts: lots of commodities and currencies, units of everything else",
    ),
    Column(
        "entry",
        "Entry",
        lambda t: t.entry_price,
        shown=lambda t: _price(t, t.entry_price),
        number=True,
        width=80,
    ),
    Column(
        "exit",
        "Exit",
        lambda t: t.exit_price,
        shown=lambda t: _price(t, t.exit_price),
        number=True,
        width=80,
    ),
    Column(
        "gross",
        "Gross",
        lambda t: t.gross,
        shown=lambda t: _figure(t, fmt.pnl(t.gross)),
        number=True,
        width=92,
        tip=_figure_tip,
        tone=lambda t: tone_of(t.gross),
        spare=2,
    ),
    Column(
        "charges",
        "Charges",
        lambda t: t.charges.total,
        shown=lambda t: _figure(t, fmt.rupees(t.charges.total)),
        number=True,
        width=76,
        tip=_charges_tip,
        tone=lambda _t: Tone.DIM,
        help="All costs of both legs; the heads are on the tooltip",
    ),
    Column(
        "net",
        "Net",
        lambda t: t.net,
        shown=lambda t: _figure(t, fmt.pnl(t.net)),
        number=True,
        width=96,
        tip=_figure_tip,
        tone=lambda t: tone_of(t.net),
        help="Gross less charges",
    ),
    Column("entered", "In", lambda t: t.opened_at, fmt.time, number=True, width=72, tone=lambda _t: Tone.DIM, spare=4),
    Column(
        "left",
        "Out",
        lambda t: t.closed_at or 0,
        shown=lambda t: "open" if t.closed_at is None else fmt.time(t.closed_at),
        number=True,
        width=72,
        tone=lambda t: Tone.WARN if t.closed_at is None else Tone.DIM,
        spare=3,
    ),
    Column("product", "Product", lambda t: t.product, width=64, tone=lambda _t: Tone.DIM, spare=6),
)


def _columns(facts: Facts) -> tuple[Column[Trade], ...]:
    """With whose trade it is, for where several accounts trade the same."""
    whose: Column[Trade] = Column(
        "account", "Account", lambda t: facts.account_name(t.account), width=112, tone=lambda _t: Tone.DIM, spare=5
    )
    return (*COLUMNS, whose)


class TradeBookPanel(QWidget):
    """Filter, virtual rows, totals over the whole selection."""

    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._asked: asyncio.Future[object] | None = None
        self._stale = True
        self._model = TradePages(_columns(facts), self)
        self._model.wanted.connect(lambda offset: bridge.start(self._page(offset), "trade page"))
        self.table = TableView(
            self._model,
            name="trades.table",
            title="Trade book",
            empty="No trade in this selection",
            hint="Press Sync to bring today's trades home from your broker.",
        )
        self.table.activated_key.connect(self._on_activated)
        self.filter = QLineEdit()
        self.filter.setObjectName("trades.filter")
        self.filter.setAccessibleName("Filter trades by symbol")
        self.filter.setPlaceholderText("Filter by symbol")
        self.filter.setClearButtonEnabled(True)
        self.filter.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.filter.setMaximumWidth(240)
        self.filter.setMinimumWidth(112)
        self.range = QComboBox()
        self.range.setObjectName("trades.range")
        self.range.setAccessibleName("Date range")
        for name, days in _RANGES:
            self.range.addItem(name, days)
        self.range.setCurrentIndex(len(_RANGES) - 1)
        self._count = label("", "muted", name="trades.count")
        self._gross = label("", name="trades.gross")
        self._charges = label("", name="trades.charges")
        self._net = label("", name="trades.net")
        self.message = Message(name="trades.message")
        bar = QWidget()
        bar_layout = QHBoxLayout(bar)
        bar_layout.setContentsMargins(8, 6, 12, 6)
        bar_layout.addWidget(self.filter, 1)
        bar_layout.addWidget(self.range)
        bar_layout.addStretch(1)
        bar_layout.addWidget(self._count)
        self._titles = [label(title, "muted") for title in ("Gross", "Charges", "Net")]
        for title, value in zip(self._titles, (self._gross, self._charges, self._net), strict=True):
            bar_layout.addSpacing(8)
            bar_layout.addWidget(title)
            bar_layout.addWidget(value)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(bar)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(150)
        self._pause.timeout.connect(self.reload)
        self.filter.textChanged.connect(lambda _text: self._pause.start())
        self.range.currentIndexChanged.connect(lambda _row: self.reload())
        bridge.subscribe(BookChanged, self._on_book)
        facts.accounts_changed.connect(self._on_accounts)
        self._on_accounts()

    def _on_accounts(self) -> None:
        """Whose a trade is, is worth a column where it can be more than one's."""
        number = next(n for n, column in enumerate(self._model.columns) if column.key == "account")
        self.table.room.set_wanted(number, wanted=len(self._facts.accounts) > 1)

    def reload(self) -> None:
        """Reads the selection's first page and totals."""
        if not self.isVisible():
            self._stale = True
            return
        self._stale = False
        if self._asked is not None:
            self._asked.cancel()
        self._asked = self._bridge.start(self._first(), "trade book")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Qt. A narrow book keeps charges and net; gross is their sum."""
        super().resizeEvent(event)
        for shown in (self._titles[0], self._gross):
            shown.setVisible(self.width() >= _WIDE)

    def showEvent(self, event: QShowEvent) -> None:
        """Qt. A hidden book is not read; it is when it is looked at."""
        super().showEvent(event)
        if self._stale:
            self.reload()

    async def _first(self) -> None:
        try:
            page = await self._bridge.call(
                self._bridge.desk.portfolio.trades(text=self._text, since=self._since, offset=0, limit=PAGE)
            )
        except AppError as failure:
            self.message.say(f"The trade book could not be read: {failure}", "strip-danger")
            return
        self.message.clear()
        self._model.reset(page.total, page.trades)
        without = f" ({fmt.group(page.unsized)} without figures)" if page.unsized else ""
        self._count.setText(f"{fmt.group(page.total)} {'trade' if page.total == 1 else 'trades'}{without}")
        self._count.setToolTip(_UNSIZED if page.unsized else "")
        self._gross.setText(fmt.pnl(page.gross))
        self._charges.setText(fmt.rupees(page.charges))
        self._net.setText(fmt.pnl(page.net))
        theme.set_role(self._net, "up" if page.net > 0 else "down" if page.net < 0 else "muted")

    async def _page(self, offset: int) -> None:
        try:
            page = await self._bridge.call(
                self._bridge.desk.portfolio.trades(text=self._text, since=self._since, offset=offset, limit=PAGE)
            )
        except AppError as failure:
            self._model.failed(offset)
            self.message.say(f"A page of the trade book could not be read: {failure}", "strip-danger")
        else:
            self._model.fill(offset, page.trades)

    @property
    def _text(self) -> str:
        return self.filter.text().strip()

    @property
    def _since(self) -> Nanos | None:
        days = self.range.currentData()
        if days is None:
            return None
        beat = self._facts.last_beat
        now = fmt.moment(beat.at if beat is not None else time.time_ns())
        first = datetime(now.year, now.month, now.day, tzinfo=now.tzinfo) - timedelta(days=days)
        return int(first.timestamp()) * 1_000_000_000

    def _on_book(self, _event: BookChanged) -> None:
        self._pause.start()

    def _on_activated(self, key: object) -> None:
        trade = self._model.trade_at(key) if isinstance(key, int) else None
        if trade is not None:
            self.chart_asked.emit(trade.instrument)
