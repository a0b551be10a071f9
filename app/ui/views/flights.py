"""The flight recorder: every exit with its times and what it cost, and the chosen one step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QShowEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QScrollArea, QSplitter, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.events import SessionChanged
from app.domain.flight import SLOW_US, Flight, FlightRecorded
from app.domain.ids import StopId
from app.domain.instrument import Instrument
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.frame import SUM_MS, NextFrame
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone, account_column
from app.ui.views.table_view import TableView, action
from app.ui.views.words import price_of, quantity_of, side_tone, symbol_of
from app.ui.widgets.text import Message, label
from app.ui.widgets.waterfall import Waterfall, duration


@dataclass(frozen=True, slots=True)
class FlightRow:
    """One exit as the table shows it."""

    flight: Flight
    instrument: Instrument | None
    account: str
    """What a trader calls the account."""


def _cost(row: FlightRow) -> str:
    lost = row.flight.slippage
    return "–" if lost is None else fmt.amount(lost, signed=True)


def _cost_tone(row: FlightRow) -> Tone:
    lost = row.flight.slippage
    return Tone.DIM if not lost else Tone.DOWN if lost > 0 else Tone.GOOD


def _times(us: int | None) -> str:
    return "–" if us is None else duration(us)


COLUMNS: tuple[Column[FlightRow], ...] = (
    Column("when", "Fired", lambda r: r.flight.fired_at, fmt.date_time, whole=True, width=158),
    Column("symbol", "Instrument", lambda r: r.flight.instrument, shown=lambda r: symbol_of(r.flight.instrument),
           tip=lambda r: f"{r.flight.instrument} · {r.account} · stop {r.flight.stop}", whole=True, width=130),
    account_column(),
    Column("side", "Side", lambda r: r.flight.side, tone=lambda r: side_tone(r.flight.side), width=54, spare=1),
    Column("filled", "Qty", lambda r: r.flight.filled, shown=lambda r: quantity_of(r.instrument, r.flight.filled),
           number=True, width=60),
    Column("level", "Level", lambda r: r.flight.level,
           shown=lambda r: price_of(r.instrument, r.flight.level, r.flight.price_scale), number=True, width=86,
           spare=2),
    Column("slippage", "Slippage ₹", lambda r: r.flight.slippage or 0, shown=_cost, number=True, tone=_cost_tone,
           width=92, help="What the fills lost against the level; below nought they gained"),
    Column("engine", "To the wire", lambda r: r.flight.engine_us or 0, shown=lambda r: _times(r.flight.engine_us),
           number=True, width=86, help="From the socket with the price to the last byte of the exit",
           tone=lambda r: Tone.WARN if (r.flight.engine_us or 0) > SLOW_US else Tone.PLAIN),
    Column("answer", "Answered", lambda r: r.flight.answered_us or 0, shown=lambda r: _times(r.flight.answered_us),
           number=True, width=86, help="From the last byte to the broker's answer", spare=4),
    Column("why", "Why", lambda r: r.flight.why, tone=lambda _r: Tone.DIM, width=80, spare=5),
    Column("cause", "Slow because", lambda r: r.flight.cause, tip=lambda r: r.flight.cause, tone=lambda _r: Tone.WARN,
           width=180, spare=3),
)  # fmt: skip


class FlightsPanel(QWidget):
    """The newest exit first. Read when it is shown; what is recorded meanwhile comes by itself."""

    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._flights: dict[StopId, Flight] = {}
        self._wanted: StopId | None = None
        self._model: TableModel[FlightRow] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="flights.table",
            title="Flight recorder",
            empty="No exit was recorded yet",
            hint="When a stop fires, every step of its exit is written down here.",
        )
        self.table.sortable()
        self.table.chosen.connect(self._choose)
        self.table.set_menu(self._menu)
        self.waterfall = Waterfall()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.waterfall)
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.table)
        split.addWidget(scroll)
        split.setSizes([160, 220])
        self.message = Message(name="flights.message")
        self._sum = label("", "muted", name="flights.summary")
        export = QPushButton("&Export…")
        export.setObjectName("flights.export")
        export.setToolTip("Every recorded exit as JSON")
        export.clicked.connect(lambda: self._ask_export(()))
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 4, 12, 4)
        foot.addWidget(export)
        foot.addStretch(1)
        foot.addWidget(self._sum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.message)
        layout.addWidget(split, 1)
        layout.addLayout(foot)
        self._showing = NextFrame(self, self._refresh, SUM_MS)
        bridge.subscribe(FlightRecorded, lambda event: self._take((event.flight,)))
        bridge.subscribe(SessionChanged, lambda _event: self._read_if_seen())
        facts.instruments_known.connect(self._on_known)
        self.table.want_with_several(facts, "account")

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        self._read()

    def show_stop(self, stop: StopId) -> None:
        """The exit of one stop, from the list of stops."""
        self._wanted = stop
        if stop in self._flights:
            self._pick(stop)
        else:
            self._read()

    def export_to(self, path: Path, stops: Sequence[StopId] = ()) -> None:
        """These exits, or all, as JSON."""
        self._bridge.start(self._export(path, stops), "export exits")

    def _read_if_seen(self) -> None:
        if self.isVisible():
            self._read()

    def _read(self) -> None:
        self._bridge.start(self._load(), "read exits")

    async def _load(self) -> None:
        try:
            found = await self._bridge.call(self._bridge.desk.flights.recent())
        except AppError as failure:
            self.message.say(f"The recorded exits could not be read. {failure}", "strip-warning")
        else:
            self._take(found)

    def _refresh_if_seen(self) -> None:
        """Exits of one moment are shown together, and none behind another tab: to show it reads them anyway."""
        if self.isVisible():
            self._showing.ask()

    def _on_known(self, _instruments: object) -> None:
        if self.isVisible():
            self._refresh()
            self._model.touch_all()

    def _take(self, found: Sequence[Flight]) -> None:
        self._flights |= {flight.stop: flight for flight in found}
        self._bridge.start(self._facts.need([flight.instrument for flight in found]), "learn instruments")
        wanted = self._wanted
        if wanted is not None and wanted in self._flights:
            self._refresh()
            self._pick(wanted)
        else:
            self._refresh_if_seen()

    def _refresh(self) -> None:
        self._showing.stop()
        instruments, name = self._facts.instruments, self._facts.account_name
        listed = sorted(self._flights.values(), key=lambda flight: flight.fired_at, reverse=True)
        self._model.replace(
            (flight.stop, FlightRow(flight, instruments.get(flight.instrument), name(flight.account)))
            for flight in listed
        )
        shown = self.waterfall.flight
        if shown is not None and shown.stop in self._flights:
            self.waterfall.show_flight(self._flights[shown.stop])
        elif listed:
            self._pick(listed[0].stop)
        slow = sum((flight.engine_us or 0) > SLOW_US for flight in listed)
        lost = sum(flight.slippage or 0 for flight in listed)
        told = f"{len(listed)} exit{'' if len(listed) == 1 else 's'} · slippage {fmt.amount(lost, signed=True)}"
        self._sum.setText(told + (f" · {slow} slow" if slow else "") if listed else "")

    def _pick(self, stop: StopId) -> None:
        self._wanted = None
        self.table.select(stop)
        self._choose(stop)

    def _choose(self, key: Key | None) -> None:
        self.waterfall.show_flight(self._flights.get(StopId(str(key))) if key is not None else None)

    def _ask_export(self, stops: Sequence[StopId]) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Exits as JSON", "exits.json", "JSON (*.json)")
        if path:
            self.export_to(Path(path), stops)

    async def _export(self, path: Path, stops: Sequence[StopId]) -> None:
        try:
            count = await self._bridge.call(self._bridge.desk.flights.export(path, stops))
        except AppError as failure:
            self.message.say(f"Nothing was exported. {failure}", "strip-danger")
        else:
            told = "1 exit was" if count == 1 else f"{count} exits were"
            self.message.say(f"{told} written to {path.name}.", "strip")

    def _menu(self, key: Key) -> Sequence[QAction]:
        flight = self._flights.get(StopId(str(key)))
        if flight is None:
            return ()
        return (
            action(self, "Export this exit…", lambda: self._ask_export((flight.stop,))),
            action(self, "Chart", lambda: self.chart_asked.emit(flight.instrument), "chart"),
        )
