"""The watchlist: search, last price, change, a flash when it moves. B and S open the ticket, Return the chart."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QTimer, Signal
from PySide6.QtGui import QAction, QPainter
from PySide6.QtWidgets import QHeaderView, QVBoxLayout, QWidget

from app.desk.messages import WatchlistView
from app.domain.ids import InstrumentId, split_instrument_id
from app.domain.instrument import Instrument
from app.domain.market import Tick
from app.domain.order import Side
from app.domain.quotes import PolledPrice
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.charts.candles import blend
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone, tone_of
from app.ui.theme import DARK
from app.ui.views.cells import CellDelegate
from app.ui.views.price_age import AgeWatch, age_tip, age_tone
from app.ui.views.source import source_tip
from app.ui.views.table_view import TableView, action
from app.ui.widgets.instrument_search import InstrumentSearch, describe

FLASH_S = 0.2
"""How long a changed price stays lit."""

_FLASHES = {True: blend(DARK.up, DARK.panel, 0.28), False: blend(DARK.down, DARK.panel, 0.28)}

_CONSUMER = "watchlist"

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class WatchRow:
    """One watched instrument."""

    id: InstrumentId
    instrument: Instrument | None
    tick: Tick | None
    polled: PolledPrice | None = None
    """Where the price comes from when no feed brings it."""
    age_s: int = 0
    """Of such a price: since it was traded, else since it was asked for."""
    age: int = 0
    """Seconds since the feed last brought one, where its market trades; 0 for a price that was asked for."""

    @property
    def source_words(self) -> str:
        """`Finnhub 12 s`; empty for a price of the feed."""
        return "" if self.polled is None else f"{self.polled.source} {fmt.age(self.age_s * 1000)}"

    @property
    def change_percent(self) -> Decimal | None:
        """Against the previous close."""
        if self.tick is None or self.tick.change is None or not self.tick.close:
            return None
        return Decimal(self.tick.change) * 100 / self.tick.close


def _price(row: WatchRow, value: int | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    known = row.instrument
    return (
        fmt.price(value, known.price_scale, known.tick_size, signed=signed)
        if known
        else fmt.price(value, signed=signed)
    )


def _last(row: WatchRow) -> int | None:
    return None if row.tick is None else row.tick.last_price


def _change(row: WatchRow) -> int | None:
    return None if row.tick is None else row.tick.change


def _named(row: WatchRow) -> str:
    """`INFY`; with a price that was asked for `INFY · Finnhub 12 s`."""
    symbol = split_instrument_id(row.id)[1]
    return f"{symbol} · {row.source_words}" if row.polled is not None else symbol


def _last_tone(row: WatchRow) -> Tone:
    return Tone.WARN if row.polled is not None else tone_of(_change(row))


def _last_tip(row: WatchRow) -> str:
    return source_tip(row.polled)


COLUMNS: tuple[Column[WatchRow], ...] = (
    Column(
        "symbol",
        "Instrument",
        lambda r: (split_instrument_id(r.id)[1], r.source_words),
        shown=_named,
        tip=lambda r: (describe(r.instrument) if r.instrument else r.id) + age_tip(r.age),
        tone=lambda r: age_tone(r.age),
        width=132,
    ),
    Column(
        "last",
        "Last",
        _last,
        shown=lambda r: _price(r, _last(r)),
        number=True,
        width=94,
        tone=_last_tone,
        tip=_last_tip,
    ),
    Column(
        "change",
        "Chg",
        _change,
        shown=lambda r: _price(r, _change(r), signed=True),
        number=True,
        width=68,
        tone=lambda r: tone_of(_change(r)),
        help="Change against the previous close, in rupees",
        spare=1,
    ),
    Column(
        "percent",
        "Chg %",
        lambda r: r.change_percent,
        lambda v: fmt.percent(v, signed=True),
        number=True,
        width=64,
        tone=lambda r: tone_of(r.change_percent),
        help="Change against the previous close, in percent",
    ),
)


class FlashDelegate(CellDelegate):
    """Lights up a price for a moment when it changed, in the colour of its direction."""

    def __init__(self, table: TableView, model: TableModel[WatchRow]) -> None:
        super().__init__(table, model, table.room)
        self._keys = model
        self.lit: dict[Key, tuple[float, Tone]] = {}

    def paint_behind(self, painter: QPainter, rect: QRect, index: Index) -> None:
        """Only behind the last price."""
        if not self.lit or index.column() != 1:
            return
        lit = self.lit.get(self._keys.key_at(index))
        if lit is not None and lit[0] > time.monotonic():
            painter.fillRect(rect, _FLASHES[lit[1] is Tone.UP])


class WatchlistPanel(QWidget):
    """The trader's list of instruments, in the trader's order."""

    ticket_asked = Signal(object, object)
    """(Instrument, Side)"""
    chart_asked = Signal(object)
    """InstrumentId"""
    chart_offered = Signal(object)
    """InstrumentId: the list just came, and nobody picked anything yet."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._name = "Watchlist"
        self._listed: tuple[InstrumentId, ...] = ()
        self._known = False
        self._offering = False
        self._last_shown: dict[Key, int] = {}
        self.search = InstrumentSearch(bridge, "watchlist.search", "Search to add")
        self.search.picked.connect(self.add)
        self._model: TableModel[WatchRow] = TableModel(COLUMNS, self, self._row)
        self._model.flushed.connect(self._on_flushed)
        self.table = TableView(
            self._model,
            name="watchlist.table",
            title="Watchlist",
            empty="Nothing is watched yet",
            hint="Type a symbol above, e.g. infy or nifty 26000 ce, and press Enter.",
        )
        columns = self.table.horizontalHeader()
        columns.setStretchLastSection(False)
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._delegate = FlashDelegate(self.table, self._model)
        self.table.setItemDelegate(self._delegate)
        self.table.set_menu(self._menu)
        self.table.chosen.connect(self._on_chosen)
        self.table.activated_key.connect(self.chart_asked)
        self.table.key("B", lambda: self._ask_ticket(Side.BUY))
        self.table.key("S", lambda: self._ask_ticket(Side.SELL))
        self.table.key("Del", self.remove_selected)
        self._ages = AgeWatch(self, self._price_ages, self._recolour)
        self._dim = QTimer(self)
        self._dim.setSingleShot(True)
        self._dim.setInterval(int(FLASH_S * 1000) + 10)
        self._dim.timeout.connect(self._on_dim)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        bar = QWidget()
        bar_layout = QVBoxLayout(bar)
        bar_layout.setContentsMargins(8, 8, 8, 8)
        bar_layout.addWidget(self.search)
        layout.addWidget(bar)
        layout.addWidget(self.table, 1)
        facts.accounts_changed.connect(self._first_list)
        facts.positions_changed.connect(self._first_list)
        facts.ticks_changed.connect(self._on_ticks)
        facts.instruments_known.connect(self._on_known)
        facts.beat.connect(lambda _beat: self._on_beat())

    async def load(self, preferred: InstrumentId | None = None) -> None:
        """The stored list, with the preferred instrument selected where it is listed; without one, the first."""
        lists = await self._bridge.call(self._bridge.desk.market.watchlists())
        if lists:
            self._known = True
            self._name = lists[0].name
            await self._show(lists[0].instruments)
            if self._listed and not self.table.currentIndex().isValid():
                self._offering = True
                self.table.select(self._listed[0] if preferred is None else preferred)
                self._offering = False

    @property
    def listed(self) -> tuple[InstrumentId, ...]:
        """What is watched, in order."""
        return self._listed

    def add(self, instrument: Instrument) -> None:
        """Puts an instrument at the end of the list and selects it."""
        self._facts.learn(instrument)
        if instrument.id not in self._listed:
            self._bridge.start(self._save((*self._listed, instrument.id), then=instrument.id), "add to watchlist")
        else:
            self.table.select(instrument.id)

    def remove_selected(self) -> None:
        """Takes the selected instruments off the list."""
        gone = set(self.table.selected)
        if gone:
            kept = tuple(i for i in self._listed if i not in gone)
            self._bridge.start(self._save(kept), "remove from watchlist")

    async def _save(self, instruments: Sequence[InstrumentId], then: InstrumentId | None = None) -> None:
        await self._bridge.call(self._bridge.desk.market.save_watchlist(WatchlistView(self._name, tuple(instruments))))
        await self._show(instruments)
        if then is not None:
            self.table.select(then)

    async def _show(self, instruments: Sequence[InstrumentId]) -> None:
        self._listed = tuple(instruments)
        self._model.replace((i, self._row(i)) for i in self._listed)
        await self._bridge.call(self._bridge.desk.market.subscribe(_CONSUMER, self._listed))
        await self._facts.need(self._listed)
        for tick in await self._bridge.call(self._bridge.desk.market.last_ticks(self._listed)):
            self._facts.ticks.setdefault(tick.instrument, tick)
        self._on_ticks(list(self._listed))

    def _row(self, instrument: InstrumentId) -> WatchRow:
        tick, polled = self._facts.ticks.get(instrument), self._facts.polled.get(instrument)
        age = silent = 0
        if polled is not None:
            at = polled.tick.exchange_time or polled.tick.received_at
            age = max(0, time.time_ns() - at) // 1_000_000_000
        else:
            silent = self._facts.price_age(None, instrument)
        return WatchRow(instrument, self._facts.instruments.get(instrument), tick, polled, age, silent)

    def _price_ages(self) -> Iterator[tuple[Key, int]]:
        return ((one, self._facts.price_age(None, one)) for one in self._listed)

    def _recolour(self, key: Key) -> None:
        self._model.put(key, self._row(InstrumentId(str(key))))
        self._model.touch(key)

    def put_away(self) -> None:
        """No timer runs on behind a closed window."""
        self._ages.end()

    def _on_ticks(self, instruments: list[InstrumentId]) -> None:
        self._model.stale(instruments)

    def _on_beat(self) -> None:
        """A price that was asked for grows older in sight."""
        if self._facts.polled:
            self._model.stale([name for name in self._listed if name in self._facts.polled])

    def _first_list(self) -> None:
        """A first login brings the instruments, and with them a list to begin with."""
        if not self._known and self._facts.logged_in():
            self._bridge.start(self.load(), "first watchlist")

    def _on_known(self, instruments: list[InstrumentId]) -> None:
        self._on_ticks(instruments)
        self._model.touch_all()

    def _on_flushed(self, keys: list[Key]) -> None:
        until = time.monotonic() + FLASH_S
        for key in keys:
            row = self._model.row(key)
            if row is None or row.tick is None:
                continue
            before, now = self._last_shown.get(key), row.tick.last_price
            self._last_shown[key] = now
            if before is not None and before != now:
                self._delegate.lit[key] = (until, Tone.UP if now > before else Tone.DOWN)
        if self._delegate.lit and not self._dim.isActive():
            self._dim.start()

    def _on_dim(self) -> None:
        now = time.monotonic()
        for key in [k for k, (until, _) in self._delegate.lit.items() if until <= now]:
            del self._delegate.lit[key]
            self._model.touch(key)
        if self._delegate.lit:
            self._dim.start()

    def _on_chosen(self, key: InstrumentId) -> None:
        (self.chart_offered if self._offering else self.chart_asked).emit(key)

    def _ask_ticket(self, side: Side) -> None:
        key = self.table.current
        instrument = self._facts.instruments.get(key) if key is not None else None  # type: ignore[call-overload]  # keys here are InstrumentIds
        if instrument is not None and instrument.tradable:
            self.ticket_asked.emit(instrument, side)

    def _menu(self, key: Key) -> Sequence[QAction]:
        instrument = self._facts.instruments.get(key)  # type: ignore[call-overload]  # keys here are InstrumentIds
        tradable = instrument is not None and instrument.tradable
        return (
            action(self, "Buy…\tB", lambda: self._ask_ticket(Side.BUY), enabled=tradable),
            action(self, "Sell…\tS", lambda: self._ask_ticket(Side.SELL), enabled=tradable),
            action(self, "Chart\tEnter", lambda: self.chart_asked.emit(key), "chart"),
            action(self, "Remove from list\tDel", self.remove_selected, "trash"),
        )
