"""The main window: puts the views together, owns the commands, says what the trader must hear."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDialog, QHBoxLayout, QMainWindow, QMenuBar, QVBoxLayout, QWidget

from app.domain.guard import AwayKind, AwayReport, Farewell, Fate
from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument
from app.domain.order import Side
from app.ui import theme
from app.ui.actions import Actions
from app.ui.bridge import Bridge
from app.ui.dialogs.preflight import show_preflight
from app.ui.models.day import DayResult
from app.ui.models.facts import Facts
from app.ui.shell.accounts import AccountKeeper
from app.ui.shell.alarms import Alarms
from app.ui.shell.banners import Banners, Toasts
from app.ui.shell.commands import declare
from app.ui.shell.docks import BOTTOM, LEFT, RIGHT, Docks, Layout, Place, default_size
from app.ui.shell.leaving import Leaving
from app.ui.shell.lock import ScreenLock
from app.ui.shell.preflight_strip import NAME as PREFLIGHT
from app.ui.shell.preflight_strip import PreflightStrip
from app.ui.shell.status_bar import StatusBar, mode_of
from app.ui.theme import DARK
from app.ui.views.accounts import AccountsPanel
from app.ui.views.audit import AuditPanel
from app.ui.views.chart import ChartView
from app.ui.views.flights import FlightsPanel
from app.ui.views.gtts import GttsPanel
from app.ui.views.holdings import HoldingsPanel
from app.ui.views.notices import NoticeList, NoticesPanel
from app.ui.views.order_ticket import OrderTicket
from app.ui.views.orders import OrdersPanel
from app.ui.views.pnl import PnlView
from app.ui.views.positions import PositionsPanel
from app.ui.views.recovery import RecoveryPanel, sentence
from app.ui.views.stops import StopsPanel
from app.ui.views.strategies import StrategiesPanel
from app.ui.views.sync_status import SyncPanel
from app.ui.views.trade_book import TradeBookPanel
from app.ui.views.watchlist import WatchlistPanel
from app.ui.widgets.text import caption, label
from app.ui.widgets.tint import Tint

CHART_PAUSE_MS = 200
"""Between two charts: each asks the broker for history, and the broker counts."""


class MainWindow(QMainWindow):
    """Everything after the unlock. GUI thread; made by the application once the vault is open."""

    leave = Signal()
    """The trader closed the window and, where stops are armed, confirmed it."""

    def __init__(self, bridge: Bridge, profile: Path, *, paper: bool) -> None:
        super().__init__()
        self._bridge = bridge
        self._leaving = False
        self._chart_shows: InstrumentId | None = None
        self._chart_asked: InstrumentId | None = None
        self._chart_pause = QTimer(self)
        self._chart_pause.setSingleShot(True)
        self._chart_pause.setInterval(CHART_PAUSE_MS)
        self._chart_pause.timeout.connect(self._open_chart)
        self._chart_picked = False
        """The chart's instrument was chosen: by the trader, the day before, or because it is held."""
        self.setObjectName("main")
        self.setWindowTitle("Stopline")
        screen = self.screen()
        self.resize(default_size(screen.availableSize()))
        self.facts = Facts(bridge)
        self.notices = NoticeList(bridge, self.facts)
        self.watchlist = WatchlistPanel(bridge, self.facts)
        self.ticket = OrderTicket(bridge, self.facts)
        self.positions = PositionsPanel(bridge, self.facts)
        self.orders = OrdersPanel(bridge, self.facts)
        self.stops = StopsPanel(bridge, self.facts)
        self.gtts = GttsPanel(bridge, self.facts)
        self.strategies = StrategiesPanel(bridge, self.facts)
        self.holdings = HoldingsPanel(bridge, self.facts)
        self.trades = TradeBookPanel(bridge, self.facts)
        self.sync = SyncPanel(bridge, self.facts)
        self.audit = AuditPanel(bridge, self.facts)
        self.notices_panel = NoticesPanel(bridge, self.notices)
        self.pnl = PnlView(bridge)
        self.chart = ChartView(bridge)
        self.day = DayResult(bridge)
        self.recovery = RecoveryPanel(bridge, self.facts)
        self.flights = FlightsPanel(bridge, self.facts)
        self.accounts_panel = AccountsPanel(bridge, self.facts)
        self.banners = Banners()
        self.toasts = Toasts(self)
        self.accounts = AccountKeeper(bridge, self.facts, self.banners, self, self.open_dialog, open_paper_login=paper)
        self.leaving = Leaving(self, self.facts, self.open_dialog)
        self.leaving.running = self.strategies.kept.running
        self.leaving.on_return = self.come_forward
        self.lock = ScreenLock(bridge, self.facts, self)
        self._alarms = Alarms(
            bridge,
            self.facts,
            self.banners,
            self.toasts,
            lambda: self.accounts.said,
            lambda title, text: self.leaving.call_back(*self.lock.on_alarm(title, text)),
            lambda title, text: self.leaving.mention(title, text) if self.lock.shown is None else None,
        )
        self._build_centre()
        self._placed = self._places()
        self.docks = Docks(self, self._placed)
        self.bar = StatusBar(self.facts)
        self.setStatusBar(self.bar)
        self.actions_ = Actions(self)
        declare(self)
        self._build_menus()
        self._layout = Layout(profile / "window.ini", self, self.docks)
        self._layout.restore()
        self._connect()

    @property
    def bridge(self) -> Bridge:
        """For dialogs that a command opens."""
        return self._bridge

    async def load(self) -> None:
        """Fills the views; the window is on the screen already."""
        shown = InstrumentId(self._layout.text("chart"))
        if shown:
            self.show_chart(shown)
        await self.facts.load()
        await self.watchlist.load(self._chart_shows)
        await self.sync.load()
        await self.notices_panel.load()
        await self.strategies.load()
        self.orders.refresh()
        self.accounts.start()
        self.day.start()
        self.lock.after((await self._bridge.call(self._bridge.desk.guard.view())).settings.lock_minutes)

    def put_away(self) -> None:
        """Before it is deleted: the layout is kept, timers end, nothing of the browser stays."""
        if self._chart_shows is not None:
            self._layout.set_text("chart", self._chart_shows)
        self._layout.save()
        self._chart_pause.stop()
        self.chart.dispose()
        self.bar.stop()
        self.day.stop()
        for view in (self.stops, self.positions, self.watchlist):
            view.put_away()
        self.toasts.clear()
        self.leaving.end()
        self.lock.stop()
        self.accounts.close()

    # What the trader does

    def show_chart(self, instrument: InstrumentId) -> None:
        """The chart follows what is selected anywhere."""
        self._chart_picked = True
        if instrument == self._chart_shows:
            return
        self._chart_shows = instrument
        resting = self._chart_pause.isActive()
        self._chart_pause.start()  # who walks down a list with the arrows sees the chart of where they stop
        if not resting:
            self._open_chart()

    def _open_chart(self) -> None:
        shown = self._chart_shows
        if shown is not None and shown != self._chart_asked:
            self._chart_asked = shown
            self._bridge.start(self._show_chart(shown), "show chart")

    def _offer_chart(self, instrument: InstrumentId) -> None:
        """A first chart by itself, until something is picked or held."""
        if not self._chart_picked:
            self.show_chart(instrument)
            self._chart_picked = False

    def _show_something(self) -> None:
        """A chart that nobody picked shows the first open position: that is what there is to guard."""
        held = sorted(p.key.instrument for p in self.facts.open_positions())
        if held and not self._chart_picked:
            self.show_chart(held[0])

    async def _show_chart(self, instrument: InstrumentId) -> None:
        self.chart.show_instrument(await self._bridge.call(self._bridge.desk.market.instrument(instrument)))

    def open_ticket(self, instrument: Instrument, side: Side, price: int | None = None) -> None:
        """B and S, from wherever they were pressed."""
        self.docks["ticket"].show()
        self.docks["ticket"].raise_()
        self.ticket.open_for(instrument, side, price)

    def _on_order_requested(self, side: Side, price: int | None) -> None:
        instrument = self.chart.instrument
        if instrument is not None:
            self.open_ticket(instrument, side, price)

    def open_ticket_of_chart(self, side: Side) -> None:
        """The ticket for what the chart shows."""
        instrument = self.chart.instrument
        if instrument is not None and instrument.tradable:
            self.open_ticket(instrument, side)
        else:
            self.docks.bring("ticket")

    def reset_layout(self) -> None:
        """Docks as on the first day."""
        self.docks.arrange()

    def view_keys(self) -> list[tuple[str, str, str]]:
        """(name, title with mnemonic, key) of every dock, for menu and key map."""
        return [(place.name, caption(place.title), place.shortcut) for place in self._placed]

    def open_dialog(self, dialog: QDialog) -> None:
        """Shows a dialog, and takes the keyboard back when it is gone: a desk without window manager does not."""
        dialog.finished.connect(self.activateWindow)
        dialog.open()

    # Building

    def _build_centre(self) -> None:
        centre = QWidget()
        layout = QVBoxLayout(centre)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.banners)
        layout.addWidget(self.chart, 1)
        self.setCentralWidget(centre)

    def _places(self) -> list[Place]:
        return [
            Place("watchlist", "Watchlist", LEFT, "watch", self.watchlist, "Ctrl+1"),
            Place("ticket", "Order ticket", RIGHT, "ticket", self.ticket, "Ctrl+2"),
            Place("positions", "Positions", BOTTOM, "tables", self.positions, "Ctrl+3"),
            Place("orders", "Orders", BOTTOM, "tables", self.orders, "Ctrl+4"),
            Place("gtts", "Triggers", BOTTOM, "tables", self.gtts, "Ctrl+T"),
            Place("strategies", "Strategies", BOTTOM, "tables", self.strategies, "Ctrl+Shift+S"),
            Place("trades", "Trades", BOTTOM, "tables", self.trades, "Ctrl+6"),
            Place("pnl", "P&L", BOTTOM, "tables", self.pnl, "Ctrl+0"),
            Place("holdings", "Holdings", BOTTOM, "tables", self.holdings, "Ctrl+7"),
            Place("sync", "Sync", BOTTOM, "tables", self.sync, "Ctrl+8"),
            Place("accounts", "Accounts", BOTTOM, "tables", self.accounts_panel, "Ctrl+Alt+A"),
            Place("notices", "Notices", BOTTOM, "tables", self.notices_panel, "Ctrl+9"),
            Place("audit", "Audit", BOTTOM, "tables", self.audit, "Ctrl+U"),
            Place("recovery", "Recovery", BOTTOM, "tables", self.recovery, "Ctrl+Y"),
            Place("flights", "Exits", BOTTOM, "tables", self.flights, "Ctrl+E"),
            Place("stops", "Stops", BOTTOM, "guard", self.stops, "Ctrl+5"),
        ]

    def _build_menus(self) -> None:
        bar = QMenuBar()
        bar.setObjectName("menu")
        for group, commands in self.actions_.groups().items():
            shown = [c for c in commands if not c.where]
            if not shown:
                continue
            menu = bar.addMenu(group)
            for command in shown:
                menu.addAction(self.actions_.action(command.id))
            if group == "&Accounts":
                menu.addSeparator()
                self.accounts.fill(menu)
        self._badge = label("", "badge", name="mode.badge")
        top = QWidget()
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 12, 0)
        line.addWidget(bar)
        line.addStretch(1)
        line.addWidget(self._badge, 0, Qt.AlignmentFlag.AlignVCenter)
        theme.set_role(top, "menubar")
        top.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._tint = Tint()
        layout = QVBoxLayout(top)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(line)
        layout.addWidget(self._tint)
        self.setMenuWidget(top)

    def _connect(self) -> None:
        tables = (self.watchlist, self.positions, self.stops, self.orders, self.gtts, self.trades, self.holdings)
        for view in (*tables, self.strategies):
            view.chart_asked.connect(self.show_chart)
        self.watchlist.chart_offered.connect(self._offer_chart)
        self.watchlist.ticket_asked.connect(self.open_ticket)
        self.positions.ticket_asked.connect(self.open_ticket)
        self.chart.instrument_shown.connect(self.ticket.follow)
        self.chart.order_requested.connect(self._on_order_requested)
        self.sync.last_sync.connect(self.bar.set_last_sync)
        self.day.changed.connect(self.bar.set_day)
        self.notices.added.connect(self._alarms.show)
        self.docks["notices"].visibilityChanged.connect(self.notices_panel.set_in_sight)
        for news in (self.notices.added, self.notices.changed):
            news.connect(lambda *_: self.docks.count("notices", self.notices.unread))
        PreflightStrip(self.bridge, self.banners, self.facts.named, self.open_preflight)
        self.recovery.told.connect(self._on_returned)
        self.flights.chart_asked.connect(self.show_chart)
        self.stops.exit_asked.connect(self.flights.show_stop)
        self.stops.exit_asked.connect(lambda _stop: self.docks.bring("flights"))
        self._connect_accounts()
        self.leaving.decided.connect(self._leave)
        self.facts.accounts_changed.connect(self._show_mode)
        self.facts.positions_changed.connect(self._show_something)
        self._show_mode()

    def _connect_accounts(self) -> None:
        panel = self.accounts_panel
        panel.connect_asked.connect(self.accounts.connect_account)
        panel.login_asked.connect(self.accounts.log_in)
        panel.pause_asked.connect(self.accounts.pause)
        panel.resume_asked.connect(self.accounts.go_on)
        panel.sync_asked.connect(self.accounts.sync)
        panel.disconnect_asked.connect(self.accounts.ask_disconnect)

    def open_preflight(self) -> None:
        """What stands before the market opens."""
        self.banners.drop(PREFLIGHT)
        show_preflight(self.bridge, self, self.accounts.log_in, self.facts.named)

    def _on_returned(self, report: AwayReport) -> None:
        """What happened meanwhile is said at once, the whole on its page. Where nothing was guarded a moment's sleep or
        silence is on the page alone: nothing could be missed."""
        passing = report.absence.kind in (AwayKind.SLEEP, AwayKind.FEED)
        guarded = [stop for stop in self.facts.armed() if report.absence.account in (None, stop.key.account)]
        if passing and not report.lines and not guarded:
            return
        fates = {line.fate for line in report.lines}
        grave, left = fates & {Fate.HIT, Fate.CLOSED, Fate.SKIPPED}, Fate.LEFT in fates
        self.banners.show_banner(
            "returned",
            sentence(report),
            role="strip-danger" if grave else "strip-warning" if left else "strip",
            button="See what happened",
            do=self._show_recovery,
            dismissable=True,
        )

    def _show_recovery(self) -> None:
        self.banners.drop("returned")
        self.docks.bring("recovery")

    def _show_mode(self) -> None:
        words, role, why = mode_of(list(self.facts.accounts.values()))
        self._badge.setText(words)
        self._badge.setVisible(bool(words))
        self._badge.setToolTip(why)
        theme.set_role(self._badge, role)
        self._tint.set_color({"live": DARK.live, "paper": DARK.paper}.get(role, DARK.hairline))
        self.setWindowTitle(f"Stopline · {words}" if words else "Stopline")

    # Leaving

    def closeEvent(self, event: QCloseEvent) -> None:
        """Qt. Asked where stops are armed; leaving goes on when the trader agrees."""
        event.ignore()
        if not self._leaving:
            self.leaving.ask()

    def come_forward(self) -> None:
        """From the tray, from behind, from small."""
        if self.lock.shown is not None:
            self.lock.shown.come_forward()
        else:
            self.leaving.come_back()

    def _leave(self, how: Farewell) -> None:
        self._leaving = True
        self.setWindowTitle("Stopline · closing…")
        self._bridge.start(self._part(how), "leave")

    async def _part(self, how: Farewell) -> None:
        try:
            await self._bridge.call(self._bridge.desk.guard.leave(how))
        finally:
            self.leave.emit()
