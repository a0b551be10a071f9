"""Local stops: where each stands, how far the price is, what it would cost, and whether it can see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.ids import InstrumentId, StopId
from app.domain.stop import Stop, StopState
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.frame import SUM_MS, NextFrame
from app.ui.models.facts import Facts
from app.ui.models.guardable import guardable
from app.ui.models.table import Key, TableModel
from app.ui.views.day_stop import DayStopBar
from app.ui.views.price_age import AgeWatch
from app.ui.views.stop_columns import COLUMNS, StopRow
from app.ui.views.stop_strip import StopStrip
from app.ui.views.table_view import TableView, action
from app.ui.views.words import (
    at_risk,
    price_of,
    quantity_of,
    symbol_of,
)
from app.ui.widgets.coverage_meter import CoverageMeter
from app.ui.widgets.text import Message, Question, label

_FEW = 50
"""Armed stops whose sum is cheap enough for every frame."""


class StopsPanel(QWidget):
    """Every stop that is watched, and those that ended today."""

    chart_asked = Signal(object)
    exit_asked = Signal(object)
    """A StopId: its exit, step by step."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._busy: set[StopId] = set()
        self._model: TableModel[StopRow] = TableModel(COLUMNS, self, self._row_of)
        self.table = TableView(
            self._model,
            name="stops.table",
            title="Stops",
            empty="No stop is armed",
            hint="Select a position and press T, or drag the stop line on its chart. "
            "Stopline watches it from this computer and exits once.",
        )
        self.table.sortable()
        self.table.set_menu(self._menu)
        self.table.activated_key.connect(self._move)
        self.table.chosen.connect(self._on_chosen)
        self.table.key("T", lambda: self._move(self.table.current))
        self.table.key("Del", lambda: self._disarm(self.table.current))
        self.strip = StopStrip(bridge, facts)
        self.message = Message(name="stops.message")
        self.question = Question(name="stops.question")
        self._move_button = QPushButton("&Move")
        self._move_button.setObjectName("stops.move")
        self._move_button.clicked.connect(lambda: self._move(self.table.current))
        self._disarm_button = QPushButton("&Disarm")
        self._disarm_button.setObjectName("stops.disarm")
        self._disarm_button.clicked.connect(lambda: self._disarm(self.table.current))
        self._sum = label("", "muted", name="stops.summary")
        foot = QWidget()
        foot.setMinimumHeight(theme.FOOT_HEIGHT)
        foot_layout = QHBoxLayout(foot)
        foot_layout.setContentsMargins(8, 4, 12, 4)
        foot_layout.addWidget(self._move_button)
        foot_layout.addWidget(self._disarm_button)
        foot_layout.addStretch(1)
        foot_layout.addWidget(self._sum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.meter = CoverageMeter()
        layout.addWidget(self.meter)
        self.day_stop = DayStopBar(bridge, facts)
        layout.addWidget(self.day_stop)
        layout.addWidget(self.message)
        layout.addWidget(self.question)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.strip)
        layout.addWidget(foot)
        self._summing = NextFrame(self, self._show_foot, SUM_MS)
        self._ordering = NextFrame(self, self._put_in_order)
        self._ended: dict[StopId, bool] = {}
        """Whether each has ended, as it stands in the order."""
        self._model.flushed.connect(lambda _keys: self._sum_soon())
        self._model.rowsInserted.connect(lambda *_: self._show_foot())
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_foot())
        facts.stop_changed.connect(self._on_stop)
        facts.ticks_changed.connect(self._on_ticks)
        facts.instruments_known.connect(self._on_known)
        facts.accounts_changed.connect(self._on_accounts)
        facts.coverage_changed.connect(self._show_coverage)
        self._ages = AgeWatch(self, self._armed_ages, self._recolour)
        self._show_foot()
        self._show_coverage()
        self.table.want_with_several(facts, "account")

    def put_away(self) -> None:
        """No timer runs on behind a closed window."""
        self._ages.end()

    def _show_coverage(self) -> None:
        self.meter.show_rows(self._facts.coverage.values())

    def _row(self, stop: Stop) -> StopRow:
        instrument = stop.key.instrument
        return StopRow(
            stop,
            self._facts.instruments.get(instrument),
            self._facts.last(instrument),
            self._facts.is_blind(stop),
            self._facts.account_name(stop.key.account),
            self._facts.price_age(stop.key.account, instrument),
            self._multiplier(stop),
            None if stop.plan.underlying is None else self._facts.last(stop.plan.underlying),
        )

    def _armed_ages(self) -> Iterator[tuple[Key, int]]:
        for stop in self._facts.armed():
            yield stop.id, self._facts.price_age(stop.key.account, stop.key.instrument)

    def _recolour(self, key: Key) -> None:
        stop = self._facts.stops.get(StopId(str(key)))
        if stop is not None:
            self._model.put(key, self._row(stop))
            self._model.touch(key)

    def _multiplier(self, stop: Stop) -> int:
        position = self._facts.positions.get(stop.key)
        return 1 if position is None else position.multiplier

    def _row_of(self, stop: StopId) -> StopRow | None:
        found = self._facts.stops.get(stop)
        return None if found is None else self._row(found)

    def _sum_soon(self) -> None:
        if self.isVisible():
            self._summing.ask()

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        self._show_foot()

    def _on_accounts(self) -> None:
        for stop in self._facts.stops.values():
            self._on_stop(stop)

    def _on_stop(self, stop: Stop) -> None:
        self._model.put(stop.id, self._row(stop))
        if self._ended.get(stop.id) is not stop.state.is_final:
            self._ended[stop.id] = stop.state.is_final
            self._ordering.ask_for(len(self._facts.stops))
        self._sum_soon()

    def _put_in_order(self) -> None:
        """What guards stands above what has ended, of which the latest comes first."""
        stops = list(self._facts.stops.values())
        listed = [stop for stop in stops if not stop.state.is_final]
        listed += [stop for stop in reversed(stops) if stop.state.is_final]
        self._model.replace((stop.id, self._row(stop)) for stop in listed)

    def _on_ticks(self, instruments: list[InstrumentId]) -> None:
        stops = self._facts.stops_in(instruments)
        if stops:
            self._model.stale(stops)
            self._sum_soon()

    def _on_known(self, instruments: list[InstrumentId]) -> None:
        self._on_ticks(instruments)
        self._model.touch_all()

    def _armed(self, key: Key | None) -> Stop | None:
        """One that can be changed: armed, or suspended until the trader answers."""
        stop = self._facts.stops.get(StopId(key)) if isinstance(key, str) else None
        changeable = stop is not None and stop.state in (StopState.ARMED, StopState.SUSPENDED)
        return stop if changeable and stop is not None and stop.id not in self._busy else None

    def _move(self, key: Key | None) -> None:
        stop = self._armed(key)
        if stop is not None:
            position = guardable(self._facts, stop.key)
            if position is not None:
                self.strip.open_for(position, stop)

    def _disarm(self, key: Key | None) -> None:
        """Taking protection away always asks, with its effect in numbers."""
        stop = self._armed(key)
        if stop is None:
            return
        instrument = self._facts.instruments.get(stop.key.instrument)
        self.question.ask(
            f"Disarm the stop on {symbol_of(stop.key.instrument)} at "
            f"{price_of(instrument, stop.trigger, stop.price_scale)}? "
            f"{quantity_of(instrument, stop.quantity)} will have no stop.",
            "Disarm &now",
            "&Keep it armed",
            lambda: self._begin_disarm(stop),
        )

    def _begin_disarm(self, stop: Stop) -> None:
        self._busy.add(stop.id)
        self._show_foot()
        self._bridge.start(self._do_disarm(stop), "disarm")

    async def _do_disarm(self, stop: Stop) -> None:
        self.message.clear()
        try:
            await self._bridge.call(self._bridge.desk.stops.disarm(stop.id))
        except AppError as failure:
            self.message.say(f"The stop stays armed: {failure}", "strip-danger")
        else:
            self.message.say(
                f"The stop on {symbol_of(stop.key.instrument)} is disarmed. Nothing guards this position now.",
                "strip-warning",
            )
        finally:
            self._busy.discard(stop.id)
            self._show_foot()

    def _on_chosen(self, key: Key) -> None:
        stop = self._facts.stops.get(StopId(key)) if isinstance(key, str) else None
        if stop is not None:
            self.chart_asked.emit(stop.key.instrument)

    def _menu(self, key: Key) -> Sequence[QAction]:
        armed = self._armed(key) is not None
        return (
            action(self, "Move\tT", lambda: self._move(key), "edit", enabled=armed),
            action(self, "Disarm\tDel", lambda: self._disarm(key), "remove", enabled=armed),
            action(self, "Exit step by step", lambda: self.exit_asked.emit(key), enabled=self._has_fired(key)),
            action(self, "Chart", lambda: self._on_chosen(key), "chart"),
        )

    def _has_fired(self, key: Key) -> bool:
        stop = self._facts.stops.get(StopId(str(key)))
        return stop is not None and stop.fired_at is not None

    def _show_foot(self) -> None:
        guards = self._facts.armed()
        suspended = sum(stop.state is StopState.SUSPENDED for stop in guards)
        exiting = sum(stop.state in (StopState.FIRED, StopState.EXITING) for stop in guards)
        armed = [stop for stop in guards if stop.state in (StopState.ARMING, StopState.ARMED)]
        blind = self._facts.blind()
        risks = [at_risk(s, self._facts.last(s.key.instrument), self._multiplier(s)) for s in armed if s.has_level]
        self._summing.pause = 0 if len(armed) <= _FEW else SUM_MS
        words = f"{len(armed)} armed" if armed else "none armed"
        known = [risk for risk in risks if risk is not None]
        unknown = len(risks) - len(known)  # no price has come yet
        if armed and (known or not unknown):
            words += f" · {fmt.amount(sum(known))} at risk"
        if unknown:
            words += f" · risk of {unknown} not known"
        if exiting:
            words += f" · {exiting} exiting"
        if blind:
            words += f" · {len(blind)} blind"
        if suspended:
            words += f" · {suspended} suspended, guarding nothing"
        self._sum.setText(words)
        theme.set_role(self._sum, "danger" if blind or suspended else "muted")
        current = self._armed(self.table.current) is not None
        self._move_button.setEnabled(current)
        self._disarm_button.setEnabled(current)
