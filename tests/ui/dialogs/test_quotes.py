"""Where prices come from: the order by keys, a key that is tried, and how such a price looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QPushButton, QWidget

from app.domain.errors import NotPermitted
from app.domain.events import TicksConflated
from app.domain.ids import InstrumentId
from app.domain.quotes import PolledPrice, PricesPolled
from app.ui.dialogs.quotes import QuotesDialog
from app.ui.models.facts import Facts
from app.ui.models.table import Tone
from app.ui.views.position_columns import COLUMNS as POSITION_COLUMNS
from app.ui.views.positions import PositionsPanel
from app.ui.views.watchlist import COLUMNS, WatchlistPanel
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage

INFY = InstrumentId("NSE:INFY")


@pytest.fixture
def dialog(stage: Stage) -> Iterator[QuotesDialog]:
    parent = QWidget()
    made = QuotesDialog(stage.bridge, parent)
    made.open()
    stage.until(lambda: made.findChild(QPushButton, "quotes.up.finnhub") is not None)
    yield made
    made.close()
    parent.deleteLater()


def press(dialog: QuotesDialog, name: str) -> None:
    button = dialog.findChild(QPushButton, name)
    assert button is not None
    QTest.keyClick(button, Qt.Key.Key_Space)


def _says(dialog: QuotesDialog, words: str) -> bool:
    return words in dialog.message.text and "Trying" not in dialog.message.text


def test_the_order_is_changed_by_keys(dialog: QuotesDialog, stage: Stage) -> None:
    press(dialog, "quotes.up.finnhub")
    stage.until(lambda: dialog._order == ["finnhub", market.ACCOUNT])
    assert stage.desk.script.called("arrange quotes") == [(("finnhub", market.ACCOUNT),)]
    up = dialog.findChild(QPushButton, "quotes.up.finnhub")
    assert up is not None
    assert not up.isEnabled()


def test_a_key_is_tried_and_its_refusal_stays_on_the_page(dialog: QuotesDialog, stage: Stage) -> None:
    stage.desk.script.fail("quote key", NotPermitted("Finnhub does not accept the key.", "Copy it again."))
    for key, words in (("wrong", "does not accept"), ("right", "")):
        field = dialog.findChild(QLineEdit, "quotes.key.finnhub")
        assert field is not None
        assert field.echoMode() is QLineEdit.EchoMode.Password
        QTest.keyClicks(field, key)
        QTest.keyClick(field, Qt.Key.Key_Return)
        stage.until(partial(_says, dialog, words))
        assert dialog.isVisible()
    stage.until(lambda: dialog.findChild(QPushButton, "quotes.forget.finnhub") is not None)
    assert [call[1] for call in stage.desk.script.called("quote key")] == ["wrong", "right"]


def test_a_price_that_was_asked_for_says_from_whom_and_how_old_until_a_tick_comes(stage: Stage) -> None:
    facts = Facts(stage.bridge)
    stage.loop.run_until_complete(facts.load())
    panel = WatchlistPanel(stage.bridge, facts)
    stage.loop.run_until_complete(panel.load())
    age = 90_000_000_000
    tick = replace(market.tick(INFY, 1_512_00), exchange_time=time.time_ns() - age)
    stage.publish(PricesPolled((PolledPrice(tick, "Finnhub"),)))
    stage.until(lambda: INFY in facts.polled)
    row = panel._row(INFY)
    columns = {column.key: column for column in COLUMNS}
    symbol, last = columns["symbol"], columns["last"]
    assert symbol.shown is not None
    assert last.tip is not None
    assert last.tone is not None
    assert symbol.shown(row) == "INFY · Finnhub 90 s"
    assert last.value(row) == 1_512_00
    assert last.tone(row) is Tone.WARN
    assert "no stop hears it" in last.tip(row)
    stage.publish(TicksConflated((market.tick(INFY, 1_500_00),)))
    stage.until(lambda: INFY not in facts.polled)
    row = panel._row(INFY)
    assert symbol.shown(row) == "INFY"
    assert last.value(row) == 1_500_00
    panel.deleteLater()


def test_positions_and_holdings_name_who_told_a_price(stage: Stage) -> None:
    facts = Facts(stage.bridge)
    stage.loop.run_until_complete(facts.load())
    position = next(iter(facts.positions.values()))
    tick = market.tick(position.key.instrument, position.last_price + 1_00)
    panels = PositionsPanel(stage.bridge, facts)
    stage.publish(PricesPolled((PolledPrice(tick, "Finnhub"),)))
    stage.until(lambda: position.key.instrument in facts.polled)
    row = panels._row(position)
    last = next(column for column in POSITION_COLUMNS if column.key == "last")
    assert last.value(row) == position.last_price + 1_00
    assert last.tone is not None
    assert last.tone(row) is Tone.WARN
    assert last.tip is not None
    assert last.tip(row).startswith("No feed brings this price: Finnhub")
    panels.deleteLater()
