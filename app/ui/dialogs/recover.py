"""The way in for who lost the passphrase: the recovery key, and a new passphrase."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.runtime.secret import Secret
from app.ui import theme
from app.ui.widgets.text import Message, label


class RecoverPage(QWidget):
    """A page of the first window."""

    submitted = Signal()
    left = Signal()
    """Back to the passphrase."""

    def __init__(self) -> None:
        super().__init__()
        self._key = _field("recover.key", "Recovery key", hidden=False)
        self._key.setPlaceholderText("ABCD-EFGH-…")
        self._new = _field("recover.new", "New passphrase", hidden=True)
        self._again = _field("recover.again", "New passphrase once more", hidden=True)
        self.message = Message(name="recover.message")
        self._button = QPushButton("&Unlock and change the passphrase")
        self._button.setObjectName("recover.submit")
        theme.set_role(self._button, "primary")
        back = QPushButton("&Back")
        back.setObjectName("recover.back")
        theme.set_role(back, "quiet")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(label("Recovery key", "heading"))
        for title, edit in (("Recovery &key", self._key), ("&New passphrase", self._new), ("&Once more", self._again)):
            caption = label(title)
            caption.setBuddy(edit)
            layout.addWidget(caption)
            layout.addWidget(edit)
            edit.returnPressed.connect(self._submit)
            edit.textChanged.connect(self.message.clear)
        layout.addWidget(self.message)
        buttons = QHBoxLayout()
        buttons.addWidget(self._button, 1)
        buttons.addWidget(back)
        layout.addLayout(buttons)
        self._button.clicked.connect(self._submit)
        back.clicked.connect(self.left)

    def focus(self) -> None:
        """Ready to type."""
        self._key.setFocus()

    def typed(self) -> tuple[Secret, Secret]:
        """Recovery key and new passphrase."""
        return Secret(self._key.text()), Secret(self._new.text())

    def forget(self) -> None:
        """Nothing typed outlives the page."""
        for edit in (self._key, self._new, self._again):
            edit.clear()

    def set_busy(self, busy: bool) -> None:
        """While the vault opens."""
        self._button.setEnabled(not busy)

    def _submit(self) -> None:
        if not self._button.isEnabled():
            return
        if not self._key.text().strip():
            self.message.say("Type the recovery key that you wrote down.")
        elif not self._new.text():
            self.message.say("Type a new passphrase.")
        elif self._new.text() != self._again.text():
            self.message.say("The two passphrases differ. Type the same one twice.")
        else:
            self.set_busy(True)
            self.submitted.emit()


def _field(name: str, accessible: str, *, hidden: bool) -> QLineEdit:
    edit = QLineEdit()
    edit.setObjectName(name)
    edit.setAccessibleName(accessible)
    edit.setEchoMode(QLineEdit.EchoMode.Password if hidden else QLineEdit.EchoMode.Normal)
    edit.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
    return edit
