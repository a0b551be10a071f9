"""The chart of one instrument: candles live, positions and fills on it, and its stops as lines to drag."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.events import (
    BookChanged,
    CandleChanged,
    CandleClosed,
    Event,
    FeedChanged,
    FeedGap,
    FeedState,
    OrderChanged,
    PositionsChanged,
    SessionChanged,
    SessionState,
    StopChanged,
    StopFired,
    TicksConflated,
)
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval, Tick
from app.domain.money import Price
from app.domain.order import Side
from app.domain.quotes import PricesPolled
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.charts.fill_marks import FillMarks
from app.ui.charts.hands import ChartCanvas
from app.ui.charts.stop_desk import StopDesk
from app.ui.charts.stop_line import StopLine
from app.ui.views.source import SourceLabel
from app.ui.views.words import FEED_WORDS, price_of
from app.ui.widgets.badge import Badge

INTERVALS = {
    Interval.MINUTE: "1m",
    Interval.MINUTES_3: "3m",
    Interval.MINUTES_5: "5m",
    Interval.MINUTES_15: "15m",
    Interval.HOUR: "1h",
    Interval.DAY: "D",
}
_SLICE = 4000
"""Candles taken in between two turns of the event loop: about 5 ms."""


class ChartView(QWidget):
    """A chart that follows the desk's events. `dispose` before the bridge closes."""

    order_requested = Signal(object, object)
    """(Side, price in minor units or None): the trader wants an order ticket of this chart's instrument."""
    instrument_shown = Signal(object)
    """(Instrument)"""

    def __init__(self, bridge: Bridge, parent: QWidget | None = None, consumer: str = "chart") -> None:
        super().__init__(parent)
        self.setObjectName(consumer)
        self._bridge = bridge
        self._consumer = consumer
        self._instrument: Instrument | None = None
        self._interval = Interval.MINUTE
        self._last: Price | None = None
        self._close: Price | None = None
        self._fills = FillMarks()
        self._gaps: dict[InstrumentId, list[tuple[Nanos, Nanos]]] = {}
        """Stretches without prices while an instrument was shown, of this run."""
        self._early: list[Candle] | None = None
        """Live candles that came while history was being read; None when it is not."""
        self._incomplete = False
        """History could not be read whole: it is read again when the account is logged in or its feed comes alive."""
        self._opening: asyncio.Future[object] | None = None
        self._stops = StopDesk(bridge, self._show_stops)
        self.canvas = ChartCanvas(self)
        self.canvas.stop_wished.connect(self._stops.wish)
        self.canvas.disarm_wished.connect(self._on_disarm_wished)
        self.canvas.dragged.connect(self._stops.foresee)
        self.canvas.order_wished.connect(self.order_requested)
        self._build()
        self.setFocusProxy(self.canvas)
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            TicksConflated: self._on_ticks,
            PricesPolled: self._on_polled,
            CandleChanged: self._on_candle_event,
            CandleClosed: self._on_candle_event,
            PositionsChanged: lambda event: self._stops.on_positions(event.account, event.positions),
            StopChanged: lambda event: self._stops.on_stop(event.stop),
            StopFired: lambda event: self._stops.on_stop(event.stop),
            FeedChanged: self._on_feed,
            FeedGap: self._on_gap,
            SessionChanged: self._on_session,
            OrderChanged: self._on_order,
            BookChanged: self._on_book_changed,
        }
        for kind in self._handlers:
            bridge.subscribe(kind, self.on_event)

    def _build(self) -> None:
        self._symbol, self._name = QLabel("No instrument"), QLabel()
        self._price, self._change, self._feed = QLabel(), QLabel(), Badge()
        self._source = SourceLabel("chart.source")
        theme.set_role(self._symbol, "heading")
        theme.set_role(self._price, "heading")
        theme.set_role(self._name, "faint")
        self._feed.hide()
        bar = QFrame()
        theme.set_role(bar, "toolbar")
        row = QHBoxLayout(bar)
        row.setContentsMargins(12, 6, 8, 6)
        row.setSpacing(8)
        bar.setMinimumWidth(300)
        for label in (self._symbol, self._name, self._price, self._source, self._change, self._feed):
            label.setTextFormat(Qt.TextFormat.PlainText)
            row.addWidget(label)
        row.addStretch(1)
        chips = QHBoxLayout()
        chips.setSpacing(2)
        row.addLayout(chips)
        self._intervals = QButtonGroup(self)
        for interval, text in INTERVALS.items():
            chip = QPushButton(text)
            theme.set_role(chip, "chip")
            chip.setCheckable(True)
            chip.setChecked(interval is self._interval)
            chip.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            chip.setAccessibleName(f"Interval {text}")
            self._intervals.addButton(chip, int(interval))
            chips.addWidget(chip)
        self._intervals.idClicked.connect(self._on_interval)
        self._order_buttons: list[QPushButton] = []
        for side, role, tip in ((Side.BUY, "buy", "Buy (B)"), (Side.SELL, "sell", "Sell (S)")):
            button = QPushButton(side.value[0])
            theme.set_role(button, role)
            button.setFixedWidth(32)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setEnabled(False)
            button.clicked.connect(lambda _=False, side=side: self.order_requested.emit(side, None))
            row.addWidget(button)
            self._order_buttons.append(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        column.addWidget(self.canvas, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow chart keeps price, intervals and B and S; names and change give way first."""
        super().resizeEvent(event)
        width = event.size().width()
        self._name.setVisible(width >= 860 and self._source.isHidden())
        self._change.setVisible(width >= 640)
        for interval, least in ((Interval.MINUTES_3, 560), (Interval.HOUR, 560), (Interval.DAY, 480)):
            button = self._intervals.button(int(interval))
            button.setVisible(width >= least or button.isChecked())

    # --- what is shown ---------------------------------------------------------------------------------------------

    @property
    def instrument(self) -> Instrument | None:
        """What the chart shows."""
        return self._instrument

    @property
    def interval(self) -> Interval:
        """Length of its candles."""
        return self._interval

    def open(self, instrument: InstrumentId) -> None:
        """Shows an instrument by id."""
        self._bridge.start(self._open_by_id(instrument), "open chart")

    def show_instrument(self, instrument: Instrument, interval: Interval | None = None) -> None:
        """Shows an instrument; the picture fills as history arrives."""
        self._instrument = instrument
        if interval is not None:
            self._interval = interval
            button = self._intervals.button(int(interval))
            if button is not None:
                button.setChecked(True)
        self._last = self._close = None
        self._incomplete = False
        self._fills.booked(())
        self._early = []
        self._symbol.setText(instrument.symbol)
        self._name.setText(f"{instrument.exchange}  {instrument.name.title()}")
        self._price.clear()
        self._source.tell(None)
        self._change.clear()
        for button in self._order_buttons:
            button.setEnabled(instrument.tradable)
        self.canvas.show_instrument(instrument, self._interval)
        self._show_gaps()
        self.canvas.say("Loading…", loading=True)
        self._stops.show(instrument)
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self._bridge.start(self._read(instrument, self._interval), "read chart")
        self.instrument_shown.emit(instrument)

    async def _open_by_id(self, instrument: InstrumentId) -> None:
        self.show_instrument(await self._bridge.call(self._bridge.desk.market.instrument(instrument)))

    async def _read(self, instrument: Instrument, interval: Interval) -> None:
        """Ticks first, so that a price is there at once; then what is held; then history, in slices.

        What fails is said, and the rest is shown all the same.
        """
        market = self._bridge.desk.market
        failure = ""
        try:
            await self._bridge.call(market.subscribe(self._consumer, (instrument.id,)))
            for tick in await self._bridge.call(market.last_ticks((instrument.id,))):
                self._on_tick(tick)
        except AppError as refused:
            failure = str(refused)
        try:
            await self._stops.read()
        except AppError as refused:
            failure = f"Positions and stops could not be read: {refused}"
        try:
            series = await self._bridge.call(market.open_chart(self._consumer, instrument.id, interval))
            for begin in range(0, len(series.candles), _SLICE):
                self.canvas.load(series.candles[begin : begin + _SLICE])
                await asyncio.sleep(0)
            if not series.complete:
                failure = f"History is incomplete: {series.cause}"
        except AppError as refused:
            failure = str(refused)
        # A read that was cancelled for another instrument never comes here: what it would end is the other's.
        early, self._early = self._early or [], None
        for candle in early:
            self.canvas.put(candle)
        self._incomplete = bool(failure)
        empty = "" if len(self.canvas.series) else failure or "No candles yet: they appear with the first trade"
        self.canvas.say(empty, failure if len(self.canvas.series) else "")
        await self._read_fills(instrument)

    async def _read_fills(self, instrument: Instrument) -> None:
        """Entries and exits of the book, and today's orders that it does not have yet."""
        if not len(self.canvas.series):
            return
        page = await self._bridge.call(
            self._bridge.desk.portfolio.trades(text=instrument.symbol, since=self.canvas.series.start(0))
        )
        for order in await self._bridge.call(self._bridge.desk.trading.orders()):
            self._fills.told(order)
        if self._instrument is not instrument:
            return
        self._fills.booked(trade for trade in page.trades if trade.instrument == instrument.id)
        self._show_stops()

    # --- events ----------------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """One fact of the desk."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _on_ticks(self, event: TicksConflated) -> None:
        shown = None if self._instrument is None else self._instrument.id
        for tick in event.ticks:
            if tick.instrument == shown:
                self._on_tick(tick)

    def _on_candle_event(self, event: CandleChanged | CandleClosed) -> None:
        if self._instrument is None or event.instrument != self._instrument.id or event.interval != self._interval:
            return
        self._on_candle(event.candle)

    def _on_feed(self, event: FeedChanged) -> None:
        came_alive = event.state is FeedState.LIVE and self._stops.feed is not FeedState.LIVE
        self._stops.on_feed(event.account, event.state)
        self._show_feed(event)
        if came_alive:
            self._read_again()

    def _on_gap(self, event: FeedGap) -> None:
        for name in event.instruments:
            self._gaps.setdefault(name, []).append((event.since, event.until))
        self._show_gaps()

    def _show_gaps(self) -> None:
        shown = self._instrument
        self.canvas.set_gaps(self._gaps.get(shown.id, ()) if shown is not None else ())

    def _on_session(self, event: SessionChanged) -> None:
        if event.state in (SessionState.ACTIVE, SessionState.PAUSED):
            self._read_again()

    def _read_again(self) -> None:
        """What could not be read before, now that it may be there."""
        if self._incomplete and self._early is None and self._instrument is not None:
            self.show_instrument(self._instrument)

    def _on_order(self, event: OrderChanged) -> None:
        filled = self._fills.told(event.order)
        if filled and self._instrument is not None and event.order.instrument == self._instrument.id:
            self._show_stops()

    def _on_book_changed(self, _event: BookChanged) -> None:
        if self._instrument is not None and self._early is None:
            self._bridge.start(self._read_fills(self._instrument), "read fills")

    def _on_candle(self, candle: Candle) -> None:
        if self._early is not None:
            self._early.append(candle)
            return
        if not len(self.canvas.series):
            self.canvas.say()
        self.canvas.put(candle)

    def _on_tick(self, tick: Tick) -> None:
        instrument = self._instrument
        if instrument is None:
            return
        self._last = tick.last_price
        self._close = tick.close if tick.close is not None else self._close
        base = self._close
        self.canvas.set_last(tick.last_price, rising=base is None or tick.last_price >= base)
        self._show_stops()
        if not self._source.isHidden():
            self._source.tell(None)
            self._name.setVisible(self.width() >= 860)
        if not self.isVisible():
            return
        self._price.setText(fmt.price(tick.last_price, instrument.price_scale, instrument.tick_size))
        if base is not None:
            moved = tick.last_price - base
            text = fmt.change(moved, base, instrument.price_scale, instrument.tick_size)
            self._change.setText(f"{fmt.arrow(moved)} {text}".strip())
            theme.set_role(self._change, "up" if moved > 0 else "down" if moved < 0 else "muted")

    def _on_polled(self, event: PricesPolled) -> None:
        """In the header alone: the candles, and what a stop would do, are the feed's."""
        for polled in event.prices:
            if self._instrument is not None and polled.tick.instrument == self._instrument.id:
                self._price.setText(price_of(self._instrument, polled.tick.last_price))
                self._change.clear()
                self._source.tell(polled)
                self._name.hide()  # it gives way to who tells the price

    def _show_feed(self, event: FeedChanged) -> None:
        state = self._stops.feed
        word = "" if state is None else FEED_WORDS.get(state, "")
        if word and state is FeedState.SILENT and event.data_age_ms is not None:
            word = f"{word} for {fmt.age(event.data_age_ms)}"
        self._feed.show_word(word, "badge" if state is FeedState.CLOSED else "badge-warning")
        self._feed.setVisible(bool(word))
        self.canvas.overlay.stale = bool(word)

    def _show_stops(self) -> None:
        fills = () if self._instrument is None else self._fills.of(self._instrument.id)
        self.canvas.set_marks(self._stops.marks(self._last), fills)
        self.canvas.set_stops(self._stops.lines())

    # --- wishes ----------------------------------------------------------------------------------------------------

    def _on_disarm_wished(self, line: StopLine) -> None:
        self._stops.wish(line, None)

    def _on_interval(self, seconds: int) -> None:
        self._interval = Interval(seconds)
        if self._instrument is not None:
            self.show_instrument(self._instrument)
        self.canvas.setFocus()

    def dispose(self) -> None:
        """Hears no event any more and has the desk forget the chart. Before the bridge closes."""
        self._bridge.unsubscribe(self.on_event)
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if self._instrument is not None:
            self._instrument = None
            self._bridge.start(self._forget(), "close chart")

    async def _forget(self) -> None:
        market = self._bridge.desk.market
        await self._bridge.call(market.close_chart(self._consumer))
        await self._bridge.call(market.subscribe(self._consumer, ()))

    def closeEvent(self, event: QCloseEvent) -> None:
        """A chart that is closed, not hidden, is gone."""
        self.dispose()
        super().closeEvent(event)
