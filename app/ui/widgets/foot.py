"""The line of buttons at the foot of a dialog."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QHBoxLayout, QPushButton


def foot(*buttons: QPushButton) -> QHBoxLayout:
    """The buttons to the right, in this order."""
    line = QHBoxLayout()
    line.addStretch(1)
    for button in buttons:
        line.addWidget(button)
    return line


def close_button(dialog: QDialog) -> QPushButton:
    """What Return presses in a dialog that only shows."""
    button = QPushButton("&Close")
    button.setDefault(True)
    button.clicked.connect(dialog.accept)
    return button
