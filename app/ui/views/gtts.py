"""Triggers that rest at the broker (GTT): what waits, what fired, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction, QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError, OutcomeUnknown
from app.domain.events import GttsChanged, SessionChanged
from app.domain.gtt import Gtt, GttKind, GttLeg, GttStatus
from app.domain.ids import AccountId, GttId
from app.domain.instrument import Instrument
from app.domain.order import OrderKind
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone, account_column
from app.ui.views.buttons import ButtonDelegate
from app.ui.views.gtt_strip import GttStrip
from app.ui.views.table_view import TableView, action
from app.ui.views.words import price_of, quantity_of, side_tone, symbol_of
from app.ui.widgets.text import Message, label

_LOOK_MS = 30_000
"""While the list is on the screen: nobody tells when a trigger fires."""

GttKey = tuple[AccountId, GttId]


@dataclass(frozen=True, slots=True)
class GttRow:
    """One trigger as the table shows it."""

    gtt: Gtt
    instrument: Instrument | None
    busy: bool
    account: str
    """What a trader calls the account."""

    @property
    def can_change(self) -> bool:
        """It waits, and no request of ours about it is under way."""
        return self.gtt.status.can_change and not self.busy

    @property
    def status(self) -> str:
        """In the words of what it means for the trader."""
        if self.gtt.failed:
            return "triggered, no order"
        if self.can_exit:
            return "entered, exits wait"
        return str(self.gtt.status)

    @property
    def can_exit(self) -> bool:
        """A bracket that is in: a target or a stop waits."""
        return self.gtt.entered and self.gtt.status.can_change

    @property
    def refusal(self) -> str:
        """The broker's words about what went wrong."""
        return self.gtt.refusal or next((r.refusal for r in self.gtt.results if r is not None and r.refusal), "")


def _tone(row: GttRow) -> Tone:
    if row.gtt.failed or row.gtt.status is GttStatus.REJECTED:
        return Tone.ALARM
    return {GttStatus.ACTIVE: Tone.WARN, GttStatus.TRIGGERED: Tone.GOOD}.get(row.gtt.status, Tone.DIM)


def _triggers(row: GttRow) -> str:
    shown = [_trigger(row, leg) for leg in row.gtt.legs]
    if row.gtt.kind is GttKind.BRACKET:
        return f"{shown[0]} → {' / '.join(shown[1:])}"
    return " / ".join(shown)


def _trigger(row: GttRow, leg: GttLeg) -> str:
    if leg.at_once:
        return "at once"
    trails = f" ↑{price_of(row.instrument, leg.gap, row.gtt.price_scale)}" if leg.gap else ""
    return price_of(row.instrument, leg.trigger, row.gtt.price_scale) + trails


def _limits(row: GttRow) -> str:
    if all(leg.kind is OrderKind.MARKET for leg in row.gtt.legs):
        return "market"
    return " / ".join(price_of(row.instrument, leg.price, row.gtt.price_scale) for leg in row.gtt.legs)


COLUMNS: tuple[Column[GttRow], ...] = (
    Column(
        "symbol",
        "Instrument",
        lambda r: r.gtt.instrument,
        shown=lambda r: symbol_of(r.gtt.instrument),
        tip=lambda r: f"{r.gtt.instrument} · {r.account} · trigger {r.gtt.id}",
        whole=True,
        width=120,
    ),
    account_column(),
    Column("side", "Side", lambda r: r.gtt.legs[0].side, tone=lambda r: side_tone(r.gtt.legs[0].side), width=54),
    Column(
        "quantity",
        "Qty",
        lambda r: r.gtt.legs[0].quantity,
        shown=lambda r: quantity_of(r.instrument, r.gtt.legs[0].quantity),
        number=True,
        width=56,
    ),
    Column(
        "trigger",
        "Trigger",
        lambda r: tuple(leg.trigger for leg in r.gtt.legs),
        shown=_triggers,
        number=True,
        width=190,
        help="The price that fires it; of two, the one that comes first ends the other. "
        "Behind an arrow: the exits that wait for the entry's fill, ↑ the distance at which a stop trails",
    ),
    Column(
        "price",
        "Limit",
        lambda r: tuple(leg.price for leg in r.gtt.legs),
        shown=_limits,
        number=True,
        width=130,
        help="Worst price accepted, of the order that is sent then; market: with the broker's protection",
        spare=1,
    ),
    Column("status", "Status", lambda r: r.status, tone=_tone, tip=lambda r: r.refusal, whole=True, width=80),
    Column("delete", "", lambda r: "Delete" if r.can_change else "", width=72, tip=lambda _r: "Take it back (Del)"),
    Column("product", "Product", lambda r: r.gtt.legs[0].product, tone=lambda _r: Tone.DIM, width=62, spare=2),
    Column(
        "expires",
        "Until",
        lambda r: r.gtt.expires_at,
        fmt.day_of,
        tone=lambda _r: Tone.DIM,
        width=92,
        spare=3,
        help="It waits at the broker for up to a year, also while Stopline is closed",
    ),
    Column("words", "Broker says", lambda r: r.refusal, tone=lambda _r: Tone.DIM, width=180, spare=4),
)


