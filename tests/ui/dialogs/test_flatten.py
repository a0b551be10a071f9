"""Flatten all in the window: numbers before, one deliberate key, and what the books show afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QPushButton, QWidget

from app.desk.flatten_messages import FlattenChoice, FlattenPlan
from app.domain.errors import Denied
from app.ui.dialogs.flatten import FlattenDialog
from app.ui.models.facts import Facts
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage


class Page:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.window = QWidget()
        facts = Facts(stage.bridge)
        stage.loop.run_until_complete(facts.load_accounts())
        self.dialog = FlattenDialog(stage.bridge, facts, self.window)
        self.dialog.show()
        stage.until(lambda: "to cancel" in self.text("flatten.head"))

    def text(self, name: str) -> str:
        found = self.dialog.findChild(QLabel, name)
        assert found is not None
        return found.text()

    def asked(self) -> list[tuple[object, ...]]:
        return self.stage.desk.script.called("flatten")


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    made = Page(stage)
    yield made
    made.window.close()
    made.window.deleteLater()
    stage.settle()


def test_with_no_position_open_a_strategy_that_is_paused_is_a_sentence_of_its_own(page: Page) -> None:
    page.stage.desk.script.positions.clear()
    page.dialog._look()
    page.stage.until(lambda: "0 positions to exit" in page.text("flatten.head"))
    assert page.text("flatten.positions").startswith("nothing. 2 stops")


def test_what_there_is_is_said_in_numbers_and_nothing_is_ticked(page: Page) -> None:
    open_ = [p for p in page.stage.desk.script.positions.values() if p.quantity]
    assert page.text("flatten.head").endswith(f"{len(open_)} positions to exit")
    assert "Worth ₹12,34,567.00" in page.text("flatten.positions")
    assert "1 running strategy is paused first" in page.text("flatten.positions")
    assert "2 stops on them exit their share themselves" in page.text("flatten.positions")
    assert page.text("flatten.holdings.count") == "3, left alone unless ticked"
    assert not any(box.isChecked() for box in page.dialog.findChildren(QCheckBox))
    assert page.asked() == []


@pytest.mark.parametrize(
    ("gtts", "behind", "kept", "words"),
    [
        (0, 0, 0, "none"),
        (0, 1, 0, "none of yours; 1 behind stops on these positions goes with them"),
        (2, 3, 0, "2, left alone unless ticked; 3 behind stops on these positions go with them"),
        (0, 0, 1, "none of yours; 1 behind stops on shares that are held stays"),
    ],
)
def test_triggers_behind_stops_are_told_apart_from_the_traders_own(
    page: Page, gtts: int, behind: int, kept: int, words: str
) -> None:
    page.dialog.show_plan(FlattenPlan((), (), (), (), 0, 0, 0, gtts, 0, 0, behind=behind, kept=kept))
    assert page.text("flatten.gtts.count") == words
    box = page.dialog.findChild(QCheckBox, "flatten.gtts")
    assert box is not None
    assert box.isEnabled() == bool(gtts)
    holdings = page.dialog.findChild(QCheckBox, "flatten.holdings")
    assert holdings is not None
    holdings.setChecked(True)  # those on shares that are held go with the shares
    assert page.text("flatten.gtts.count") == words.replace("held stays", "held goes with them")


def test_an_account_that_is_not_logged_in_and_holds_something_is_named(page: Page) -> None:
    words = f"{market.ACCOUNT} is not logged in and not touched: 1 position may be open there"
    page.dialog.show_plan(FlattenPlan((), (), (), (), 0, 0, 0, 0, 0, 0, ("X: down",), out_of_reach=(words,)))
    told = page.dialog.message.text
    assert told.startswith("Could not be read, and will be tried: X: down. Zerodha AB1234 is not logged in")


def test_what_is_told_is_of_the_account_that_is_chosen_however_late_another_answers(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[asyncio.Future[FlattenPlan]] = []
    plan_of_one = FlattenPlan((market.ACCOUNT,), (), (), (), 0, 0, 0, 0, 0, 0)

    async def plan(choice: FlattenChoice) -> FlattenPlan:
        if choice.accounts:
            return plan_of_one
        late.append(asyncio.get_running_loop().create_future())
        return await late[0]

    monkeypatch.setattr(page.stage.desk.flatten, "plan", plan)
    box = page.dialog.findChild(QComboBox, "flatten.account")
    assert box is not None
    page.dialog._look()
    page.stage.until(lambda: bool(late))
    box.setCurrentIndex(1)
    page.stage.until(lambda: page.text("flatten.holdings.count") == "none")
    late[0].get_loop().call_soon_threadsafe(late[0].set_result, replace(plan_of_one, holdings=9))
    page.stage.until(late[0].done)
    for _ in range(5):
        page.stage.settle()
    assert page.text("flatten.holdings.count") == "none"


def test_ctrl_enter_flattens_what_is_ticked(page: Page) -> None:
    box = page.dialog.findChild(QCheckBox, "flatten.holdings")
    assert box is not None
    box.setChecked(True)
    page.dialog.show()
    QTest.keyClick(page.dialog, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    page.stage.until(lambda: page.text("flatten.head") == "Verified flat in 2.1 s")
    assert page.asked() == [(FlattenChoice(holdings=True),)]
    assert page.text("flatten.orders") == "2 orders cancelled, 2 positions exited, 1 strategy paused"
    assert page.text("flatten.positions") == "3 holdings"


def test_enter_alone_leaves_everything_as_it_is(page: Page) -> None:
    ended: list[int] = []
    page.dialog.finished.connect(ended.append)
    QTest.keyClick(page.dialog, Qt.Key.Key_Return)
    page.stage.settle()
    assert ended == [0]
    assert page.asked() == []


def test_what_is_not_flat_is_named_and_can_be_tried_again(page: Page) -> None:
    page.stage.desk.flatten.not_flat = ("75 NSE:INFY (MIS) is still open",)
    page.dialog.go()
    page.stage.until(lambda: page.text("flatten.head") == "Not flat after 2.1 s")
    assert page.text("flatten.message.text") == "75 NSE:INFY (MIS) is still open"
    button = page.dialog.findChild(QPushButton, "flatten.go")
    assert button is not None
    assert button.isEnabled()
    page.stage.desk.flatten.not_flat = ()
    button.click()
    page.stage.until(lambda: page.text("flatten.head").startswith("Verified flat"))


def test_why_nothing_can_be_flattened_is_said(page: Page) -> None:
    page.stage.desk.script.fail("flatten", Denied("No account is logged in.", "Log in."))
    page.dialog.go()
    page.stage.until(lambda: "No account is logged in." in page.text("flatten.message.text"))
    button = page.dialog.findChild(QPushButton, "flatten.close")
    box = page.dialog.findChild(QCheckBox, "flatten.holdings")
    assert button is not None
    assert box is not None
    assert (button.text(), box.isEnabled()) == ("&Leave as it is", True)  # as before it was tried


def test_while_it_is_flattened_the_dialog_can_be_hidden_not_taken_back(page: Page) -> None:
    page.dialog.go()
    button = page.dialog.findChild(QPushButton, "flatten.close")
    assert button is not None
    assert (page.text("flatten.head"), button.text()) == ("Flattening…", "&Hide this")
    page.stage.until(lambda: button.text() == "&Close")


def test_while_it_is_open_it_goes_on_telling_what_there_is_now(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.dialog._again.setInterval(20)
    page.stage.desk.script.positions.clear()
    page.stage.until(lambda: "0 positions to exit" in page.text("flatten.head"))
    box = page.dialog.findChild(QCheckBox, "flatten.holdings")
    assert box is not None
    box.setChecked(True)
    plan = FlattenPlan((market.ACCOUNT,), (), (), (), 0, 0, 4, 0, 0, 0)
    plans = [plan, replace(plan, holdings=0, unread=("holdings of X: no answer",)), replace(plan, holdings=0)]

    async def next_plan(choice: FlattenChoice) -> FlattenPlan:
        return plans[0]

    monkeypatch.setattr(page.stage.desk.flatten, "plan", next_plan)
    page.stage.until(lambda: page.text("flatten.holdings.count") == "4, left alone unless ticked")
    del plans[0]
    page.stage.until(lambda: page.text("flatten.holdings.count") == "not known, left alone unless ticked")
    assert (box.isEnabled(), box.isChecked()) == (True, True), "what could not be read is sold where it is asked for"
    del plans[0]
    page.stage.until(lambda: page.text("flatten.holdings.count") == "none")
    assert (box.isEnabled(), box.isChecked()) == (False, False)
    page.dialog.go()
    page.stage.until(lambda: page.text("flatten.head") == "Verified flat in 2.1 s")
    for _ in range(10):
        page.stage.settle()
    assert page.text("flatten.head") == "Verified flat in 2.1 s"
