from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent, QStandardItemModel
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.domain.broker import Capabilities, Support
from app.domain.errors import AuthorisationNeeded, Denied, OutcomeUnknown, Rejected
from app.domain.events import FundsChanged, OrderChanged, OrderUnresolved, SessionChanged, SessionState, TicksConflated
from app.domain.gtt import GttLeg, GttRequest, GttRole
from app.domain.ids import BrokerOrderId, InstrumentId, OrderId, Tag
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side, Variety
from app.domain.quotes import PolledPrice, PricesPolled
from app.engine.limits import check_gtt
from app.ui.models.facts import Facts
from app.ui.views.order_ticket import OrderTicket
from app.ui.views.ticket_special import Way
from app.ui.widgets.number_edit import NumberEdit
from tests.ui import scripted_market as market
from tests.ui.browser import system_browser
from tests.ui.charts.stage import Stage

INFY = next(i for i in market.INSTRUMENTS if i.symbol == "INFY")
FUTURE = next(i for i in market.INSTRUMENTS if i.symbol == "NIFTY26NOVFUT")
MAHINDRA = next(i for i in market.INSTRUMENTS if i.symbol == "M&M")


@pytest.fixture
def ticket(stage: Stage) -> Iterator[OrderTicket]:
    facts = Facts(stage.bridge)
    ticket = OrderTicket(stage.bridge, facts)
    ticket.resize(320, 640)
    ticket.show()
    stage.loop.run_until_complete(facts.load())
    yield ticket
    ticket.close()


def ready(stage: Stage, ticket: OrderTicket) -> None:
    ticket.open_for(INFY, Side.BUY)
    stage.until(ticket.send.isEnabled)


def placed(stage: Stage) -> list[OrderRequest]:
    return [arguments[0] for arguments in stage.desk.script.called("place") if isinstance(arguments[0], OrderRequest)]


