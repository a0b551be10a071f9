"""Local stops: where each stands, how far the price is, what it would cost, and whether it can see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.stop import Stop, StopState
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.frame import SUM_MS, NextFrame
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.stop_strip import StopStrip
from app.ui.views.table_view import TableView, action
from app.ui.views.words import (
    at_risk,
    distance,
    distance_percent,
    price_of,
    quantity_of,
    side_tone,
    stop_state,
    stop_tone,
    symbol_of,
)
from app.ui.widgets.coverage_meter import CoverageMeter
from app.ui.widgets.text import Message, Question, label

_FEW = 50
"""Armed stops whose sum is cheap enough for every frame."""

AMBER_SECONDS, RED_SECONDS = 2, 5
"""Age of an instrument's own last price that colours it."""

_AGES_MS = 500

_NEAR = Decimal("0.25")
"""Percent from the last price below which a stop is about to fire."""


@dataclass(frozen=True, slots=True)
class StopRow:
    """One stop as the table shows it."""

    stop: Stop
    instrument: Instrument | None
    last: int | None
    blind: bool
    age: int = 0
    """Whole seconds since the instrument last ticked."""

    @property
    def state(self) -> str:
        """In a word or two."""
        return stop_state(self.stop, blind=self.blind)


def _age_tone(row: StopRow) -> Tone:
    """An instrument's own age only colours it: a quiet one may be in order."""
    if row.stop.state is not StopState.ARMED or row.age < AMBER_SECONDS:
        return Tone.PLAIN
    return Tone.ALARM if row.age >= RED_SECONDS else Tone.WARN


def _symbol_tip(row: StopRow) -> str:
    stop = row.stop
    old = f" · the last price is {fmt.age(row.age * 1000)} old" if row.age >= AMBER_SECONDS else ""
    return f"{stop.key.instrument} · {stop.key.product} · {stop.key.account} · stop {stop.id}{old}"


def _distance_words(row: StopRow) -> str:
    percent = distance_percent(row.stop, row.last)
    points = price_of(row.instrument, distance(row.stop, row.last), row.stop.price_scale)
    return points if percent is None else f"{points} ({fmt.percent(percent)})"


def _outcome_words(row: StopRow) -> str:
    stop = row.stop
    if stop.exit_average is not None:
        return f"out at {price_of(row.instrument, stop.exit_average, stop.price_scale)}"
    return stop.note


COLUMNS: tuple[Column[StopRow], ...] = (
    Column(
        "symbol",
        "Instrument",
        lambda r: r.stop.key.instrument,
        shown=lambda r: symbol_of(r.stop.key.instrument),
        tone=_age_tone,
        tip=_symbol_tip,
        help="Amber: no price for 2 seconds; red: for 5",
        whole=True,
        width=112,
    ),
    Column(
        "state",
        "State",
        lambda r: r.state,
        whole=True,
        width=64,
        tone=lambda r: stop_tone(r.stop, blind=r.blind),
        tip=lambda r: "No live price reaches this stop." if r.blind else r.stop.note,
    ),
    Column(
        "trigger",
        "Trigger",
        lambda r: r.stop.trigger,
        shown=lambda r: price_of(r.instrument, r.stop.trigger, r.stop.price_scale),
        number=True,
        width=82,
    ),
    Column(
        "distance",
        "Distance",
        lambda r: distance(r.stop, r.last),
        shown=_distance_words,
        number=True,
        width=100,
        help="From the last price to the trigger",
        tone=lambda r: Tone.WARN if (p := distance_percent(r.stop, r.last)) is not None and p < _NEAR else Tone.PLAIN,
    ),
    Column(
        "risk",
        "At risk",
        lambda r: at_risk(r.stop, r.last),
        fmt.amount,
        number=True,
        width=84,
        help="What the way from the last price to the trigger costs, before charges",
    ),
    Column(
        "last",
        "Last",
        lambda r: r.last,
        shown=lambda r: price_of(r.instrument, r.last, r.stop.price_scale),
        number=True,
        width=82,
        spare=3,
    ),
    Column("side", "Exit", lambda r: r.stop.side, tone=lambda r: side_tone(r.stop.side), width=56, spare=4),
    Column(
        "quantity",
        "Qty",
        lambda r: r.stop.quantity,
        shown=lambda r: quantity_of(r.instrument, r.stop.quantity),
        number=True,
        width=84,
        spare=2,
    ),
    Column(
        "armed",
        "Armed",
        lambda r: r.stop.armed_at,
        fmt.time,
        number=True,
        width=72,
        tone=lambda _r: Tone.DIM,
        spare=5,
    ),
    Column("outcome", "Note", _outcome_words, tone=lambda _r: Tone.DIM, width=108, spare=1),
)


