"""How much money nothing protects, as the trader reads it over the stops and beside each position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from PySide6.QtWidgets import QLabel

from app.domain.coverage import Coverage, CoverageChanged, Protection
from app.domain.events import PositionsChanged
from app.domain.ids import AccountId
from app.domain.instrument import Product
from app.domain.portfolio import PositionKey
from app.ui.models.facts import Facts
from app.ui.models.table import TableModel
from app.ui.views.gtts import GttsPanel
from app.ui.views.holdings import HoldingsPanel
from app.ui.views.positions import PositionsPanel
from app.ui.views.stops import StopsPanel
from app.ui.views.strategies import StrategiesPanel
from app.ui.widgets.coverage_meter import coverage_words, meter_words
from tests.ui import scripted_market as market
from tests.ui.charts.stage import Stage


@pytest.fixture
def facts(stage: Stage) -> Facts:
    return Facts(stage.bridge)


@pytest.fixture
def stops(stage: Stage, facts: Facts) -> Iterator[StopsPanel]:
    panel = StopsPanel(stage.bridge, facts)
    panel.resize(760, 220)
    panel.show()
    stage.loop.run_until_complete(facts.load())
    yield panel
    panel.close()


@pytest.fixture
def positions(stage: Stage, facts: Facts) -> Iterator[PositionsPanel]:
    panel = PositionsPanel(stage.bridge, facts)
    panel.resize(900, 260)
    panel.show()
    stage.loop.run_until_complete(facts.load())
    yield panel
    panel.close()


def words(stops: StopsPanel) -> str:
    found = stops.meter.findChild(QLabel, "coverage.words")
    assert isinstance(found, QLabel)
    return found.text()


def column(model: TableModel[Any], key: str) -> list[str]:
    n = model.column(key)
    return [str(model.index(row, n).data() or "") for row in range(model.rowCount())]


def row(kind: Protection, units: int, protected: int, at_risk: int) -> Coverage:
    key = next(p.key for p in market.positions() if p.quantity)
    parts = tuple((k, n) for k, n in ((kind, protected), (Protection.NONE, units - protected)) if n)
    return Coverage(key, kind, units, protected, at_risk, at_risk * (units - protected) // units, parts)


def test_the_meter_says_how_much_is_unprotected(stage: Stage, facts: Facts, stops: StopsPanel) -> None:
    """Money that nothing protects is named before anything else."""
    stage.publish(CoverageChanged(market.ACCOUNT, (row(Protection.LOCAL, 150, 75, 62_000_00),)))
    stage.until(lambda: "unprotected" in words(stops))
    assert meter_words(facts.coverage.values()).endswith(" in the market is unprotected")
    assert "1 position: local" in stops.meter.toolTip()


def test_a_position_says_what_protects_it(stage: Stage, positions: PositionsPanel) -> None:
    """Kind, and how many of its units."""
    shown = column(positions._model, "coverage")
    assert any(shown), shown
    stage.publish(CoverageChanged(market.ACCOUNT, (row(Protection.TWIN, 150, 150, 62_000_00),)))
    stage.until(lambda: "local + backstop" in column(positions._model, "coverage"))


def test_words_for_every_state() -> None:
    """Whole, part, nothing; and nothing at risk."""
    assert meter_words([row(Protection.LOCAL, 100, 100, 62_000_00)]) == "All ₹62,000 in the market is protected"
    assert meter_words([row(Protection.NONE, 100, 0, 62_000_00)]) == "₹62,000 in the market, nothing of it protected"
    assert meter_words([row(Protection.LOCAL, 100, 70, 62_000_00)]) == "₹18,600 of ₹62,000 in the market is unprotected"
    assert coverage_words(row(Protection.GTT, 1_500, 750, 1)) == "GTT at the broker, 750 of 1,500"
    assert coverage_words(row(Protection.TWIN, 150, 150, 1)) == "local + backstop"
    assert coverage_words(None) == ""


def test_a_backstop_is_chosen_with_the_stop_and_says_what_it_blocks(
    stage: Stage, facts: Facts, positions: PositionsPanel
) -> None:
    """The distance goes with the plan; an existing stop gets one, or loses it, by a change of its plan."""
    held = next(p for p in market.positions() if p.quantity > 0 and facts.stop_of(p.key) is None)
    strip = positions.strip
    positions.set_stop(held.key)
    strip.backstop.setText("5.00")
    strip.backstop.textEdited.emit("5.00")
    stage.until(lambda: "18,450" in strip._meaning.text())
    strip._submit()
    stage.until(lambda: bool(stage.desk.script.called("arm")))
    ((_, _, behind),) = stage.desk.script.called("arm")
    assert behind == 500
    stage.until(lambda: facts.stop_of(held.key) is not None and not strip.isVisible())
    positions.set_stop(held.key)
    assert strip.backstop.value == 500
    strip.backstop.set_value(None)
    strip._submit()
    stage.until(lambda: bool(stage.desk.script.called("change")))
    ((_, plan),) = stage.desk.script.called("change")
    assert getattr(plan, "backstop", 0) is None


def test_a_holding_says_what_would_sell_it(stage: Stage, facts: Facts) -> None:
    panel = HoldingsPanel(stage.bridge, facts)
    stage.loop.run_until_complete(facts.load())
    held = market.holdings()[0]
    key = PositionKey(held.account, held.instrument, held.product)
    parts = ((Protection.GTT_TWIN, held.quantity),)
    covered = Coverage(key, Protection.GTT_TWIN, held.quantity, held.quantity, 62_000_00, 0, parts)
    stage.publish(CoverageChanged(held.account, (covered,)))
    stage.until(lambda: "local + GTT at the broker" in column(panel._model, "coverage"))
    assert column(panel._model, "coverage").count("") == len(market.holdings()) - 1, "no stop guards the others"
    panel.close()


def test_one_instrument_in_two_products_is_told_apart_in_the_narrow_table(
    stage: Stage, positions: PositionsPanel
) -> None:
    """The product's own column is the first that goes; two rows must not look alike where a stop or an exit is set."""
    future = next(p for p in market.positions() if p.key.instrument == "NFO:NIFTY26NOVFUT")
    day = replace(future, key=replace(future.key, product=Product.MIS))
    assert "NIFTY26NOVFUT" in column(positions._model, "symbol")
    stage.publish(PositionsChanged(market.ACCOUNT, (*market.positions(), day), market.NOW))
    stage.until(lambda: "NIFTY26NOVFUT MIS" in column(positions._model, "symbol"))
    shown = column(positions._model, "symbol")
    assert "NIFTY26NOVFUT NRML" in shown
    assert "INFY" in shown, "one product only: nothing is added"
    stage.publish(PositionsChanged(market.ACCOUNT, tuple(market.positions()), market.NOW))
    stage.until(lambda: "NIFTY26NOVFUT" in column(positions._model, "symbol"))


