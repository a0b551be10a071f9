"""Closing the window while stops are armed: asked in numbers; the engine goes on in the tray, or a guard takes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QDialog, QMainWindow, QMenu, QMessageBox, QSystemTrayIcon

from app.domain.coverage import Protection
from app.domain.guard import Farewell
from app.domain.stop import Stop
from app.ui import theme
from app.ui.models.facts import Facts


class Leaving(QObject):
    """Owns the question and the tray icon. GUI thread."""

    decided = Signal(object)
    """A Farewell: the program ends, and a guard is left this way."""

    def __init__(self, window: QMainWindow, facts: Facts, open_dialog: Callable[[QDialog], None]) -> None:
        super().__init__(window)
        self._window = window
        self._facts = facts
        self._open_dialog = open_dialog
        self._box: QMessageBox | None = None
        self._tray: QSystemTrayIcon | None = None
        self._menu: QMenu | None = None
        self.on_return: Callable[[], object] = self.come_back
        """What the tray icon does: the window comes back, or what stands in for it while the screen is locked."""
        self.running: Callable[[], Sequence[str]] = tuple
        """Names of strategies that buy and sell only while the program runs."""
        facts.stop_changed.connect(lambda _stop: self._show_count())

    def ask(self) -> None:
        """The window is to be closed. Without an armed stop, a portfolio stop that guards something, or a running
        strategy there is nothing to ask."""
        armed = self._facts.armed()
        if not armed and not self.running() and not self._limited():
            self.decided.emit(Farewell.STAND_DOWN)
        elif self._box is not None:
            self._box.raise_()
        else:
            self._ask(armed)

    def go_to_tray(self) -> None:
        """The window goes, the engine stays; where there is no tray it is made small instead."""
        if not QSystemTrayIcon.isSystemTrayAvailable():
            self._window.showMinimized()
            return
        if self._tray is None:
            self._tray = QSystemTrayIcon(theme.icon("guard"), self._window)
            self._menu = QMenu()
            self._menu.addAction("&Open Stopline").triggered.connect(lambda _checked=False: self.on_return())
            self._menu.addAction("&Quit…").triggered.connect(lambda _checked=False: self._ask_from_tray())
            self._tray.setContextMenu(self._menu)
            self._tray.activated.connect(self._on_tray)
            self._show_count()
        self._tray.show()
        self._window.hide()
        self._tray.showMessage("Stopline guards on", f"{_count(len(self._facts.armed()))} watched. Click to open.")

    def come_back(self) -> None:
        """The window is there again."""
        self._window.setWindowState(self._window.windowState() & ~Qt.WindowState.WindowMinimized)
        self._window.show()
        self._window.raise_()
        self._window.activateWindow()
        if self._tray is not None:
            self._tray.hide()

    def call_back(self, title: str, text: str) -> None:
        """An alarm while the window is away: said on the desktop."""
        if self._tray is not None and self._tray.isVisible():
            self._tray.showMessage(title, text, QSystemTrayIcon.MessageIcon.Critical)

    def mention(self, title: str, text: str) -> None:
        """What is good to know while the window is away."""
        if self._tray is not None and self._tray.isVisible():
            self._tray.showMessage(title, text, QSystemTrayIcon.MessageIcon.Information)

    def end(self) -> None:
        """No icon stays behind."""
        if self._tray is not None:
            self._tray.hide()

    def _ask(self, armed: Sequence[Stop]) -> None:
        names = ", ".join(sorted({stop.key.instrument.partition(":")[2] for stop in armed}))
        box = QMessageBox(self._window)
        box.setObjectName("leave")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setIcon(QMessageBox.Icon.Warning)
        box.setWindowTitle("Close Stopline?")
        said = [f"{_count(len(armed))} armed: {names}."] if armed else []
        running = self.running()
        if running:
            noun = "strategy runs" if len(running) == 1 else "strategies run"
            said.append(f"{len(running)} {noun}: {', '.join(running)}.")
        limited = self._limited()
        if limited:
            said.append(f"The portfolio stop watches {_positions(limited)}.")
        if armed:
            said.append(self._resting(armed))
        box.setText(" ".join(said))
        tray = QSystemTrayIcon.isSystemTrayAvailable()
        where = "in the tray" if tray else "with the window made small (this desktop has no tray)"
        words = f"Stopline can go on watching {where}."
        guarded = bool(self._facts.companions)
        if guarded:
            words += " If you quit, the guard beside it watches on, until you open Stopline again."
        else:
            lost = []
            if armed:
                lost.append("nothing here exits these positions when the price reaches the stop; they are armed again")
            if limited:
                lost.append("nothing closes at the day's limit")
            if running:
                lost.append("nothing is bought or sold at its time: a buy that is missed is skipped, a sell is done")
            words += f" If you close it, {', and '.join(lost)} when you start and unlock it."
        box.setInformativeText(words)
        stay = box.addButton(
            "&Keep watching in the tray" if tray else "&Keep watching", QMessageBox.ButtonRole.AcceptRole
        )
        hand_over = box.addButton("&Quit, the guard watches on", QMessageBox.ButtonRole.AcceptRole) if guarded else None
        stop = box.addButton("&Close, stop watching", QMessageBox.ButtonRole.DestructiveRole)
        cancel = box.addButton("C&ancel", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(stay)
        box.setEscapeButton(cancel)
        self._box = box

        def answered() -> None:
            self._box = None
            clicked = box.clickedButton()
            box.deleteLater()
            if clicked is stay:
                self.go_to_tray()
            elif clicked is stop:
                self.decided.emit(Farewell.STAND_DOWN)
            elif hand_over is not None and clicked is hand_over:
                self.decided.emit(Farewell.HAND_OVER)

        box.finished.connect(lambda _code: answered())
        self._open_dialog(box)

    def _limited(self) -> int:
        """Open positions that a portfolio stop may have to close."""
        held = [position for position in self._facts.open_positions() if not position.sold_shares]
        days = [self._facts.day_stops.get(position.key.account) for position in held]
        return sum(day is not None and (not day.flat if day.halted else day.limits.any) for day in days)

    def _resting(self, armed: Sequence[Stop]) -> str:
        """What stands at the broker behind them, which quitting does not take away."""
        rows = [self._facts.coverage.get(key) for key in {stop.key for stop in armed}]
        kinds = [{kind for kind, _units in row.parts} for row in rows if row is not None]
        orders = sum(Protection.TWIN in found for found in kinds)
        triggers = sum(Protection.GTT_TWIN in found for found in kinds)
        if not orders and not triggers:
            return "No backstop rests at the broker."
        parts = [
            f"for {_positions(count)} {what} rest{'s' if count == 1 else ''} {where}"
            for count, what, where in (
                (orders, "an order" if orders == 1 else "orders", "at the exchange until the day ends"),
                (triggers, "a trigger (GTT)" if triggers == 1 else "triggers (GTT)", "at the broker over days"),
            )
            if count
        ]
        return f"Backstops stay and act without Stopline: {'; '.join(parts)}."

    def _ask_from_tray(self) -> None:
        self.on_return()
        if self._window.isVisible():
            self.ask()

    def _on_tray(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason in (QSystemTrayIcon.ActivationReason.Trigger, QSystemTrayIcon.ActivationReason.DoubleClick):
            self.on_return()

    def _show_count(self) -> None:
        if self._tray is not None:
            self._tray.setToolTip(f"Stopline: {_count(len(self._facts.armed()))} watched")


def _positions(count: int) -> str:
    return "1 position" if count == 1 else f"{count} positions"


def _count(armed: int) -> str:
    return "1 stop is" if armed == 1 else f"{armed} stops are"
