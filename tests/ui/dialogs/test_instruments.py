"""The Instruments dialog: what a click asks of the desk, and what the trader then reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QPushButton, QWidget
from shiboken6 import isValid

from app.domain.errors import Denied
from app.domain.events import Noticed
from app.domain.listing import InstrumentsProgressed, ListSource
from app.ui.dialogs.instrument_tables import check_rows, summary
from app.ui.dialogs.instruments import InstrumentsDialog
from tests.ui.charts.stage import Stage
from tests.ui.scripted_instruments import GOOD


class Page:
    """The dialog and what a trader does to it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.window = QWidget()
        self.dialog = InstrumentsDialog(stage.bridge, self.window)
        self.dialog.show()
        stage.until(lambda: self.rows("lists") != [])

    def rows(self, table: str) -> list[str]:
        view = getattr(self.dialog, table)
        model = view.model()
        model.flush()
        return [
            " | ".join(model.shown(model.index(row, column))[0] for column in range(model.columnCount()))
            for row in range(model.rowCount())
        ]

    def text(self, name: str) -> str:
        found = self.dialog.findChild(QLabel, name)
        assert found is not None
        return found.text()

    def click(self, name: str) -> None:
        found = self.dialog.findChild(QPushButton, name)
        assert found is not None
        assert found.isEnabled()
        found.click()

    def escape(self) -> None:
        """Closes the page; Qt deletes it."""
        QTest.keyClick(self.dialog, Qt.Key.Key_Escape)
        QApplication.sendPostedEvents(self.dialog, QEvent.Type.DeferredDelete)
        assert not isValid(self.dialog)


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    made = Page(stage)
    yield made
    if isValid(made.dialog):
        made.dialog.close()


def test_lists_with_their_statistics_their_last_import_and_the_log(page: Page) -> None:
    upstox, zerodha = page.rows("lists")
    assert upstox.startswith("Upstox | 1,50,412 | 1,462 | 39,941 |")
    assert "public file | fine" in upstox
    assert "look | The list has lost MCX commodity; nothing was deactivated." in zerodha
    page.dialog.lists.selectRow(0)
    assert any(row.startswith("NFO | options | 35,043") for row in page.rows("segments"))
    checks = page.rows("checks")
    assert any("74 under another symbol, 4 tokens given to other contracts" in row for row in checks)
    assert "segments | good | Every segment is still there." in checks
    assert [row.split(" | ")[1] for row in page.rows("log")] == ["Zerodha", "Upstox"]


def test_the_trader_confirms_that_a_segment_is_gone(page: Page) -> None:
    page.stage.until(page.dialog.question.isVisible)
    assert "is without MCX commodity" in page.text("instruments.question.text")
    page.click("instruments.question.yes")
    page.stage.until(lambda: page.stage.desk.script.called("confirm") == [("zerodha",)])
    page.stage.until(page.dialog.refresh.isEnabled)
    page.stage.settle()
    assert not page.dialog.question.isVisible()


def test_a_list_is_refreshed_from_the_source_that_was_chosen(page: Page) -> None:
    page.dialog.lists.selectRow(1)
    page.click("instruments.refresh")
    page.stage.until(lambda: "1,50,412 instruments from public file" in page.dialog.message.text)
    page.dialog.source.setCurrentIndex(2)
    page.click("instruments.refresh")
    page.stage.until(lambda: len(page.stage.desk.script.called("import")) == 2 and page.dialog.refresh.isEnabled())
    assert page.stage.desk.script.called("import") == [("zerodha", None), ("zerodha", "public file")]


def test_a_file_is_picked_in_a_dialog(page: Page) -> None:
    page.click("instruments.file")
    chooser = page.dialog.findChild(QFileDialog, "instruments.files")
    assert chooser is not None
    chooser.fileSelected.emit("/downloads/NSE.json.gz")
    chooser.close()
    page.stage.until(lambda: page.stage.desk.script.called("import") == [(None, "/downloads/NSE.json.gz")])
    page.stage.until(page.dialog.refresh.isEnabled)


def test_progress_is_seen_and_an_import_can_be_cancelled(page: Page) -> None:
    gate = page.stage.desk.script.hold("import")
    page.click("instruments.refresh")
    page.stage.publish(InstrumentsProgressed("upstox", "reading", 120_000, ListSource.PUBLIC))
    page.stage.until(lambda: page.text("instruments.progress") == "Upstox: reading (public file), 1,20,000 lines…")
    assert not page.dialog.refresh.isEnabled()
    page.click("instruments.cancel")
    page.stage.until(lambda: page.stage.desk.script.called("cancel import") == [()])
    page.stage.thread.loop.call_soon_threadsafe(gate.set)
    page.stage.until(page.dialog.refresh.isEnabled)


def test_a_line_that_could_not_be_read_is_shown() -> None:
    report = replace(GOOD, lines=399, malformed=2, first_malformed="14870530,58088,abc")
    assert "2 lines could not be read, the first: 14870530,58088,abc." in summary(report)
    assert ("passed over", "2 lines could not be read, the first: 14870530,58088,abc") in [
        (row.what, row.finding) for _, row in check_rows(report)
    ]
    assert "could not be read" not in summary(GOOD)


def test_a_refusal_is_said_in_place(page: Page) -> None:
    page.stage.desk.script.fail("import", Denied("The instruments of upstox have been read for 2 minutes.", "Wait."))
    page.click("instruments.refresh")
    page.stage.until(lambda: "have been read for 2 minutes" in page.dialog.message.text)


def test_a_page_that_is_closed_with_escape_hears_and_says_no_more(page: Page) -> None:
    gate = page.stage.desk.script.hold("import")
    page.click("instruments.refresh")
    page.stage.until(lambda: page.stage.desk.script.called("import") != [])
    page.escape()
    page.stage.publish(InstrumentsProgressed("upstox", "reading", 120_000, ListSource.PUBLIC))
    page.stage.thread.loop.call_soon_threadsafe(gate.set)
    page.stage.settle()
    assert page.stage.problems == []


def test_what_failed_behind_a_closed_page_is_told_all_the_same(page: Page) -> None:
    gate = page.stage.desk.script.hold("import")
    page.stage.desk.script.fail("import", Denied("The instruments of upstox have been read for 2 minutes.", "Wait."))
    page.click("instruments.refresh")
    page.escape()
    page.stage.thread.loop.call_soon_threadsafe(gate.set)
    page.stage.until(lambda: page.stage.problems != [])
    (told,) = page.stage.problems
    assert isinstance(told, Noticed)
    assert "have been read for 2 minutes" in f"{told.title} {told.cause}"
