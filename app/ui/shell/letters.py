"""Which view a letter under a button or beside a field (Alt+…) belongs to. GUI thread.

There are more of them than letters, so each view has its own, and none has one of the menu bar's. Where two views in
sight have the same one it belongs to the view that has the keyboard; Qt alone would give it to neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast
from weakref import WeakKeyDictionary

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QAbstractButton, QApplication, QDockWidget, QLabel, QWidget

_NOBODY = cast("QWidget", None)
"""Qt takes a null pointer for no field; its stubs do not say so."""


class Letters(QObject):
    """Gives and takes them. `settle` after whatever may have changed which view is in sight or has the keyboard."""

    moved = Signal()
    """The keyboard went to another field of the window."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._buddies: WeakKeyDictionary[QLabel, QWidget] = WeakKeyDictionary()
        """Of labels whose letter is taken away: without its field a label asks for no key."""

        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus)

    def _on_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        if now is not None and now.window() is self._window:
            self.moved.emit()

    def settle(self, docks: Iterable[QDockWidget], focus: QWidget | None) -> None:
        """The view with the keyboard first, then the others in their order."""
        taken: set[str] = set()
        ordered = sorted(docks, key=lambda dock: focus is None or not dock.isAncestorOf(focus))
        for dock in ordered:
            # Qt counts a view behind a tab as visible: it would take the letters of those in sight.
            behind = dock.isVisible() and dock.widget().visibleRegion().isEmpty()
            own = set()
            for part, letter in lettered(dock.widget()):
                given = not behind and letter not in taken
                # One that its form does not show yet too: a choice shows it, with no other field taking the keyboard.
                form = part.parentWidget()
                if given and form is not None and form.isVisible():
                    own.add(letter)
                self._give(part, letter, given=given)
            taken |= own

    def _give(self, part: QAbstractButton | QLabel, letter: str, *, given: bool) -> None:
        if isinstance(part, QAbstractButton):
            key = QKeySequence(letter) if given else QKeySequence()
            if part.shortcut() != key:
                part.setShortcut(key)
        elif given:
            field = self._buddies.pop(part, None)
            if field is not None:
                part.setBuddy(field)
        elif (buddy := part.buddy()) is not None:
            self._buddies[part] = buddy
            part.setBuddy(_NOBODY)


def lettered(view: QWidget) -> Iterator[tuple[QAbstractButton | QLabel, str]]:
    """Every button and label of a view whose text has a letter, with its key (`Alt+S`)."""
    parts: list[QAbstractButton | QLabel] = [*view.findChildren(QAbstractButton), *view.findChildren(QLabel)]
    for part in parts:
        if "&" in part.text():
            letter = QKeySequence.mnemonic(part.text()).toString()
            if letter:
                yield part, letter
