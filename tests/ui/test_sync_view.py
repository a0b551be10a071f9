"""The sync view: how each account and data set stands, both sides of a conflict, failed jobs, limits, log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QDateEdit,
    QDialog,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTableView,
)
from pytestqt.qtbot import QtBot

from app.desk.messages import SyncRun, SyncSummary
from app.domain.errors import Denied
from app.domain.events import SyncPaused, SyncProgressed, SyncStep
from app.domain.sync import Conflicts, DataSet, DataSetState, ErrorClass
from app.runtime.clock import SECOND
from app.ui.models.facts import Facts
from app.ui.models.table import Tone
from app.ui.views.sync_status import SyncPanel
from app.ui.views.sync_tables import STATE_COLUMNS, StateRow
from app.ui.views.sync_words import outcome
from tests.ui.charts.stage import Stage
from tests.ui.scripted_market import ACCOUNT, NOW
from tests.ui.scripted_sync import OTHER, sync_status


@pytest.fixture
def view(stage: Stage, qtbot: QtBot) -> Iterator[SyncPanel]:
    facts = Facts(stage.bridge)
    stage.loop.run_until_complete(facts.load_accounts())
    stage.desk.script.runs = [
        SyncRun("r9", ACCOUNT, "scheduled", "completed", 25, 3, 0, 22, 0, NOW - 120 * SECOND, NOW - 119 * SECOND, "",
                took_ms=210),
        SyncRun("r8", OTHER, "scheduled", "failed", 0, 0, 0, 0, 0, NOW - 300 * SECOND, NOW - 299 * SECOND,
                "The broker could not answer.", error_class="server", retries=2, took_ms=3400),
        SyncRun("r7", OTHER, "backfill", "completed", 12, 12, 0, 0, 0, NOW - 400 * SECOND, NOW - 399 * SECOND, "",
                "2026-08-25..2026-08-31", took_ms=900),
    ]  # fmt: skip
    made = SyncPanel(stage.bridge, facts)
    qtbot.addWidget(made)
    made.resize(1180, 300)
    stage.loop.run_until_complete(made.load())
    made.show()
    stage.settle()
    yield made
    made.hide()
    stage.settle()


def cells(table: QTableView, column: int) -> list[str]:
    model = table.model()
    return [str(model.index(row, column).data() or "") for row in range(model.rowCount())]


def named(view: object, name: str) -> QLabel:
    found = view.findChild(QLabel, name)  # type: ignore[attr-defined]
    assert isinstance(found, QLabel)
    return found


def press(view: object, name: str, stage: Stage) -> None:
    button = view.findChild(QPushButton, name)  # type: ignore[attr-defined]
    assert isinstance(button, QPushButton)
    assert button.isEnabled()
    button.click()
    stage.settle()


def test_each_account_and_data_set_shows_how_it_stands(view: SyncPanel) -> None:
    assert cells(view.states, 1) == ["everything", *DataSet, "everything", "trades"]
    assert cells(view.states, 2) == ["attention", "good", "good", "good", "good", "fetching", "server"]
    assert cells(view.states, 4) == ["11:45", "", "", "", "", "11:35", ""]
    words = cells(view.states, 8)
    assert words[0] == "No closing sync on 2026-11-17: fills may be missing."
    assert words[5].startswith("5 syncs in a row failed")
    assert "412 fills of the past, back to 31 Aug 2026" in named(view, "sync.past").text()
    assert "HTTP 503" in words[6]
    assert "More than a tenth" in view.message.text


def test_limits_breakers_waits_and_figures_are_shown(view: SyncPanel) -> None:
    assert cells(view.limits, 2)[:3] == ["trades waits", "circuit breaker", "circuit breaker"]
    assert cells(view.limits, 3)[1:4] == [
        "closed: asked as usual",
        "open: left alone, 5 failures in a row",
        "■■■■■□□□□□  4 of 8",
    ]
    assert cells(view.limits, 0)[1:4] == ["Zerodha", "Upstox", "Zerodha"]
    assert cells(view.limits, 4)[0] == "17 s"
    assert named(view, "sync.hour").text().startswith("Last hour: 5 syncs · 20 % good")
    words = "Upstox failed 5 times and is left alone: Sync works again in 42 s."
    assert named(view, "sync.progress").text() == words


def test_in_a_narrow_dock_the_reason_is_in_sight_and_nothing_scrolls_sideways(view: SyncPanel, stage: Stage) -> None:
    view.resize(640, 300)
    stage.settle()
    assert view.width() == 640
    assert view.states.horizontalScrollBar().maximum() == 0
    shown = [view.states.isColumnHidden(n) for n in range(len(STATE_COLUMNS))]
    assert not shown[[column.key for column in STATE_COLUMNS].index("words")]


def test_a_past_that_is_being_fetched_is_stopped(view: SyncPanel, stage: Stage) -> None:
    press(view, "sync.stop_past", stage)
    stage.until(lambda: ("stop backfill", (OTHER,)) in stage.desk.script.calls)


def test_a_conflict_is_shown_side_by_side_and_settled(view: SyncPanel, stage: Stage) -> None:
    view.tabs.setCurrentIndex(1)
    assert view.tabs.tabText(1) == "To settle (3)"
    assert cells(view.trouble.table, 0) == ["failed job", "two stories", "open day"]
    view.trouble.table.select(("conflict", 3))
    shown = [label.text() for label in view.trouble.findChildren(QLabel)]
    assert "1,480.05" in shown
    assert "1,480.50" in shown
    assert "In the book" in shown
    press(view, "sync.trouble.first", stage)
    stage.until(lambda: view.trouble.count == 2)
    assert ("settle", (3, Conflicts.BROKER)) in stage.desk.script.calls
    assert view.tabs.tabText(1) == "To settle (2)"


def test_a_failed_job_is_tried_again_or_discarded(view: SyncPanel, stage: Stage) -> None:
    view.tabs.setCurrentIndex(1)
    view.trouble.table.select(("job", 7))
    assert "6 times in a row" in named(view, "sync.trouble.words").text()
    press(view, "sync.trouble.second", stage)
    stage.until(lambda: view.trouble.count == 2)
    assert ("discard job", (7,)) in stage.desk.script.calls


def test_an_open_day_where_the_broker_keeps_no_history_says_where_its_trades_are(view: SyncPanel, stage: Stage) -> None:
    view.tabs.setCurrentIndex(1)
    view.trouble.table.select(("day", ACCOUNT, "2026-11-17"))
    assert "Console" in named(view, "sync.trouble.words").text()
    first = view.findChild(QPushButton, "sync.trouble.first")
    assert isinstance(first, QPushButton)
    assert first.text() == "Import a &file…"
    stage.loop.run_until_complete(view.take_file(ACCOUNT, "/tradebook.csv"))
    assert ("import file", (ACCOUNT, "/tradebook.csv")) in stage.desk.script.calls
    assert "in the file" in named(view, "sync.progress").text()
    press(view, "sync.trouble.second", stage)
    assert ("close day", (ACCOUNT, "2026-11-17")) in stage.desk.script.calls


def test_the_log_is_filtered_by_words(view: SyncPanel) -> None:
    view.tabs.setCurrentIndex(3)
    edit = view.findChild(QLineEdit, "sync.filter")
    assert isinstance(edit, QLineEdit)
    assert len(cells(view.table, 0)) == 3
    edit.setText("failed server")
    assert cells(view.table, 4) == ["failed"]
    edit.setText("backfill")
    assert cells(view.table, 3) == ["2026-08-25 to 2026-08-31"]
    edit.clear()
    assert len(cells(view.table, 0)) == 3


def test_a_run_of_the_schedule_appears_and_a_pause_is_counted_down(view: SyncPanel, stage: Stage) -> None:
    stage.publish(
        SyncProgressed("r10", ACCOUNT, SyncStep.FAILED, "closing", started_at=NOW, ended_at=NOW, error="No.",
                       error_class=ErrorClass.CLIENT),
        SyncPaused(ACCOUNT, DataSet.TRADES, "slow down", 42.0),
    )  # fmt: skip
    view._model.flush()
    assert cells(view.table, 2)[0] == "closing"
    assert "trades in 42 s" in named(view, "sync.progress").text()


def dialog(view: SyncPanel, stage: Stage) -> QDialog:
    stage.settle()
    found = [child for child in view.findChildren(QDialog) if child.isVisible()]
    assert len(found) == 1
    return found[0]


def test_the_schedule_is_edited_for_each_account(view: SyncPanel, stage: Stage) -> None:
    press(view, "sync.plan", stage)
    shown = dialog(view, stage)
    every = shown.findChild(QSpinBox, "plan.every")
    metals = shown.findChild(QCheckBox, "plan.commodity")
    assert isinstance(every, QSpinBox)
    assert isinstance(metals, QCheckBox)
    assert every.value() == 15
    every.setValue(1)
    metals.setChecked(True)
    press(shown, "plan.save", stage)
    stage.until(lambda: not shown.isVisible())
    (saved,) = [asked[0] for verb, asked in stage.desk.script.calls if verb == "save plan"]
    plan = stage.desk.sync.state.accounts[0].plan
    assert saved == replace(plan, every_s=60, segments=(*plan.segments, type(plan.segments[0]).COMMODITY))


def test_a_range_that_the_broker_does_not_keep_is_refused_in_words(view: SyncPanel, stage: Stage) -> None:
    stage.desk.script.fail("sync run", Denied("Zerodha gives the trades of today only.", "Import the Console file."))
    press(view, "sync.range", stage)
    shown = dialog(view, stage)
    assert "Console" in named(shown, "range.hint").text()
    press(shown, "range.fetch", stage)
    stage.until(lambda: "today only" in named(shown, "range.message.text").text())
    fields = [*shown.findChildren(QComboBox), *shown.findChildren(QDateEdit)]
    assert all(field.height() >= field.sizeHint().height() for field in fields), "the words have room of their own"
    press(shown, "range.fetch", stage)
    stage.until(lambda: not shown.isVisible())
    assert ("sync run", (ACCOUNT, date(2026, 11, 13), date(2026, 11, 20))) in stage.desk.script.calls


def test_what_a_sync_came_to_stays_in_sight(view: SyncPanel, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = (
        SyncRun("r11", ACCOUNT, "manual", "failed", 4, 1, 0, 3, 0, NOW, NOW, "Holdings refused and skipped: no."),
        SyncRun("r11", OTHER, "manual", "skipped", 0, 0, 0, 0, 0, NOW, NOW, "The account is not logged in."),
    )

    async def synced(*_asked: object) -> SyncSummary:
        return SyncSummary("r11", runs)

    monkeypatch.setattr(stage.desk.portfolio, "sync", synced)
    press(view, "sync.start", stage)
    stage.until(lambda: "Holdings refused" in view.message.text)
    for _ in range(2):
        view.take(replace(stage.desk.sync.state, breakers=(), pauses=()))  # as it is read each second
        assert "Holdings refused" in view.message.text
        told = named(view, "sync.progress").text()
        assert "1 new fill from 1 account; " in told
        assert "The account is not logged in." in told


def test_dates_of_an_account_that_is_not_logged_in_are_not_taken_for_fetched(
    view: SyncPanel, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def skipped(*_asked: object) -> SyncSummary:
        words = "The account is not logged in."
        return SyncSummary("r11", (SyncRun("r11", ACCOUNT, "manual", "skipped", 0, 0, 0, 0, 0, NOW, NOW, words),))

    monkeypatch.setattr(stage.desk.sync, "run", skipped)
    press(view, "sync.range", stage)
    shown = dialog(view, stage)
    press(shown, "range.fetch", stage)
    stage.until(lambda: "not logged in" in named(shown, "range.message.text").text())
    assert shown.isVisible()
    shown.reject()


def test_where_only_today_is_told_the_file_of_earlier_days_is_offered_and_asked_for(
    view: SyncPanel, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def choose(_parent: object, title: str, *_rest: object) -> tuple[str, str]:
        asked.append(title)
        return "", ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", choose)
    press(view, "sync.range", stage)
    shown = dialog(view, stage)
    offer, whose = shown.findChild(QPushButton, "range.file"), shown.findChild(QComboBox, "range.account")
    assert isinstance(offer, QPushButton)
    assert isinstance(whose, QComboBox)
    whose.setCurrentIndex(whose.findData(OTHER))
    assert offer.isHidden(), "that broker keeps its trades"
    whose.setCurrentIndex(whose.findData(ACCOUNT))
    press(shown, "range.file", stage)
    assert not shown.isVisible()
    assert asked == [f"Tradebook of {view._facts.account_name(ACCOUNT)}"]


def test_each_letter_of_the_dates_stands_for_one_thing(view: SyncPanel, stage: Stage) -> None:
    press(view, "sync.range", stage)
    shown = dialog(view, stage)
    texts = [part.text() for part in shown.findChildren(QLabel)]
    texts += [part.text() for part in shown.findChildren(QAbstractButton)]
    letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(letters) >= 6
    assert len(letters) == len(set(letters)), letters
    shown.reject()


def test_in_a_low_dock_both_sides_of_a_conflict_are_read_in_full(view: SyncPanel, stage: Stage) -> None:
    view.tabs.setCurrentIndex(1)
    view.trouble.table.select(("conflict", 3))
    view.resize(680, 260)
    stage.settle()
    sides = [label for label in view.trouble.findChildren(QLabel) if label.text() in ("1,480.05", "75", "MIS")]
    assert len(sides) >= 5
    assert all(label.height() >= label.fontMetrics().height() for label in sides)
    for name in ("sync.trouble.first", "sync.trouble.second"):
        button = view.findChild(QPushButton, name)
        assert isinstance(button, QPushButton)
        assert button.visibleRegion().boundingRect() == button.rect(), "the whole button is in sight"


def test_it_reads_nothing_while_nobody_looks(view: SyncPanel, stage: Stage) -> None:
    view.hide()
    stage.settle()
    assert not view._timer.isActive()


def test_a_data_set_that_was_read_beside_a_failure_is_not_called_good() -> None:
    read = DataSetState(ACCOUNT, DataSet.POSITIONS, 2, 1, 4, 30, 0, ErrorClass.NONE, "Not saved: another failed.")
    account = sync_status().accounts[0]
    row = StateRow("Zerodha", account, read, "2026-11-20")
    assert (row.health, row.tone, row.words) == ("not saved", Tone.WARN, "Not saved: another failed.")
    good = StateRow("Zerodha", account, replace(read, error=""), "2026-11-20")
    assert (good.health, good.tone) == ("good", Tone.DIM)


def test_an_account_whose_sync_failed_and_brought_nothing_is_not_counted() -> None:
    good = SyncRun("r1", ACCOUNT, "manual", "completed", 3, 3, 0, 0, 0, NOW, NOW, "")
    bad = SyncRun("r1", OTHER, "manual", "failed", 0, 0, 0, 0, 0, NOW, NOW, "It did not answer.")
    assert outcome(SyncSummary("r1", (good,)), str) == ("3 new fills from 1 account", "")
    assert outcome(SyncSummary("r1", (good, bad)), str) == (
        "3 new fills from 1 of 2 accounts", f"{OTHER}: It did not answer."
    )  # fmt: skip
