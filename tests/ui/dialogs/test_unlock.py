from __future__ import annotations

import asyncio

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QLabel, QLineEdit, QPushButton

from app.desk.messages import VaultInfo, VaultState
from app.domain.errors import Damaged
from app.runtime.secret import Secret
from app.ui.dialogs.unlock import UnlockWindow
from tests.ui.charts.stage import Stage


class Front:
    """The first window and what a trader does to it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.window = UnlockWindow(stage.bridge)
        self.opened: list[bool] = []
        self.window.opened.connect(lambda: self.opened.append(True))
        self.window.show()
        stage.loop.run_until_complete(self.window.ask())

    def field(self, name: str) -> QLineEdit:
        found = self.window.findChild(QLineEdit, name)
        assert found is not None
        return found

    def button(self, name: str) -> QPushButton:
        found = self.window.findChild(QPushButton, name)
        assert found is not None
        return found

    def text(self, name: str) -> str:
        found = self.window.findChild(QLabel, name)
        assert found is not None
        return found.text() if found.isVisibleTo(self.window) else ""


@pytest.fixture
def locked(stage: Stage) -> Stage:
    stage.desk.script.vault_state = VaultState.LOCKED
    return stage


def test_return_in_the_passphrase_field_opens_the_vault(locked: Stage) -> None:
    front = Front(locked)
    QTest.keyClicks(front.field("unlock.passphrase"), "correct horse")
    QTest.keyClick(front.field("unlock.passphrase"), Qt.Key.Key_Return)
    locked.until(lambda: bool(front.opened))
    assert locked.desk.script.called("unlock") == [(Secret("correct horse"),)]
    assert front.field("unlock.passphrase").text() == ""


def test_what_is_typed_before_the_desk_is_there_is_kept_and_opens_the_vault(locked: Stage) -> None:
    window = UnlockWindow(locked.bridge, VaultInfo(VaultState.LOCKED, False, False, True, "/home/a/trading"))
    opened: list[bool] = []
    window.opened.connect(lambda: opened.append(True))
    window.show()
    field = window.findChild(QLineEdit, "unlock.passphrase")
    assert field is not None
    assert window.focusWidget() is field
    QTest.keyClicks(field, "correct ")
    locked.loop.run_until_complete(window.ask())
    assert field.text() == "correct "
    assert not opened
    QTest.keyClicks(field, "horse")
    QTest.keyClick(field, Qt.Key.Key_Return)
    locked.until(lambda: bool(opened))
    assert locked.desk.script.called("unlock") == [(Secret("correct horse"),)]


def test_return_before_the_desk_is_there_waits_for_it(locked: Stage) -> None:
    window = UnlockWindow(locked.bridge, VaultInfo(VaultState.LOCKED, False, False, True, "/home/a/trading"))
    opened: list[bool] = []
    window.opened.connect(lambda: opened.append(True))
    window.show()
    field, button = window.findChild(QLineEdit, "unlock.passphrase"), window.findChild(QPushButton, "unlock.submit")
    assert field is not None
    assert button is not None
    QTest.keyClicks(field, "correct horse")
    QTest.keyClick(field, Qt.Key.Key_Return)
    locked.until(lambda: button.text() == "Unlocking…")
    locked.loop.run_until_complete(asyncio.sleep(0))  # what was begun has come as far as it comes
    assert locked.desk.script.called("unlock") == []
    locked.loop.run_until_complete(window.ask())
    locked.until(lambda: bool(opened))
    assert locked.desk.script.called("unlock") == [(Secret("correct horse"),)]
    assert opened == [True]


def test_a_wrong_passphrase_is_said_in_place_and_can_be_typed_again(locked: Stage) -> None:
    front = Front(locked)
    QTest.keyClicks(front.field("unlock.passphrase"), "wrong")
    QTest.mouseClick(front.button("unlock.submit"), Qt.MouseButton.LeftButton)
    locked.until(lambda: front.text("unlock.message.text") != "")
    assert "does not open the vault" in front.text("unlock.message.text")
    assert "caps lock" in front.text("unlock.message.text")
    assert not front.opened
    locked.until(front.button("unlock.submit").isEnabled)
    QTest.keyClicks(front.field("unlock.passphrase"), "correct horse")
    QTest.keyClick(front.field("unlock.passphrase"), Qt.Key.Key_Return)
    locked.until(lambda: bool(front.opened))


def test_a_damaged_file_is_told_in_words(locked: Stage) -> None:
    locked.desk.script.fail("unlock", Damaged("book.db is not a database.", "It was set aside as book.db.damaged."))
    front = Front(locked)
    QTest.keyClicks(front.field("unlock.passphrase"), "correct horse")
    QTest.keyClick(front.field("unlock.passphrase"), Qt.Key.Key_Return)
    locked.until(lambda: front.text("unlock.message.text") != "")
    assert front.text("unlock.message.text") == "book.db is not a database. It was set aside as book.db.damaged."


def test_the_keyring_opens_it_without_a_question(locked: Stage) -> None:
    locked.desk.script.keyring = True
    front = Front(locked)
    locked.until(lambda: bool(front.opened))
    assert locked.desk.script.called("unlock") == [(None,)]


def test_the_button_is_locked_while_the_key_is_derived(locked: Stage) -> None:
    gate = locked.desk.script.hold("unlock")
    front = Front(locked)
    QTest.keyClicks(front.field("unlock.passphrase"), "correct horse")
    for _ in range(2):
        QTest.keyClick(front.field("unlock.passphrase"), Qt.Key.Key_Return)
    locked.until(lambda: bool(locked.desk.script.called("unlock")))
    assert not front.button("unlock.submit").isEnabled()
    locked.thread.loop.call_soon_threadsafe(gate.set)
    locked.until(lambda: bool(front.opened))
    assert len(locked.desk.script.called("unlock")) == 1


def test_a_new_vault_needs_the_same_passphrase_twice(stage: Stage) -> None:
    stage.desk.script.vault_state = VaultState.ABSENT
    front = Front(stage)
    QTest.keyClicks(front.field("create.passphrase"), "plinth orbit saddle")
    assert front.text("create.hint").startswith("Strong")
    QTest.keyClicks(front.field("create.repeat"), "plinth orbit")
    QTest.keyClick(front.field("create.repeat"), Qt.Key.Key_Return)
    assert "differ" in front.text("create.message.text")
    assert stage.desk.script.called("create_vault") == []
    QTest.keyClicks(front.field("create.repeat"), " saddle")
    QTest.keyClick(front.field("create.repeat"), Qt.Key.Key_Return)
    stage.until(lambda: bool(front.opened))
    assert stage.desk.script.called("create_vault") == [(Secret("plinth orbit saddle"), False)]


def test_a_new_vault_may_live_in_the_keyring_alone(stage: Stage) -> None:
    stage.desk.script.vault_state = VaultState.ABSENT
    front = Front(stage)
    QTest.mouseClick(front.button("create.submit"), Qt.MouseButton.LeftButton)
    assert "Choose a passphrase" in front.text("create.message.text")
    remember = front.window.findChild(QCheckBox, "create.remember")
    assert remember is not None
    remember.setChecked(True)
    QTest.mouseClick(front.button("create.submit"), Qt.MouseButton.LeftButton)
    stage.until(lambda: bool(front.opened))
    assert stage.desk.script.called("create_vault") == [(None, True)]


def test_closing_it_instead_ends_the_program(locked: Stage) -> None:
    front = Front(locked)
    gone: list[bool] = []
    front.window.dismissed.connect(lambda: gone.append(True))
    front.window.close()
    assert gone


def test_who_lost_the_passphrase_comes_in_by_the_recovery_key(locked: Stage) -> None:
    front = Front(locked)
    assert not front.button("unlock.lost").isVisibleTo(front.window)
    locked.desk.script.recovery_key = "ABCD-EFGH"
    front = Front(locked)
    QTest.mouseClick(front.button("unlock.lost"), Qt.MouseButton.LeftButton)
    front.field("recover.key").setText("ABCD-WXYZ")
    front.field("recover.new").setText("new words")
    QTest.mouseClick(front.button("recover.submit"), Qt.MouseButton.LeftButton)
    assert "differ" in front.text("recover.message.text")
    front.field("recover.again").setText("new words")
    QTest.mouseClick(front.button("recover.submit"), Qt.MouseButton.LeftButton)
    locked.until(lambda: "letter by letter" in front.text("recover.message.text"))
    locked.until(front.button("recover.submit").isEnabled)
    front.field("recover.key").setText("ABCD-EFGH")
    QTest.mouseClick(front.button("recover.submit"), Qt.MouseButton.LeftButton)
    locked.until(lambda: bool(front.opened))
    assert locked.desk.script.called("recover")[-1] == (Secret("ABCD-EFGH"), Secret("new words"))
    assert front.field("recover.key").text() == front.field("recover.new").text() == ""
