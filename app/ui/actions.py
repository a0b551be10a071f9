"""Every command of the window, declared once: id, text, shortcut, handler. Menus, palette and key map read this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that the trader can tell the window to do."""

    id: str
    text: str
    """With a mnemonic, e.g. `&Sync`."""
    group: str
    """The menu it stands in."""
    handler: Callable[[], object]
    shortcut: str = ""
    where: str = ""
    """For a key that acts only where the focus is: `in a table`. Such keys get no window-wide QAction shortcut."""

    @property
    def plain(self) -> str:
        """The text without mnemonic marks."""
        return plain(self.text)


def plain(text: str) -> str:
    """A menu's text without its mnemonic marks."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&")


class Actions:
    """The window's commands with their QActions. GUI thread; made by the main window.

    Two commands never share a key: the second one raises, so a clash shows in the first test that opens the window.
    """

    def __init__(self, owner: QWidget) -> None:
        self._owner = owner
        self._commands: dict[str, Command] = {}
        self._actions: dict[str, QAction] = {}

    def add(self, command: Command) -> QAction:
        """Declares a command and makes its QAction, active in the whole window."""
        if command.id in self._commands:
            raise ValueError(f"two commands are called {command.id}")
        taken = {(c.shortcut, c.where): c.id for c in self._commands.values() if c.shortcut}
        clash = taken.get((command.shortcut, command.where))
        if clash is not None:
            raise ValueError(f"{command.id} and {clash} both want {command.shortcut}")
        action = QAction(command.text, self._owner)
        action.setObjectName(f"action.{command.id}")
        if command.shortcut and not command.where:
            action.setShortcut(QKeySequence(command.shortcut))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            action.setAutoRepeat(False)
        handler = command.handler
        action.triggered.connect(lambda _checked=False: handler())
        self._owner.addAction(action)
        self._commands[command.id] = command
        self._actions[command.id] = action
        return action

    def action(self, command_id: str) -> QAction:
        """The QAction of a command."""
        return self._actions[command_id]

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def groups(self) -> dict[str, list[Command]]:
        """Commands by menu, in the order of their declaration."""
        found: dict[str, list[Command]] = {}
        for command in self._commands.values():
            found.setdefault(command.group, []).append(command)
        return found
