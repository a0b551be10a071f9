"""What rests at the broker, what is converted, what must be authorised: as the trader meets it in the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.domain.errors import Denied, OutcomeUnknown, Rejected, Unreachable
from app.domain.events import GttsChanged, HoldingsChanged, OrderChanged, OrdersForgotten
from app.domain.gtt import Gtt, GttKind, GttLeg, GttRequest, GttResult, GttRole, GttStatus
from app.domain.ids import BrokerOrderId, GttId, OrderId, Tag
from app.domain.instrument import Product
from app.domain.order import IcebergLeg, Order, OrderKind, OrderStatus, Side
from app.domain.order_use import LimitUse, OrderUseChanged
from app.domain.portfolio import Conversion, Position, PositionKey
from app.ui.models.facts import Facts, order_key
from app.ui.models.table import TableModel
from app.ui.views.gtts import GttsPanel
from app.ui.views.holdings import HoldingsPanel
from app.ui.views.orders import OrdersPanel
from app.ui.views.positions import PositionsPanel
from tests.ui import scripted_market as market
from tests.ui.browser import system_browser
from tests.ui.charts.stage import Stage

INFY = next(i for i in market.INSTRUMENTS if i.symbol == "INFY")


@pytest.fixture
def facts(stage: Stage) -> Facts:
    found = Facts(stage.bridge)
    stage.loop.run_until_complete(found.load())
    stage.loop.run_until_complete(found.need([INFY.id]))
    return found


def cells(model: TableModel[Any], row: int = 0) -> dict[str, str]:
    return {column.key: str(model.index(row, n).data() or "") for n, column in enumerate(model.columns)}


def gtt(**changes: Any) -> Gtt:
    legs = (
        GttLeg(1_450_00, Side.SELL, 5, Product.CNC, 1_448_00),
        GttLeg(1_600_00, Side.SELL, 5, Product.CNC, 1_598_00),
    )
    made = Gtt(
        market.ACCOUNT, GttId("112127"), INFY.id, GttKind.TWO_LEG, GttStatus.ACTIVE, 1_530_00, legs, (None, None),
        market.NOW, market.NOW, market.NOW,
    )  # fmt: skip
    return replace(made, **changes)


# -- triggers --------------------------------------------------------------------------------------------------------


@pytest.fixture
def gtts(stage: Stage, facts: Facts) -> Iterator[GttsPanel]:
    panel = GttsPanel(stage.bridge, facts)
    panel.resize(900, 300)
    panel.show()
    stage.until(lambda: bool(stage.desk.script.called("gtts")))
    yield panel
    panel.close()


def test_a_trigger_says_its_prices_and_that_it_waits(stage: Stage, gtts: GttsPanel) -> None:
    stage.publish(GttsChanged(market.ACCOUNT, (gtt(),)))
    stage.until(lambda: gtts._model.rowCount() == 1)
    shown = cells(gtts._model)
    assert (shown["symbol"], shown["side"], shown["status"]) == ("INFY", "SELL", "active")
    assert (shown["trigger"], shown["price"]) == ("1,450.00 / 1,600.00", "1,448.00 / 1,598.00")
    assert gtts._sum.text() == "1 waiting"


def test_a_trigger_that_fired_for_nothing_is_loud(stage: Stage, gtts: GttsPanel) -> None:
    refused = GttResult("failed", None, 1_600_00, market.NOW, "Your order price is lower than the circuit limit.")
    stage.publish(GttsChanged(market.ACCOUNT, (gtt(status=GttStatus.TRIGGERED, results=(None, refused)),)))
    stage.until(lambda: gtts._model.rowCount() == 1)
    shown = cells(gtts._model)
    assert (shown["status"], shown["delete"]) == ("triggered, no order", "")
    assert "circuit limit" in shown["words"]
    assert gtts._sum.text() == "0 waiting · 1 fired for nothing"


def test_a_trigger_is_deleted_with_one_click_and_a_refusal_is_said(stage: Stage, gtts: GttsPanel) -> None:
    stage.desk.gtts.kept[GttId("112127")] = gtt()
    stage.publish(GttsChanged(market.ACCOUNT, (gtt(),)))
    stage.until(lambda: gtts._model.rowCount() == 1)
    stage.desk.script.fail("delete_gtt", Rejected("The broker refused."))
    gtts.delete((market.ACCOUNT, GttId("112127")))
    stage.until(lambda: "was not deleted" in gtts.message.text)
    gtts.delete((market.ACCOUNT, GttId("112127")))
    stage.until(lambda: cells(gtts._model)["status"] == "deleted")
    assert gtts.message.text == ""


def test_a_trigger_is_changed_in_one_line(stage: Stage, gtts: GttsPanel) -> None:
    stage.desk.gtts.kept[GttId("112127")] = gtt()
    stage.publish(GttsChanged(market.ACCOUNT, (gtt(),)))
    stage.until(lambda: gtts._model.rowCount() == 1)
    gtts.modify((market.ACCOUNT, GttId("112127")))
    assert gtts.strip.isVisible()
    assert [edit.value for edit in gtts.strip.triggers if edit.isVisible()] == [1_450_00, 1_600_00]
    assert not gtts.strip.gap.isVisible()
    gtts.strip.prices[1].selectAll()
    QTest.keyClicks(gtts.strip.prices[1], "1590")
    stage.desk.script.fail("modify_gtt", OutcomeUnknown("The broker did not answer."))
    QTest.keyClick(gtts.strip.prices[1], Qt.Key.Key_Return)
    stage.until(lambda: "did not answer" in gtts.strip._words.text())
    QTest.keyClick(gtts.strip.prices[1], Qt.Key.Key_Return)
    stage.until(gtts.strip.isHidden)
    sent = stage.desk.script.called("modify_gtt")[-1]
    assert sent[0] == "112127"
    assert isinstance(sent[1], GttRequest)
    assert [leg.price for leg in sent[1].legs] == [1_448_00, 1_590_00]


def bracket(**changes: Any) -> Gtt:
    entry = GttLeg(1_530_00, Side.BUY, 5, Product.CNC, 0, OrderKind.MARKET, GttRole.ENTRY)
    out = replace(entry, side=Side.SELL, trigger=1_600_00, role=GttRole.TARGET)
    stop = replace(out, trigger=1_450_00, role=GttRole.STOP, gap=20_00)
    return gtt(kind=GttKind.BRACKET, legs=(entry, out, stop), results=(None, None, None), **changes)


def test_an_entry_with_exits_shows_them_and_after_its_fill_only_they_change(stage: Stage, gtts: GttsPanel) -> None:
    stage.publish(GttsChanged(market.ACCOUNT, (bracket(),)))
    stage.until(lambda: gtts._model.rowCount() == 1)
    shown = cells(gtts._model)
    assert (shown["trigger"], shown["price"]) == ("1,530.00 → 1,600.00 / 1,450.00 ↑20.00", "market")
    filled = replace(bracket(), results=(GttResult("success", BrokerOrderId("7"), None, None), None, None))
    stage.desk.gtts.kept[GttId("112127")] = filled
    stage.publish(GttsChanged(market.ACCOUNT, (filled,)))
    stage.until(lambda: cells(gtts._model)["status"] == "entered, exits wait")
    gtts.modify((market.ACCOUNT, GttId("112127")))
    strip = gtts.strip
    assert [edit.isEnabled() for edit in strip.triggers] == [False, True, True]
    assert not any(edit.isVisible() for edit in strip.prices)
    strip.triggers[2].selectAll()
    QTest.keyClicks(strip.triggers[2], "1470")
    strip.gap.selectAll()
    QTest.keyClicks(strip.gap, "15")
    QTest.keyClick(strip.gap, Qt.Key.Key_Return)
    stage.until(strip.isHidden)
    request = stage.desk.script.called("modify_gtt")[-1][1]
    assert isinstance(request, GttRequest)
    assert [(leg.trigger, leg.gap) for leg in request.legs] == [(1_530_00, 0), (1_600_00, 0), (1_470_00, 15_00)]


def test_a_list_that_cannot_be_read_is_not_an_empty_list(stage: Stage, gtts: GttsPanel) -> None:
    stage.publish(GttsChanged(market.ACCOUNT, (gtt(),)))
    stage.until(lambda: gtts._model.rowCount() == 1)
    stage.desk.script.fail("gtts", Unreachable("The broker could not answer."))
    gtts.look()
    stage.until(lambda: "could not be read" in gtts.message.text)
    assert gtts._model.rowCount() == 1


# -- conversion ------------------------------------------------------------------------------------------------------


@pytest.fixture
def positions(stage: Stage, facts: Facts) -> Iterator[PositionsPanel]:
    panel = PositionsPanel(stage.bridge, facts)
    panel.resize(900, 300)
    panel.show()
    panel._refresh_all()
    yield panel
    panel.close()


def test_a_position_is_converted_from_its_row(stage: Stage, facts: Facts, positions: PositionsPanel) -> None:
    held = next(p for p in facts.open_positions() if p.key.product is Product.MIS)
    positions.convert(held.key)
    strip = positions.convert_strip
    assert strip.isVisible()
    assert strip.quantity.value == abs(held.quantity)
    stage.desk.script.fail("convert", Denied("Only 5 units are there to convert."))
    QTest.keyClick(strip.quantity, Qt.Key.Key_Return)
    stage.until(lambda: "Only 5 units" in strip._words.text())
    QTest.keyClick(strip.quantity, Qt.Key.Key_Return)
    stage.until(strip.isHidden)
    conversion = stage.desk.script.called("convert")[-1][0]
    assert isinstance(conversion, Conversion)
    assert (conversion.position, conversion.quantity) == (held.key, abs(held.quantity))
    stage.until(lambda: replace(held.key, product=conversion.to) in facts.positions)


@pytest.mark.parametrize(
    ("bought_today", "units", "overnight"), [(0, 200, True), (0, 150, True), (50, 50, False), (50, 150, True)]
)
def test_what_was_carried_over_is_converted_as_such(
    stage: Stage, facts: Facts, positions: PositionsPanel, bought_today: int, units: int, overnight: bool
) -> None:
    held = next(p for p in facts.open_positions() if p.key.product is Product.MIS)
    facts.positions[held.key] = replace(held, carried_quantity=held.quantity - bought_today)
    positions.convert(held.key)
    strip = positions.convert_strip
    strip.quantity.set_value(units)
    QTest.keyClick(strip.quantity, Qt.Key.Key_Return)
    stage.until(strip.isHidden)
    conversion = stage.desk.script.called("convert")[-1][0]
    assert isinstance(conversion, Conversion)
    assert conversion.overnight is overnight


def test_a_closed_position_offers_no_conversion(stage: Stage, facts: Facts, positions: PositionsPanel) -> None:
    held = facts.open_positions()[0]
    closed: Position = replace(held, quantity=0)
    facts.positions[held.key] = closed
    positions.convert(held.key)
    stage.settle()
    assert positions.convert_strip.isHidden()


# -- authorisation ---------------------------------------------------------------------------------------------------


def test_a_holding_is_authorised_from_its_row(stage: Stage, facts: Facts) -> None:
    panel = HoldingsPanel(stage.bridge, facts)
    panel.show()
    with system_browser() as opened:
        held = market.holdings()[0]
        stage.desk.script.fail("authorise", Rejected("The broker refused."))
        panel.authorise(held.account, held.instrument)
        stage.until(lambda: "could not be authorised" in panel.message.text)
        panel.authorise(held.account, held.instrument)
        stage.until(lambda: bool(opened))
    assert "TPIN" in panel.message.text
    assert stage.desk.script.called("authorise")[-1] == (held.account, held.instrument)
    labels = [found.text() for found in panel._menu((held.account, held.instrument))]
    assert "Authorise for sale…" in labels
    stage.publish(HoldingsChanged(held.account, (replace(held, authorised_quantity=7, collateral_quantity=3),)))
    stage.until(lambda: cells(panel._model)["authorised"] == "7")
    assert cells(panel._model)["pledged"] == "3"
    panel.close()


def test_a_stop_is_set_on_a_holding_and_shown_in_its_row(stage: Stage, facts: Facts) -> None:
    panel = HoldingsPanel(stage.bridge, facts)
    panel.show()
    held = market.holdings()[0]
    stage.loop.run_until_complete(facts.need([held.instrument]))
    stage.publish(HoldingsChanged(held.account, (held,)))
    stage.until(lambda: cells(panel._model)["quantity"] == "40")
    key = PositionKey(held.account, held.instrument, Product.CNC)
    none = Decimal(0)
    stage.desk.script.positions[key] = Position(key, 50, held.average_price, 1, 1, 0, none, 0, none)
    panel.table.select((held.account, held.instrument))
    QTest.keyClick(panel.table, Qt.Key.Key_T)
    assert panel.strip.isVisible()
    stage.until(lambda: "50 out at" in panel.strip._meaning.text())
    assert "TCS" in panel.strip._title.text()
    panel.strip.put_away()
    panel.close()


# -- what the order list says of special orders ----------------------------------------------------------------------


def test_a_protected_market_order_reads_as_market_and_a_leg_as_a_leg(stage: Stage, facts: Facts) -> None:
    panel = OrdersPanel(stage.bridge, facts)
    panel.show()
    try:
        facts.orders.clear()
        order = Order(
            market.ACCOUNT, BrokerOrderId("1953341975595868160"), INFY.id, Side.BUY, Product.CNC, OrderKind.LIMIT,
            OrderStatus.OPEN, 10, 0, 10, None, 1_540_00, tags=("mktp", "mktp:2.00"), placed_at=market.NOW,
            tag=Tag("M0123456789ABC"),
        )  # fmt: skip
        stage.publish(OrderChanged(order))
        stage.until(lambda: panel._model.rowCount() == 1)
        assert cells(panel._model)["price"] == "market"
        tip = panel._model.index(0, panel._model.column("price")).data(Qt.ItemDataRole.ToolTipRole)
        assert "2 % protection" in tip
        leg = replace(
            order, tags=(), iceberg=IcebergLeg(2, 5, 10, 50, 30), variety="iceberg", updated_at=market.NOW + 1
        )
        stage.publish(OrderChanged(leg))
        stage.until(lambda: cells(panel._model)["variety"] == "iceberg 2 of 5")
        assert cells(panel._model)["price"] == "1,540.00"
    finally:
        panel.close()


def test_a_place_in_the_queue_an_unknown_outcome_and_changes_are_seen(stage: Stage, facts: Facts) -> None:
    panel = OrdersPanel(stage.bridge, facts)
    panel.show()
    stage.loop.run_until_complete(facts.load_accounts())

    def tip() -> str:
        return str(panel._model.index(0, panel._model.column("status")).data(Qt.ItemDataRole.ToolTipRole))

    try:
        facts.orders.clear()
        tag = Tag("M0123456789ABC")
        waiting = Order(
            market.ACCOUNT, BrokerOrderId(""), INFY.id, Side.BUY, Product.MIS, OrderKind.MARKET, OrderStatus.SUBMITTED,
            10, 0, 10, None, tag=tag, id=OrderId(tag), placed_at=market.NOW,
            status_text="Waits for its turn: 2 orders are ahead of it.",
        )  # fmt: skip
        stage.publish(OrderChanged(waiting))
        stage.until(lambda: panel._model.rowCount() == 1)
        assert (cells(panel._model)["status"], tip()) == ("queued", waiting.status_text)
        assert cells(panel._model)["cancel"] == "Take back"
        panel.cancel(order_key(waiting))
        stage.until(lambda: stage.desk.script.called("take_back") == [(market.ACCOUNT, OrderId(tag))])
        limits = (LimitUse(1, 10, 10), LimitUse(86_400, 48, 3_000))
        stage.publish(OrderUseChanged(market.ACCOUNT, limits, 3))
        stage.until(lambda: "10 of 10/s · 48 of 3,000 a day" in panel._sum.text())
        stage.publish(OrderChanged(replace(waiting, status=OrderStatus.UNKNOWN, status_text="Sent and not answered.")))
        stage.until(lambda: cells(panel._model)["status"] == "unknown")
        assert tip() == "Sent and not answered."
        stage.until(lambda: "1 unknown" in panel._sum.text())
        listed = replace(
            waiting, broker_order_id=BrokerOrderId("7"), status=OrderStatus.OPEN, status_text="", changes=3
        )
        stage.publish(OrderChanged(listed))
        stage.until(lambda: cells(panel._model)["status"] == "open")
        assert panel._model.rowCount() == 1
        assert tip() == "Changed 3 of the 25 times that the broker allows from here."
        stage.publish(OrdersForgotten(market.ACCOUNT, (listed.broker_order_id,)))
        stage.until(lambda: panel._model.rowCount() == 0)
    finally:
        panel.close()


def test_an_order_from_elsewhere_says_so_and_is_cancelled_on_the_second_asking(stage: Stage, facts: Facts) -> None:
    panel = OrdersPanel(stage.bridge, facts)
    panel.show()
    try:
        facts.orders.clear()
        phone = Order(
            market.ACCOUNT, BrokerOrderId("8"), INFY.id, Side.SELL, Product.MIS, OrderKind.LIMIT, OrderStatus.OPEN,
            10, 0, 10, None, 1_540_00, placed_at=market.NOW,
        )  # fmt: skip
        stage.publish(OrderChanged(phone))
        stage.until(lambda: panel._model.rowCount() == 1)
        assert cells(panel._model)["variety"] == "elsewhere"
        panel.cancel(order_key(phone))
        assert "placed elsewhere" in panel.message.text
        assert not stage.desk.script.called("cancel")
        stage.desk.script.orders[phone.broker_order_id] = phone
        panel.cancel(order_key(phone))
        stage.until(lambda: bool(stage.desk.script.called("cancel")))
    finally:
        panel.close()
