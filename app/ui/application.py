"""The window's program: Qt, its loop, the order of start and stop. Called by the composition root alone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication, QObject, QSocketNotifier, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QWidget
from qasync import QEventLoop

from app.desk.api import Desk
from app.desk.messages import VaultInfo
from app.domain.events import FeedState
from app.runtime.garbage import GarbageCollector
from app.ui import theme
from app.ui.bridge import Bridge, Submit
from app.ui.dialogs.unlock import UnlockWindow

if TYPE_CHECKING:
    from app.ui.models.facts import Facts
    from app.ui.shell.main_window import MainWindow

log = logging.getLogger(__name__)

SWEEP_MS = 250
"""Between two looks at what the garbage collector has to do."""
_ASLEEP = frozenset({FeedState.OFF, FeedState.CLOSED, FeedState.REFUSED})
"""States of a feed in which no exit leaves: nothing of the account's trades, or it has no session."""


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """What the composition root tells the window."""

    profile: Path
    """The window keeps its layout here (`window.ini`); nothing secret is in it."""
    paper: bool = False
    """The embedded paper exchange runs: its login page opens by itself while its account has no live session."""
    on_raise: Callable[[Callable[[], None]], object] | None = None
    """Takes a callable that brings the window forward, callable from any thread (a second start asks for it)."""
    shutdown: Callable[[], Coroutine[Any, Any, None]] | None = None
    """The ordered stop of everything below, run on the loop thread when the window closes."""
    first_look: VaultInfo | None = None
    """What is known of the vault before the desk is built: the page that asks is painted at once."""
    shutdown_seconds: float = 15.0
    """How long the ordered stop may take before the window gives up and says so in the log."""


BuildDesk = Callable[[], Coroutine[Any, Any, Desk]]


def run_window(desk: Desk | BuildDesk, submit: Submit, options: WindowOptions) -> int:
    """Runs the window until it is closed; returns the exit code. The loop thread must be running.

    Given a coroutine function instead of a desk, paints the first window and then has it built on the loop thread:
    the imports behind a desk take longer than the paint. A failure of it ends the window and is raised here.
    """
    prepare_web_engine()
    QCoreApplication.setApplicationName("Stopline")
    QCoreApplication.setOrganizationName("Stopline")
    app = QApplication.instance() or QApplication(sys.argv[:1])
    if not isinstance(app, QApplication):
        raise TypeError("a QCoreApplication without windows is already running")
    app.setQuitOnLastWindowClosed(False)
    theme.apply(app)
    loop = QEventLoop(app)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(Workstation(desk, submit, options, loop).run())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def prepare_web_engine() -> None:
    """What QtWebEngine wants before the application exists, so that the module itself can be loaded later.

    Chromium refuses its own sandbox as root (containers, test machines); only there is it switched off. The page
    shown is one broker's login page, its hosts are on an allow-list.
    """
    QCoreApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    flags = os.environ.get("QTWEBENGINE_CHROMIUM_FLAGS", "").split()
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--no-sandbox" not in flags:
        flags.append("--no-sandbox")
    os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = " ".join(flags)