class GttsPanel(QWidget):
    """Triggers of all accounts, newest first. Read when it is shown, and again every half minute."""

    chart_asked = Signal(object)

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._gtts: dict[GttKey, Gtt] = {}
        self._busy: set[GttKey] = set()
        self._model: TableModel[GttRow] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model,
            name="gtts.table",
            title="Triggers",
            empty="Triggers were not read yet",
            hint='In the order ticket, choose "At a trigger", "Stop and target" or "Entry, then exits".',
        )
        self.table.sortable()
        delete = ButtonDelegate(self.table)
        delete.clicked.connect(self.delete)
        self.table.setItemDelegateForColumn(self._model.column("delete"), delete)
        self.table.set_menu(self._menu)
        self.table.key("Del", lambda: self.delete(self.table.current))
        self.table.key("E", lambda: self.modify(self.table.current))
        self.table.activated_key.connect(self.modify)
        self.strip = GttStrip(bridge, facts)
        self.message = Message(name="gtts.message")
        self._look_button = QPushButton("&Read again")
        self._look_button.setObjectName("gtts.read")
        self._look_button.clicked.connect(self.look)
        self._sum = label("", "muted", name="gtts.summary")
        foot = QWidget()
        foot_layout = QHBoxLayout(foot)
        foot_layout.setContentsMargins(8, 4, 12, 4)
        foot_layout.addWidget(self._look_button)
        foot_layout.addStretch(1)
        foot_layout.addWidget(self._sum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.strip)
        layout.addWidget(foot)
        self._again = QTimer(self)
        self._again.setInterval(_LOOK_MS)
        self._again.timeout.connect(self._look_if_seen)
        bridge.subscribe(GttsChanged, self._on_changed)
        bridge.subscribe(SessionChanged, lambda _event: self._look_if_seen())
        facts.instruments_known.connect(lambda _ids: self._refresh())
        facts.accounts_changed.connect(self._refresh)
        self.table.want_with_several(facts, "account")
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Qt."""
        super().showEvent(event)
        self._again.start()
        self._look_if_seen()

    def hideEvent(self, event: QHideEvent) -> None:
        """Qt. Out of sight it asks nothing."""
        super().hideEvent(event)
        self._again.stop()

    def look(self) -> None:
        """Asks the brokers now. What could not be read is said, and what is shown stays."""
        self._bridge.start(self._look(), "read triggers")

    def _look_if_seen(self) -> None:
        if self.isVisible() and self._facts.logged_in():
            self.look()

    async def _look(self) -> None:
        try:
            await self._bridge.call(self._bridge.desk.gtts.gtts())
        except AppError as failure:
            self.message.say(f"Triggers could not be read; the last known ones are shown. {failure}", "strip-warning")
        else:
            self.message.clear()
            self.table.set_empty("No trigger rests at the broker")

    def delete(self, key: Key | None) -> None:
        """Takes a trigger back. The row says what the broker says."""
        gtt = self._changeable(key)
        if gtt is not None:
            self._set_busy(gtt, busy=True)
            self._bridge.start(self._delete(gtt), "delete trigger")

    async def _delete(self, gtt: Gtt) -> None:
        self.message.clear()
        try:
            await self._bridge.call(self._bridge.desk.gtts.delete(gtt.account, gtt.id))
        except OutcomeUnknown as unknown:
            self.message.say(f"Not known yet whether the trigger was deleted. {unknown}", "strip-danger")
        except AppError as failure:
            self.message.say(f"The trigger was not deleted: {failure}", "strip-danger")
        finally:
            self._set_busy(gtt, busy=False)

    def modify(self, key: Key | None) -> None:
        """Opens the line for new prices or another quantity."""
        gtt = self._changeable(key)
        if gtt is not None:
            self.strip.open_for(gtt)

    def _changeable(self, key: Key | None) -> Gtt | None:
        gtt = self._gtts.get(key) if isinstance(key, tuple) else None
        return gtt if gtt is not None and self._row(gtt).can_change else None

    def _set_busy(self, gtt: Gtt, *, busy: bool) -> None:
        (self._busy.add if busy else self._busy.discard)((gtt.account, gtt.id))
        self._refresh()

    def _on_changed(self, event: GttsChanged) -> None:
        self._gtts = {key: gtt for key, gtt in self._gtts.items() if key[0] != event.account}
        self._gtts |= {(gtt.account, gtt.id): gtt for gtt in event.gtts}
        self._bridge.start(self._facts.need([gtt.instrument for gtt in event.gtts]), "learn instruments")
        self._refresh()

    def _row(self, gtt: Gtt) -> GttRow:
        return GttRow(
            gtt,
            self._facts.instruments.get(gtt.instrument),
            (gtt.account, gtt.id) in self._busy,
            self._facts.account_name(gtt.account),
        )

    def _refresh(self) -> None:
        listed = sorted(self._gtts.values(), key=lambda gtt: gtt.created_at, reverse=True)
        self._model.replace(((gtt.account, gtt.id), self._row(gtt)) for gtt in listed)
        self._model.touch_all()
        waiting = sum(gtt.status is GttStatus.ACTIVE for gtt in listed)
        failed = sum(gtt.failed for gtt in listed)
        self._sum.setText(f"{waiting} waiting" + (f" · {failed} fired for nothing" if failed else ""))

    def _menu(self, key: Key) -> Sequence[QAction]:
        gtt = self._gtts.get(key) if isinstance(key, tuple) else None
        can = self._changeable(key) is not None
        return (
            action(self, "Change\tE", lambda: self.modify(key), "edit", enabled=can),
            action(self, "Delete\tDel", lambda: self.delete(key), "cancel", enabled=can),
            action(self, "Chart", lambda: self.chart_asked.emit(gtt.instrument if gtt else None), "chart"),
        )
