"""The report to send, looked at before it is saved: every file in it, as it will be."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QPlainTextEdit, QPushButton, QSplitter, QVBoxLayout, QWidget

from app.domain.report import ReportMember
from app.ui.widgets.text import label

_SHOWN = 200_000
"""Characters of a file that are put on the screen; the window must not stand still for a long log."""
_WORDS = (
    "A zip for somebody who helps you: versions, health, figures, how fast exits were, and logs. Accounts, names, "
    "orders, keys, addresses and folders are masked, each by the same name throughout. The trade book is not in it."
)


class ReportPage(QWidget):
    """A page of the diagnostics. Holds what was made, so that what was seen is what is saved."""

    make = Signal()
    save = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.members: tuple[ReportMember, ...] = ()
        self._make = QPushButton("&Make a report")
        self._make.setObjectName("report.make")
        self._make.clicked.connect(self.make)
        self._save = QPushButton("&Save report…")
        self._save.setObjectName("report.save")
        self._save.setEnabled(False)
        self._save.clicked.connect(self.save)
        self.files = QListWidget()
        self.files.setObjectName("report.files")
        self.files.setAccessibleName("Files in the report")
        self.files.currentRowChanged.connect(self._show)
        self.text = QPlainTextEdit()
        self.text.setObjectName("report.text")
        self.text.setAccessibleName("What the chosen file says")
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.files)
        split.addWidget(self.text)
        split.setSizes([190, 590])
        buttons = QHBoxLayout()
        buttons.addWidget(self._make)
        buttons.addWidget(self._save)
        buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 8, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(label(_WORDS, "muted", wrap=True))
        layout.addLayout(buttons)
        layout.addWidget(split, 1)

    def set_busy(self) -> None:
        """Until it is there."""
        self._make.setEnabled(False)
        self._save.setEnabled(False)

    def show_members(self, members: Sequence[ReportMember]) -> None:
        """What was made; empty: it could not be."""
        self.members = tuple(members)
        self._make.setEnabled(True)
        self._save.setEnabled(bool(members))
        self.files.clear()
        self.files.addItems([member.name for member in members])
        if members:
            self.files.setCurrentRow(0)
        else:
            self.text.clear()

    def _show(self, row: int) -> None:
        if not 0 <= row < len(self.members):
            return
        text = self.members[row].text
        more = f"\n… and {len(text) - _SHOWN:,} characters more" if len(text) > _SHOWN else ""
        self.text.setPlainText(text[:_SHOWN] + more)