class Workstation(QObject):
    """The life of the window: unlock, main window, ordered stop. GUI thread."""

    raise_asked = Signal()

    def __init__(
        self, desk: Desk | BuildDesk, submit: Submit, options: WindowOptions, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._options = options
        self._build = desk if callable(desk) else None
        self._bridge = Bridge(None if callable(desk) else desk, submit, loop)
        self._failure: Exception | None = None
        self._ended = asyncio.Event()
        self._unlock: UnlockWindow | None = None
        self._main: MainWindow | None = None
        self._signals = _Signals(self._on_signal)
        self._garbage = GarbageCollector()
        self._sweep = QTimer(self)
        self._sweep.setInterval(SWEEP_MS)
        self._sweep.timeout.connect(self._on_sweep)
        self._loaded = False
        self.raise_asked.connect(self._come_forward, Qt.ConnectionType.QueuedConnection)

    async def run(self) -> int:
        """From the first paint to the last log line."""
        self._garbage.take_over()
        self._sweep.start()
        try:
            return await self._live()
        finally:
            self._sweep.stop()
            self._garbage.give_back()

    async def _live(self) -> int:
        if self._options.on_raise is not None:
            self._options.on_raise(self.raise_asked.emit)
        self._unlock = UnlockWindow(self._bridge, self._options.first_look)
        self._unlock.opened.connect(self._on_opened)
        self._unlock.dismissed.connect(self._ended.set)
        self._unlock.show()
        self._bridge.start(self._ask(self._unlock), "ask for the vault")
        try:
            await self._ended.wait()
        finally:
            await self._stop()
        if self._failure is not None:
            raise self._failure
        return 0

    async def _ask(self, unlock: UnlockWindow) -> None:
        await asyncio.sleep(0.02)  # a window takes the keyboard only once it is on the screen
        self._come_forward()
        if self._build is not None:
            try:
                self._bridge.attach(await self._bridge.call(self._build()))
            except Exception as failure:  # noqa: BLE001  whatever it is, without a desk there is nothing to show
                self._failure = failure
                self._ended.set()
                return
        self._bridge.listen()  # from here on: what the unlock finds (a damaged book) is told by the main window
        await unlock.ask()

    @property
    def window(self) -> QWidget | None:
        """The window that the trader sees now."""
        return self._main or self._unlock

    def _on_opened(self) -> None:
        self._bridge.start(self._open_main(), "open the main window")

    async def _open_main(self) -> None:
        await asyncio.sleep(0.02)  # the unlock window paints "Opening the workstation…" before the imports below
        from app.ui.shell.main_window import MainWindow

        self._main = MainWindow(self._bridge, self._options.profile, paper=self._options.paper)
        self._main.leave.connect(self._ended.set)
        self._main.show()
        if self._unlock is not None:
            self._unlock.close()
        await asyncio.sleep(0.02)  # a window takes the keyboard only once it is on the screen
        self._come_forward()
        await self._main.load()
        self._garbage.set_aside()
        self._loaded = True

    def _on_sweep(self) -> None:
        hurried = self._main is not None and exit_may_come(self._main.facts)
        # While the trader works with another program, half a second of standstill hurts nobody.
        away = QApplication.applicationState() is not Qt.ApplicationState.ApplicationActive
        self._garbage.turn(hurried=hurried, quiet=away and self._loaded and not hurried)

    async def _stop(self) -> None:
        """First no event reaches a widget, then everything below stops in order, then the widgets go."""
        for widget in (self._main, self._unlock):
            if widget is not None:
                widget.setEnabled(False)
        if self._main is not None:
            self._main.put_away()
        await self._bridge.close()
        if self._options.shutdown is not None:
            try:
                async with asyncio.timeout(self._options.shutdown_seconds):
                    await self._bridge.call(self._options.shutdown())
            except TimeoutError:
                log.exception("the ordered stop took longer than %.0f s", self._options.shutdown_seconds)
        self._signals.close()
        for widget in (self._main, self._unlock):
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._main = self._unlock = None

    def _come_forward(self) -> None:
        window = self.window
        if window is None:
            return
        if self._main is not None:
            self._main.come_forward()
            return
        window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()
        window.raise_()
        window.activateWindow()

    def _on_signal(self) -> None:
        log.info("asked to stop by the system")
        self._ended.set()


def exit_may_come(facts: Facts) -> bool:
    """Prices may reach an armed stop, and its exit have to leave at any moment."""
    return any(facts.feed_state(account) not in _ASLEEP for account in {stop.key.account for stop in facts.armed()})


class _Signals(QObject):
    """SIGINT and SIGTERM end the program in order, without a question: nobody may be there to answer.

    Python runs its handlers only between bytecodes, and Qt waits in C: a byte on a socket wakes it.
    """

    def __init__(self, on_signal: Callable[[], None]) -> None:
        super().__init__()
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._fd_before = signal.set_wakeup_fd(self._theirs.fileno())
        for number in self._before:
            signal.signal(number, lambda *_: on_signal())
        self._notifier = QSocketNotifier(self._ours.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._drain)

    def _drain(self) -> None:
        try:
            self._ours.recv(64)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Everything as it was."""
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._ours.close()
        self._theirs.close()
