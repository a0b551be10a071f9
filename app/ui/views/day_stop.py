"""The portfolio stop: what a day may lose, win or give back, how it stands, and whether the account is halted."""

from __future__ import annotations

from datetime import date

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from app.domain.day_stop import DayLimits, DayStop
from app.domain.errors import AppError
from app.domain.ids import AccountId
from app.domain.money import Paise
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.number_edit import NumberEdit
from app.ui.widgets.text import label

_STEP = 500_00
_COUNTED = (
    "Counted: the day after the charges so far, open positions at their last prices, carried ones from the previous"
    " close; what closing them costs is not."
)
_WHEN = "Tighter holds at once, looser from tomorrow."


class AmountEdit(NumberEdit):
    """Rupees; its value is in paise. Empty: no limit."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(words)
        self.setPlaceholderText("no limit")
        self.setFixedWidth(104)

    def read(self, text: str) -> int:
        """Raises ValueError in words."""
        amount = fmt.parse_amount(text)
        if amount <= 0:
            raise ValueError("a limit is above zero")
        return amount

    def written(self, value: int) -> str:
        """With the rupee sign."""
        return fmt.amount(value)

    def stepped(self, value: int, steps: int) -> int:
        """By 500 rupees."""
        return max(value + steps * _STEP, _STEP)


class DayStopBar(QFrame):
    """One line for each account with limits, and the strip that changes them. Hidden without an account."""

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self.setObjectName("day.stop")
        self._bridge = bridge
        self._facts = facts
        self._busy = False
        self._now: dict[AccountId, DayStop] = {}
        """As last read when the strip was opened."""
        self._words = label("", "muted", wrap=True, name="day.words")
        self._edit = QPushButton("&Portfolio stop…")
        self._edit.setObjectName("day.edit")
        self._edit.setToolTip("Close everything and make no entry until the next trading day, at a loss or profit")
        self._edit.clicked.connect(self._open)
        shown = QHBoxLayout()
        shown.addWidget(self._words, 1)
        shown.addWidget(self._edit)
        self._account = QComboBox()
        self._account.setObjectName("day.account")
        self._account.setAccessibleName("Account")
        self._account.currentIndexChanged.connect(lambda _index: self._show_limits())
        self.loss = AmountEdit("day.loss", "Day loss")
        self.drawdown = AmountEdit("day.drawdown", "Drawdown")
        self.profit = AmountEdit("day.profit", "Day profit")
        self._save = QPushButton("&Set limits")
        self._save.setObjectName("day.save")
        theme.set_role(self._save, "primary")
        self._save.clicked.connect(self._submit)
        close = QToolButton()
        close.setIcon(theme.icon("close"))
        close.setToolTip("Leave the limits as they are (Esc)")
        close.setAccessibleName("Leave the limits as they are")
        close.clicked.connect(self.put_away)
        line, under = QHBoxLayout(), QHBoxLayout()
        for words, field in (("&Loss", self.loss), ("Dra&wdown", self.drawdown), ("P&rofit", self.profit)):
            name = label(words, "muted")
            name.setBuddy(field)
            line.addWidget(name)
            line.addWidget(field)
            field.returnPressed.connect(self._submit)
        line.addStretch(1)
        line.addWidget(close)
        self._said = label("", "muted", wrap=True, name="day.said")
        under.addWidget(self._said, 1)
        under.addWidget(self._save)
        self._strip = QWidget()
        self._strip.setObjectName("day.strip")
        lines = QVBoxLayout(self._strip)  # one above the other: side by side they do not fit where the panel is narrow
        lines.setContentsMargins(0, 0, 0, 0)
        lines.addWidget(self._account)
        lines.addLayout(line)
        lines.addLayout(under)
        self._strip.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 4, 8, 4)
        layout.addLayout(shown)
        layout.addWidget(self._strip)
        facts.day_stop_changed.connect(lambda _stop: self._show())
        facts.accounts_changed.connect(self._show)
        self._show()

    # -- as it stands ------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        stops = [s for s in self._facts.day_stops.values() if s.account in self._facts.accounts]
        self.setVisible(bool(self._facts.accounts))
        told = [s for s in stops if s.limits.any or s.tomorrow is not None or s.halted is not None]
        lines = [self._told(stop, named=len(self._facts.accounts) > 1) for stop in told]
        self._words.setText("\n".join(lines) or "No portfolio stop is set.")
        theme.set_role(self._words, "danger" if any(s.halted is not None for s in stops) else "muted")

    def _told(self, stop: DayStop, *, named: bool) -> str:
        who = f"{self._facts.account_name(stop.account)}: " if named else ""
        if stop.halted is not None:
            at = "" if stop.halted_net is None else f" at {fmt.pnl(stop.halted_net)}"
            halted = f"{who}HALTED by {stop.halted}{at}"
            if stop.overdue:
                return f"{halted} · what it left open is closed when its market opens · no entries until then"
            after = "everything was closed" if stop.flat else "closing every position"
            return f"{halted} · {after} · no entries until {_day(stop.until)}"
        parts = [f"{who}day {'not known' if stop.net is None else fmt.pnl(stop.net)}", *_limits(stop.limits)]
        if stop.limits.drawdown is not None:
            parts.append(f"best {fmt.pnl(stop.peak)}")
        near = _nearest(stop)
        if near is not None:
            parts.append(f"{fmt.amount(max(0, near[0]))} to the {near[1]} limit")
        if stop.tomorrow is not None:
            parts.append(f"from tomorrow: {', '.join(_limits(stop.tomorrow)) or 'no limit'}")
        return " · ".join(parts)

    # -- the strip ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._account.clear()
        for account in self._facts.accounts:
            self._account.addItem(self._facts.account_name(account), account)
        self._account.setVisible(self._account.count() > 1)
        self._strip.show()
        self._show_limits()
        self.loss.setFocus()
        self._bridge.start(self._read(), "portfolio stop as it stands")

    async def _read(self) -> None:
        """Without a limit nothing is told of the day by itself."""
        try:
            stops = await self._bridge.call(self._bridge.desk.stops.day_stops())
        except AppError as failure:
            self._say(str(failure), "warning")
            return
        self._now = {stop.account: stop for stop in stops}
        self._explain()

    def _explain(self) -> None:
        """What the limits count, and from where."""
        stop = None if self._chosen is None else self._now.get(self._chosen)
        stands = ""
        if stop is not None and stop.net is not None:
            stands = f" Now {fmt.pnl(stop.net)}; the drawdown counts from {fmt.pnl(stop.peak)}, the best seen today."
        self._say(f"{_COUNTED}{stands} {_WHEN}", "muted")

    def put_away(self) -> None:
        """Nothing was changed."""
        self._strip.hide()

    @property
    def _chosen(self) -> AccountId | None:
        chosen = self._account.currentData()
        return None if chosen is None else AccountId(chosen)

    def _show_limits(self) -> None:
        stop = None if self._chosen is None else self._facts.day_stops.get(self._chosen)
        limits = DayLimits() if stop is None else stop.tomorrow or stop.limits
        self.loss.set_value(limits.loss)
        self.drawdown.set_value(limits.drawdown)
        self.profit.set_value(limits.profit)
        self._explain()

    def _submit(self) -> None:
        account = self._chosen
        if account is None or self._busy:
            return
        for edit in (self.loss, self.drawdown, self.profit):
            if edit.problem:
                self._say(f"{edit.accessibleName()}: {edit.problem}.", "warning")
                return
        self._busy = True
        self._save.setEnabled(False)
        limits = DayLimits(self.loss.value, self.profit.value, self.drawdown.value)
        self._bridge.start(self._send(account, limits), "portfolio stop")

    async def _send(self, account: AccountId, limits: DayLimits) -> None:
        try:
            await self._bridge.call(self._bridge.desk.stops.set_day_limits(account, limits))
        except AppError as failure:
            self._say(str(failure), "danger")
        else:
            self.put_away()
        finally:
            self._busy = False
            self._save.setEnabled(True)

    def _say(self, text: str, role: str) -> None:
        self._said.setText(text)
        theme.set_role(self._said, role)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc backs out."""
        if event.key() == Qt.Key.Key_Escape and self._strip.isVisible():
            self.put_away()
        else:
            super().keyPressEvent(event)


def _nearest(stop: DayStop) -> tuple[Paise, str] | None:
    """How far the day is from the limit that it would reach first, in paise."""
    if stop.net is None:
        return None
    limits, found = stop.limits, []
    if limits.loss is not None:
        found.append((stop.net + limits.loss, "loss"))
    if limits.drawdown is not None:
        found.append((stop.net - stop.peak + limits.drawdown, "drawdown"))
    if limits.profit is not None:
        found.append((limits.profit - stop.net, "profit"))
    return min(found, default=None)


def _limits(limits: DayLimits) -> list[str]:
    named = (("loss", limits.loss), ("drawdown", limits.drawdown), ("profit", limits.profit))
    return [f"{name} limit {fmt.amount(value)}" for name, value in named if value is not None]


def _day(iso: str) -> str:
    return f"{date.fromisoformat(iso):%a %d %b}" if iso else "the next trading day"
