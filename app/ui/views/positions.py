"""Open positions with live P&L, the stop that guards each, and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.domain.errors import AppError, OutcomeUnknown
from app.domain.events import PositionsChanged, PositionsUnknown
from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.order import Order, OrderStatus, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import Stop, stop_of_tag
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.frame import NextFrame
from app.ui.models.facts import Facts
from app.ui.models.table import Key, TableModel
from app.ui.views.buttons import ButtonDelegate
from app.ui.views.convert_strip import ConvertStrip, targets
from app.ui.views.position_columns import COLUMNS, PositionRow
from app.ui.views.price_age import AgeWatch
from app.ui.views.stop_strip import StopStrip
from app.ui.views.table_view import TableView, action
from app.ui.views.words import logged_out, symbol_of
from app.ui.widgets.text import Message, label

_CONSUMER = "positions"

_EMPTY = "No position is open"
_HINT = "Select an instrument in the watchlist and press B to buy or S to sell."


class PositionsPanel(QWidget):
    """What is open today. An exit is one click and never asks back; its tooltip has the numbers."""

    chart_asked = Signal(object)
    ticket_asked = Signal(object, object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._closing: dict[PositionKey, str] = {}
        self._unknown: dict[AccountId, str] = {}
        self._subscribed: tuple[InstrumentId, ...] = ()
        self._model: TableModel[PositionRow] = TableModel(COLUMNS, self, self._row_of)
        self.table = TableView(
            self._model,
            name="positions.table",
            title="Positions",
            empty=_EMPTY,
            hint=_HINT,
        )
        self.table.sortable()
        stop_button = ButtonDelegate(self.table, room=self.table.room)
        stop_button.clicked.connect(self.set_stop)
        exit_button = ButtonDelegate(self.table, lambda key: key not in self._closing)
        exit_button.clicked.connect(self.square_off)
        self.table.setItemDelegateForColumn(self._model.column("stop"), stop_button)
        self.table.setItemDelegateForColumn(self._model.column("exit"), exit_button)
        self.table.set_menu(self._menu)
        self.table.chosen.connect(self._on_chosen)
        self.table.activated_key.connect(self._on_chosen)
        self.table.key("T", self._stop_current)
        self.table.key("X", self._exit_current)
        self.table.key("C", self._convert_current)
        self.table.key("B", lambda: self._ask_ticket(Side.BUY))
        self.table.key("S", lambda: self._ask_ticket(Side.SELL))
        self.strip = StopStrip(bridge, facts)
        self.convert_strip = ConvertStrip(bridge, facts)
        self.message = Message(name="positions.message")
        self._total = label("", name="positions.total")
        foot = QWidget()
        foot.setMinimumHeight(theme.FOOT_HEIGHT)
        foot_layout = QHBoxLayout(foot)
        foot_layout.setContentsMargins(12, 4, 12, 4)
        foot_layout.addWidget(label("T sets a stop, X exits", "faint"))
        foot_layout.addStretch(1)
        foot_layout.addWidget(label("Day's P&L, before charges", "muted"))
        foot_layout.addWidget(self._total)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.strip)
        layout.addWidget(self.convert_strip)
        layout.addWidget(foot)
        self._pnl: dict[PositionKey, Decimal] = {}
        self._moved: set[PositionKey] = set()
        self._summing = NextFrame(self, self._show_total)
        self._rebuild = NextFrame(self, self._refresh_all)
        facts.positions_changed.connect(self._on_positions)
        facts.positions_unknown.connect(self._on_unknown)
        bridge.subscribe(PositionsChanged, self._on_read)
        facts.ticks_changed.connect(self._on_ticks)
        facts.instruments_known.connect(self._on_known)
        facts.stop_changed.connect(self._on_stop)
        facts.order_changed.connect(self._on_order)
        facts.accounts_changed.connect(self._refresh_all)
        self.table.want_with_several(facts, "account")
        facts.coverage_changed.connect(lambda: self._rebuild.ask_for(len(facts.positions)))
        self._ages = AgeWatch(self, self._price_ages, self._recolour)

    # What the trader does

    def set_stop(self, key: PositionKey) -> None:
        """Opens the entry line for a position's stop."""
        position = self._facts.positions.get(key)
        if position is not None and position.quantity != 0:
            self.strip.open_for(position)

    def convert(self, key: PositionKey) -> None:
        """Opens the line for another product."""
        position = self._facts.positions.get(key)
        if position is not None:
            self.convert_strip.open_for(position)

    def _convert_current(self) -> None:
        key = self.table.current
        if isinstance(key, PositionKey):
            self.convert(key)

    def square_off(self, key: PositionKey) -> None:
        """Closes a whole position. Locked by intent: a second click does nothing until the outcome is known."""
        if key in self._closing:
            return
        self._closing[key] = ""
        self._put(key)
        self.message.clear()
        self._bridge.start(self._square_off(key), "square off")

    async def _square_off(self, key: PositionKey) -> None:
        try:
            order = await self._bridge.call(self._bridge.desk.trading.square_off(key))
        except OutcomeUnknown as unknown:
            self._closing.pop(key, None)  # the desk lets no second order through until the first is known
            self.message.say(f"{symbol_of(key.instrument)}: {unknown}", "strip-danger")
        except AppError as failure:
            self._closing.pop(key, None)
            self.message.say(f"{symbol_of(key.instrument)} was not closed: {failure}", "strip-danger")
        else:
            self._closing[key] = str(order)
            self._settle(key)
        self._put(key)

    def _settle(self, key: PositionKey) -> None:
        """Unlocks the exit once the position is flat, or its order, or the stop that it left by, has ended otherwise:
        something may have opened it anew before anybody saw it flat."""
        position = self._facts.positions.get(key)
        waiting = self._closing.get(key)
        if waiting is None:
            return
        order = next((o for o in self._facts.orders.values() if waiting and o.id == waiting), None)
        refused = order is not None and order.status.is_final and order.status is not OrderStatus.FILLED
        stop = self._facts.stops.get(stop_of_tag(waiting) or StopId(""))
        left = stop is not None and stop.state.is_final
        if position is None or position.quantity == 0 or refused or left:
            del self._closing[key]
            if order is not None and order.status is OrderStatus.REJECTED:
                self.message.say(
                    f'{symbol_of(key.instrument)}: the broker refused the exit. "{order.status_text or ""}"',
                    "strip-danger",
                )
            self._put(key)

    def _stop_current(self) -> None:
        key = self.table.current
        if isinstance(key, PositionKey):
            self.set_stop(key)

    def _exit_current(self) -> None:
        key = self.table.current
        position = self._facts.positions.get(key) if isinstance(key, PositionKey) else None
        if position is not None and position.quantity != 0:
            self.square_off(position.key)

    def _ask_ticket(self, side: Side) -> None:
        key = self.table.current
        if isinstance(key, PositionKey):
            instrument = self._facts.instruments.get(key.instrument)
            if instrument is not None:
                self.ticket_asked.emit(instrument, side)

    def _on_chosen(self, key: Key) -> None:
        if isinstance(key, PositionKey):
            self.chart_asked.emit(key.instrument)

    def _menu(self, key: Key) -> Sequence[QAction]:
        if not isinstance(key, PositionKey):
            return ()
        position = self._facts.positions.get(key)
        is_open = position is not None and position.quantity != 0
        able = targets(position, self._facts.instruments.get(key.instrument)) if position is not None else ()
        return (
            action(self, "Set or move stop\tT", lambda: self.set_stop(key), "stop", enabled=is_open),
            action(self, "Exit at market\tX", lambda: self.square_off(key), "close", enabled=is_open),
            action(self, "Convert to another product\tC", lambda: self.convert(key), enabled=bool(able)),
            action(self, "Buy…\tB", lambda: self._ask_ticket(Side.BUY)),
            action(self, "Sell…\tS", lambda: self._ask_ticket(Side.SELL)),
            action(self, "Chart\tEnter", lambda: self.chart_asked.emit(key.instrument), "chart"),
        )

    # What happened

    def _on_positions(self) -> None:
        for key in list(self._closing):
            self._settle(key)
        self._rebuild.ask_for(len(self._facts.positions))
        wanted = tuple(sorted({p.key.instrument for p in self._facts.positions.values()}))
        if wanted != self._subscribed:
            self._subscribed = wanted
            subscribe = self._bridge.desk.market.subscribe(_CONSUMER, wanted)
            self._bridge.start(self._bridge.call(subscribe), "subscribe positions")

    def _on_known(self, _instruments: list[InstrumentId]) -> None:
        self._refresh_all()
        self._model.touch_all()

    def _on_unknown(self, event: PositionsUnknown) -> None:
        self._unknown[event.account] = event.cause
        self._say_unknown()

    def _on_read(self, event: PositionsChanged) -> None:
        if self._unknown.pop(event.account, None) is not None:
            self._say_unknown()

    def _say_unknown(self) -> None:
        """The account whose positions were asked for last, of those that could not be read."""
        if not self._unknown:
            self.message.clear()
            return
        account, cause = list(self._unknown.items())[-1]
        name = self._facts.account_name(account)
        self.message.say(f"Positions of {name} could not be read: {cause} The last known ones are shown.")

    def _say_empty(self) -> None:
        """Of an account that is not logged in nobody knows what is open."""
        names = logged_out(self._facts.accounts.values())
        if names:
            self.table.set_empty("Whether a position is open is not known", f"Log in to {names} to see it.")
        else:
            self.table.set_empty(_EMPTY, _HINT)

    def _on_ticks(self, instruments: list[InstrumentId]) -> None:
        keys = self._facts.held_in(instruments)
        if keys:
            self._model.stale(keys)
            self._moved.update(keys)
            if self.isVisible():
                self._summing.ask()

    def _on_stop(self, stop: Stop) -> None:
        self._settle(stop.key)
        self._put(stop.key)

    def _on_order(self, order: Order) -> None:
        for key in list(self._closing):
            if key.account == order.account and key.instrument == order.instrument:
                self._settle(key)

    # Showing

    def _row(self, position: Position) -> PositionRow:
        key = position.key
        last = self._facts.last(key.instrument)
        stop = self._facts.stop_of(key)
        return PositionRow(
            position,
            self._facts.instruments.get(key.instrument),
            position.last_price if last is None else last,
            stop,
            stop is not None and self._facts.is_blind(stop),
            key in self._closing,
            self._facts.coverage.get(key),
            self._facts.account_name(key.account),
            self._facts.price_age(key.account, key.instrument) if position.quantity else 0,
            self._facts.polled.get(key.instrument),
            any(
                other.account == key.account and other.product != key.product
                for other in self._facts.held_in([key.instrument])
            ),
        )

    def _price_ages(self) -> Iterator[tuple[Key, int]]:
        for key, position in self._facts.positions.items():
            if position.quantity:
                yield key, self._facts.price_age(key.account, key.instrument)

    def _recolour(self, key: Key) -> None:
        if isinstance(key, PositionKey):
            self._put(key)
            self._model.touch(key)

    def put_away(self) -> None:
        """No timer runs on behind a closed window."""
        self._ages.end()

    def _row_of(self, key: PositionKey) -> PositionRow | None:
        position = self._facts.positions.get(key)
        return None if position is None else self._row(position)

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        self._show_total()

    def _put(self, key: PositionKey) -> None:
        position = self._facts.positions.get(key)
        if position is not None and self._model.latest(key) is not None:
            self._model.put(key, self._row(position))

    def _refresh_all(self) -> None:
        positions = sorted(
            self._facts.positions.values(),
            key=lambda p: (p.quantity == 0, p.key.instrument, p.key.account, p.key.product),
        )
        self._model.replace((p.key, self._row(p)) for p in positions)
        self._say_empty()
        self._pnl.clear()
        self._moved = set(self._facts.positions)
        self._show_total()

    def _show_total(self) -> None:
        for key in self._moved:
            position = self._facts.positions.get(key)
            if position is not None:
                last = self._facts.last(key.instrument)
                self._pnl[key] = position.day_pnl_at(position.last_price if last is None else last)
        self._moved.clear()
        total = sum(self._pnl.values(), Decimal(0))
        paise = int((total * 100).to_integral_value(ROUND_HALF_UP))
        self._total.setText(fmt.pnl(paise))
        theme.set_role(self._total, "up" if paise > 0 else "down" if paise < 0 else "muted")
