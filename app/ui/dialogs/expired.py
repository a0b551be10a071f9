"""Contracts that are listed no more, and the days that they were traded."""

from __future__ import annotations

from datetime import date

from PySide6.QtWidgets import QWidget

from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.market import Candle
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button, choice
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView
from app.ui.views.words import price_of
from app.ui.widgets.instrument_search import InstrumentSearch

CONTRACTS: tuple[Column[Instrument], ...] = (
    Column("symbol", "Contract", lambda r: r.symbol, whole=True, width=220),
    Column("kind", "Kind", lambda r: str(r.kind), whole=True, width=70, tone=lambda _r: Tone.DIM),
    Column("strike", "Strike", lambda r: r.strike, lambda v: f"{v.normalize():,f}", number=True, width=90),
    Column("lot", "Lot", lambda r: r.lot_size, fmt.group, number=True, width=60, tone=lambda _r: Tone.DIM),
)


def _days(instrument: Instrument | None) -> tuple[Column[Candle], ...]:
    def price(value: int) -> str:
        return price_of(instrument, value)

    return (
        Column("day", "Day", lambda r: r.start, fmt.day_of, whole=True, width=110, tone=lambda _r: Tone.DIM),
        Column("open", "Open", lambda r: r.open, price, number=True, width=90),
        Column("high", "High", lambda r: r.high, price, number=True, width=90),
        Column("low", "Low", lambda r: r.low, price, number=True, width=90),
        Column("close", "Close", lambda r: r.close, price, number=True, width=90),
        Column("volume", "Volume", lambda r: r.volume, fmt.volume, number=True, width=90, tone=lambda _r: Tone.DIM),
    )


class ExpiredPage(ServicePage):
    """Underlying, past expiry, its contracts, and the last sixty days of one."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget, underlying: InstrumentId | None = None) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="expired",
            title="Expired contracts",
            can=lambda able: able.expired_contracts,
            lacks="No account that is logged in tells of expired contracts. Upstox does, for Plus clients.",
        )
        self._underlying = underlying
        self._contracts: dict[str, Instrument] = {}
        self.search = InstrumentSearch(bridge, "expired.underlying", "Underlying: index or share", keeps_text=True)
        self.search.setMinimumWidth(230)
        self.search.picked.connect(self.pick)
        self.expiry = choice("expired.expiry", "Past expiry", [])
        self.expiry.activated.connect(lambda _index: self.look())
        self._model: TableModel[Instrument] = TableModel(CONTRACTS, self)
        self.table = TableView(
            self._model, name="expired.table", title="Expired contracts", empty="No expired contract is shown",
            hint="Pick an index or a share above.",
        )  # fmt: skip
        self.table.sortable()
        self.table.chosen.connect(self._show_days)
        self._candles: TableModel[Candle] = TableModel(_days(None), self)
        self.days = TableView(
            self._candles, name="expired.days", title="Days", empty="Select a contract to see its last days"
        )
        self.bar.addWidget(self.search)
        self.bar.addWidget(self.expiry)
        self.bar.addWidget(button("&Read again", "expired.read", self.look))
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self.page.addWidget(self.table, 3)
        self.page.addWidget(self.days, 2)
        self.resize(860, 620)
        self.fill_accounts()

    def account_changed(self) -> None:
        """Another account may have another plan."""
        if self._underlying is not None:
            self._ask(self._underlying)

    def pick(self, instrument: Instrument) -> None:
        """Another underlying."""
        self._underlying = instrument.id
        self._ask(instrument.id)

    def _ask(self, underlying: InstrumentId) -> None:
        account = self.account
        if account is None:
            return

        async def read() -> str:
            self._model.replace(())
            self._candles.replace(())
            self.expiry.clear()
            self.search.setText(underlying.partition(":")[2])
            found = await self.bridge.call(self.bridge.desk.services.past_expiries(account, underlying))
            for day in found:
                self.expiry.addItem(fmt.day(day), day)
            if not found:
                self.table.set_empty("The broker remembers no expiry of it", "Pick another underlying.")
                return ""
            return await self._look(account, underlying, found[0])

        self.begin(read, "Reading past expiries…")

    def look(self) -> None:
        """The contracts of the chosen expiry."""
        account, underlying, day = self.account, self._underlying, self.expiry.currentData()
        if account is not None and underlying is not None and isinstance(day, date):
            self.begin(lambda: self._look(account, underlying, day), "Reading contracts…")

    async def _look(self, account: AccountId, underlying: InstrumentId, day: date) -> str:
        found = await self.bridge.call(self.bridge.desk.services.expired(account, underlying, day))
        self._contracts = {one.id: one for one in found}
        self._candles.replace(())
        self._model.replace(self._contracts.items())
        return ""

    def _show_days(self, key: Key) -> None:
        account, contract = self.account, self._contracts.get(str(key))
        if account is not None and contract is not None:
            self.bridge.start(self._read_days(account, contract), "days of an expired contract")

    async def _read_days(self, account: AccountId, contract: Instrument) -> None:
        self.days.set_empty("Reading…")
        self._candles.replace(())
        found = await self.bridge.call(self.bridge.desk.services.expired_days(account, contract))
        if self.table.current == contract.id:
            self.days.set_empty(f"The broker keeps no days of {contract.symbol}")
            self._candles.replace((candle.start, candle) for candle in reversed(found))
