"""The first window: make a vault, or open it. Painted before anything heavy is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.desk.messages import PassphraseStrength, VaultInfo, VaultState
from app.domain.errors import AppError
from app.runtime.secret import Secret
from app.ui import format as fmt
from app.ui import theme
from app.ui.bridge import Bridge
from app.ui.dialogs.recover import RecoverPage
from app.ui.widgets.text import Message, label


class UnlockWindow(QWidget):
    """Asks for the vault. Emits `opened` once the vault is open, `dismissed` when the trader closes it instead."""

    opened = Signal()
    dismissed = Signal()

    def __init__(self, bridge: Bridge, first_look: VaultInfo | None = None) -> None:
        """`first_look`: what is known before the desk is built. Its page is there at once; what is typed is kept."""
        super().__init__()
        self._bridge = bridge
        self._desk_is_there = asyncio.Event()
        self._done = False
        self._placed = False
        self.setObjectName("unlock")
        self.setWindowTitle("Stopline")
        self.setFixedWidth(440)
        self._pages = QStackedWidget()
        self._waiting = label("Opening the profile…", "muted", name="unlock.waiting")
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._create = CreatePage(self._strength)
        self._open = OpenPage()
        self._recover = RecoverPage()
        for shown in (self._waiting, self._create, self._open, self._recover):
            self._pages.addWidget(shown)
        self._profile = label("", "faint", wrap=True, name="unlock.profile")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(32, 28, 32, 24)
        layout.setSpacing(4)
        layout.addWidget(label("Stopline", "title"))
        layout.addWidget(label("Guards your positions from this computer.", "muted"))
        layout.addSpacing(16)
        layout.addWidget(self._pages)
        layout.addSpacing(12)
        layout.addWidget(self._profile)
        for page in (self._create, self._open, self._recover):
            page.message.changed.connect(self._fit)
        self._create.submitted.connect(lambda: bridge.start(self._make(), "create vault"))
        self._open.submitted.connect(lambda: bridge.start(self._unlock(), "unlock"))
        self._open.lost.connect(lambda: self._show(self._recover))
        self._recover.left.connect(lambda: self._show(self._open))
        self._recover.submitted.connect(lambda: bridge.start(self._recovered(), "recover"))
        if first_look is not None:
            self._tell_profile(first_look)
            self._open.prepare(first_look)
            self._show(self._open)

    async def ask(self) -> None:
        """Finds out what the profile needs and shows that page; a keyring opens it without a question."""
        info = await self._bridge.call(self._bridge.desk.session.vault())
        self._desk_is_there.set()
        self._tell_profile(info)
        if info.state is VaultState.OPEN:
            self._finish()
        elif info.state is VaultState.ABSENT:
            self._create.prepare(info)
            self._show(self._create)
        elif self._pages.currentWidget() is self._waiting:
            self._open.prepare(info)
            if info.opens_with_keyring:
                await self._unlock(by_keyring=True)
            else:
                self._show(self._open)

    def _tell_profile(self, info: VaultInfo) -> None:
        self._profile.setText(f"Profile: {fmt.from_home(info.profile)}")

    def _strength(self, passphrase: Secret) -> PassphraseStrength:
        return self._bridge.desk.session.strength(passphrase)

    async def _make(self) -> None:
        passphrase, use_keyring = self._create.choice()
        try:
            await self._bridge.call(self._bridge.desk.session.create_vault(passphrase, use_keyring))
        except AppError as failure:
            self._create.message.say(in_words(failure), "strip-danger")
        else:
            self._finish()
        finally:
            self._create.set_busy(False)

    async def _unlock(self, *, by_keyring: bool = False) -> None:
        passphrase = None if by_keyring else self._open.passphrase()
        self._open.set_busy(True)
        try:
            await self._desk_is_there.wait()
            await self._bridge.call(self._bridge.desk.session.unlock(passphrase))
        except AppError as failure:
            self._open.message.say(in_words(failure), "strip-danger")
            self._show(self._open)
            self._open.ask_again()
        else:
            self._finish()
        finally:
            self._open.set_busy(False)

    async def _recovered(self) -> None:
        try:
            await self._desk_is_there.wait()
            await self._bridge.call(self._bridge.desk.session.recover(*self._recover.typed()))
        except AppError as failure:
            self._recover.message.say(in_words(failure), "strip-danger")
        else:
            self._finish()
        finally:
            self._recover.set_busy(False)

    def _finish(self) -> None:
        if self._done:
            return
        self._done = True
        self._create.forget()
        self._open.forget()
        self._recover.forget()
        self._waiting.setText("Opening the workstation…")
        self._show(self._waiting)
        self.opened.emit()

    def _show(self, page: QWidget) -> None:
        for other in (
            self._waiting,
            self._create,
            self._open,
            self._recover,
        ):  # hidden pages do not decide how high this one is
            policy = QSizePolicy.Policy.Preferred if other is page else QSizePolicy.Policy.Ignored
            other.setSizePolicy(QSizePolicy.Policy.Preferred, policy)
        self._pages.setCurrentWidget(page)
        if isinstance(page, CreatePage | OpenPage | RecoverPage):
            page.focus()
        self._fit()

    def _fit(self) -> None:
        """As high as the page needs at this width, once its labels have wrapped."""
        QTimer.singleShot(0, self, self._resize)

    def _resize(self) -> None:
        layout = self.layout()
        if layout is not None:
            layout.activate()
            self.setFixedHeight(layout.totalHeightForWidth(self.width()))
            if not self._placed:  # not every window manager centres a first window, and some desks have none
                self._placed = True
                room = self.screen().availableGeometry()
                self.move(room.center() - self.rect().center())

    def closeEvent(self, event: QCloseEvent) -> None:
        """Qt. Closing it without opening the vault ends the program."""
        event.accept()
        if not self._done:
            self.dismissed.emit()


class CreatePage(QWidget):
    """First run: a passphrase, the computer's keyring, or both."""

    submitted = Signal()

    def __init__(self, strength: Callable[[Secret], PassphraseStrength]) -> None:
        super().__init__()
        self._strength = strength
        self._first = _secret_edit("create.passphrase", "Passphrase")
        self._again = _secret_edit("create.repeat", "Repeat the passphrase")
        self._bar = QProgressBar()
        self._bar.setRange(0, 4)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Strength of the passphrase")
        self._hint = label("", "faint", wrap=True, name="create.hint")
        self._hint.setMinimumHeight(32)
        self._hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._remember = QCheckBox("&Remember on this computer (system keyring)")
        self._remember.setObjectName("create.remember")
        self.message = Message(name="create.message")
        self._button = QPushButton("&Create vault")
        self._button.setObjectName("create.submit")
        self._button.setDefault(True)
        theme.set_role(self._button, "primary")
        form = QVBoxLayout()
        form.setSpacing(6)
        for title, edit in (("&Passphrase", self._first), ("R&epeat", self._again)):
            name = label(title)
            name.setBuddy(edit)
            form.addWidget(name)
            form.addWidget(edit)
            if edit is self._first:
                form.addWidget(self._bar)
                form.addWidget(self._hint)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(label("Create your vault", "heading"))
        layout.addWidget(
            label(
                "Your broker keys, trades and stops are encrypted on this computer. Nobody can recover a lost "
                "passphrase, so keep it somewhere safe.",
                "muted",
                wrap=True,
            )
        )
        layout.addSpacing(4)
        layout.addLayout(form)
        layout.addWidget(self._remember)
        layout.addWidget(self.message)
        layout.addSpacing(4)
        layout.addWidget(self._button)
        self._first.textChanged.connect(self._judge)
        self._again.textChanged.connect(self.message.clear)
        for edit in (self._first, self._again):
            edit.returnPressed.connect(self._submit)
        self._button.clicked.connect(self._submit)
        self._judge("")

    def prepare(self, info: VaultInfo) -> None:
        """Offers the keyring only where there is one."""
        self._remember.setVisible(info.keyring_available)
        self._remember.setChecked(False)

    def focus(self) -> None:
        """Ready to type."""
        self._first.setFocus()

    def choice(self) -> tuple[Secret | None, bool]:
        """(passphrase or None, whether the keyring keeps the key)."""
        text = self._first.text()
        return (Secret(text) if text else None), self._remember.isVisible() and self._remember.isChecked()

    def forget(self) -> None:
        """Empties the fields: nothing typed outlives the page."""
        self._first.clear()
        self._again.clear()

    def set_busy(self, busy: bool) -> None:
        """While the vault is being made."""
        self._button.setEnabled(not busy)
        self._button.setText("Creating…" if busy else "&Create vault")

    def _judge(self, text: str) -> None:
        self.message.clear()
        if not text:
            self._bar.setValue(0)
            self._hint.setText("Four or more random words are strong and easy to type.")
            return
        strength = self._strength(Secret(text))
        self._bar.setValue(max(strength.score, 0))
        self._hint.setText(strength.hint)

    def _submit(self) -> None:
        if not self._button.isEnabled():
            return
        passphrase, use_keyring = self.choice()
        if self._first.text() != self._again.text():
            if self._first.hasFocus() and not self._again.text():
                self._again.setFocus()
                return
            self.message.say("The two passphrases differ. Type the same one twice.")
        elif passphrase is None and not use_keyring:
            self.message.say("Choose a passphrase" + (", or tick Remember." if self._remember.isVisible() else "."))
        else:
            self.message.clear()
            self.set_busy(True)  # at once: a second Return must not ask a second time
            self.submitted.emit()