class StopsPanel(QWidget):
    """Every stop that is watched, and those that ended today."""

    chart_asked = Signal(object)

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
        layout.addWidget(self.message)
        layout.addWidget(self.question)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.strip)
        layout.addWidget(foot)
        self._summing = NextFrame(self, self._show_foot, SUM_MS)
        self._model.flushed.connect(lambda _keys: self._sum_soon())
        self._model.rowsInserted.connect(lambda *_: self._show_foot())
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_foot())
        facts.stop_changed.connect(self._on_stop)
        facts.ticks_changed.connect(self._on_ticks)
        facts.instruments_known.connect(self._on_known)
        facts.accounts_changed.connect(self._on_accounts)
        facts.coverage_changed.connect(self._show_coverage)
        self._shades: dict[StopId, int] = {}
        self._ages = QTimer(self)
        self._ages.setInterval(_AGES_MS)
        self._ages.timeout.connect(self._show_ages)
        self._ages.start()
        self._show_foot()
        self._show_coverage()

    def put_away(self) -> None:
        """No timer runs on behind a closed window."""
        self._ages.stop()

    def _show_coverage(self) -> None:
        self.meter.show_rows(self._facts.coverage.values())

    def _row(self, stop: Stop) -> StopRow:
        instrument = stop.key.instrument
        return StopRow(
            stop,
            self._facts.instruments.get(instrument),
            self._facts.last(instrument),
            self._facts.is_blind(stop),
            self._facts.price_age(stop.key.account, instrument),
        )

    def _show_ages(self) -> None:
        """A clock ran on: what has turned amber, red or plain is painted again."""
        if not self.isVisible():
            return
        for stop in self._facts.armed():
            age = self._facts.price_age(stop.key.account, stop.key.instrument)
            shade = (age >= AMBER_SECONDS) + (age >= RED_SECONDS)
            if self._shades.get(stop.id, 0) != shade:
                self._shades[stop.id] = shade
                self._model.put(stop.id, self._row(stop))
                self._model.touch(stop.id)

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
        self._sum_soon()

    def _on_ticks(self, instruments: list[InstrumentId]) -> None:
        stops = self._facts.stops_in(instruments)
        if stops:
            self._model.stale(stops)
            self._sum_soon()

    def _on_known(self, instruments: list[InstrumentId]) -> None:
        self._on_ticks(instruments)
        self._model.touch_all()

    def _armed(self, key: Key | None) -> Stop | None:
        stop = self._facts.stops.get(StopId(key)) if isinstance(key, str) else None
        return stop if stop is not None and stop.state is StopState.ARMED and stop.id not in self._busy else None

    def _move(self, key: Key | None) -> None:
        stop = self._armed(key)
        if stop is not None:
            position = self._facts.positions.get(stop.key)
            if position is not None:
                self.strip.open_for(position)

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
            "&Disarm",
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
            action(self, "Chart", lambda: self._on_chosen(key), "chart"),
        )

    def _show_foot(self) -> None:
        armed = self._facts.armed()
        blind = self._facts.blind()
        risk = sum(at_risk(s, self._facts.last(s.key.instrument)) or 0 for s in armed)
        self._summing.pause = 0 if len(armed) <= _FEW else SUM_MS
        words = f"{len(armed)} armed" if armed else "none armed"
        if armed:
            words += f" · {fmt.amount(risk)} at risk"
        if blind:
            words += f" · {len(blind)} blind"
        self._sum.setText(words)
        theme.set_role(self._sum, "danger" if blind else "muted")
        current = self._armed(self.table.current) is not None
        self._move_button.setEnabled(current)
        self._disarm_button.setEnabled(current)
