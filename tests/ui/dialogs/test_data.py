"""The Data page: what a click asks of the desk, and what the trader then reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QAbstractButton, QLabel, QLineEdit, QPushButton, QSpinBox, QTabWidget, QWidget

from app.domain.errors import Denied, WrongPassphrase
from app.runtime.secret import Secret
from app.ui.dialogs.data import DataDialog
from tests.ui.charts.stage import Stage


class Page:
    """The dialog and what a trader does to it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.window = QWidget()
        self.dialog = DataDialog(stage.bridge, self.window)
        self.dialog.show()
        stage.until(lambda: self.text("data.where") != "")

    def text(self, name: str) -> str:
        found = self.dialog.findChild(QLabel, name)
        assert found is not None
        return found.text()

    def type(self, name: str, text: str) -> None:
        found = self.dialog.findChild(QLineEdit, name)
        assert found is not None
        found.setText(text)

    def typed(self, name: str) -> str:
        found = self.dialog.findChild(QLineEdit, name)
        assert found is not None
        return found.text()

    def set(self, name: str, value: int) -> None:
        found = self.dialog.findChild(QSpinBox, name)
        assert found is not None
        found.setValue(value)

    def click(self, name: str) -> None:
        found = self.dialog.findChild(QPushButton, name)
        assert found is not None
        found.click()

    def said(self, words: str) -> None:
        self.stage.until(lambda: words in self.text("data.message.text") and self.ready())

    def ready(self) -> bool:
        tabs = self.dialog.findChild(QTabWidget, "data.tabs")
        return tabs is not None and tabs.isEnabled()


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    shown = Page(stage)
    yield shown
    shown.dialog.close()
    shown.window.deleteLater()


def test_a_backup_is_made_with_one_click_and_its_verification_told(page: Page) -> None:
    assert "no backup" in page.text("data.backups")
    page.click("data.backup")
    page.said("1,234 rows")
    assert page.stage.desk.script.called("backup") == [(None,)]
    page.stage.until(lambda: "1 backup in" in page.text("data.backups"))


def test_a_failure_is_said_in_place_with_its_next_step(page: Page) -> None:
    page.stage.desk.script.fail("backup", Denied("The disk is full.", "Make room."))
    page.click("data.backup")
    page.said("The disk is full. Make room.")


def test_a_restore_is_asked_about_first_and_then_waits_for_the_next_start(page: Page) -> None:
    page.click("data.restore")
    assert "Choose the backup" in page.text("data.message.text")
    page.type("data.source", "/usb/a.stopline")
    page.type("data.source.passphrase", "of that day")
    page.click("data.restore")
    assert page.stage.desk.script.called("restore") == []
    page.click("data.question.yes")
    page.said("is sound")
    assert "start it again to use it" in page.text("data.message.text"), "not written over when the page reads anew"
    assert page.stage.desk.script.called("restore") == [("/usb/a.stopline", Secret("of that day"))]
    assert page.typed("data.source.passphrase") == ""


def test_new_keys_are_asked_about_first(page: Page) -> None:
    page.type("data.current", "secret")
    page.click("data.rotate")
    assert page.stage.desk.script.called("rotate") == []
    page.click("data.question.yes")
    page.said("5 secrets were sealed anew. Make a new recovery key")
    assert page.stage.desk.script.called("rotate") == [(Secret("secret"),)]
    assert page.typed("data.current") == ""


def test_a_new_passphrase_is_typed_twice(page: Page) -> None:
    page.click("data.passphrase")
    assert "Type the new" in page.text("data.keys.message.text")
    page.type("data.new", "one")
    page.type("data.again", "other")
    page.click("data.passphrase")
    assert "differ" in page.text("data.keys.message.text")
    page.type("data.again", "one")
    page.type("data.current", "secret")
    page.stage.desk.script.fail("change passphrase", WrongPassphrase("The passphrase does not open this vault."))
    page.click("data.passphrase")
    page.said("does not open")
    page.click("data.passphrase")
    page.said("was changed")
    assert page.stage.desk.script.called("change passphrase")[-1] == (Secret("secret"), Secret("one"))


def test_the_recovery_key_is_shown_once(page: Page) -> None:
    page.type("data.current", "secret")
    page.click("data.recovery")
    page.said("Write the recovery key down")
    assert page.text("data.recovery.key") == "ABCD-EFGH"
    page.stage.until(lambda: "There is one" in page.text("data.recovery.words"))


def test_a_recovery_key_that_has_ended_does_not_stay_on_the_page(page: Page) -> None:
    page.type("data.current", "secret")
    page.click("data.recovery")
    page.said("Write the recovery key down")
    page.click("data.rotate")
    page.click("data.question.yes")
    page.said("the old one has ended")
    page.stage.until(lambda: "There is none" in page.text("data.recovery.words"))
    assert page.text("data.recovery.key") == ""


def test_settings_of_both_pages_are_saved_together(page: Page) -> None:
    page.set("data.hours", 0)
    page.set("data.notifications", 30)
    page.click("data.kept.save")
    page.said("Saved. What is older than that is dropped once a day")
    (saved,) = page.stage.desk.script.called("save upkeep")[-1]
    assert (saved.backup_every_hours, saved.notifications_days, saved.sync_log_days) == (0, 30, 180)  # type: ignore[attr-defined]


def test_tidying_asks_what_goes_by_the_numbers_on_the_page(page: Page) -> None:
    page.set("data.notifications", 1)
    page.click("data.tidy")
    asked = page.text("data.question.text")
    assert "notifications older than 1 day, sync runs older than 180 days" in asked
    assert "Trades, orders and the audit trail stay." in asked
    assert not page.stage.desk.script.called("tidy"), "only asked so far"
    page.click("data.question.yes")
    page.said("Dropped: 3 notifications, 4 sync runs, 0 blocks of ticks.")
    (saved,) = page.stage.desk.script.called("save upkeep")[-1]
    assert saved.notifications_days == 1  # type: ignore[attr-defined]


def test_health_and_integrity_are_told_line_by_line(page: Page) -> None:
    page.click("data.files")
    page.said("journal.db: page 7 is damaged")
    page.click("data.look")
    page.said("2 things")
    texts = [shown.text() for shown in page.dialog.health.findChildren(QLabel)]
    assert "there is none. Make one." in texts
    assert texts.count("warning") == 1


def test_every_letter_behind_alt_stands_for_one_thing_on_a_page(page: Page) -> None:
    tabs = page.dialog.findChild(QTabWidget, "data.tabs")
    assert tabs is not None
    for index in range(tabs.count()):
        tabs.setCurrentIndex(index)
        shown = tabs.currentWidget()
        assert shown is not None
        texts = [tabs.tabText(one) for one in range(tabs.count())]
        texts += [one.text() for one in shown.findChildren(QLabel)]
        texts += [one.text() for one in shown.findChildren(QAbstractButton)]
        letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
        assert len(letters) > tabs.count()
        assert sorted(letters) == sorted(set(letters)), tabs.tabText(index)