def test_return_sends_a_market_order_once(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    ticket.quantity.selectAll()
    QTest.keyClicks(ticket.quantity, "25")
    QTest.keyClick(ticket.quantity, Qt.Key.Key_Return)
    stage.until(lambda: "Acknowledged" in ticket.message.text)
    expected = OrderRequest(market.ACCOUNT, INFY.id, Side.BUY, 25, Product.MIS, OrderKind.MARKET)
    assert placed(stage) == [expected]
    assert ticket.send.isEnabled()


@pytest.mark.parametrize(
    ("status", "filled", "told"),
    [
        (OrderStatus.REJECTED, 0, 'Turned down by the broker after it had taken it: Buy 25 INFY. "Insufficient funds"'),
        (OrderStatus.FILLED, 25, "Filled: Buy 25 INFY."),
        (OrderStatus.CANCELLED, 5, "Cancelled: Buy 25 INFY; 5 filled."),
    ],
)
def test_what_became_of_an_acknowledged_order_is_told(
    stage: Stage, ticket: OrderTicket, status: OrderStatus, filled: int, told: str
) -> None:
    ready(stage, ticket)
    ticket.quantity.set_value(25)
    QTest.keyClick(ticket.quantity, Qt.Key.Key_Return)
    stage.until(lambda: "Acknowledged" in ticket.message.text)
    order = list(stage.desk.script.orders.values())[-1]
    stage.publish(OrderChanged(replace(order, id=OrderId("another"), status=OrderStatus.REJECTED)))
    stage.publish(OrderChanged(order))
    assert "Acknowledged" in ticket.message.text
    last = replace(order, status=status, filled_quantity=filled, status_text="Insufficient funds")
    stage.publish(OrderChanged(last))
    stage.until(lambda: ticket.message.text == told)


def test_an_acknowledgement_that_was_put_away_does_not_come_back(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    QTest.keyClick(ticket.quantity, Qt.Key.Key_Return)
    stage.until(lambda: "Acknowledged" in ticket.message.text)
    QTest.keyClick(ticket, Qt.Key.Key_Escape)
    order = list(stage.desk.script.orders.values())[-1]
    stage.publish(OrderChanged(replace(order, status=OrderStatus.FILLED)))
    assert ticket.message.text == ""


def test_the_button_is_locked_from_the_press_to_the_outcome(stage: Stage, ticket: OrderTicket) -> None:
    gate = stage.desk.script.hold("place")
    ready(stage, ticket)
    for _ in range(3):
        QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
        QTest.keyClick(ticket.quantity, Qt.Key.Key_Return)
    stage.until(lambda: bool(placed(stage)))
    assert not ticket.send.isEnabled()
    assert ticket.send.text() == "Sending…"
    stage.thread.loop.call_soon_threadsafe(gate.set)
    stage.until(ticket.send.isEnabled)
    assert len(placed(stage)) == 1


def test_a_refusal_is_said_in_place_and_unlocks(stage: Stage, ticket: OrderTicket) -> None:
    stage.desk.script.fail("place", Rejected("The broker rejected the order.", detail="Insufficient <b>funds</b>"))
    ready(stage, ticket)
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: ticket.message.text != "")
    assert ticket.message.text == 'Not placed. The broker rejected the order. "Insufficient <b>funds</b>"'
    assert ticket.message._text.textFormat() is Qt.TextFormat.PlainText
    assert ticket.send.isEnabled()


def test_an_unknown_outcome_stays_locked_until_the_order_book_has_told(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    request = ticket.request()
    assert request is not None
    stage.desk.script.fail("place", OutcomeUnknown("The broker did not answer."))
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    tagged = replace(request, tag=Tag("7K2M9QXV4T1B0000101"))
    stage.publish(OrderUnresolved(market.ACCOUNT, OrderId("o-77"), tagged.tag or Tag(""), tagged))
    stage.until(lambda: "did not answer" in ticket.message.text)
    assert not ticket.send.isEnabled()
    assert "unknown" in ticket.send.text()
    found = Order(
        market.ACCOUNT, BrokerOrderId("999"), INFY.id, Side.BUY, Product.MIS, OrderKind.MARKET, OrderStatus.UNKNOWN,
        1, 0, 1, None, id=OrderId("o-77"),
    )  # fmt: skip
    stage.publish(OrderChanged(found))
    assert not ticket.send.isEnabled()
    stage.publish(OrderChanged(replace(found, status=OrderStatus.OPEN)))
    stage.until(ticket.send.isEnabled)
    assert "is open" in ticket.message.text


def test_a_limit_order_needs_a_price_on_the_tick(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    ticket._limit.click()
    stage.until(lambda: ticket.price.value == market.LASTS["NSE:INFY"])
    ticket.price.selectAll()
    QTest.keyClicks(ticket.price, "1531.83")
    assert not ticket.send.isEnabled()
    assert "the tick is 0.1" in ticket._sentence.text()
    ticket.price.selectAll()
    QTest.keyClicks(ticket.price, "1531.80")
    stage.until(ticket.send.isEnabled)
    QTest.keyClick(ticket.price, Qt.Key.Key_Return)
    stage.until(lambda: bool(placed(stage)))
    assert (placed(stage)[0].kind, placed(stage)[0].price) == (OrderKind.LIMIT, 1_531_80)


def test_margin_charges_and_available_are_shown_before_sending(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    stage.until(lambda: ticket._figures["charges"].text() == "₹33.26")
    assert ticket._figures["margin"].text() == "₹306.36"
    assert ticket._figures["available"].text() == "₹41,214.55"


def test_what_the_desk_denies_cannot_be_sent(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    ticket.quantity.selectAll()
    QTest.keyClicks(ticket.quantity, "1cr")
    stage.until(lambda: not ticket.send.isEnabled())
    assert "freeze limit" in ticket.warnings.text()
    QTest.keyClick(ticket.quantity, Qt.Key.Key_Return)
    stage.settle()
    assert placed(stage) == []


def test_a_future_is_ordered_in_lots_and_carried(stage: Stage, ticket: OrderTicket) -> None:
    ticket.open_for(FUTURE, Side.SELL)
    stage.until(ticket.send.isEnabled)
    ticket._product.setCurrentIndex(ticket._product.findData(Product.NRML))
    assert ticket.quantity.text() == "75 · 1 lot"
    sentence = ticket._sentence.text()
    assert sentence.startswith("Sell 75 · 1 lot NIFTY26NOVFUT at market")
    assert sentence.endswith("carried overnight. Play money.")


def test_the_badge_says_whose_money(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    assert ticket._badge.text() == "PAPER"
    stage.desk.script.accounts[market.ACCOUNT] = replace(stage.desk.script.accounts[market.ACCOUNT], paper=False)
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.ACTIVE, paper=False))
    stage.until(lambda: ticket._badge.text() == "LIVE")


def test_a_dead_session_locks_the_ticket_in_words(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    dead = replace(stage.desk.script.accounts[market.ACCOUNT], state=SessionState.EXPIRED)
    stage.desk.script.accounts[market.ACCOUNT] = dead
    stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", SessionState.EXPIRED, paper=True))
    stage.until(lambda: not ticket.send.isEnabled())
    assert "Log in first" in ticket.warnings.text()


def test_a_login_asks_anew_what_an_order_needs(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    script, live = stage.desk.script, stage.desk.script.accounts[market.ACCOUNT]

    def turn(state: SessionState) -> None:
        script.accounts[market.ACCOUNT] = replace(live, state=state)
        stage.publish(SessionChanged(market.ACCOUNT, "zerodha", "Asha Rao", state, paper=True))

    stage.until(lambda: len(script.called("preview_order")) > 0)
    stage.settle()
    script.fail("preview_order", Denied("The account is not logged in."))
    turn(SessionState.EXPIRED)
    stage.until(lambda: "not logged in" in ticket.warnings.text())
    turn(SessionState.ACTIVE)
    stage.until(lambda: "not logged in" not in ticket.warnings.text())


def test_an_ampersand_in_a_name_is_no_mnemonic(stage: Stage, ticket: OrderTicket) -> None:
    ticket.open_for(MAHINDRA, Side.BUY)
    stage.until(ticket.send.isEnabled)
    assert ticket.send.text() == "Buy 1 M&&M"


def test_an_index_has_no_orders(stage: Stage, ticket: OrderTicket) -> None:
    index = stage.desk.script.instruments[InstrumentId("NSE:NIFTY 50")]
    ticket.open_for(index, Side.BUY)
    stage.settle()
    assert not ticket.send.isEnabled()
    assert "no orders" in ticket.warnings.text()


def test_a_preview_that_fails_says_so_and_does_not_block(stage: Stage, ticket: OrderTicket) -> None:
    stage.desk.script.fail("preview_order", Denied("Margins could not be read."))
    ready(stage, ticket)
    stage.until(lambda: "not known" in ticket.warnings.text())
    assert ticket.send.isEnabled()


def test_a_fill_that_is_quicker_than_the_lost_reply_leaves_no_second_row_and_no_lock(
    stage: Stage, ticket: OrderTicket
) -> None:
    ready(stage, ticket)
    request = ticket.request()
    assert request is not None
    answer = stage.desk.script.hold("place")
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: len(placed(stage)) == 1)
    tag = Tag("7K2M9QXV4T1B0000101")
    filled = Order(
        market.ACCOUNT, BrokerOrderId("999"), INFY.id, Side.BUY, Product.MIS, OrderKind.MARKET, OrderStatus.FILLED,
        1, 1, 0, None, tag=tag, id=OrderId(tag),
    )  # fmt: skip
    before = len(ticket._facts.orders)
    stage.publish(OrderChanged(filled), OrderUnresolved(market.ACCOUNT, OrderId(tag), tag, replace(request, tag=tag)))
    assert len(ticket._facts.orders) == before + 1
    stage.thread.loop.call_soon_threadsafe(answer.set)
    stage.until(ticket.send.isEnabled)
    assert "unknown" not in ticket.send.text()


def test_the_ticket_follows_the_chart_until_the_trader_means_something_by_it(stage: Stage, ticket: OrderTicket) -> None:
    ticket.follow(INFY)
    assert ticket.send.text() == "Buy 1 INFY"
    ticket.follow(FUTURE)
    assert ticket.quantity.value == 75
    stage.until(lambda: bool(stage.desk.script.called("preview_order")))
    asked = [arguments[0] for arguments in stage.desk.script.called("preview_order")]
    assert [a.instrument for a in asked if isinstance(a, OrderRequest)] == [FUTURE.id]  # passing by costs no request
    ticket.quantity.selectAll()
    QTest.keyClicks(ticket.quantity, "150")
    ticket.follow(INFY)
    request = ticket.request()
    assert request is not None
    assert (request.instrument, request.quantity) == (FUTURE.id, 150)
    QTest.keyClick(ticket, Qt.Key.Key_Escape)
    ticket.follow(INFY)
    assert ticket.send.text() == "Buy 1 INFY"


def choose(ticket: OrderTicket, way: Way) -> None:
    ticket.special.choice.setCurrentIndex(ticket.special.choice.findData(way))


def type_into(edit: NumberEdit, text: str) -> None:
    edit.selectAll()
    QTest.keyClicks(edit, text)


def test_an_order_after_hours_says_when_it_will_be_sent(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    choose(ticket, Way.AFTER_MARKET)
    stage.until(ticket.send.isEnabled)
    assert "when the market opens next" in ticket._sentence.text()
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: bool(placed(stage)))
    assert placed(stage)[0].variety is Variety.AMO


def test_an_iceberg_goes_out_with_its_legs(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    choose(ticket, Way.ICEBERG)
    ticket.special.legs.setValue(10)
    type_into(ticket.quantity, "1000")
    stage.until(ticket.send.isEnabled)
    assert "in 10 legs" in ticket._sentence.text()
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: bool(placed(stage)))
    assert (placed(stage)[0].variety, placed(stage)[0].iceberg_legs) == (Variety.ICEBERG, 10)


def test_slices_are_asked_for_with_a_tick(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    assert not ticket.request().autoslice  # type: ignore[union-attr]  # ready
    ticket.special.sliced.setChecked(True)
    assert ticket.request().autoslice  # type: ignore[union-attr]  # ready


def test_a_trigger_is_placed_from_the_ticket_and_costs_nothing_until_it_fires(
    stage: Stage, ticket: OrderTicket
) -> None:
    ready(stage, ticket)
    choose(ticket, Way.TRIGGER)
    stage.settle()
    assert not ticket.send.isEnabled()
    assert ticket._sentence.text() == "Trigger is missing."
    assert [ticket._product.itemData(n) for n in range(ticket._product.count())] == [Product.CNC]
    type_into(ticket.special.trigger, "1450")
    type_into(ticket.price, "1452")
    stage.until(ticket.send.isEnabled)
    assert ticket.send.text() == "Buy 1 INFY at a trigger"
    assert "once the price reaches 1,450.00; it waits at the broker" in ticket._sentence.text()
    asked = len(stage.desk.script.called("preview_order"))
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: "waits at the broker" in ticket.message.text)
    ((request,),) = stage.desk.script.called("place_gtt")
    assert request == GttRequest(
        market.ACCOUNT, INFY.id, market.LASTS["NSE:INFY"], (GttLeg(1_450_00, Side.BUY, 1, Product.CNC, 1_452_00),)
    )
    assert placed(stage) == []
    assert len(stage.desk.script.called("preview_order")) == asked


def test_stop_and_target_go_out_with_the_lower_trigger_first(stage: Stage, ticket: OrderTicket) -> None:
    ticket.open_for(INFY, Side.SELL)
    stage.until(ticket.send.isEnabled)
    choose(ticket, Way.STOP_AND_TARGET)
    type_into(ticket.special.trigger, "1600")  # the target typed where the stop belongs: the prices decide
    type_into(ticket.price, "1598")
    type_into(ticket.special.target_trigger, "1450")
    assert not ticket.send.isEnabled()
    type_into(ticket.special.target, "1448")
    stage.until(ticket.send.isEnabled)
    QTest.keyClick(ticket.special.target, Qt.Key.Key_Return)
    stage.until(lambda: bool(stage.desk.script.called("place_gtt")))
    ((request,),) = stage.desk.script.called("place_gtt")
    assert isinstance(request, GttRequest)
    assert [(leg.trigger, leg.price) for leg in request.legs] == [(1_450_00, 1_448_00), (1_600_00, 1_598_00)]


def at_market(ticket: OrderTicket) -> None:
    """The account's broker sends what a trigger reached at market, and knows brackets."""
    ticket._facts._brokers["zerodha"] = Capabilities(
        gtt=Support.YES, gtt_two_leg=Support.NO, gtt_bracket=Support.YES, gtt_limit=Support.NO
    )
    ticket._on_accounts()


def test_where_triggers_send_at_market_no_limit_price_is_asked_for(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    at_market(ticket)
    choose(ticket, Way.TRIGGER)
    type_into(ticket.special.trigger, "1450")
    stage.until(ticket.send.isEnabled)
    assert not ticket.price.isVisible()
    assert "at market, with market protection" in ticket._sentence.text()
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: bool(stage.desk.script.called("place_gtt")))
    ((request,),) = stage.desk.script.called("place_gtt")
    assert isinstance(request, GttRequest)
    assert request.legs == (GttLeg(1_450_00, Side.BUY, 1, Product.CNC, 0, OrderKind.MARKET),)


def test_an_entry_with_exits_is_placed_from_the_ticket(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    at_market(ticket)
    choose(ticket, Way.BRACKET)
    assert ticket._sentence.text() == "Give a target, a stop, or both."
    type_into(ticket.special.stop_trigger, "1450")
    type_into(ticket.special.gap, "20")
    type_into(ticket.special.target_trigger, "1600")
    stage.until(ticket.send.isEnabled)
    assert "at once; once filled, out at 1,600.00 or at a stop of 1,450.00, trailing by 20.00" in (
        ticket._sentence.text()
    )
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: bool(stage.desk.script.called("place_gtt")))
    ((request,),) = stage.desk.script.called("place_gtt")
    assert isinstance(request, GttRequest)
    entry, target, stop = request.legs
    assert (entry.role, entry.at_once, entry.side) == (GttRole.ENTRY, True, Side.BUY)
    assert (target.role, target.trigger, target.side) == (GttRole.TARGET, 1_600_00, Side.SELL)
    assert (stop.role, stop.trigger, stop.gap) == (GttRole.STOP, 1_450_00, 20_00)
    check_gtt(request, INFY)


@pytest.mark.parametrize("way", [Way.TRIGGER, Way.BRACKET])
def test_a_trigger_that_is_being_placed_is_locked_whatever_the_price_does(
    stage: Stage, ticket: OrderTicket, way: Way
) -> None:
    ready(stage, ticket)
    if way is Way.BRACKET:
        at_market(ticket)
        choose(ticket, way)
        type_into(ticket.special.target_trigger, "1600")
    else:
        choose(ticket, way)
        type_into(ticket.special.trigger, "1450")
        type_into(ticket.price, "1452")
    stage.until(ticket.send.isEnabled)
    gate = stage.desk.script.hold("place_gtt")
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: bool(stage.desk.script.called("place_gtt")))
    stage.publish(
        TicksConflated((market.tick(INFY.id, market.LASTS["NSE:INFY"] + 5),)), FundsChanged(market.funds()[0])
    )
    assert not ticket.send.isEnabled()
    ticket._submit()
    stage.settle()
    assert len(stage.desk.script.called("place_gtt")) == 1
    stage.thread.loop.call_soon_threadsafe(gate.set)
    stage.until(ticket.send.isEnabled)


def test_a_refused_trigger_is_said_in_place_and_unlocks(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    choose(ticket, Way.TRIGGER)
    type_into(ticket.special.trigger, "1450")
    type_into(ticket.price, "1452")
    stage.desk.script.fail("place_gtt", Rejected("The broker refused."))
    stage.until(ticket.send.isEnabled)
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: "No trigger was confirmed" in ticket.message.text)
    assert ticket.send.isEnabled()


def test_a_sale_that_needs_authorisation_offers_the_page(stage: Stage, ticket: OrderTicket) -> None:
    ticket.open_for(INFY, Side.SELL)
    needed = AuthorisationNeeded("The shares are not authorised.", url="https://kite.example/authorise/1")
    stage.desk.script.fail("place", needed)
    stage.until(ticket.send.isEnabled)
    assert not ticket.authorise.isVisible()
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(ticket.authorise.isVisible)
    assert "TPIN" in ticket.message.text
    with system_browser() as opened:
        QTest.mouseClick(ticket.authorise, Qt.MouseButton.LeftButton)
        assert opened == ["https://kite.example/authorise/1"]
    assert ticket.send.isEnabled()


def test_what_the_broker_does_not_take_is_not_offered(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    choose(ticket, Way.STOP_AND_TARGET)
    can = Capabilities(
        gtt=Support.YES, gtt_two_leg=Support.NO, gtt_bracket=Support.NO, iceberg=Support.NO, autoslice=Support.NO
    )
    ticket._facts._brokers["zerodha"] = can
    ticket._on_accounts()
    offered = ticket.special.choice.model()
    assert isinstance(offered, QStandardItemModel)
    assert {way for row, way in enumerate(Way) if offered.item(row).isEnabled()} == {
        Way.NOW, Way.AFTER_MARKET, Way.TRIGGER,
    }  # fmt: skip
    assert ticket.special.way is Way.NOW
    assert not ticket.special.sliced.isEnabled()


def test_the_ticket_asks_what_its_accounts_broker_can_do(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    view = ticket._facts.accounts[market.ACCOUNT]
    can = ticket._facts.can(view)
    assert can is not None
    assert ticket.special._can == can


def test_the_ticket_says_that_it_waits_and_locks_what_was_meant_and_nothing_else(
    stage: Stage, ticket: OrderTicket
) -> None:
    ready(stage, ticket)
    request = ticket.request()
    assert request is not None
    answer = stage.desk.script.hold("place")
    QTest.mouseClick(ticket.send, Qt.MouseButton.LeftButton)
    stage.until(lambda: len(placed(stage)) == 1)
    tag = Tag("M0123456789ABC")
    waiting = Order(
        market.ACCOUNT, BrokerOrderId(""), INFY.id, Side.BUY, Product.MIS, OrderKind.MARKET, OrderStatus.SUBMITTED,
        1, 0, 1, None, tag=tag, id=OrderId(tag), status_text="Waits for its turn: 2 orders are ahead of it.",
    )  # fmt: skip
    stage.publish(OrderChanged(waiting))
    stage.until(lambda: ticket.send.text() == "Waiting for its turn…")
    assert ticket.message.text == waiting.status_text
    stage.publish(OrderChanged(replace(waiting, status_text="Sent; the broker has not answered yet.")))
    stage.until(lambda: ticket.send.text() == "Sending…")
    ticket.quantity.set_value(5)
    stage.until(ticket.send.isEnabled)  # another order may go meanwhile
    ticket.quantity.set_value(1)
    stage.until(lambda: not ticket.send.isEnabled())  # the same one may not
    stage.thread.loop.call_soon_threadsafe(answer.set)
    stage.until(ticket.send.isEnabled)
    assert len(placed(stage)) == 1


def test_a_price_that_no_feed_brings_names_who_told_it(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    assert ticket.source.isHidden()
    stage.publish(PricesPolled((PolledPrice(market.tick(INFY.id, 1_512_00), "Finnhub"),)))
    stage.until(lambda: not ticket.source.isHidden())
    assert ticket.source.text().startswith("Finnhub ")
    assert "It is shown only" in ticket.source.toolTip()
    assert ticket._price_now.text() == "1,512.00"
    stage.publish(TicksConflated((market.tick(INFY.id, 1_500_00),)))
    stage.until(ticket.source.isHidden)
    assert ticket._price_now.text() == "1,500.00"


def test_an_account_that_is_only_read_offers_no_order(stage: Stage, ticket: OrderTicket) -> None:
    ready(stage, ticket)
    brokers = ticket._facts._brokers
    brokers["zerodha"] = replace(brokers["zerodha"], trading=Support.NO)
    ticket.open_for(INFY, Side.BUY)
    stage.until(lambda: not ticket.send.isEnabled())
    assert "only read" in ticket.warnings.text()


def test_a_return_key_that_is_held_down_sends_one_order(stage: Stage, ticket: OrderTicket) -> None:
    """It repeats itself by and by; the first order may be acknowledged by then."""
    ready(stage, ticket)

    def press(*, again: bool) -> None:
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier, "\r", again)
        QApplication.sendEvent(ticket.quantity, event)

    press(again=False)
    stage.until(lambda: "Acknowledged" in ticket.message.text)
    stage.until(ticket.send.isEnabled)
    press(again=True)
    stage.settle()
    assert len(placed(stage)) == 1
    press(again=False)
    stage.until(lambda: len(placed(stage)) == 2)
