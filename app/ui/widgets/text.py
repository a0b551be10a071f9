"""Words on the screen. Text that came from outside is shown as it is, never as markup."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from app.ui import theme


def label(text: str = "", role: str = "", *, wrap: bool = False, name: str = "") -> QLabel:
    """A label that shows plain text only: `<b>` in an instrument's name stays `<b>`."""
    made = QLabel()
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setText(text)
    made.setWordWrap(wrap)
    if role:
        theme.set_role(made, role)
    if name:
        made.setObjectName(name)
    return made


def selectable(shown: QLabel) -> QLabel:
    """Its words can be marked and copied, for a search or a letter to the broker. Tab passes it by."""
    shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    shown.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    return shown


def caption(text: str) -> str:
    """Text for a button, tab or menu, where Qt reads `&` as a mnemonic: `M&M` stays `M&M`."""
    return text.replace("&", "&&")


class Elided(QWidget):
    """A line that ends in `…` where room is short; the whole is its tooltip."""

    def __init__(self, role: str = "", name: str = "") -> None:
        super().__init__()
        self._whole = ""
        self._shown = label("", role, name=name)
        self._shown.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._shown)

    def setText(self, text: str) -> None:
        """As a label's."""
        self._whole = text
        self.setToolTip(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Qt."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        metrics = self._shown.fontMetrics()
        self._shown.setText(metrics.elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width()))


class Message(QFrame):
    """A line in place: what happened and what to do. Hidden while there is nothing to say."""

    changed = Signal()
    """It takes more or less room now."""

    def __init__(self, parent: QWidget | None = None, name: str = "message") -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._text = selectable(label(wrap=True, name=f"{name}.text"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.addWidget(self._text)
        self.clear()

    @property
    def text(self) -> str:
        """What it says; empty when hidden."""
        return self._text.text()

    def say(self, text: str, role: str = "strip-warning") -> None:
        """Shows a sentence; an empty one hides the line."""
        self._text.setText(text)
        self._text.setAccessibleName(text)
        theme.set_role(self, role)
        self.setVisible(bool(text))
        self.changed.emit()

    def clear(self) -> None:
        """Nothing to say."""
        self.say("", "strip")


def make_room(dialog: QWidget, message: Message) -> None:
    """A dialog of fixed width is as high as what it says needs: a layout alone would press its fields together."""

    def fit() -> None:
        layout = dialog.layout()
        if layout is not None:
            layout.activate()
            dialog.resize(dialog.width(), max(dialog.sizeHint().height(), layout.heightForWidth(dialog.width())))

    message.changed.connect(fit)


class Question(QFrame):
    """A question in place, with its effect in numbers. Esc or the second button keeps things as they are."""

    def __init__(self, parent: QWidget | None = None, name: str = "question") -> None:
        super().__init__(parent)
        self.setObjectName(name)
        theme.set_role(self, "strip-warning")
        self._yes: Callable[[], object] = lambda: None
        self._text = label(wrap=True, name=f"{name}.text")
        self._do = QPushButton()
        self._do.setObjectName(f"{name}.yes")
        self._do.clicked.connect(self._on_yes)
        self._keep = QPushButton()
        self._keep.setObjectName(f"{name}.no")
        self._keep.clicked.connect(self.hide)
        self._also: Callable[[], object] = lambda: None
        self._other = QPushButton()
        self._other.setObjectName(f"{name}.other")
        self._other.clicked.connect(self._on_other)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 8, 6)
        layout.addWidget(self._text, 1)
        layout.addWidget(self._do)
        layout.addWidget(self._other)
        layout.addWidget(self._keep)
        self.hide()

    def ask(
        self,
        text: str,
        yes: str,
        no: str,
        do: Callable[[], object],
        other: tuple[str, Callable[[], object]] | None = None,
    ) -> None:
        """Shows the question; `do` runs when it is answered with `yes`, `other` where there is another way."""
        self._yes = do
        self._other.setVisible(other is not None)
        if other is not None:
            words, self._also = other
            self._other.setText(words)
        self._text.setText(text)
        self._do.setText(yes)
        self._keep.setText(no)
        self.show()
        self._keep.setFocus()

    def _on_yes(self) -> None:
        self.hide()
        self._yes()

    def _on_other(self) -> None:
        self.hide()
        self._also()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Qt. Esc keeps things as they are."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)
