"""The accounts page: how each account stands, the totals, and what is done with the chosen one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from app.brokers.info import shipped_info
from app.domain.broker import BrokerListing, Support
from app.domain.events import SessionState
from app.domain.ids import AccountId
from app.ui.models.facts import Facts
from app.ui.models.table import TableModel
from app.ui.views.account_columns import AbilityRow, AccountRow, ability_rows
from app.ui.views.accounts import AccountsPanel
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage

SECOND = AccountId("upstox-11AA22BB")


@pytest.fixture
def panel(stage: Stage) -> Iterator[AccountsPanel]:
    first = stage.desk.script.accounts[market.ACCOUNT]
    stage.desk.script.accounts[market.ACCOUNT] = replace(
        first, fills_synced=1_204, syncs_failed=2, last_sync=market.NOW, scopes=("orders", "holdings")
    )
    stage.desk.script.accounts[SECOND] = replace(
        first, id=SECOND, broker="upstox", broker_title="Upstox", user_id="UP77", paper=False, fills_synced=96,
        state=SessionState.EXPIRED, last_error="Token is invalid.", error_count=3, connected_at=market.NOW,
    )  # fmt: skip
    stage.desk.script.brokers = tuple(BrokerListing(shipped_info(name)) for name in ("zerodha", "upstox"))
    facts = Facts(stage.bridge)
    stage.loop.run_until_complete(facts.load())
    made = AccountsPanel(stage.bridge, facts)
    made.resize(1200, 420)
    made.show()
    yield made
    made.close()


def row(panel: AccountsPanel, key: object) -> AccountRow:
    panel._model.flush()
    found = panel._model.row(key)
    assert found is not None
    return found


def press(panel: AccountsPanel, name: str) -> None:
    button = panel.findChild(QPushButton, name)
    assert button is not None
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_each_account_and_all_of_them_together_show_their_totals(panel: AccountsPanel) -> None:
    first, second, everything = row(panel, market.ACCOUNT), row(panel, SECOND), row(panel, "all")
    assert (first.money, first.state, first.synced, first.failed) == ("PAPER", "active", 1_204, 2)
    assert first.armed > 0
    assert (second.money, second.state, second.errors, second.words) == ("LIVE", "expired", 3, "Token is invalid.")
    assert second.ends is None
    assert (everything.name, everything.synced, everything.state) == ("All 2 accounts", 1_300, "1 active")


def test_what_is_done_goes_to_the_chosen_account(panel: AccountsPanel, stage: Stage) -> None:
    asked: list[tuple[str, object]] = []
    panel.login_asked.connect(lambda account: asked.append(("login", account)))
    panel.pause_asked.connect(lambda account: asked.append(("pause", account)))
    panel.resume_asked.connect(lambda account: asked.append(("resume", account)))
    panel.disconnect_asked.connect(lambda view: asked.append(("disconnect", view.id)))
    panel.table.select(SECOND)
    assert "UP77" in panel._about.text()
    assert not panel._pause.isEnabled()  # nothing is paused that is not logged in
    press(panel, "accounts.login")
    QTest.keyClick(panel.table, Qt.Key.Key_Return)
    panel.table.select(market.ACCOUNT)
    assert "the token may: orders, holdings" in panel._about.text()
    press(panel, "accounts.pause")
    press(panel, "accounts.disconnect")
    stage.loop.run_until_complete(stage.bridge.call(stage.desk.session.pause(market.ACCOUNT)))
    stage.until(lambda: panel._pause.text() == "&Resume")
    press(panel, "accounts.pause")
    assert asked == [
        ("login", SECOND), ("login", SECOND), ("pause", market.ACCOUNT), ("disconnect", market.ACCOUNT),
        ("resume", market.ACCOUNT),
    ]  # fmt: skip


def test_the_line_of_totals_is_no_account(panel: AccountsPanel) -> None:
    panel.table.select("all")
    assert panel.chosen is None
    assert not panel._log_in.isEnabled()
    assert panel._menu("all") == ()


def test_what_a_broker_can_do_has_three_answers_and_the_depth_of_its_history(panel: AccountsPanel) -> None:
    model: TableModel[AbilityRow] = panel._can_model
    model.flush()

    def answer(account: AccountId, what: str) -> str:
        found = model.row((account, what))
        assert found is not None
        return found.answer

    assert answer(market.ACCOUNT, "Trade history") == "today only"
    assert answer(SECOND, "Trade history").endswith("days")
    assert answer(market.ACCOUNT, "gtt") == "yes"
    unsaid = replace(shipped_info("zerodha"), history_days=None, modifications=None)
    silent = dict(
        ability_rows("X", "x", replace(unsaid, capabilities=replace(unsaid.capabilities, gtt=Support.UNKNOWN)))
    )
    assert silent["x", "gtt"].answer == "not known"
    assert silent["x", "Trade history"].answer == "depth not known"
    assert silent["x", "Changes of one order"].answer == "not known"
