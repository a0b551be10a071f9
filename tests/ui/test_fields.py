import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from app.ui.widgets.badge import MoneyBadge
from app.ui.widgets.price_edit import PriceEdit
from app.ui.widgets.quantity_edit import QuantityEdit
from tests.ui import scripted_market as market

FUTURE = next(i for i in market.INSTRUMENTS if i.symbol == "NIFTY26NOVFUT")
"""Tick 0.10, lot 75."""


@pytest.fixture
def price(qtbot: QtBot) -> PriceEdit:
    field = PriceEdit()
    qtbot.addWidget(field)
    field.set_instrument(FUTURE)
    return field


@pytest.fixture
def quantity(qtbot: QtBot) -> QuantityEdit:
    field = QuantityEdit()
    qtbot.addWidget(field)
    field.set_instrument(FUTURE)
    return field


def typed(qtbot: QtBot, field: QLineEdit, text: str) -> None:
    field.selectAll()
    QTest.keyClicks(field, text)


def test_a_price_is_read_in_minor_units(qtbot: QtBot, price: PriceEdit) -> None:
    with qtbot.waitSignal(price.value_changed):
        typed(qtbot, price, "25,930.5")
    assert price.value == 2_593_050
    assert price.problem == ""


def test_a_price_off_the_tick_names_its_neighbours(qtbot: QtBot, price: PriceEdit) -> None:
    typed(qtbot, price, "25930.55")
    assert price.value is None
    assert price.problem == "the tick is 0.1: 25,930.50 or 25,930.60"
    assert price.text() == "25930.55"
    assert price.property("invalid") is True


def test_arrows_step_by_the_tick_and_never_to_zero(qtbot: QtBot, price: PriceEdit) -> None:
    price.set_value(2_593_050)
    QTest.keyClick(price, Qt.Key.Key_Up)
    assert price.value == 2_593_060
    QTest.keyClick(price, Qt.Key.Key_PageDown)
    assert price.text() == "25,929.60"
    price.set_value(10)
    QTest.keyClick(price, Qt.Key.Key_Down)
    assert price.value == 10


def test_a_quantity_starts_at_a_lot_and_steps_by_lots(qtbot: QtBot, quantity: QuantityEdit) -> None:
    assert quantity.text() == "75 · 1 lot"
    QTest.keyClick(quantity, Qt.Key.Key_Up)
    assert quantity.value == 150


@pytest.mark.parametrize(("text", "units"), [("3 lots", 225), ("1lot", 75), ("150", 150), ("1.5k", 1500)])
def test_lots_and_short_forms_are_understood(qtbot: QtBot, quantity: QuantityEdit, text: str, units: int) -> None:
    typed(qtbot, quantity, text)
    assert quantity.value == units


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("100", "the lot is 75: 75 · 1 lot or 150 · 2 lots"),
        ("40", "the lot is 75: 75 · 1 lot"),
        ("0", "a quantity is above zero"),
        ("seven", "“seven” is not a number"),
    ],
)
def test_a_wrong_quantity_is_refused_in_words(qtbot: QtBot, quantity: QuantityEdit, text: str, problem: str) -> None:
    typed(qtbot, quantity, text)
    assert quantity.value is None
    assert quantity.problem == problem


def test_an_empty_field_holds_nothing_and_is_no_mistake(qtbot: QtBot, price: PriceEdit) -> None:
    price.set_value(10)
    price.selectAll()
    QTest.keyClick(price, Qt.Key.Key_Delete)
    assert price.value is None
    assert price.problem == ""


def test_play_money_and_real_money_are_told_in_words(qtbot: QtBot) -> None:
    badge = MoneyBadge()
    qtbot.addWidget(badge)
    seen = []
    for paper in (None, True, False):
        badge.show_paper(paper)
        seen.append((badge.text(), badge.property("role")))
    assert seen == [("NO ACCOUNT", "badge"), ("PAPER", "paper"), ("LIVE", "live")]