@pytest.mark.parametrize("kind", [HoldingsPanel, GttsPanel, StrategiesPanel])
def test_with_two_accounts_every_table_says_whose_a_row_is(stage: Stage, facts: Facts, kind: type) -> None:
    """A share may lie in both: selling it, or deleting its trigger, is another thing in each."""
    panel = kind(stage.bridge, facts)
    panel.resize(690, 260)  # the least that the default layout gives it
    panel.show()
    stage.loop.run_until_complete(facts.load())
    at = panel._model.column("account")
    assert panel.table.isColumnHidden(at)
    first = stage.desk.script.accounts[market.ACCOUNT]
    other = AccountId("upstox-11AA22BB")
    stage.desk.script.accounts[other] = replace(first, id=other, broker="upstox", broker_title="Upstox", user_id="UP77")
    stage.loop.run_until_complete(facts.load_accounts())
    stage.until(lambda: not panel.table.isColumnHidden(at))
    panel.close()


def test_a_holding_says_whose_it_is(stage: Stage, facts: Facts) -> None:
    panel = HoldingsPanel(stage.bridge, facts)
    panel.show()
    stage.loop.run_until_complete(facts.load())
    stage.until(lambda: bool(column(panel._model, "account")))
    assert set(column(panel._model, "account")) == {facts.account_name(market.ACCOUNT)}
    panel.close()
