"""The locked screen: nothing of the desk is seen or touched until the passphrase was typed; armed stops are guarded on.

By hand, or by itself after a while without keys and mouse.
"""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QCursor
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.runtime.secret import Secret
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.widgets.text import Message, label

LOOK_MS = 5_000
"""Between two looks whether somebody is there."""
_KEYS = (QEvent.Type.KeyPress, QEvent.Type.MouseButtonPress, QEvent.Type.Wheel)


class LockWindow(QWidget):
    """Stands in for every window of the program. It cannot be closed, only opened."""

    opened = Signal()

    def __init__(self, bridge: Bridge, facts: Facts) -> None:
        super().__init__()
        self._bridge = bridge
        self._facts = facts
        self._open = False
        self._alarms = 0
        self.setObjectName("locked")
        self.setWindowTitle("Stopline is locked")
        self.setFixedWidth(440)
        self._state = label("", "muted", wrap=True, name="locked.state")
        self._field = QLineEdit()
        self._field.setObjectName("locked.passphrase")
        self._field.setAccessibleName("Passphrase")
        self._field.setPlaceholderText("Passphrase")
        self._field.setEchoMode(QLineEdit.EchoMode.Password)
        self._field.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhHiddenText)
        self._field.returnPressed.connect(self._submit)
        self.message = Message(name="locked.message")
        self._button = QPushButton("&Unlock")
        self._button.setObjectName("locked.unlock")
        theme.set_role(self._button, "primary")
        self._button.clicked.connect(self._submit)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(32, 28, 32, 24)
        layout.setSpacing(10)
        layout.addWidget(label("Stopline is locked", "title"))
        layout.addWidget(self._state)
        layout.addWidget(self._field)
        layout.addWidget(self.message)
        layout.addWidget(self._button)
        facts.stop_changed.connect(self._show_state)
        facts.feed_changed.connect(self._show_state)
        self._show_state()

    def come_forward(self) -> None:
        """On the screen, with the keyboard."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()
        self._field.setFocus()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Qt. Only the passphrase opens it."""
        if not self._open:
            event.ignore()
            self.showMinimized()

    def _show_state(self, _changed: object = None) -> None:
        armed, blind = len(self._facts.armed()), len(self._facts.blind())
        count = "no stop is armed" if not armed else "1 stop is armed" if armed == 1 else f"{armed} stops are armed"
        rest = f", {blind} without prices" if blind else " and watched" if armed else ""
        self._state.setText(f"Guarding goes on: {count}{rest}.")
        theme.set_role(self._state, "danger" if blind else "muted")

    def tell_alarm(self) -> None:
        """That there is something, and nothing of what: who stands before a locked screen need not be the trader."""
        self._alarms += 1
        count = "An alarm was" if self._alarms == 1 else f"{self._alarms} alarms were"
        at = datetime.now().astimezone().strftime("%H:%M:%S")  # by the clock on the trader's wall
        self.message.say(f"{count} raised, the last at {at}. Unlock to read what it is.", "strip-danger")

    def _submit(self) -> None:
        if self._button.isEnabled() and self._field.text():
            self._button.setEnabled(False)
            self._bridge.start(self._prove(), "unlock the screen")

    async def _prove(self) -> None:
        try:
            await self._bridge.call(self._bridge.desk.guard.unlock_screen(Secret(self._field.text())))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            self._field.selectAll()
            self._field.setFocus()
        else:
            self._open = True
            self.opened.emit()
        finally:
            self._button.setEnabled(True)


class ScreenLock(QObject):
    """Hides and shows the program's windows. GUI thread; owned by the main window."""

    def __init__(self, bridge: Bridge, facts: Facts, window: QWidget) -> None:
        super().__init__(window)
        self._bridge = bridge
        self._facts = facts
        self._window = window
        self._hidden: list[QWidget] = []
        self.shown: LockWindow | None = None
        """While the screen is locked."""
        self._minutes = 0
        self._idle_ms = 0
        self._seen: QPoint | None = None
        self._clock = QTimer(self)
        self._clock.setInterval(LOOK_MS)
        self._clock.timeout.connect(self._look)

    def lock(self) -> None:
        """Now. Said in words where the profile has no passphrase to ask for."""
        if self.shown is None:
            self._bridge.start(self._lock(), "lock the screen")

    def on_alarm(self, title: str, text: str) -> tuple[str, str]:
        """An alarm came: what of it may be said on the desktop."""
        if self.shown is None:
            return title, text
        self.shown.tell_alarm()
        return "Stopline", "An alarm was raised. Unlock to read what it is."

    def after(self, minutes: int) -> None:
        """By itself after so many minutes without keys and mouse; 0: never."""
        self._minutes = minutes
        self._idle_ms = 0
        if minutes:
            self._clock.start()
            handle = self._window.windowHandle()
            if handle is not None:
                handle.installEventFilter(self)  # its own keys and buttons alone: not every event of every widget
        else:
            self._clock.stop()

    def stop(self) -> None:
        """No timer and no window stays behind."""
        self._clock.stop()
        if self.shown is not None:
            self.shown.hide()
            self.shown.deleteLater()
            self.shown = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Qt. Somebody is there."""
        if event.type() in _KEYS:
            self._idle_ms = 0
        return super().eventFilter(watched, event)

    async def _lock(self) -> None:
        try:
            await self._bridge.call(self._bridge.desk.guard.lock_screen())
        except AppError as failure:
            self._bridge.report(failure)
            return
        if self.shown is not None:
            return
        self.shown = LockWindow(self._bridge, self._facts)
        self.shown.opened.connect(self._unlock)
        self._hidden = [w for w in QApplication.topLevelWidgets() if w.isVisible() and w is not self.shown]
        for widget in self._hidden:
            widget.hide()
        self.shown.come_forward()

    def _unlock(self) -> None:
        locked, self.shown = self.shown, None
        hidden, self._hidden = self._hidden, []
        for widget in hidden:
            widget.show()
        self._window.show()
        self._window.activateWindow()
        self._idle_ms = 0
        if locked is not None:
            locked.hide()
            locked.deleteLater()

    def _look(self) -> None:
        at = QCursor.pos()
        self._idle_ms = 0 if at != self._seen else self._idle_ms + LOOK_MS
        self._seen = at
        if self._minutes and self._idle_ms >= self._minutes * 60_000:
            self._idle_ms = 0
            self.lock()
