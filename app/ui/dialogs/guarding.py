"""Guarding: who takes over when this program dies, and whether the computer stays awake."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.domain.errors import AppError
from app.domain.guard import GuardSettings, GuardView
from app.ui.bridge import Bridge
from app.ui.widgets.text import Message, label


class GuardingDialog(QDialog):
    """The Guarding page. Reads when it opens, writes when asked."""

    def __init__(self, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("guarding")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Guarding")
        self._bridge = bridge
        self._settings = GuardSettings()
        self._head = label("Looking…", "heading", wrap=True, name="guarding.head")
        self._awake = label("", "muted", wrap=True, name="guarding.awake")
        self._start = QCheckBox("Start a &guard beside the window, where the keyring opens the profile")
        self._start.setObjectName("guarding.start")
        self.message = Message(name="guarding.message")
        self._save = QPushButton("&Save")
        self._save.setObjectName("guarding.save")
        self._save.setDefault(True)
        self._save.setEnabled(False)
        self._save.clicked.connect(lambda: self._bridge.start(self._write(), "save guarding"))
        close = QPushButton("&Close")
        close.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self._save)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        for widget in (self._head, self._awake, self._start):
            layout.addWidget(widget)
        layout.addStretch(1)
        layout.addWidget(self.message)
        layout.addLayout(buttons)
        self.resize(620, 400)
        self._bridge.start(self._read(), "guarding")

    async def _read(self) -> None:
        try:
            view = await self._bridge.call(self._bridge.desk.guard.view())
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
            return
        self.show_view(view)

    def show_view(self, view: GuardView) -> None:
        """How things stand, and what was chosen."""
        count = len(view.companions)
        waits = "A guard waits beside this window" if count == 1 else f"{count} guards wait beside this window"
        self._head.setText(view.alone or f"{waits}: it watches on when this program dies.")
        self._awake.setText(view.awake and f"This computer may fall asleep while stops are armed: {view.awake}")
        self._awake.setVisible(bool(view.awake))
        self._settings = view.settings
        self._start.setChecked(view.settings.start_guard)
        self._save.setEnabled(True)

    async def _write(self) -> None:
        settings = replace(self._settings, start_guard=self._start.isChecked())
        try:
            await self._bridge.call(self._bridge.desk.guard.save_settings(settings))
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self.accept()
