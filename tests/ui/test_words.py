from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from app.ui.widgets.text import Message


def test_what_went_wrong_can_be_copied_and_markup_stays_text(qtbot: QtBot) -> None:
    message = Message(name="words")
    qtbot.addWidget(message)
    words = "The broker said <b>no</b>. Check the API secret, then try again."
    message.say(words, "strip-danger")
    message.resize(500, 60)
    message.show()
    text = message.findChild(QLabel, "words.text")
    assert isinstance(text, QLabel)
    at = text.rect().center()
    QTest.mouseDClick(text, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseClick(text, Qt.MouseButton.LeftButton, pos=at)
    QTest.keyClick(text, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text() == words
