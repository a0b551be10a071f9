"""A command whose keys work in every window of the program. A menu's keys are dead while a dialog stands over it, and
who must get out at once does not first put away what was being typed.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QWidget

_REACHED = (Qt.WindowType.Tool, Qt.WindowType.Popup, Qt.WindowType.ToolTip)
"""Kinds of windows in which the main window's own keys work: the same keys twice would do nothing."""


class Everywhere(QObject):
    """Gives the keys to each window when it first gets the keyboard. GUI thread; lives as long as the main window."""

    def __init__(self, main: QWidget, keys: str, do: Callable[[], object]) -> None:
        super().__init__(main)
        self._main = main
        self._keys = QKeySequence(keys)
        self._do = do
        self._name = f"everywhere {keys}"
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._on_focus)

    def _on_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        if now is None:
            return
        window = now.window()
        if window is self._main or window.windowType() in _REACHED:
            return
        if window.findChild(QShortcut, self._name) is None:
            shortcut = QShortcut(self._keys, window)
            shortcut.setObjectName(self._name)
            shortcut.activated.connect(self._do)
