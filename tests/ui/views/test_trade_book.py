"""The trade book as the trader reads it: what contracts counted in lots come to, and where that is not known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from app.domain.fill import Charges, Trade
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.ui.models.facts import Facts
from app.ui.views.trade_book import TradeBookPanel
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage

CRUDE = Trade(
    market.ACCOUNT, InstrumentId("MCX:CRUDEOIL26DECFUT"), Segment.COMMODITY, Product.NRML, Side.BUY, 2, 6_000_00,
    market.NOW, 6_010_00, market.NOW, 2_000_00, Charges(transaction_tax=Decimal(120)), 1_880_00,
    kind=InstrumentKind.FUTURE, multiplier=100,
)  # fmt: skip
DOLLAR = replace(
    CRUDE,
    instrument=InstrumentId("CDS:USDINR26DECFUT"),
    entry_price=856_075_000,
    price_scale=10_000_000,
    exit_price=None,
    closed_at=None,
    gross=0,
    net=-120_00,
    multiplier=1_000,
)
NICKEL = replace(
    CRUDE, instrument=InstrumentId("MCX:NICKEL26DECFUT"), gross=0, charges=Charges(), net=0, multiplier=None
)


@pytest.fixture
def panel(stage: Stage) -> Iterator[TradeBookPanel]:
    stage.desk.portfolio.book = [CRUDE, NICKEL, DOLLAR, *market.trades()[:2]]
    made = TradeBookPanel(stage.bridge, Facts(stage.bridge))
    made.resize(1_000, 300)
    made.show()
    stage.until(lambda: made._model.rowCount() == 5)
    yield made
    made.close()


def told(panel: TradeBookPanel, row: int, role: Qt.ItemDataRole = Qt.ItemDataRole.DisplayRole) -> dict[str, str]:
    model = panel._model
    return {column.key: str(model.index(row, n).data(role) or "") for n, column in enumerate(model.columns)}


def test_a_trade_in_lots_says_how_many_units_they_are_and_what_they_earned(panel: TradeBookPanel) -> None:
    crude = told(panel, 0)
    assert (crude["quantity"], crude["gross"], crude["net"]) == ("2", "+₹2,000.00", "+₹1,880.00")
    assert "2 lots of 100: 200 units" in told(panel, 0, Qt.ItemDataRole.ToolTipRole)["quantity"]
    assert crude["entry"] == "6,000.00"
    assert told(panel, 3, Qt.ItemDataRole.ToolTipRole)["quantity"] == ""


def test_a_trade_of_unknown_size_shows_no_figure_and_the_totals_say_that_they_lack_it(panel: TradeBookPanel) -> None:
    nickel = told(panel, 1)
    nothing = {nickel[key] for key in ("gross", "charges", "net")}
    assert nothing == {"–"}
    tips = told(panel, 1, Qt.ItemDataRole.ToolTipRole)
    assert all("how much a lot of it holds" in tips[key].lower() for key in ("quantity", "gross", "charges", "net"))
    count = panel.findChild(QLabel, "trades.count")
    assert isinstance(count, QLabel)
    assert count.text() == "5 trades (1 without figures)"


def test_a_currency_has_the_four_decimals_that_it_is_quoted_in(panel: TradeBookPanel) -> None:
    dollar = told(panel, 2)
    assert (dollar["entry"], dollar["exit"], dollar["net"]) == ("85.6075", "", "-₹120.00")


def test_whose_a_trade_is_has_a_column_where_several_accounts_trade(panel: TradeBookPanel, stage: Stage) -> None:
    number = next(n for n, column in enumerate(panel._model.columns) if column.key == "account")
    assert number not in panel.table.room.wanted, "one account's trades need no such word"
    facts = panel._facts
    stage.loop.run_until_complete(facts.load_accounts())
    (only,) = facts.accounts.values()
    facts.accounts[AccountId("zerodha-2")] = replace(only, id=AccountId("zerodha-2"))
    facts.accounts_changed.emit()
    assert number in panel.table.room.wanted
    assert told(panel, 0)["account"] == facts.account_name(market.ACCOUNT)
