"""Price alerts that the broker keeps: they tell on the phone too, and go on while this program is closed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from app.domain.alert import Alert, AlertFiring, AlertKind, AlertRequest, AlertStatus, Comparison
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Instrument, InstrumentKind
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.services import ServicePage, button, choice
from app.ui.models.facts import Facts
from app.ui.models.table import Column, Key, TableModel, Tone
from app.ui.views.table_view import TableView, action
from app.ui.views.words import symbol_of
from app.ui.widgets.instrument_search import InstrumentSearch
from app.ui.widgets.text import label

WORDS = {
    Comparison.AT_LEAST: "at or above",
    Comparison.AT_MOST: "at or below",
    Comparison.ABOVE: "above",
    Comparison.BELOW: "below",
    Comparison.EQUAL: "exactly",
}
_TONES = {AlertStatus.ENABLED: Tone.GOOD, AlertStatus.DISABLED: Tone.WARN, AlertStatus.DELETED: Tone.DIM}


def against(alert: Alert) -> str:
    """What the price is compared with."""
    if alert.amount is None:
        return symbol_of(alert.other or InstrumentId(""))
    return fmt.decimal(alert.amount, max(2, -int(alert.amount.as_tuple().exponent)))


COLUMNS: tuple[Column[Alert], ...] = (
    Column("name", "Name", lambda r: r.name, width=150, tip=lambda r: r.name),
    Column(
        "symbol",
        "Instrument",
        lambda r: r.instrument,
        shown=lambda r: symbol_of(r.instrument),
        tip=lambda r: str(r.instrument),
        whole=True,
        width=120,
    ),
    Column("when", "When its price is", lambda r: WORDS[r.comparison], whole=True, width=110),
    Column("level", "Level", against, number=True, width=90),
    Column("status", "Status", lambda r: str(r.status), whole=True, width=80, tone=lambda r: _TONES[r.status],
           tip=lambda r: r.disabled_because),
    Column("fired", "Fired", lambda r: r.fired, fmt.group, number=True, width=60, help="How often"),
    Column("kind", "Then", lambda r: "places orders" if r.kind is AlertKind.ORDERS else "tells", whole=True, width=100,
           tone=lambda r: Tone.WARN if r.kind is AlertKind.ORDERS else Tone.DIM),
    Column("made", "Made", lambda r: r.created_at, fmt.date_time, whole=True, width=140, tone=lambda _r: Tone.DIM,
           spare=1),
)  # fmt: skip

HISTORY: tuple[Column[AlertFiring], ...] = (
    Column("at", "Fired at", lambda r: r.at, fmt.date_time, whole=True, width=150),
    Column("condition", "Because", lambda r: r.condition, width=460, tip=lambda r: r.condition),
)


class AlertsPage(ServicePage):
    """The list, a line to make or change one, and when the selected one fired."""

    def __init__(self, bridge: Bridge, facts: Facts, parent: QWidget) -> None:
        super().__init__(
            bridge,
            facts,
            parent,
            name="alerts",
            title="Alerts",
            can=lambda able: able.alerts,
            lacks="No account that is logged in keeps alerts. Zerodha does: log in to one there.",
        )
        self._alerts: dict[str, Alert] = {}
        self._changing: Alert | None = None
        self._instrument: Instrument | None = None
        self._make_line(bridge)
        self._make_tables()
        self.bar.addWidget(button("&Read again", "alerts.read", self.look))
        self.bar.addWidget(self.progress)
        self.bar.addStretch(1)
        self.page.addLayout(self._line)
        self.page.addWidget(self.table, 3)
        self.page.addWidget(self.history, 2)
        self.resize(980, 560)
        self.fill_accounts()

    def _make_line(self, bridge: Bridge) -> None:
        self.name = QLineEdit()
        self.name.setObjectName("alerts.name")
        self.name.setAccessibleName("Name of the alert")
        self.name.setPlaceholderText("Name, as the broker will say it")
        self.search = InstrumentSearch(bridge, "alerts.instrument", "Instrument", keeps_text=True)
        self.search.picked.connect(self.pick)
        self.comparison = choice("alerts.comparison", "When", [(words, how) for how, words in WORDS.items()])
        self.level = QLineEdit()
        self.level.setObjectName("alerts.level")
        self.level.setAccessibleName("Price")
        self.level.setPlaceholderText("Price")
        self.level.setFixedWidth(110)
        self.level.returnPressed.connect(self.submit)
        self._go = button("&Make alert", "alerts.submit", self.submit, primary=True)
        self._back = button("&Leave as it is", "alerts.back", self.leave)
        self._back.hide()
        self._line = QHBoxLayout()
        self._line.addWidget(self.name, 2)
        self._line.addWidget(self.search, 2)
        for widget in (label("is", "muted"), self.comparison, self.level, self._go, self._back):
            self._line.addWidget(widget)

    def _make_tables(self) -> None:
        self._model: TableModel[Alert] = TableModel(COLUMNS, self)
        self.table = TableView(
            self._model, name="alerts.table", title="Alerts", empty="No alert is kept at the broker",
            hint="Type a name, pick an instrument and a price: the broker tells when it is reached, on your phone too.",
        )  # fmt: skip
        self.table.sortable()
        self.table.chosen.connect(self._show_history)
        self.table.activated_key.connect(self.change)
        self.table.key("E", lambda: self.change(self.table.current))
        self.table.key("Del", lambda: self.delete(self.table.selected))
        self.table.set_menu(self._menu)
        self._fired: TableModel[AlertFiring] = TableModel(HISTORY, self)
        self.history = TableView(
            self._fired, name="alerts.history", title="History", empty="Select an alert to see when it fired"
        )

    def show_busy(self) -> None:
        """Nothing is sent twice."""
        self._go.setEnabled(self.ready)
        for field in (self.name, self.search, self.level):
            field.setEnabled(self.account is not None)

    def account_changed(self) -> None:
        """Another account's list."""
        self._alerts = {}
        self._model.replace(())
        self._fired.replace(())
        self.leave()
        self.look()

    def pick(self, instrument: Instrument) -> None:
        """What to watch."""
        self._instrument = instrument
        self.level.setFocus()

    # -- what there is -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Asks the broker now."""
        account = self.account
        if account is not None:
            self.begin(lambda: self._look(account), "Reading alerts…")

    async def _look(self, account: AccountId) -> str:
        found = await self.bridge.call(self.bridge.desk.services.alerts(account))
        self._alerts = {alert.id: alert for alert in found}
        self._model.replace((alert.id, alert) for alert in found)
        if self.table.current in self._alerts:
            self._show_history(self.table.current)
        return ""

    def _show_history(self, key: Key) -> None:
        account = self.account
        if account is not None and str(key) in self._alerts:
            self.bridge.start(self._read_history(account, self._alerts[str(key)]), "alert history")

    async def _read_history(self, account: AccountId, alert: Alert) -> None:
        self.history.set_empty("Reading…")
        self._fired.replace(())
        found = await self.bridge.call(self.bridge.desk.services.alert_history(account, alert.id))
        if self.table.current == alert.id:
            self.history.set_empty(f'"{alert.name}" has not fired yet')
            self._fired.replace((number, firing) for number, firing in enumerate(found))

    # -- make, change, delete ----------------------------------------------------------------------------------------

    def submit(self) -> None:
        """Makes the alert, or changes the one that was opened."""
        request = self._request()
        if request is None or not self.ready:
            return
        old = self._changing

        async def send() -> str:
            services = self.bridge.desk.services
            if old is None:
                made = await self.bridge.call(services.create_alert(request))
            else:
                made = await self.bridge.call(services.change_alert(old, request))
            self.leave()
            await self._look(request.account)
            self.table.select(made.id)
            return ""

        self.begin(send, "Changing the alert…" if old is not None else "Making the alert…")

    def _request(self) -> AlertRequest | None:
        """What the line says; what is missing is said."""
        account, old = self.account, self._changing
        name = self._instrument.id if self._instrument is not None else self._watched(old)
        try:
            amount = fmt.parse(self.level.text())
        except ValueError:
            amount = Decimal(0)
        other = old.other if old is not None and old.amount is None else None
        missing = "a name" if not self.name.text().strip() else "an instrument" if name is None else ""
        missing = missing or ("a price above zero" if amount <= 0 and other is None else "")
        if account is None or name is None or missing:
            self.message.say(f"The alert needs {missing or 'an account'}.")
            return None
        how = Comparison(self.comparison.currentData())
        return AlertRequest(account, self.name.text(), name, how, amount if other is None else None, other)

    def _watched(self, alert: Alert | None) -> InstrumentId | None:
        """Of an alert that is changed, unless another instrument was picked. Indices have two names."""
        if alert is None:
            return None
        symbol = symbol_of(alert.instrument)
        known = [i for i in self.facts.instruments.values() if i.symbol == symbol and i.kind is InstrumentKind.INDEX]
        if not alert.instrument.startswith("INDICES:"):
            return alert.instrument
        return known[0].id if known else InstrumentId(f"{'BSE' if symbol == 'SENSEX' else 'NSE'}:{symbol}")

    def change(self, key: Key | None) -> None:
        """Opens an alert in the line."""
        alert = self._alerts.get(str(key))
        if alert is None:
            return
        if alert.kind is AlertKind.ORDERS:
            self.message.say("This alert places orders: change it at the broker's site, or delete it.")
            return
        self._changing, self._instrument = alert, None
        self.name.setText(alert.name)
        self.search.setText(symbol_of(alert.instrument))
        self.comparison.setCurrentIndex(self.comparison.findData(alert.comparison))
        self.level.setText("" if alert.amount is None else f"{alert.amount:f}")
        self._go.setText("&Change alert")
        self._back.show()
        self.level.setFocus()
        self.level.selectAll()

    def leave(self) -> None:
        """The line makes new ones again."""
        self._changing = self._instrument = None
        for field in (self.name, self.search, self.level):
            field.clear()
        self._go.setText("&Make alert")
        self._back.hide()

    def delete(self, keys: Sequence[Key]) -> None:
        """Takes alerts back."""
        account = self.account
        chosen = [self._alerts[str(key)].id for key in keys if str(key) in self._alerts]
        if account is None or not chosen:
            return

        async def send() -> str:
            await self.bridge.call(self.bridge.desk.services.delete_alerts(account, chosen))
            self._fired.replace(())
            await self._look(account)
            return ""

        self.begin(send, "Deleting…")

    def _menu(self, key: Key) -> Sequence[QAction]:
        return (
            action(self, "Change\tE", lambda: self.change(key), "edit"),
            action(self, "Delete\tDel", lambda: self.delete(self.table.selected or [key]), "cancel"),
        )
