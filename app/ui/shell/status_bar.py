"""At a glance: brokers, feed age, the engine's pulse, last sync, the day's net, PAPER or LIVE."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QStatusBar, QWidget

from app.desk.messages import AccountView
from app.domain.events import EngineBeat, FeedChanged, FeedState, SessionState
from app.domain.ids import AccountId, Nanos
from app.domain.money import Paise
from app.ui import format as fmt
from app.ui import theme
from app.ui.models.facts import Facts
from app.ui.models.table import plain_tip
from app.ui.theme import DARK
from app.ui.widgets.text import label

AMBER_MS, RED_MS = 2_000, 5_000
"""Age of the newest price at which the colour changes (E2)."""

BEAT_LATE_S = 2.5
"""The engine beats once a second; a beat this late means that it does not live, whatever it last said."""

_TICK_MS = 250


class Dot(QWidget):
    """A round light. `pulse` makes it flare once."""

    def __init__(self, color: str = DARK.faint) -> None:
        super().__init__()
        self._color = color
        self._bright = False
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(200)
        self._rest.timeout.connect(self._calm)
        self.setFixedSize(QSize(12, 12))

    def set_color(self, color: str) -> None:
        """One of the palette's."""
        if color != self._color:
            self._color = color
            self.update()

    def pulse(self) -> None:
        """A heartbeat."""
        self._bright = True
        self._rest.start()
        self.update()

    def _calm(self) -> None:
        self._bright = False
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Qt."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._color))
        radius = 5 if self._bright else 3.5
        painter.drawEllipse(QPointF(self.width() / 2, self.height() / 2), radius, radius)
        painter.end()


class Item(QWidget):
    """A light and a word or two."""

    def __init__(self, name: str, *, dot: bool = True) -> None:
        super().__init__()
        self.setObjectName(name)
        self.dot = Dot()
        self.dot.setVisible(dot)
        self.words = label("", "muted", name=f"{name}.text")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 0)
        layout.setSpacing(4)
        layout.addWidget(self.dot)
        layout.addWidget(self.words)

    def say(self, text: str, color: str = DARK.faint, tip: str = "", role: str = "muted") -> None:
        """Words, the light's colour, the long version."""
        self.words.setText(text)
        self.setAccessibleName(text)
        self.dot.set_color(color)
        self.setToolTip(plain_tip(tip))
        theme.set_role(self.words, role)


