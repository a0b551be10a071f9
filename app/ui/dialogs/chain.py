"""Option chain: calls on the left, puts on the right, the strikes between them, with the broker's Greeks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QCheckBox, QWidget

from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.options import ChainOption, ChainStrike, OptionChain
from app.domain.order import Side
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button, choice
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView, action
from app.ui.views.words import price_of
from app.ui.widgets.instrument_search import InstrumentSearch
from app.ui.widgets.text import label

AGAIN_MS = 5_000
"""Between two readings while it keeps up: 360 requests in half an hour, of the 2,000 that Upstox allows."""
HUNDRED = 100

Of = Callable[[ChainStrike], ChainOption | None]


def _cell(of: Of, value: Callable[[ChainOption], object]) -> Callable[[ChainStrike], object]:
    def read(row: ChainStrike) -> object:
        found = of(row)
        return None if found is None else value(found)

    return read


def _call(row: ChainStrike) -> ChainOption | None:
    return row.call


def _put(row: ChainStrike) -> ChainOption | None:
    return row.put


def _side_columns(of: Of, name: str) -> list[Column[ChainStrike]]:
    """Of one side, from the outside in."""

    def change(one: ChainOption) -> int:
        return one.open_interest - one.previous_open_interest

    def percent(value: object) -> str:
        return fmt.decimal(Decimal(str(value)) * HUNDRED, 1)

    def price(value: object) -> str:
        return price_of(None, int(str(value)))

    def whole(value: object) -> str:
        return fmt.group(int(str(value)))

    def slope(value: object) -> str:
        return fmt.decimal(Decimal(str(value)), 2)

    def signed(value: object) -> str:
        return f"{int(str(value)):+,}"

    return [
        Column(f"{name}.oi", "OI", _cell(of, lambda o: o.open_interest), whole, number=True, width=80, spare=3,
               help="Open interest"),
        Column(f"{name}.change", "OI chg", _cell(of, change), signed, number=True, width=70, spare=5,
               tone=lambda _r: Tone.DIM),
        Column(f"{name}.volume", "Vol", _cell(of, lambda o: o.volume), whole, number=True, width=70, spare=4,
               tone=lambda _r: Tone.DIM),
        Column(f"{name}.theta", "Theta", _cell(of, lambda o: o.greeks.theta), slope, number=True, width=60, spare=6,
               help="Rupees that a day costs"),
        Column(f"{name}.iv", "IV %", _cell(of, lambda o: o.greeks.volatility), percent, number=True, width=54, spare=2),
        Column(f"{name}.delta", "Delta", _cell(of, lambda o: o.greeks.delta), slope, number=True, width=54, spare=1),
        Column(f"{name}.bid", "Bid", _cell(of, lambda o: o.bid), price, number=True, width=72),
        Column(f"{name}.ask", "Ask", _cell(of, lambda o: o.ask), price, number=True, width=72),
        Column(f"{name}.last", "Last", _cell(of, lambda o: o.last_price), price, number=True, width=76),
    ]  # fmt: skip


def _strike(value: Decimal) -> str:
    return f"{value.normalize():,f}"


COLUMNS: tuple[Column[ChainStrike], ...] = (
    *_side_columns(_call, "call"),
    Column("strike", "Strike", lambda r: r.strike, _strike, number=True, width=84, tone=lambda _r: Tone.WARN),
    *reversed(_side_columns(_put, "put")),
)
_MIDDLE = next(place for place, column in enumerate(COLUMNS) if column.key == "strike")


class ChainPage(ServicePage):
    """One expiry of one underlying. B and S open the ticket for the side that the cursor is on."""

    ticket_asked = Signal(object, object, object)
    """Instrument, side, limit price."""
    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget, underlying: InstrumentId | None = None) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="chain",
            title="Option chain",
            can=lambda able: able.option_chain,
            lacks="No account that is logged in tells option chains. Upstox does: log in to one there.",
        )
        self._underlying = underlying
        self._rows: dict[Decimal, ChainStrike] = {}
        self.search = InstrumentSearch(bridge, "chain.underlying", "Underlying: index or share", keeps_text=True)
        self.search.setMinimumWidth(230)
        self.search.picked.connect(self.pick)
        self.expiry = choice("chain.expiry", "Expiry", [])
        self.expiry.activated.connect(lambda _index: self.look())
        self.keeps_up = QCheckBox("every 5 s")
        self.keeps_up.setObjectName("chain.again")
        self.keeps_up.setToolTip("Reads the chain again every five seconds while this page is in sight")
        self._model: TableModel[ChainStrike] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model, name="chain.table", title="Option chain", empty="No chain is shown",
            hint="Pick an index or a share above. Calls are left of the strike, puts right of it.",
        )  # fmt: skip
        self.table.key("B", lambda: self.trade(Side.BUY))
        self.table.key("S", lambda: self.trade(Side.SELL))
        self.table.activated_key.connect(lambda _key: self._show_chart())
        self.table.set_menu(self._menu)
        self._sum = label("", "muted", name="chain.summary")
        for widget in (self.search, self.expiry):
            self.bar.addWidget(widget)
        self.bar.addWidget(button("&Read again", "chain.read", self.look))
        self.bar.addWidget(self.keeps_up)
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self.page.addWidget(self.table, 1)
        self.page.addWidget(self._sum)
        self._again = QTimer(self)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(self._look_if_seen)
        self.keeps_up.toggled.connect(lambda on: self._again.start() if on else self._again.stop())
        self.resize(1180, 640)
        self.fill_accounts()

    def account_changed(self) -> None:
        """Another broker may list other strikes."""
        if self._underlying is not None:
            self._ask_expiries(self._underlying)

    def pick(self, instrument: Instrument) -> None:
        """Another underlying."""
        self._underlying = instrument.id
        self._ask_expiries(instrument.id)

    def _ask_expiries(self, underlying: InstrumentId) -> None:
        account = self.account
        if account is None:
            return

        async def read() -> str:
            self._show(None)
            self.search.setText(underlying.partition(":")[2])
            found = await self.bridge.call(self.bridge.desk.services.expiries(account, underlying))
            self.expiry.clear()
            for day in found:
                self.expiry.addItem(fmt.day(day), day)
            if not found:
                self.table.set_empty("No option is listed on it", "Pick an index, or a share that has options.")
                return ""
            return await self._look(account, underlying, found[0])

        self.begin(read, "Reading expiries…")

    def look(self) -> None:
        """Asks the broker now."""
        account, underlying, day = self.account, self._underlying, self.expiry.currentData()
        if account is not None and underlying is not None and isinstance(day, date):
            self.begin(lambda: self._look(account, underlying, day), "Reading the chain…")

    def _look_if_seen(self) -> None:
        if self.isVisible() and not self.isMinimized() and not self.busy:
            self.look()

    async def _look(self, account: AccountId, underlying: InstrumentId, day: date) -> str:
        self._show(await self.bridge.call(self.bridge.desk.services.option_chain(account, underlying, day)))
        return ""

    def _show(self, chain: OptionChain | None) -> None:
        fresh = not self._rows
        strikes = () if chain is None else chain.strikes
        self._rows = {row.strike: row for row in strikes}
        self._model.replace(self._rows.items())
        if chain is None or not strikes:
            self._sum.clear()
            return
        spot = Decimal(chain.spot) / HUNDRED
        nearest = min(self._rows, key=lambda strike: abs(strike - spot))
        calls = sum(row.call.open_interest for row in strikes if row.call is not None)
        puts = sum(row.put.open_interest for row in strikes if row.put is not None)
        ratio = fmt.decimal(Decimal(puts) / calls, 2) if calls else "none"
        self._sum.setText(
            f"Spot {price_of(None, chain.spot)} · at the money {_strike(nearest)} · open interest: calls "
            f"{fmt.group(calls)}, puts {fmt.group(puts)} · put-call ratio {ratio}"
        )
        if fresh:
            at = self._model.place_of(nearest)
            if at is not None:
                self.table.setCurrentIndex(self._model.index(at, _MIDDLE - 1))
                self.table.scrollTo(self._model.index(at, _MIDDLE), self.table.ScrollHint.PositionAtCenter)

    # -- what to do with one -----------------------------------------------------------------------------------------

    def _chosen(self) -> ChainOption | None:
        """The side that the cursor is on; on the strike itself it is the call."""
        index = self.table.currentIndex()
        row = self._rows.get(Decimal(str(self.table.current))) if self.table.current is not None else None
        if row is None:
            return None
        return row.put if index.column() > _MIDDLE else row.call

    def trade(self, side: Side) -> None:
        """The ticket, at the price that it would be done at now."""
        option = self._chosen()
        if option is not None:
            price = (option.ask if side is Side.BUY else option.bid) or option.last_price
            self.bridge.start(self._open(option.instrument, side, price or None), "ticket of an option")

    async def _open(self, name: InstrumentId, side: Side, price: int | None) -> None:
        instrument = await self.bridge.call(self.bridge.desk.market.instrument(name))
        self.ticket_asked.emit(instrument, side, price)

    def _show_chart(self) -> None:
        option = self._chosen()
        if option is not None:
            self.chart_asked.emit(option.instrument)

    def _menu(self, _key: Key) -> Sequence[QAction]:
        option = self._chosen()
        there = option is not None
        return (
            action(self, "Buy…\tB", lambda: self.trade(Side.BUY), enabled=there),
            action(self, "Sell…\tS", lambda: self.trade(Side.SELL), enabled=there),
            action(self, "Chart\tEnter", self._show_chart, "chart", enabled=there),
        )

    def done(self, result: int) -> None:
        """Qt."""
        self._again.stop()
        super().done(result)
