"""Settled shares in demat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.domain.coverage import Coverage
from app.domain.errors import AppError
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.portfolio import Holding, PositionKey
from app.domain.quotes import PolledPrice
from app.domain.stop import Stop
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.guardable import guardable
from app.ui.models.table import Column, Key, TableModel, Tone, account_column, tone_of
from app.ui.views.source import source_tip
from app.ui.views.stop_strip import StopStrip
from app.ui.views.table_view import TableView, action
from app.ui.views.words import logged_out, price_of, standing_price, symbol_of
from app.ui.widgets.coverage_meter import coverage_tip, coverage_words
from app.ui.widgets.text import Message


@dataclass(frozen=True, slots=True)
class HoldingRow:
    """One holding at its last price."""

    holding: Holding
    instrument: Instrument | None
    last: int
    stop: Stop | None = None
    """Of all its shares, or the oldest."""
    polled: PolledPrice | None = None
    """Who tells the price when no feed brings it."""
    coverage: Coverage | None = None
    """What protects those that a stop guards; None: no stop does."""
    account: str = ""
    """What a trader calls the account."""

    @property
    def key(self) -> PositionKey:
        """What a stop guards."""
        return PositionKey(self.holding.account, self.holding.instrument, self.holding.product)

    @property
    def value(self) -> Decimal:
        """In rupees, shares on the way included."""
        return Decimal((self.holding.quantity + self.holding.t1_quantity) * self.last) / self._scale

    @property
    def pnl(self) -> Decimal:
        """Against the average price, in rupees."""
        return self.value - (self.holding.quantity + self.holding.t1_quantity) * self.holding.average_price

    @property
    def _scale(self) -> int:
        return self.instrument.price_scale if self.instrument else 100


COLUMNS: tuple[Column[HoldingRow], ...] = (
    Column(
        "symbol",
        "Instrument",
        lambda r: r.holding.instrument,
        shown=lambda r: symbol_of(r.holding.instrument),
        tip=lambda r: f"{r.holding.instrument} · {r.holding.isin} · {r.account}",
        whole=True,
        width=110,
    ),
    account_column(),
    Column("quantity", "Qty", lambda r: r.holding.quantity, fmt.group, number=True, width=60),
    Column(
        "t1",
        "T1",
        lambda r: r.holding.t1_quantity,
        fmt.group,
        number=True,
        width=44,
        tone=lambda _r: Tone.DIM,
        help="Bought, not yet delivered",
        spare=1,
    ),
    Column(
        "authorised",
        "Authorised",
        lambda r: r.holding.authorised_quantity,
        fmt.group,
        number=True,
        width=84,
        tone=lambda _r: Tone.DIM,
        help="Released at the depository for sale today",
        spare=2,
    ),
    Column(
        "pledged",
        "Pledged",
        lambda r: r.holding.collateral_quantity,
        fmt.group,
        number=True,
        width=72,
        tone=lambda _r: Tone.DIM,
        help="Given as collateral; not there to be sold",
        spare=3,
    ),
    Column("average", "Avg", lambda r: r.holding.average_price, lambda v: fmt.decimal(v, 2), number=True, width=80),
    Column(
        "last",
        "Last",
        lambda r: r.last,
        shown=lambda r: price_of(r.instrument, r.last),
        number=True,
        width=80,
        tip=lambda r: source_tip(r.polled),
        tone=lambda r: Tone.PLAIN if r.polled is None else Tone.WARN,
    ),
    Column(
        "stop",
        "Stop",
        lambda r: None if r.stop is None else standing_price(r.stop),
        shown=lambda r: "" if r.stop is None else price_of(r.instrument, standing_price(r.stop)),
        number=True,
        width=80,
        help="Where the stop of these shares stands; T sets one",
    ),
    Column(
        "coverage",
        "Protection",
        lambda r: None if r.coverage is None else r.coverage.unprotected,
        shown=lambda r: coverage_words(r.coverage),
        tip=lambda r: coverage_tip(r.coverage),
        width=104,
        help="What would sell these shares, and how many of them: those that a stop guards",
        spare=1,
    ),
    Column("value", "Value", lambda r: r.value, fmt.rupees, number=True, width=100),
    Column(
        "pnl",
        "P&L",
        lambda r: r.pnl,
        lambda v: fmt.rupees(v, signed=True),
        number=True,
        width=100,
        tone=lambda r: tone_of(r.pnl),
    ),
)

_EMPTY = "No holdings"
_HINT = "Shares in your demat account appear here after a sync."


class HoldingsPanel(QWidget):
    """What is owned, at last prices."""

    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._held: dict[tuple[AccountId, InstrumentId], Holding] = {}
        self._model: TableModel[HoldingRow] = TableModel(COLUMNS, self, self._row_of)
        self.table = TableView(
            self._model,
            name="holdings.table",
            title="Holdings",
            empty=_EMPTY,
            hint=_HINT,
        )
        self.table.sortable()
        self.table.activated_key.connect(lambda key: self.chart_asked.emit(key[1]))
        self.table.set_menu(self._menu)
        self.table.key("T", self._stop_current)
        self.message = Message(name="holdings.message")
        self.strip = StopStrip(bridge, facts)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.strip)
        facts.accounts_changed.connect(self._refresh)
        self.table.want_with_several(facts, "account")
        facts.stop_changed.connect(self._on_stop)
        facts.holdings_changed.connect(self._refresh)
        facts.coverage_changed.connect(self._refresh)
        facts.instruments_known.connect(self._on_known)
        facts.ticks_changed.connect(self._on_ticks)

    def set_stop(self, account: AccountId, instrument: InstrumentId) -> None:
        """Opens the entry line for the stop of a holding."""
        holding = self._held.get((account, instrument))
        shares = None if holding is None else guardable(self._facts, self._row(holding).key)
        if shares is not None and shares.quantity > 0:
            self.strip.open_for(shares)

    def _stop_current(self) -> None:
        key = self.table.current
        if isinstance(key, tuple):
            self.set_stop(*key)

    def _on_stop(self, stop: Stop) -> None:
        self._model.stale([(stop.key.account, stop.key.instrument)])

    def authorise(self, account: AccountId, instrument: InstrumentId | None) -> None:
        """Opens the depository's page for one holding, or for all of the account."""
        self._bridge.start(self._authorise(account, instrument), "authorise holdings")

    async def _authorise(self, account: AccountId, instrument: InstrumentId | None) -> None:
        self.message.clear()
        try:
            page = await self._bridge.call(self._bridge.desk.trading.authorise(account, instrument))
        except AppError as failure:
            self.message.say(f"The sale could not be authorised: {failure}", "strip-danger")
            return
        QDesktopServices.openUrl(QUrl(page.url))
        self.message.say(
            "Authorise the sale on the page in your browser (TPIN). It holds for today's session.", "strip"
        )

    def _menu(self, key: Key) -> Sequence[QAction]:
        if not isinstance(key, tuple):
            return ()
        account, instrument = key
        return (
            action(self, "Stop…\tT", lambda: self.set_stop(account, instrument)),
            action(self, "Authorise for sale…", lambda: self.authorise(account, instrument)),
            action(self, "Authorise all holdings for sale…", lambda: self.authorise(account, None)),
            action(self, "Chart\tEnter", lambda: self.chart_asked.emit(instrument), "chart"),
        )

    def _refresh(self) -> None:
        self._held = {(h.account, h.instrument): h for some in self._facts.holdings.values() for h in some}
        self._model.replace((key, self._row(holding)) for key, holding in self._held.items())
        names = logged_out(self._facts.accounts.values())
        unknown = "What you hold is not known", f"Log in to {names} to see it."
        self.table.set_empty(*(unknown if names else (_EMPTY, _HINT)))

    def _on_known(self, _instruments: list[str]) -> None:
        self._refresh()
        self._model.touch_all()

    def _on_ticks(self, instruments: list[str]) -> None:
        moved = set(instruments)
        self._model.stale(key for key in self._held if key[1] in moved)

    def _row_of(self, key: tuple[AccountId, InstrumentId]) -> HoldingRow | None:
        holding = self._held.get(key)
        return None if holding is None else self._row(holding)

    def _row(self, holding: Holding) -> HoldingRow:
        last = self._facts.last(holding.instrument)
        key = PositionKey(holding.account, holding.instrument, holding.product)
        return HoldingRow(
            holding,
            self._facts.instruments.get(holding.instrument),
            holding.last_price if last is None else last,
            self._facts.stop_of(key),
            self._facts.polled.get(holding.instrument),
            self._facts.coverage.get(key),
            self._facts.account_name(holding.account),
        )