class StatusBar(QStatusBar):
    """The bottom line. Ages run on between events: an age that stands still would hide a dead feed."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 8, 0)
        self._facts = facts
        self._feed_heard: dict[AccountId, float] = {}
        self._beat_heard: float | None = None
        self._accounts: dict[AccountId, Item] = {}
        self.setObjectName("status")
        self.setSizeGripEnabled(False)
        self._brokers = QWidget()
        self._brokers_layout = QHBoxLayout(self._brokers)
        self._brokers_layout.setContentsMargins(4, 0, 0, 0)
        self._brokers_layout.setSpacing(0)
        self.addWidget(self._brokers)
        self.feed = Item("status.feed")
        self.engine = Item("status.engine")
        self.guard = Item("status.guard")
        self.latency = Item("status.latency", dot=False)
        self.latency.hide()  # until an exit was measured
        self.sync = Item("status.sync", dot=False)
        self.day = Item("status.day", dot=False)
        self.badge = label("", "badge", name="status.badge")
        for item in (self.feed, self.engine, self.guard):
            self.addWidget(item)
        for widget in (self.latency, self.sync, self.day, self.badge):
            self.addPermanentWidget(widget)
        self.set_last_sync(None)
        self.set_day(None)
        facts.accounts_changed.connect(self._on_accounts)
        facts.feed_changed.connect(self._on_feed)
        facts.beat.connect(self._on_beat)
        facts.guard_changed.connect(self._show_guard)
        facts.stop_changed.connect(lambda _stop: self._show_guard())
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._show_ages)
        self._timer.start()
        self._on_accounts()
        self._show_ages()
        self._show_guard()

    def stop(self) -> None:
        """No timer runs on behind a closed window."""
        self._timer.stop()

    def set_last_sync(self, at: Nanos | None) -> None:
        """When the book was last brought up to date."""
        if at is None:
            self.sync.say("not synced yet", tip="Press Sync to bring today's trades home.")
        else:
            self.sync.say(f"synced {fmt.clock(at)}", tip=f"Last sync {fmt.date_time(at)}")

    def set_day(self, net: Paise | None) -> None:
        """The day's P&L after charges, realised and unrealised."""
        if net is None:
            self.day.say("day –", tip="The day's P&L appears with the first trade.")
        else:
            role = "up" if net > 0 else "down" if net < 0 else "muted"
            self.day.say(f"day {fmt.pnl(net)}", tip="The day's P&L, realised and unrealised, after charges", role=role)

    def _on_accounts(self) -> None:
        views = self._facts.accounts
        for gone in set(self._accounts) - set(views):
            item = self._accounts.pop(gone)
            self._brokers_layout.removeWidget(item)
            item.deleteLater()
        for account, view in views.items():
            item = self._accounts.get(account) or self._add_account(account)
            color = {
                SessionState.ACTIVE: DARK.up,
                SessionState.EXPIRED: DARK.danger,
                SessionState.REVOKED: DARK.danger,
                SessionState.ERROR: DARK.danger,
                SessionState.PAUSED: DARK.warning,
                SessionState.LOGGED_OUT: DARK.faint,
            }[view.state]
            item.say(_account_name(view), color, _account_tip(view))
        words, role, why = mode_of(list(views.values()))
        self.badge.setText(words)
        self.badge.setVisible(bool(words))
        self.badge.setToolTip(why)
        theme.set_role(self.badge, role)
        self._show_ages()

    def _add_account(self, account: AccountId) -> Item:
        item = Item(f"status.account.{account}")
        self._accounts[account] = item
        self._brokers_layout.addWidget(item)
        return item

    def _on_feed(self, event: FeedChanged) -> None:
        self._feed_heard[event.account] = time.monotonic()
        self._show_ages()

    def _on_beat(self, event: EngineBeat) -> None:
        self._beat_heard = time.monotonic()
        self.engine.dot.pulse()
        p99 = event.engine_p99_ms
        self.latency.setVisible(p99 is not None)
        if p99 is not None:
            self.latency.say(
                f"exit {p99:.2f} ms", tip="From the price in to the exit order out: 99 of 100 were faster."
            )
        self._show_ages()

    def _show_guard(self) -> None:
        """Who takes over: of interest as soon as a stop is armed."""
        alone = self._facts.alone
        if self._facts.companions:
            self.guard.say("guard waits", DARK.up, "A guard beside this window watches on when this program dies.")
        elif alone and self._facts.armed():
            self.guard.say("no guard", DARK.warning, alone, "warning")
        self.guard.setVisible(bool(self._facts.companions or (alone and self._facts.armed())))

    def _show_ages(self) -> None:
        self._show_feed()
        self._show_engine()

    def _show_feed(self) -> None:
        now = time.monotonic()
        worst: tuple[int, str, str, str] | None = None
        tips = []
        for account, feed in self._facts.feeds.items():
            since = int((now - self._feed_heard.get(account, now)) * 1000)
            age = None if feed.data_age_ms is None else feed.data_age_ms + since
            rank, words, color = feed_words(feed.state, age, logged_in=self._logged_in(account))
            if feed.orders_are_read and rank < 2:
                rank, words, color = 2, f"{words}, orders by reading", DARK.warning
            if feed.unheard and rank <= 2:  # of the watchlists: another connection than the stops' own
                rank, words, color = 2, f"{words}, {feed.unheard:,} silent", DARK.warning
            tips.append(f"{self._facts.account_name(account)}: {words}, {_carried(feed)}" + _lag(feed))
            if worst is None or rank > worst[0]:
                worst = (rank, words, color, "danger" if rank >= 3 else "warning" if rank == 2 else "muted")
        if worst is None:
            self.feed.say("feed off", DARK.faint, "No account has a live feed.")
        else:
            self.feed.say(f"feed {worst[1]}", worst[2], "\n".join(tips), worst[3])

    def _logged_in(self, account: AccountId) -> bool:
        view = self._facts.accounts.get(account)
        return view is not None and view.state is SessionState.ACTIVE

    def _show_engine(self) -> None:
        beat, heard = self._facts.last_beat, self._beat_heard
        if beat is None or heard is None:
            self.engine.say("engine starting", DARK.faint, "The engine has not beaten yet.")
            return
        late = time.monotonic() - heard
        words = f"{beat.armed} armed" + (f" · {beat.blind} blind" if beat.blind else "")
        tip = f"Loop lag {beat.loop_lag_ms:.1f} ms"
        if late > BEAT_LATE_S:
            self.engine.say(f"engine silent {late:.0f} s", DARK.danger, "The engine does not beat.", "danger")
        elif beat.blind:
            self.engine.say(words, DARK.danger, f"{beat.blind} armed stops see no live price. {tip}", "danger")
        else:
            self.engine.say(words, DARK.up if beat.armed else DARK.muted, tip)


