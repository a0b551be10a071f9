"""Strategies: what each is doing, what it will do next, and its day on a time axis."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSplitter, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.ids import BrokerOrderId, InstrumentId, Nanos, StopId, StrategyId
from app.domain.instrument import COUNTED_IN_LOTS
from app.domain.money import Price
from app.domain.order import Order
from app.domain.stop import stop_of_tag
from app.domain.strategy import Strategy, StrategyState
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.dialogs.strategy import StrategyDialog
from app.ui.frame import NextFrame
from app.ui.models.facts import Facts
from app.ui.models.strategies import StrategyFacts
from app.ui.models.table import Key, TableModel
from app.ui.views.strategy_columns import COLUMNS, StrategyRow
from app.ui.views.strategy_timeline import Picture, Timeline, spoken
from app.ui.views.strategy_words import NOTHING_OUT, Out
from app.ui.views.table_view import TableView, action
from app.ui.views.words import quantity_of, symbol_of
from app.ui.widgets.text import Message, Question, label

S = StrategyState
_HEARD = 4_000
"""Prices that are kept for the line on the timeline."""


class StrategiesPanel(QWidget):
    """The table, and below it the timeline of the selected one."""

    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self.kept = StrategyFacts(bridge)
        self._prices: deque[tuple[Nanos, Price]] = deque(maxlen=_HEARD)
        self._exits: dict[StopId, dict[BrokerOrderId, Order]] = {}
        """Orders that have closed something of a strategy's share."""
        self._shown: StrategyId | None = None
        self._model: TableModel[StrategyRow] = TableModel(COLUMNS, self, self._row_of)
        self.table = TableView(
            self._model,
            name="strategies.table",
            title="Strategies",
            empty="No strategy yet",
            hint="Press N to make one: it buys at a time, is guarded by its stop, and sells at a time.",
        )
        self.table.sortable()
        self.table.set_menu(self._menu)
        self.table.activated_key.connect(self._edit)
        self.table.key("N", self.new)
        self.table.key("E", lambda: self._edit(self.table.current))
        self.table.key("Del", lambda: self._delete(self.table.current))
        self.timeline = Timeline()
        self.message = Message(name="strategies.message")
        self.question = Question(name="strategies.question")
        self._buttons = {
            "new": self._button("&New…", "new", self.new),
            "edit": self._button("&Edit…", "edit", lambda: self._edit(self.table.current)),
            "start": self._button("Sta&rt", "start", lambda: self._start(self.table.current)),
            "pause": self._button("Pa&use", "pause", lambda: self._pause(self.table.current)),
            "stop": self._button("St&op…", "stop", lambda: self._stop(self.table.current)),
            "copy": self._button("Cop&y", "copy", lambda: self._copy(self.table.current)),
            "delete": self._button("Delete", "delete", lambda: self._delete(self.table.current)),
        }
        self._words = label("", "muted", name="strategies.words")
        foot = QWidget()
        foot.setMinimumHeight(theme.FOOT_HEIGHT)
        row = QHBoxLayout(foot)
        row.setContentsMargins(8, 4, 12, 4)
        for button in self._buttons.values():
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self._words)
        halves = QSplitter(Qt.Orientation.Vertical)
        halves.setObjectName("strategies.halves")
        halves.addWidget(self.table)
        halves.addWidget(self.timeline)
        halves.setStretchFactor(0, 1)
        halves.setStretchFactor(1, 1)
        halves.setCollapsible(0, False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.message)
        layout.addWidget(self.question)
        layout.addWidget(halves, 1)
        layout.addWidget(foot)
        self._painting = NextFrame(self, self._paint)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._on_selected())
        self.kept.changed.connect(self._on_changed)
        self.kept.gone.connect(self._on_gone)
        self.kept.marked.connect(lambda _id: self._painting.ask())
        facts.ticks_changed.connect(self._on_ticks)
        facts.instruments_known.connect(lambda _ids: self._model.touch_all())
        facts.stop_changed.connect(lambda _stop: self._painting.ask())
        facts.order_changed.connect(self._on_order)
        facts.positions_changed.connect(lambda: self._model.stale(list(self.kept.strategies)))  # they tell lot sizes
        facts.accounts_changed.connect(self._on_accounts)
        self.table.want_with_several(facts, "account")
        self._model.rowsInserted.connect(lambda *_: self._show_foot())
        self._show_foot()

    def _button(self, text: str, name: str, do: Any) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(f"strategies.{name}")
        button.clicked.connect(lambda _checked=False: do())
        return button

    async def load(self) -> None:
        """All of them."""
        await self.kept.load()
        await self._facts.need(one.plan.instrument for one in self.kept.strategies.values())
        for order in self._facts.orders.values():
            self._on_order(order)
        self._model.flush()
        if self._model.rowCount() and self.table.current is None:
            self.table.selectRow(0)

    # What is shown

    def _row(self, strategy: Strategy) -> StrategyRow:
        instrument = strategy.plan.instrument
        return StrategyRow(
            strategy,
            self._facts.instruments.get(instrument),
            self._facts.last(instrument),
            self._facts.account_name(strategy.plan.account),
            self._out(strategy),
            self._multiplier(strategy),
        )

    def _multiplier(self, strategy: Strategy) -> int | None:
        position = self._facts.positions.get(strategy.plan.key)
        if position is not None:
            return position.multiplier
        instrument = self._facts.instruments.get(strategy.plan.instrument)
        return None if instrument is not None and instrument.exchange in COUNTED_IN_LOTS else 1

    def _out(self, strategy: Strategy) -> Out:
        """What the exit under way has closed so far."""
        if strategy.state is not StrategyState.SELLING or strategy.stop is None:
            return NOTHING_OUT
        orders = self._exits.get(strategy.stop, {}).values()
        return Out(
            sum(o.filled_quantity for o in orders), sum((o.average_price or 0) * o.filled_quantity for o in orders)
        )

    def _on_order(self, order: Order) -> None:
        stop = stop_of_tag(order.tag)
        if stop is None or not order.filled_quantity:
            return
        strategy = next((one for one in self.kept.strategies.values() if one.stop == stop), None)
        if strategy is not None and order.side is not strategy.plan.side:
            self._exits.setdefault(stop, {})[order.broker_order_id] = order
            self._model.put(strategy.id, self._row(strategy))

    def _row_of(self, strategy: StrategyId) -> StrategyRow | None:
        found = self.kept.strategies.get(strategy)
        return None if found is None else self._row(found)

    def _on_accounts(self) -> None:
        """Their names come with them."""
        for strategy in self.kept.strategies.values():
            self._model.put(strategy.id, self._row(strategy))

    def _on_changed(self, strategy: Strategy) -> None:
        self._model.put(strategy.id, self._row(strategy))
        self._bridge.start(self._facts.need([strategy.plan.instrument]), "learn an instrument")
        self._painting.ask()
        self._show_foot()

    def _on_gone(self, strategy: StrategyId) -> None:
        self._model.drop(strategy)
        self._on_selected()

    def _on_ticks(self, instruments: list[InstrumentId]) -> None:
        moved = set(instruments)
        self._model.stale([one.id for one in self.kept.strategies.values() if one.plan.instrument in moved])
        shown = self._current()
        if shown is None or shown.plan.instrument not in moved:
            return
        tick = self._facts.ticks.get(shown.plan.instrument)
        if tick is not None and tick.exchange_time is not None:
            self._prices.append((tick.exchange_time, tick.last_price))
            if self.isVisible():
                self._painting.ask()

    def _on_selected(self) -> None:
        current = self._current()
        chosen = None if current is None else current.id
        if chosen != self._shown:
            self._shown = chosen
            self._prices.clear()
            self.kept.look_at(chosen)
        self._painting.ask()
        self._show_foot()

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        self._painting.ask()

    def _paint(self) -> None:
        strategy = self._current()
        if strategy is None:
            self.timeline.show_picture(None)
            return
        plan, instrument = strategy.plan, self._facts.instruments.get(strategy.plan.instrument)
        tick = self._facts.ticks.get(plan.instrument)
        entry, tick_size = strategy.entry_average, 1 if instrument is None else instrument.tick_size
        stop = None if strategy.stop is None else self._facts.stops.get(strategy.stop)
        level = stop.trigger if stop is not None and stop.has_level and not plan.by_underlying else None
        if level is None and entry is not None:
            level = plan.stop_price(entry, tick_size)
        picture = Picture(
            strategy,
            tuple(self.kept.marks),
            self._now(strategy, None if tick is None else tick.exchange_time),
            tuple(self._prices),
            level if strategy.bought else None,
            None if entry is None else plan.target_price(entry, tick_size),
            100 if instrument is None else instrument.price_scale,
            tick_size,
        )
        self.timeline.show_picture(picture)
        self.timeline.setToolTip(spoken(picture))

    def _now(self, strategy: Strategy, ticked: Nanos | None) -> Nanos | None:
        """Exchange time, as far as anything has told it: the newest tick, or the last thing that happened."""
        told = [at for at in (ticked, strategy.changed_at, *(mark.at for mark in self.kept.marks[-1:])) if at]
        return max(told, default=None)

    def _show_foot(self) -> None:
        strategy = self._current()
        state = None if strategy is None else strategy.state
        running = state is not None and state.is_running
        paused = strategy is not None and (strategy.paused or state is S.BROKER_UNREACHABLE)
        self._buttons["edit"].setEnabled(state is not None and not running)
        self._buttons["start"].setEnabled(state is not None and not running)
        goes_on = running or (strategy is not None and strategy.goes_on)
        self._buttons["pause"].setEnabled(goes_on and state is not S.SELLING)
        self._buttons["pause"].setText("Res&ume" if paused else "Pa&use")
        self._buttons["stop"].setEnabled(goes_on)
        self._buttons["copy"].setEnabled(state is not None)
        self._buttons["delete"].setEnabled(state is not None and not running)
        count = sum(one.state.is_running for one in self.kept.strategies.values())
        held = sum(one.held > 0 for one in self.kept.strategies.values())
        words = f"{count} running" if count else "none running"
        self._words.setText(f"{words} · {held} in the market" if held else words)

    # What the trader does

    def _of(self, key: Key | None) -> Strategy | None:
        return self.kept.strategies.get(StrategyId(key)) if isinstance(key, str) else None

    def _current(self) -> Strategy | None:
        return self._of(self.table.current)

    def new(self) -> None:
        """The editor, empty."""
        self._open(None)

    def _edit(self, key: Key | None) -> None:
        strategy = self._of(key)
        if strategy is not None and not strategy.state.is_running:
            self._open(strategy)
        elif strategy is not None:
            self.message.say("A strategy that runs cannot be changed. Stop it first, or copy it.")

    def _open(self, strategy: Strategy | None) -> None:
        dialog = StrategyDialog(self._bridge, self._facts, self.window(), None if strategy is None else strategy.plan)
        dialog.finished.connect(lambda _code: self.window().activateWindow())
        dialog.open()

    def _start(self, key: Key | None) -> None:
        strategy = self._of(key)
        if strategy is not None:
            self._run(self._bridge.desk.strategies.start(strategy.id), "Not started")

    def _pause(self, key: Key | None) -> None:
        strategy = self._of(key)
        if strategy is None:
            return
        verbs = self._bridge.desk.strategies
        if strategy.paused or strategy.state is S.BROKER_UNREACHABLE:
            self._run(verbs.resume(strategy.id), "Not resumed")
        else:
            self._run(verbs.pause(strategy.id), "Not paused")

    def _stop(self, key: Key | None) -> None:
        """Where something is held it asks: close that, or leave it open."""
        strategy = self._of(key)
        if strategy is None or not (strategy.state.is_running or strategy.goes_on):
            return
        verbs, name = self._bridge.desk.strategies, strategy.plan.name or symbol_of(strategy.plan.instrument)
        if not strategy.state.is_open or strategy.state is StrategyState.SELLING:  # its exit goes on to the end
            self._run(verbs.stop(strategy.id, close=False), "Not stopped")
            return
        instrument = self._facts.instruments.get(strategy.plan.instrument)
        held = quantity_of(instrument, strategy.held)
        disarmed = 0 < strategy.bought <= strategy.unguarded
        guarded = strategy.plan.stop is not None and not disarmed
        stays = "under its stop" if guarded else "with nothing to guard it"
        self.question.ask(
            f"Stop “{name}”? It holds {held} {symbol_of(strategy.plan.instrument)}. Close them now, or leave them open "
            f"{stays} as your own position."
            if strategy.held
            else f"Stop “{name}”? Its entry is at the broker and is cancelled. What fills before that is closed, or "
            f"stays open {stays} as your own position.",
            "Stop and &close",
            "&Keep it running",
            lambda: self._run(verbs.stop(strategy.id, close=True), "Not stopped"),
            other=("Stop, &leave open", lambda: self._run(verbs.stop(strategy.id, close=False), "Not stopped")),
        )

    def _copy(self, key: Key | None) -> None:
        strategy = self._of(key)
        if strategy is not None:
            self._run(self._bridge.desk.strategies.copy(strategy.id), "Not copied")

    def _delete(self, key: Key | None) -> None:
        strategy = self._of(key)
        if strategy is None or strategy.state.is_running:
            return
        name = strategy.plan.name or symbol_of(strategy.plan.instrument)
        self.question.ask(
            f"Delete “{name}” and its timeline? The audit trail keeps what it did.",
            "&Delete",
            "&Keep it",
            lambda: self._run(self._bridge.desk.strategies.delete(strategy.id), "Not deleted"),
        )

    def _run(self, verb: Coroutine[Any, Any, object], failed: str) -> None:
        self._bridge.start(self._do(self._bridge.call(verb), failed), failed)

    async def _do(self, answer: asyncio.Future[object], failed: str) -> None:
        self.message.clear()
        try:
            await answer
        except AppError as failure:
            self.message.say(f"{failed}: {failure}", "strip-danger")

    def _menu(self, key: Key) -> Sequence[QAction]:
        strategy = self._of(key)
        running = strategy is not None and strategy.state.is_running
        return (
            action(self, "Start", lambda: self._start(key), "ok", enabled=not running),
            action(self, "Stop…", lambda: self._stop(key), "cancel", enabled=running),
            action(self, "Edit…\tE", lambda: self._edit(key), "edit", enabled=not running),
            action(self, "Copy", lambda: self._copy(key), "copy"),
            action(self, "Delete\tDel", lambda: self._delete(key), "trash", enabled=not running),
            action(self, "Chart", lambda: self._show_chart(key), "chart"),
        )

    def _show_chart(self, key: Key) -> None:
        strategy = self._of(key)
        if strategy is not None:
            self.chart_asked.emit(strategy.plan.instrument)
