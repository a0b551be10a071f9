"""The pre-flight page: what a trader reads before the open, and what one click mends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from app.domain.errors import Denied
from app.domain.events import FeedChanged, FeedState, SessionChanged, SessionState
from app.domain.health import Finding, HealthState, PreflightReport
from app.domain.ids import AccountId
from app.ui.dialogs.preflight import PreflightDialog, show_preflight
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


def test_the_page_says_so_when_a_login_or_a_feed_has_mended(page: Page) -> None:
    script = page.stage.desk.script
    session = SessionChanged(AccountId("zerodha-1"), "zerodha", "Paper Trader", SessionState.ACTIVE, paper=True)
    page.stage.publish(session)
    page.stage.until(lambda: len(script.called("preflight")) == 2)
    feed = FeedChanged(AccountId("zerodha-1"), FeedState.DOWN, None, 1)
    page.stage.publish(feed, feed)
    page.stage.publish(replace(feed, state=FeedState.LIVE))
    page.stage.until(lambda: len(script.called("preflight")) == 3)


def test_the_login_that_it_opens_takes_keys_and_the_page_is_there_once(page: Page) -> None:
    window = QWidget()
    for _ in range(2):
        show_preflight(page.stage.bridge, window, page.logins.append, str)
    (shown,) = window.findChildren(PreflightDialog)
    assert shown.isVisible()
    assert not shown.isModal()
    page.stage.until(lambda: len(page.stage.desk.script.called("preflight")) == 2)
    page.stage.settle()
    shown.close()
    window.deleteLater()


def test_no_sentence_ends_twice(page: Page) -> None:
    words = "expired: The broker's session has reached its end."
    finding = Finding("session zerodha-1", HealthState.WARNING, words, "Log in again.")
    page.dialog.show_report(PreflightReport(0, (finding,)))
    assert "expired: The broker's session has reached its end. Log in again." in page.lines()
