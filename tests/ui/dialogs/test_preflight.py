"""The pre-flight page: what a trader reads before the open, and what one click mends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from app.domain.errors import Denied
from app.ui.dialogs.preflight import PreflightDialog
from tests.ui.charts.stage import Stage


class Page:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.window = QWidget()
        self.logins: list[str] = []
        self.dialog = PreflightDialog(
            stage.bridge, self.window, self.logins.append, lambda text: text.replace("zerodha-1", "Zerodha AB1234")
        )
        self.dialog.show()
        stage.until(lambda: "to see to" in self.text("preflight.head"))

    def text(self, name: str) -> str:
        found = self.dialog.findChild(QLabel, name)
        assert found is not None
        return found.text()

    def click(self, name: str) -> None:
        found = self.dialog.findChild(QPushButton, name)
        assert found is not None
        found.click()

    def lines(self) -> list[str]:
        inside = self.dialog.findChild(QWidget, "preflight.findings")
        assert inside is not None
        return [label.text() for label in inside.findChildren(QLabel)]


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    made = Page(stage)
    yield made
    made.dialog.close()
    made.window.deleteLater()


def test_the_worst_comes_first_and_every_line_says_what_to_do(page: Page) -> None:
    lines = page.lines()
    assert page.text("preflight.head").startswith("3 things to see to")
    assert lines[:3] == ["failed", "session Zerodha AB1234", "expired; 2 stops are blind. Log in again."]
    assert lines[-3:] == ["ok", "disk", "50.0 GB free"]


def test_one_click_logs_in(page: Page) -> None:
    page.click("preflight.log_in.zerodha-1")
    assert page.logins == ["zerodha-1"]


def test_a_remedy_is_done_and_everything_looked_at_again(page: Page) -> None:
    script = page.stage.desk.script
    page.click("preflight.back_up.")
    page.stage.until(lambda: len(script.called("preflight")) == 2)
    assert len(script.called("backup")) == 1
    page.click("preflight.reconnect.zerodha-1")
    page.stage.until(lambda: len(script.called("preflight")) == 3)
    assert script.called("reconnect") == [("zerodha-1",)]


def test_a_remedy_that_fails_says_why(page: Page) -> None:
    page.stage.desk.script.fail("backup", Denied("The disk is full.", "Free some space."))
    page.click("preflight.back_up.")
    page.stage.until(lambda: "The disk is full." in page.text("preflight.message.text"))