class OpenPage(QWidget):
    """Later runs: the passphrase, or the keyring again."""

    submitted = Signal()
    lost = Signal()
    """The trader has the recovery key instead."""

    def __init__(self) -> None:
        super().__init__()
        self._field = _secret_edit("unlock.passphrase", "Passphrase")
        self._caption = label("&Passphrase")
        self._caption.setBuddy(self._field)
        self._needs_passphrase = True
        self.message = Message(name="unlock.message")
        self._button = QPushButton("&Unlock")
        self._button.setObjectName("unlock.submit")
        self._button.setDefault(True)
        theme.set_role(self._button, "primary")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(label("Unlock", "heading"))
        layout.addWidget(label("Armed stops are watched again as soon as the vault is open.", "muted", wrap=True))
        layout.addSpacing(4)
        layout.addWidget(self._caption)
        layout.addWidget(self._field)
        layout.addWidget(self.message)
        layout.addSpacing(4)
        layout.addWidget(self._button)
        self._lost = QPushButton("Passphrase &lost?")
        self._lost.setObjectName("unlock.lost")
        theme.set_role(self._lost, "quiet")
        layout.addWidget(self._lost)
        self._lost.clicked.connect(self.lost)
        self._field.returnPressed.connect(self._submit)
        self._button.clicked.connect(self._submit)

    def prepare(self, info: VaultInfo) -> None:
        """Hides the field where only the keyring opens this vault."""
        self._needs_passphrase = info.opens_with_passphrase
        self._field.setVisible(info.opens_with_passphrase)
        self._caption.setVisible(info.opens_with_passphrase)
        self._lost.setVisible(info.has_recovery_key)

    def focus(self) -> None:
        """Ready to type."""
        (self._field if self._needs_passphrase else self._button).setFocus()

    def passphrase(self) -> Secret | None:
        """What was typed; None asks the keyring."""
        return Secret(self._field.text()) if self._needs_passphrase else None

    def ask_again(self) -> None:
        """After a refusal: the old text is selected, so typing replaces it."""
        self._field.selectAll()
        self._field.setFocus()

    def forget(self) -> None:
        """Empties the field."""
        self._field.clear()

    def set_busy(self, busy: bool) -> None:
        """While the vault opens: deriving the key takes a moment on purpose."""
        self._button.setEnabled(not busy)
        self._button.setText("Unlocking…" if busy else "&Unlock")

    def _submit(self) -> None:
        if not self._button.isEnabled():
            return
        if self._needs_passphrase and not self._field.text():
            self.message.say("Type your passphrase.")
            return
        self.message.clear()
        self.set_busy(True)
        self.submitted.emit()


def in_words(failure: AppError) -> str:
    """Cause, the other side's words in quotes, next step."""
    return str(failure)


def _secret_edit(name: str, accessible: str) -> QLineEdit:
    edit = QLineEdit()
    edit.setObjectName(name)
    edit.setAccessibleName(accessible)
    edit.setEchoMode(QLineEdit.EchoMode.Password)
    edit.setInputMethodHints(
        Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText | Qt.InputMethodHint.ImhHiddenText
    )
    return edit