def feed_words(state: FeedState, age_ms: int | None, *, logged_in: bool) -> tuple[int, str, str]:
    """(how bad 0..4, words, colour) of a feed. One that is refused to a living session is refused to the key."""
    if state is FeedState.LIVE:
        if age_ms is None:
            return 1, "live", DARK.up
        if age_ms >= RED_MS:
            return 3, f"silent {fmt.age(age_ms)}", DARK.danger
        if age_ms >= AMBER_MS:
            return 2, f"live {fmt.age(age_ms)}", DARK.warning
        return 1, f"live {fmt.age(age_ms)}", DARK.up
    if state is FeedState.SILENT:
        return 4, "silent" if age_ms is None else f"silent {fmt.age(age_ms)}", DARK.danger
    if state is FeedState.DOWN:
        return 4, "down", DARK.danger
    if state is FeedState.REFUSED and logged_in:
        return 2, "not for this key", DARK.warning
    if state is FeedState.REFUSED:
        return 4, "refused: log in again", DARK.danger
    if state is FeedState.CONNECTING:
        return 2, "connecting", DARK.warning
    return 0, "market closed" if state is FeedState.CLOSED else "off", DARK.faint


def mode_of(accounts: Sequence[AccountView]) -> tuple[str, str, str]:
    """(badge, its role, why): real money beats play money, and both are named where both are connected."""
    if not accounts:
        return "", "badge", ""
    paper = any(a.paper for a in accounts)
    live = any(not a.paper for a in accounts)
    if live and paper:
        return "LIVE + PAPER", "live", "Some accounts trade real money; each ticket says which."
    if live:
        return "LIVE", "live", "Orders go to a real broker."
    return "PAPER", "paper", "Play money: every account is on this computer."


def _account_name(view: AccountView) -> str:
    return f"{view.title} {view.user_id}".strip()


def _account_tip(view: AccountView) -> str:
    lines = [f"{view.client_name or view.id}: {view.state}"]
    if view.token_expires_at is not None and view.state is SessionState.ACTIVE:
        lines.append(f"The session ends {fmt.date_time(view.token_expires_at)}.")
    if view.last_error:
        lines.append(view.last_error)
    return "\n".join(lines)


def _carried(feed: FeedChanged) -> str:
    words = "1 instrument" if feed.subscribed == 1 else f"{feed.subscribed:,} instruments"
    return f"{words}, {feed.left_out:,} without room" if feed.left_out else words


def _lag(feed: FeedChanged) -> str:
    return "" if feed.exchange_lag_ms is None else f", {fmt.age(feed.exchange_lag_ms)} behind the exchange's clock"
