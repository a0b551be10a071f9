"""The command palette (Ctrl+K) and the map of keys (F1, ?): every command by name, with its key."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QGridLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.ui import theme
from app.ui.actions import Actions, Command, plain
from app.ui.widgets.text import label


class CommandPalette(QDialog):
    """Type part of a command's name, press Return."""

    def __init__(self, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Dialog | Qt.WindowType.FramelessWindowHint)
        self.setObjectName("palette")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._actions = actions
        self._found: list[Command] = []
        self._line = QLineEdit()
        self._line.setObjectName("palette.line")
        self._line.setAccessibleName("Command")
        self._line.setPlaceholderText("What do you want to do?")
        self._line.textChanged.connect(self._filter)
        self._list = QListWidget()
        self._list.setObjectName("palette.list")
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.itemClicked.connect(lambda _item: self._run())
        card = QFrame()
        theme.set_role(card, "card")
        layout = QVBoxLayout(card)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self._line)
        layout.addWidget(self._list)
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(card)
        self.resize(520, 380)
        self.move(parent.mapToGlobal(parent.rect().center()) - self.rect().center())
        self._filter("")

    def _filter(self, text: str) -> None:
        parts = text.lower().split()
        self._found = [
            c
            for c in self._actions
            if not c.where and all(p in f"{plain(c.group)} {c.plain}".lower() for p in parts)
            and self._actions.action(c.id).isEnabled()
        ]  # fmt: skip
        self._list.clear()
        for command in self._found:
            key = QKeySequence(command.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
            self._list.addItem(
                QListWidgetItem(f"{plain(command.group)}: {command.plain}" + (f"    {key}" if key else ""))
            )
        self._list.setCurrentRow(0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt."""
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            step = 1 if event.key() == Qt.Key.Key_Down else -1
            self._list.setCurrentRow(max(0, min(self._list.currentRow() + step, self._list.count() - 1)))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._run()
        else:
            super().keyPressEvent(event)

    def _run(self) -> None:
        row = self._list.currentRow()
        if 0 <= row < len(self._found):
            action = self._actions.action(self._found[row].id)
            self.close()
            action.trigger()


class KeyMap(QDialog):
    """Which key does what."""

    def __init__(self, actions: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("keymap")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keys")
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(6)
        row = 0
        for group, commands in actions.groups().items():
            keyed = [c for c in commands if c.shortcut]
            if not keyed:
                continue
            grid.addWidget(label(plain(group), "heading"), row, 0, 1, 3)
            row += 1
            for command in keyed:
                key = QKeySequence(command.shortcut).toString(QKeySequence.SequenceFormat.NativeText)
                grid.addWidget(label(key, "badge"), row, 0, Qt.AlignmentFlag.AlignLeft)
                grid.addWidget(label(command.plain), row, 1)
                grid.addWidget(label(command.where, "faint"), row, 2)
                row += 1
            grid.setRowMinimumHeight(row, 8)
            row += 1
        grid.setColumnStretch(2, 1)
        body = QWidget()
        body.setLayout(grid)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(body)
        layout = QVBoxLayout(self)
        layout.addWidget(scroll)
        self.resize(680, 600)
