"""From the shot to a flat position, whatever the broker answers. On a loop whose clock jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import (
    NotPermitted,
    OutcomeUnknown,
    RateLimited,
    SessionExpired,
    Unreachable,
)
from app.domain.events import Level, Noticed
from app.domain.ids import BrokerOrderId, Tag
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import Position, PositionKey
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, exit_tag
from app.engine import firing
from app.engine.record import StopRecord
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, Rig, kinds, refusal

Answers = list[Exception | str]


def play(script: Callable[[Rig], Awaitable[None]]) -> Rig:
    """Runs a scene on a fresh rig."""

    async def scene() -> Rig:
        rig = Rig()
        await script(rig)
        await rig.tasks.stop()
        return rig

    return run(scene())


def fire_with(*answers: Exception | str) -> Rig:
    """A stop that fires while the broker answers so. The stop is closed at the end."""

    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = list(answers)
        rig.tick(98_900)
        closed = await rig.ended(stop)
        assert closed.state is StopState.CLOSED
        assert rig.broker.held[KEY] == 0
        assert rig.journal.stops[stop.id] == closed

    return play(script)


def test_an_exit_that_fills_at_once_closes_the_stop_with_what_it_got() -> None:
    rig = fire_with()
    assert len(rig.exits) == 1
    closed = rig.engine.stops[0]
    assert (closed.note, closed.exit_average, closed.exit_order) == ("position flat", 99_000, "1000")
    assert rig.journal.told == ["armed", "fired", "acknowledged", "exiting", "position flat"] or rig.journal.told == [
        "armed",
        "fired",
        "acknowledged",
        "position flat",
    ]
    assert rig.engine.engine_us
    assert rig.alarms == []


def test_no_answer_and_no_order_sends_the_next_attempt_after_two_readings() -> None:
    rig = fire_with(OutcomeUnknown("lost"))
    assert [request.tag for request in rig.exits] == [
        exit_tag(rig.engine.stops[0].id, 1),
        exit_tag(rig.engine.stops[0].id, 2),
    ]
    told = rig.journal.told
    assert told.index("unknown") < told.index("absent") < told.index("attempt")


def test_no_answer_but_an_order_in_the_book_sends_nothing_again() -> None:
    assert len(fire_with("lost").exits) == 1


@pytest.mark.parametrize("failure", [RateLimited("slow down"), NotPermitted("this address"), Unreachable("no road")])
def test_a_refusal_of_another_kind_is_tried_again_with_the_same_kind(failure: Exception) -> None:
    assert kinds(fire_with(failure).exits) == [OrderKind.MARKET, OrderKind.MARKET]


@pytest.mark.parametrize("answer", [refusal(), "rejected"])
def test_a_refused_market_order_is_followed_by_a_limit_at_once(answer: Exception | str) -> None:
    rig = fire_with(answer)
    assert kinds(rig.exits) == [OrderKind.MARKET, OrderKind.LIMIT]
    assert rig.exits[1].price is not None
    assert rig.exits[1].price < 98_900
    assert any("refused" in alarm for alarm in rig.alarms)


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        ("Market orders are not allowed for this contract.", OrderKind.LIMIT, "market order"),
        ("Your order price is lower than the current lower circuit limit of 985.", OrderKind.LIMIT, "circuit limit"),
        ("Insufficient funds. Required margin is 1 but available margin is 0.", OrderKind.MARKET, "margin"),
        ("100 quantity needs authorisation at depository.", OrderKind.MARKET, "authorisation"),
    ],
)
def test_the_words_of_a_refusal_decide_the_next_kind_and_reach_the_trader(
    words: str, kind: OrderKind, told: str
) -> None:
    rig = fire_with(refusal(words))
    assert kinds(rig.exits) == [OrderKind.MARKET, kind]
    assert f"The exit was refused ({told}).{words and ' '}" in " ".join(rig.alarms)
    assert words in " ".join(rig.alarms)


@pytest.mark.parametrize(
    ("mark", "told", "button"),
    [
        (Tag("M0123456789ABC"), "Cancel it: the exit follows by itself.", BrokerOrderId("77")),
        (None, "It was placed elsewhere and left alone: cancel that one where it was placed.", None),
    ],
)
def test_an_order_of_the_traders_own_that_holds_the_shares_is_named_with_the_way_out(
    mark: Tag | None, told: str, button: BrokerOrderId | None
) -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        own = Order(
            ACCOUNT, BrokerOrderId("77"), INFY.id, Side.SELL, KEY.product, OrderKind.LIMIT, OrderStatus.OPEN,
            100, 0, 100, None, price=1_200_00, tag=mark,
        )  # fmt: skip
        others = [
            replace(own, broker_order_id=BrokerOrderId("78"), side=Side.BUY),
            replace(own, broker_order_id=BrokerOrderId("79"), product=Product.NRML),
            replace(own, broker_order_id=BrokerOrderId("80"), status=OrderStatus.CANCELLED),
        ]
        rig.broker.book |= {order.broker_order_id: order for order in (own, *others)}
        await rig.state.read_orders()
        rig.broker.answers = [refusal("RMS:Rule: Check holdings for entity account")] * 5
        rig.tick(98_900)
        await rig.ended(stop)

    rig = play(script)
    *alarms, left_over = [e for e in rig.events if isinstance(e, Noticed) and e.level is Level.ALARM]
    assert [alarm.next_step for alarm in alarms if not alarm.next_step.startswith(told)] == []
    assert {alarm.order for alarm in (*alarms, left_over)} == {button}
    for alarm in alarms:
        assert "Check holdings for entity account" in alarm.cause
        assert alarm.cause.endswith("Your own order on these units is open: SELL 100 at 1,200.00 (order 77).")
    assert "The exit was refused (holding)." in alarms[0].cause


def test_the_exit_follows_at_once_when_the_order_that_held_it_up_is_gone() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        own = Order(
            ACCOUNT, BrokerOrderId("77"), INFY.id, Side.SELL, KEY.product, OrderKind.LIMIT, OrderStatus.OPEN,
            100, 0, 100, None, price=1_200_00, tag=Tag("M0123456789ABC"),
        )  # fmt: skip
        rig.broker.book[own.broker_order_id] = own
        await rig.state.read_orders()
        rig.broker.answers = [refusal("RMS:Rule: Check holdings for entity account")] * 8
        rig.tick(98_900)
        await asyncio.sleep(66)
        assert rig.broker.answers == [], "the next attempt would leave half a minute later"
        began = asyncio.get_running_loop().time()
        rig.broker.finish(own.broker_order_id, OrderStatus.CANCELLED)
        await rig.ended(stop)
        assert asyncio.get_running_loop().time() - began < 5
        assert len(rig.exits) == 9, "and no attempt more than was refused"

    play(script)


def test_an_exit_that_is_refused_again_and_again_is_one_alarm_that_counts() -> None:
    rig = fire_with(*[refusal("RMS:Blocked for nse_cm")] * 6)
    alarms = [event for event in rig.events if isinstance(event, Noticed) and event.level is Level.ALARM]
    still = [alarm for alarm in alarms if "still open" in alarm.cause]
    assert [alarm.cause.split(" exit")[0] for alarm in still] == [f"INFY is still open after {n}" for n in (3, 4, 5, 6)]
    assert len({alarm.repeat_key for alarm in still}) == 1, "each takes the last one's place"


def test_a_refusal_is_told_when_it_is_known_and_not_when_the_next_attempt_leaves() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [refusal("RMS:Blocked for nse_cm")] * 9
        rig.tick(98_900)
        for attempts, later in ((3, 1.9), (4, 2.0), (5, 4.0), (6, 8.0)):
            await asyncio.sleep(later)
            assert len(rig.exits) == attempts, "the next waits for longer"
            assert f"still open after {attempts} exit attempts" in rig.alarms[-1]
        rig.broker.answers = []
        await rig.ended(stop)

    play(script)


def test_a_circuit_limit_that_a_refusal_names_is_the_next_price() -> None:
    rig = fire_with(refusal("Your order price is lower than the current lower circuit limit of 987.10."))
    assert rig.exits[1].price == 98_710


def test_a_limit_exit_is_priced_inside_the_days_circuit_limits_as_the_quote_has_them() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        rig.broker.circuits[OPTION.id] = (3_882, 6_000)
        rig.broker.failures["quotes"] = [Unreachable("down")]
        stop = await rig.guard(key, 500, 4_000)
        await asyncio.sleep(90)
        await rig.engine.move(stop.id, 3_995)  # asked again after a read that failed
        await asyncio.sleep(5)
        rig.tick(3_900, OPTION.token)
        await rig.ended(stop)

    rig = play(script)
    assert [price for _, price in rig.line.fired] == [3_885], (
        "3 % below would be 3,780, outside; on the next tick inside"
    )


def test_an_exit_follows_the_market_beyond_a_circuit_limit_that_the_exchange_has_widened_since_it_was_read() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        rig.broker.circuits[OPTION.id] = (3_882, 6_000)
        stop = await rig.guard(key, 500, 4_000)
        await asyncio.sleep(5)
        rig.broker.answers = ["open"]
        rig.last[OPTION.id] = 3_900
        rig.tick(3_900, OPTION.token)
        await asyncio.sleep(1)
        rig.last[OPTION.id] = 3_700  # nobody bids 3,885 any more
        await asyncio.sleep(5)
        (number,) = {number for number, _ in rig.broker.priced}
        assert (rig.broker.book[number].price or 4_000) < 3_700
        rig.broker.fill(number)
        await rig.ended(stop)

    play(script)


def test_a_last_price_of_another_day_does_not_take_the_exit_out_of_todays_circuit_limits() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        rig.last[OPTION.id] = 3_000
        stop = await rig.guard(key, 500, 2_900)
        words = "Your order price is lower than the current lower circuit limit of 38.80."
        rig.broker.answers = [refusal(words)] * 2
        rig.engine.fire(stop.id, FiredBy.TIME)
        await rig.ended(stop)
        assert [price for _, price in rig.line.fired][-1] == 3_880

    play(script)


def test_a_circuit_limit_that_nobody_names_is_approached() -> None:
    words = "The price is outside the circuit limits."
    rig = fire_with(*[refusal(words) for _ in range(4)])
    assert [request.price for request in rig.exits] == [None, 98_840, 98_900, 98_900, 98_900]


def test_an_exit_that_was_taken_at_the_last_price_follows_the_market_once_the_circuit_limit_is_widened() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [*[refusal("The price is outside the circuit limits.")] * 3, "open"]
        rig.tick(98_900)
        await asyncio.sleep(3)
        rig.last[INFY.id] = 98_000
        await asyncio.sleep(4)
        number, price = rig.broker.priced[-1]
        assert (price or 0) < 98_000, "at the last price it would trail a market that falls"
        rig.broker.fill(number)
        await rig.ended(stop)

    play(script)


def test_an_exit_above_a_freeze_quantity_that_nobody_names_goes_out_in_ever_smaller_orders() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=250)
        rig.broker.answers = [refusal("Order quantity exceeds the freeze quantity."), "open", "rejected"]
        rig.tick(98_900)
        await asyncio.sleep(2)
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert [r.quantity for r in play(script).exits] == [250, 125, 125, 125]


def test_an_exit_above_a_freeze_quantity_that_is_told_in_lots_goes_out_in_smaller_orders() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        stop = await rig.guard(key, 5_000, 4_000)
        rig.broker.answers = [refusal("Quantity is above the freeze quantity of 6 lots.")]
        rig.tick(3_900, OPTION.token)
        await rig.ended(stop)

    assert [r.quantity for r in play(script).exits] == [5_000, 2_500, 2_500]


def test_an_exit_above_the_freeze_quantity_goes_out_in_slices_each_with_its_tag() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=250)
        rig.broker.answers = [refusal("Quantity 250 is above the freeze quantity 100 of INFY.")]
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        assert [str(r.tag) for r in rig.exits[1:]] == [exit_tag(stop.id, 2, n) for n in (1, 2, 3)]
        assert [r.tag for r in rig.journal.intents[-3:]] == [r.tag for r in rig.exits[1:]], "durable before the wire"

    assert [r.quantity for r in play(script).exits] == [250, 100, 100, 50]


def test_ten_slices_at_most_go_out_at_once_and_the_next_follow() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=250)
        rig.broker.answers = [refusal("Quantity 250 is above the freeze quantity 20."), *["open"] * 10]
        rig.tick(98_900)
        await asyncio.sleep(4)
        assert [r.quantity for r in rig.exits[1:]] == [20] * 10
        for order in list(rig.broker.book.values()):
            rig.broker.fill(order.broker_order_id)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert [r.quantity for r in play(script).exits[11:]] == [20, 20, 10]


def test_a_slice_that_is_refused_follows_while_the_others_rest() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=250)
        limits = refusal("Quantity 250 is above the freeze quantity 100.")
        rig.broker.answers = [limits, "open", refusal("Insufficient funds."), "open"]
        rig.tick(98_900)
        await asyncio.sleep(5)
        assert [r.quantity for r in rig.exits] == [250, 100, 100, 50, 100], "never more than there is"
        for order in list(rig.broker.book.values()):
            if not order.status.is_final:
                rig.broker.fill(order.broker_order_id)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    play(script)


def test_a_broker_that_refuses_on_and_on_is_asked_less_and_less_and_the_trader_called() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [refusal()] * 12
        began = asyncio.get_running_loop().time()
        rig.tick(98_900)
        await rig.ended(stop)
        waited = asyncio.get_running_loop().time() - began
        assert 2 + 4 + 8 + 16 + 30 * 5 < waited < 400

    rig = play(script)
    assert len(rig.exits) == 13
    assert any("still open after 3 exit attempts" in alarm for alarm in rig.alarms)


def test_a_stock_option_leaves_as_a_limit_and_stays_one_when_refused() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        stop = await rig.guard(key, 500, 4_000)
        rig.broker.answers = [refusal()]
        rig.tick(3_900, OPTION.token)
        await rig.ended(stop)

    rig = play(script)
    assert kinds(rig.exits) == [OrderKind.LIMIT, OrderKind.LIMIT]
    assert rig.line.fired[0][1] is not None


def test_a_short_position_is_bought_back() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=-50, trigger=101_000)
        rig.tick(101_000)
        await rig.ended(stop)

    assert [(r.side, r.quantity) for r in play(script).broker.placed] == [(Side.BUY, 50)]


def test_a_resting_exit_is_priced_anew_until_it_fills() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        number = BrokerOrderId("1000")
        rig.broker.fill(number, 30)
        await asyncio.sleep(10)
        assert rig.of(stop).state is StopState.EXITING
        assert len(rig.broker.priced) >= 2
        rig.broker.fill(number)
        await rig.ended(stop)

    rig = play(script)
    assert len(rig.exits) == 1
    assert [price for _, price in rig.broker.priced if price is None] == []


def test_an_exit_that_never_fills_in_a_market_that_falls_is_cancelled_and_sent_anew_in_the_end() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.broker.failures["modify"] = [refusal()]
        rig.tick(98_900)
        for last in range(98_900, 98_400, -5):
            rig.last[INFY.id] = last
            await asyncio.sleep(1)
        await rig.ended(stop)

    rig = play(script)
    assert len(rig.broker.priced) == 20
    assert rig.broker.cancelled == ["1000"]
    assert len(rig.exits) == 2


def test_an_exit_that_waits_at_a_circuit_limit_keeps_its_place_in_the_queue() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        rig.broker.circuits[OPTION.id] = (3_900, 6_000)
        stop = await rig.guard(key, 500, 4_000)
        await asyncio.sleep(5)
        rig.broker.answers = ["open"]
        rig.last[OPTION.id] = 3_900
        rig.tick(3_900, OPTION.token)
        await asyncio.sleep(300)
        assert (rig.broker.priced, rig.broker.cancelled, len(rig.exits)) == ([], [], 1)
        assert any("not out yet" in alarm for alarm in rig.alarms)
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)

    play(script)


def test_a_position_that_cannot_be_read_is_not_flat() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.failures["positions"] = [Unreachable("down")] * 20
        rig.tick(98_900)
        await asyncio.sleep(5)
        assert not rig.of(stop).state.is_final
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_an_acknowledged_order_that_is_not_listed_is_not_absent() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.state = None
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        hidden = rig.broker.book.pop(BrokerOrderId("1000"))
        await asyncio.sleep(6)
        assert len(rig.exits) == 1
        rig.broker.book[hidden.broker_order_id] = hidden
        rig.broker.state = rig.state
        rig.broker.fill(hidden.broker_order_id)
        await rig.ended(stop)
        assert len(rig.exits) == 1

    play(script)


def test_the_stream_may_be_quicker_than_the_answer() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.line.silent = True
        rig.tick(98_900)
        await rig.ended(stop, 3)

    assert len(play(script).exits) == 1


def test_an_answer_that_is_given_up_after_the_stream_told_is_not_looked_up() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["lost"]
        rig.tick(98_900)
        await rig.ended(stop, 3)

    rig = play(script)
    assert "absent" not in rig.journal.told
    assert len(rig.exits) == 1


def test_two_exits_that_crossed_are_squared_off_with_an_alarm() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 0)  # sold by hand at the same moment
        rig.broker.fill(BrokerOrderId("1000"))
        assert rig.broker.held[KEY] == -100
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert rig.broker.placed[-1].side is Side.BUY
    assert any("closed twice" in alarm for alarm in rig.alarms)


def test_an_excess_goes_back_by_what_others_have_read_while_the_follower_looks() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 0)
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.state.read_positions()
        turned = asyncio.get_running_loop().time()
        await asyncio.sleep(0.99)
        await rig.state.read_orders()  # the follower's own reading keeps its distance to this one
        await asyncio.sleep(0.1)
        await rig.state.read_positions()
        await asyncio.sleep(1.3 - (asyncio.get_running_loop().time() - turned))
        assert rig.broker.placed[-1].side is Side.BUY
        await rig.ended(stop)

    play(script)


def test_an_excess_goes_back_though_the_other_exit_is_still_filling() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, Product.MIS, OrderKind.MARKET)
        theirs = rig.broker.accept(by_phone).broker_order_id
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        rig.broker.fill(theirs, 60)
        rig.broker.fill(BrokerOrderId("1001"))
        turned = asyncio.get_running_loop().time()
        while rig.broker.placed[-1].side is Side.SELL:
            await asyncio.sleep(0.25)
            if rig.broker.book[theirs].pending_quantity:
                rig.broker.fill(theirs, 2)  # a thin book: a little at a time, and never at rest
            assert asyncio.get_running_loop().time() - turned < 2.0
        rig.broker.finish(theirs, OrderStatus.CANCELLED)
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert rig.broker.held[KEY] == 0

    assert any("closed twice" in alarm for alarm in play(script).alarms)


@pytest.mark.parametrize("parts", [1, 3, 5, 7, 9, 12])
def test_an_exit_that_goes_on_filling_is_taken_back_as_soon_as_a_reading_shows_it_turned_round(parts: int) -> None:
    """Whatever the follower was waiting for."""

    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        ours = BrokerOrderId("1000")
        for _ in range(parts):
            rig.broker.fill(ours, 1)
            await asyncio.sleep(0.25)
            await rig.state.read_positions()  # the desk's own
        rig.broker.hold(KEY, 0)  # sold by hand at the same moment
        while not rig.broker.book[ours].status.is_final:
            rig.broker.fill(ours, 1)
            await asyncio.sleep(0.1)
            await rig.state.read_positions()
            await asyncio.sleep(0.4)
        assert rig.broker.book[ours].filled_quantity == parts + 1, "it worked on while nothing was left to close"
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    play(script)


def test_an_exit_that_fills_little_by_little_asks_the_broker_no_more_than_needed() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 90, Product.MIS, OrderKind.MARKET)
        theirs = rig.broker.accept(by_phone).broker_order_id  # and the trader's own beside it
        before = rig.broker.reads
        for _ in range(40):
            await asyncio.sleep(0.25)
            rig.broker.fill(BrokerOrderId("1000"), 1)
            rig.broker.fill(theirs, 1)
        rig.broker.finish(theirs, OrderStatus.CANCELLED)
        assert rig.broker.reads - before <= 24, "one look a second, of orders and positions"
        rig.broker.fill(BrokerOrderId("1000"), 20)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    play(script)


def test_an_exit_that_rests_uses_the_positions_that_others_have_just_read() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        before = rig.broker.reads
        for _ in range(40):
            await asyncio.sleep(0.26)
            rig.broker.fill(BrokerOrderId("1000"), 1)
            await rig.state.read_positions()
        assert rig.broker.reads - before <= 58, "its own looks are at the orders, hardly ever at the positions"
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    play(script)


async def turned_round(rig: Rig) -> Stop:
    """Its exit rested, and filled when the position had been sold by hand already."""
    stop = await rig.guard()
    rig.broker.answers = ["open", *rig.broker.answers]
    rig.tick(98_900)
    await asyncio.sleep(1)
    rig.broker.hold(KEY, 0)
    rig.broker.fill(next(reversed(rig.broker.book)))
    return stop


def test_an_excess_that_is_taken_back_by_hand_while_the_disk_is_busy_is_not_taken_back_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await turned_round(rig)
        rig.journal.gate = asyncio.Event()
        await asyncio.sleep(3)
        by_hand = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 100, Product.MIS, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(by_hand).broker_order_id)
        await asyncio.sleep(1)
        await rig.state.read_positions()
        rig.journal.gate.set()
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert [request.side for request in play(script).broker.placed] == [Side.SELL]


def test_an_excess_that_is_refused_is_asked_for_in_another_kind_and_less_and_less_often() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.answers = [refusal("Market orders are not allowed for INFY."), refusal(), *[refusal()] * 1_000]
        await turned_round(rig)
        await asyncio.sleep(1_800)
        sides = [request.side for request in rig.broker.placed]
        assert (sides.count(Side.SELL), 50 < sides.count(Side.BUY) < 80) == (1, True)
        kinds_back = kinds([request for request in rig.broker.placed if request.side is Side.BUY])
        assert kinds_back[:2] == [OrderKind.MARKET, OrderKind.LIMIT]

    play(script)


def test_an_excess_that_is_refused_a_few_times_is_back_seconds_after_the_last_refusal() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.answers = [refusal("The exchange is busy.") for _ in range(6)]
        stop = await turned_round(rig)
        await asyncio.sleep(15)
        assert rig.broker.held[KEY] == 0
        await rig.ended(stop)

    play(script)


def test_what_is_refused_all_night_is_asked_for_seldom_and_again_as_soon_as_the_market_opens() -> None:
    async def script(rig: Rig) -> None:
        await rig.guard()
        rig.broker.answers = [refusal("Markets are closed right now.")] * 1_000
        rig.tick(98_900)
        await asyncio.sleep(2)
        rig.around.closed = {INFY.id}
        await asyncio.sleep(3 * 3_600)
        asked = len(rig.exits)
        assert 40 + 160 // 5 - 1 <= asked < 40 + 160 // 5 + 12, "after the auction every five minutes"
        rig.around.closed = set()
        await asyncio.sleep(2.2)
        assert len(rig.exits) == asked + 3, "three at once, as when it fired"

    play(script)


def test_an_excess_goes_back_at_once_however_often_the_exit_was_refused() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [*[refusal("The exchange is busy.")] * 6, "open"]
        rig.tick(98_900)
        await asyncio.sleep(2 + 4 + 8 + 16 + 1)
        rig.broker.hold(KEY, 0)
        rig.broker.fill(next(reversed(rig.broker.book)))
        await asyncio.sleep(1.5)
        assert rig.broker.held[KEY] == 0, "turned round no longer than two seconds"
        await rig.ended(stop)
        assert [request.side for request in rig.broker.placed] == [*[Side.SELL] * 7, Side.BUY]

    play(script)


@pytest.mark.parametrize(("asked", "closed_at"), [("a new price", 3.5), ("its cancellation", 1.0)])
def test_an_excess_goes_back_while_what_was_asked_of_the_exit_has_no_answer(asked: str, closed_at: float) -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.broker.vanishes = 7.0
        rig.tick(98_900)
        await asyncio.sleep(closed_at)
        rig.broker.hold(KEY, 0)
        await asyncio.sleep(1.5)
        assert bool(rig.broker.priced) == (asked == "a new price")
        assert bool(rig.broker.cancelled) == (asked == "its cancellation")
        rig.broker.fill(next(reversed(rig.broker.book)))
        await asyncio.sleep(1.8)
        assert rig.broker.held[KEY] == 0, "turned round no longer than two seconds"
        await rig.ended(stop)
        assert [request.side for request in rig.broker.placed] == [Side.SELL, Side.BUY]

    play(script)


def test_an_excess_above_the_freeze_quantity_goes_back_at_once_too() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=250)
        freeze = refusal("Quantity 250 is above the freeze quantity 100.")
        rig.broker.answers = [freeze, "open", "open", "open"]
        rig.tick(98_900)
        await asyncio.sleep(1)
        rig.broker.hold(KEY, 0)
        for order in tuple(rig.broker.book):
            rig.broker.fill(order)
        await asyncio.sleep(1.5)
        assert rig.broker.held[KEY] == 0, "turned round no longer than two seconds"
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert [r.quantity for r in play(script).broker.placed if r.side is Side.BUY] == [100, 100, 50]


def test_a_cancel_that_nobody_answers_keeps_no_other_order_of_the_exit_working() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=200)
        rig.broker.answers = [refusal("Quantity 200 is above the freeze quantity 100."), "open", "open"]
        rig.tick(98_900)
        await asyncio.sleep(1)
        answer, first = rig.broker.cancel, next(iter(rig.broker.book))

        async def slowly(order: BrokerOrderId) -> None:
            if order == first:
                await asyncio.sleep(7)
            await answer(order)

        rig.broker.cancel = slowly  # type: ignore[method-assign]
        rig.broker.hold(KEY, 0)
        await rig.state.read_positions()
        await asyncio.sleep(2)
        assert [order.status.is_final for order in rig.broker.book.values()] == [False, True]
        await rig.ended(stop)

    play(script)


def test_what_is_refused_in_the_closing_auction_is_asked_for_before_it_is_over() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [refusal("Authorise the sale with your TPIN.")] * 1_000
        rig.tick(98_900)
        rig.around.closed = {INFY.id}
        await asyncio.sleep(600)
        rig.broker.answers = []
        await rig.ended(stop, 32)

    play(script)


def test_an_excess_of_two_exits_of_one_position_goes_back_once() -> None:
    async def script(rig: Rig) -> None:
        first = await rig.guard()
        await rig.engine.change(first.id, StopPlan(99_000, quantity=60))
        second = await rig.engine.arm(KEY, StopPlan(99_000, quantity=40))
        rig.broker.answers = ["open", "open"]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 60)  # 40 were sold by hand at the same moment
        for order in list(rig.broker.book):
            rig.broker.fill(order)
        assert rig.broker.held[KEY] == -40
        await rig.ended(first)
        await rig.ended(second)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert [r.quantity for r in rig.broker.placed if r.side is Side.BUY] == [40]


@pytest.mark.parametrize("left", [1, 40, 60, 99])
def test_two_exits_that_claim_more_than_is_left_leave_nothing_behind(left: int) -> None:
    """Each gives way to the other: the younger ends, the older closes what is there."""

    async def script(rig: Rig) -> None:
        first = await rig.guard()
        await rig.engine.change(first.id, StopPlan(99_000, quantity=60))
        second = await rig.engine.arm(KEY, StopPlan(99_000, quantity=40))
        rig.broker.answers = ["open", "open"]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, left)  # the others were sold by hand
        await rig.ended(first)
        await rig.ended(second)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert [r for r in rig.broker.placed if r.side is Side.BUY] == []


def test_a_refused_exit_is_told_also_while_an_order_by_phone_fills_on_and_the_positions_come_late() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        sale = rig.broker.accept(_by_phone(100)).broker_order_id
        rig.broker.slow, rig.broker.answers = 2.0, ["rejected"]
        rig.tick(98_900)
        for _ in range(20):
            await asyncio.sleep(0.5)
            rig.broker.fill(sale, 5)
        assert len(rig.exits) == 1
        (told,) = [alarm for alarm in rig.alarms if "refused" in alarm]
        assert "Your own order on these units is open: SELL" in told
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    play(script)


def test_a_stop_that_looks_at_a_late_order_takes_nothing_from_the_exit_of_another() -> None:
    async def script(rig: Rig) -> None:
        first = await rig.guard()
        await rig.engine.change(first.id, StopPlan(99_000, quantity=60))
        second = await rig.engine.arm(KEY, StopPlan(98_000, quantity=40))
        late, sale = (rig.broker.accept(_by_phone(units)).broker_order_id for units in (10, 60))
        rig.broker.answers = ["open", "open"]
        rig.tick(98_900)
        await asyncio.sleep(1)
        rig.broker.fill(sale)
        closed = await rig.ended(first)
        assert closed.note == "position was closed by another order"
        rig.tick(97_900)
        await settle()
        rig.broker.hold(KEY, 50)  # the trader has bought
        rig.broker.fill(late)
        await asyncio.sleep(2.5)
        assert rig.of(first).state is StopState.CLOSED
        assert rig.journal.told.count("reopened") == 1
        assert rig.broker.cancelled == [closed.exit_order]
        rig.broker.fill(rig.of(second).exit_order or BrokerOrderId(""))
        await rig.ended(second)
        assert rig.broker.held[KEY] == 0

    play(script)


def _by_phone(units: int) -> OrderRequest:
    return OrderRequest(ACCOUNT, INFY.id, Side.SELL, units, KEY.product, OrderKind.LIMIT, tag=None)


def test_an_excess_order_without_an_answer_is_looked_up_and_not_sent_twice() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open", "lost"]
        rig.broker.hold(KEY, 0)
        rig.tick(98_900)
        await settle()
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)

    rig = play(script)
    assert [r.side for r in rig.broker.placed] == [Side.SELL, Side.BUY]
    assert rig.broker.held[KEY] == 0


def test_an_excess_that_went_back_twice_is_closed_again_with_an_alarm() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open", OutcomeUnknown("lost")]
        rig.broker.hold(KEY, 0)
        rig.tick(98_900)
        await settle()
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        first = next(r for r in rig.broker.placed if r.side is Side.BUY)
        late = rig.broker.accept(first)
        rig.broker.fill(late.broker_order_id)
        assert rig.broker.held[KEY] == 100
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert any("late exit order" in alarm.lower() for alarm in rig.alarms)


def test_a_late_first_attempt_beside_its_successor_is_cancelled() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [OutcomeUnknown("lost"), "open"]
        rig.tick(98_900)
        await asyncio.sleep(3)  # two readings of the order book
        assert len(rig.exits) == 2
        late = rig.broker.accept(rig.exits[0])
        await asyncio.sleep(2)
        assert rig.broker.cancelled == [late.broker_order_id]
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)

    assert play(script).broker.held[KEY] == 0


def test_an_order_that_turns_up_filled_after_the_stop_was_closed_is_taken_back() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.tick(98_900)
        await rig.ended(stop)
        late = rig.broker.accept(rig.exits[0])
        rig.broker.fill(late.broker_order_id)
        assert rig.broker.held[KEY] == -100
        await asyncio.sleep(0.5)
        assert rig.journal.stops[stop.id].state is StopState.EXITING, "a crash before it is taken back forgets nothing"
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 0
        assert rig.of(stop).state is StopState.CLOSED

    rig = play(script)
    assert [r.side for r in rig.broker.placed] == [Side.SELL, Side.SELL, Side.BUY]
    assert any("late exit order" in alarm for alarm in rig.alarms)


def test_a_late_order_that_nobody_tells_of_is_found_and_taken_back_within_seconds() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.tick(98_900)
        await rig.ended(stop)
        await asyncio.sleep(20)
        stream, rig.broker.state = rig.broker.state, None
        late = rig.broker.accept(rig.exits[0])
        rig.broker.fill(late.broker_order_id)
        rig.broker.state = stream
        await asyncio.sleep(6)
        assert rig.broker.held[KEY] == 0

    assert any("late exit order" in alarm for alarm in play(script).alarms)


@pytest.mark.parametrize(("left", "cancelled"), [(0, False), (0, True), (50, False)])
def test_an_order_of_the_traders_own_that_outlives_the_position_is_named(left: int, cancelled: bool) -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard(quantity=100 + left)
        await rig.engine.change(stop.id, StopPlan(99_000, quantity=100))
        target = OrderRequest(
            ACCOUNT, INFY.id, Side.SELL, 100, Product.MIS, OrderKind.LIMIT, 110_000, tag=Tag("M0123456789ABC")
        )
        theirs = rig.broker.accept(target).broker_order_id
        if cancelled:
            rig.state.begin_cancel(theirs)
        rig.tick(98_900)
        await rig.ended(stop)
        await settle()
        told = [e for e in rig.events if isinstance(e, Noticed) and e.level is Level.ALARM]
        if left or cancelled:
            assert told == [], "it may be for these, or is being taken back"
        else:
            assert "would open a position the other way" in told[0].cause
            assert "SELL 100 at 1,100.00" in told[0].cause
            assert told[0].order == theirs

    play(script)


def test_a_contract_that_the_next_list_leaves_out_is_followed_on_and_holds_up_no_other_exit() -> None:
    key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)

    async def script(rig: Rig) -> None:
        stop, other = await rig.guard(), await rig.guard(key, 1_000, 4_000)
        rig.engine._instrument = {INFY.id: INFY}.get
        rig.broker.hold(key, 500)
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop, 5)
        assert rig.of(other).quantity == 500
        rig.tick(3_900, OPTION.token)
        await rig.ended(other)
        assert rig.broker.held == {KEY: 0, key: 0}

    play(script)


def test_what_a_stop_closed_beyond_its_units_is_no_late_exit_after_a_restart() -> None:
    """The trader bought more while it left, and has sold short since."""

    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(1)
        more = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 50, Product.MIS, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(more).broker_order_id)
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        rig.broker.hold(KEY, -75)
        rig.log_out()
        again = Rig(rig.broker, rig.journal)
        again.engine.adopt(rig.journal.stops[stop.id])
        await again.state.read_orders()
        await asyncio.sleep(20)
        assert rig.broker.held[KEY] == -75
        assert again.alarms == []
        await again.tasks.stop()

    play(script)


def test_a_late_order_does_not_close_a_position_that_came_afterwards() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.tick(98_900)
        await rig.ended(stop)
        rig.broker.hold(KEY, 300)
        rig.broker.accept(rig.exits[0])
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 300
        assert rig.broker.cancelled
        assert rig.of(stop).state is StopState.CLOSED

    assert len(play(script).exits) == 2


def test_a_manual_order_that_fills_after_the_stop_closed_is_taken_back() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        by_hand = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, Product.MIS, OrderKind.MARKET, tag=Tag("MANUAL"))
        manual = rig.broker.accept(by_hand)
        rig.tick(98_900)
        await rig.ended(stop)
        rig.broker.fill(manual.broker_order_id)
        assert rig.broker.held[KEY] == -100
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 0

    assert any("closed twice" in alarm for alarm in play(script).alarms)


def test_a_new_position_by_hand_is_left_alone() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.tick(98_900)
        await rig.ended(stop)
        await asyncio.sleep(120)
        rig.clock.set(rig.clock.now() + 120 * 10**9)
        by_hand = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, Product.MIS, OrderKind.MARKET, tag=Tag("MANUAL"))
        rig.broker.fill(rig.broker.accept(by_hand).broker_order_id)
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == -100
        assert rig.of(stop).state is StopState.CLOSED

    play(script)


def test_a_position_that_shrank_while_the_exit_rests_is_not_oversold() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 40)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert [request.quantity for request in rig.exits] == [100, 40]
    assert rig.broker.cancelled == ["1000"]


def test_an_exit_is_lowered_to_what_the_traders_own_orders_leave_while_both_fill() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        ours = BrokerOrderId("1000")
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 90, Product.MIS, OrderKind.MARKET)
        theirs = rig.broker.accept(by_phone).broker_order_id
        for _ in range(13):
            await asyncio.sleep(0.5)
            rig.broker.fill(theirs, 5)
            known = rig.broker.book[ours]
            assert not known.status.is_final
        assert rig.broker.held[KEY] == 35
        assert rig.broker.book[ours].pending_quantity <= 70, "no more than there was at the last look"
        rig.broker.finish(theirs, OrderStatus.CANCELLED)
        rig.broker.fill(ours)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0, "nothing is left unsold, nothing is sold twice"

    play(script)


def test_a_position_closed_by_hand_while_the_exit_rests_cancels_it() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.broker.failures["cancel"] = [refusal()]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 0)
        closed = await rig.ended(stop)
        assert closed.note == "position was closed by another order"

    rig = play(script)
    assert len(rig.broker.cancelled) == 2, "a refused cancel is tried again, without an alarm"
    assert rig.alarms == []


def test_a_dead_session_waits_for_the_login_and_then_goes_on() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.state.on_session_dead = lambda cause: rig.log_out()
        rig.broker.answers = [SessionExpired("dead")]
        rig.broker.failures["orders"] = [SessionExpired("dead")]
        rig.tick(98_900)
        await asyncio.sleep(30)
        assert not rig.state.active
        assert any("waits for a login" in alarm for alarm in rig.alarms)
        rig.log_in()
        await rig.ended(stop)

    assert kinds(play(script).exits) == [OrderKind.MARKET, OrderKind.MARKET]


@pytest.mark.parametrize(
    ("answer", "told"), [(Unreachable("down"), "not known to be at the broker"), ("open", "Whether the exit")]
)
def test_an_exit_of_which_the_broker_says_nothing_for_five_seconds_is_told_once(
    answer: Exception | str, told: str
) -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [answer]
        rig.tick(98_900)
        if answer == "open":
            await asyncio.sleep(0.5)
        for read in ("orders", "positions"):
            rig.broker.failures[read] = [Unreachable("the network is down")] * 30
        await asyncio.sleep(4.4)
        assert rig.alarms == []
        await asyncio.sleep(4)
        (alarm,) = rig.alarms
        assert told in alarm
        assert "the network is down" in alarm
        for number in [order.broker_order_id for order in rig.state.orders.values() if not order.status.is_final]:
            rig.broker.fill(number)
        await rig.ended(stop)

    play(script)


def test_without_a_connection_the_exit_takes_the_long_way() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.line.free = 0
        rig.tick(98_900)
        await rig.ended(stop)

    rig = play(script)
    assert rig.line.fired == []
    assert len(rig.exits) == 1
    assert "not sent" in rig.journal.told


def test_the_long_way_may_fail_too() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.line.free = 0
        rig.broker.answers = [Unreachable("down"), refusal()]
        rig.tick(98_900)
        await rig.ended(stop)

    assert len(play(script).exits) == 3


def slowly_in_slices(rig: Rig, size: int) -> list[int]:
    """One order carries so many units, no connection is there, and each order takes two seconds the long way. What the
    position was after each."""
    rig.engine._firing.terms.slice_size = lambda instrument: size  # type: ignore[method-assign]
    rig.line.free = 0
    place, held = rig.broker.place, []

    async def slowly(request: OrderRequest) -> BrokerOrderId:
        await asyncio.sleep(2)
        number = await place(request)
        held.append(rig.broker.held[KEY])
        return number

    rig.broker.place = slowly  # type: ignore[method-assign]
    return held


@pytest.mark.parametrize("units", [300, 150])
@pytest.mark.parametrize("heard", [True, False])
def test_slices_on_the_long_way_stop_when_the_position_is_sold_meanwhile(units: int, heard: bool) -> None:
    async def script(rig: Rig) -> None:
        held = slowly_in_slices(rig, 100)
        stop = await rig.guard(quantity=300)
        rig.tick(98_900)
        await asyncio.sleep(3)
        assert held == [200], "one is out, the second on its way"
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, units, KEY.product, OrderKind.MARKET)
        if heard:
            rig.broker.fill(rig.broker.accept(by_phone).broker_order_id)
        else:
            rig.broker.hold(KEY, 200 - units)
            await rig.state.read_positions()
        await asyncio.sleep(2)
        assert held == [200, 100 - units], "what was on its way could not be called back"
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    sent = [request.quantity for request in play(script).exits]
    assert sent == [100, 100]


def test_a_position_that_is_sold_while_an_exit_waits_for_the_brokers_next_second_is_not_sold_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.line.free = 0
        rig.tick(98_900)
        await asyncio.sleep(0.3)
        rig.orders.wire.queue.count(20)  # of the broker's ten a second: the long way has to wait
        await asyncio.sleep(0.5)
        assert "attempt" in rig.journal.told
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, KEY.product, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(by_phone).broker_order_id)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert rig.exits == []
    assert rig.alarms == []


def test_slices_on_the_long_way_are_not_held_up_by_their_own_fills() -> None:
    async def script(rig: Rig) -> None:
        held = slowly_in_slices(rig, 100)
        stop = await rig.guard(quantity=250)
        rig.tick(98_900)
        while not rig.of(stop).state.is_final:
            await asyncio.sleep(0.5)
            await rig.state.read_positions()
        assert held == [150, 50, 0]
        tags = [str(request.tag) for request in rig.exits]
        assert tags == [exit_tag(stop.id, 2, n) for n in (1, 2, 3)], "one attempt"

    assert play(script).alarms == []


def test_a_connection_that_comes_free_in_time_is_used() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.line.free = 0
        rig.tick(98_900)
        await settle()
        rig.line.free = 1
        assert rig.line.on_ready is not None
        rig.line.on_ready()
        await rig.ended(stop)
        await asyncio.sleep(firing.NO_LINE_SECONDS * 2)

    rig = play(script)
    assert len(rig.line.fired) == 1
    assert len(rig.exits) == 1


def test_the_session_dies_while_an_exit_waits_for_a_connection() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        old = rig.line
        old.free = 0
        rig.tick(98_900)
        rig.log_out()
        await settle()
        old.free = 4
        assert old.on_ready is None, "the dead session's line sends nothing any more"
        rig.log_in()
        await rig.ended(stop)
        assert old.fired == []

    assert len(play(script).exits) == 1


def test_a_connection_that_comes_free_in_the_last_moment_sends_the_exit_once() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        loop, fire = asyncio.get_running_loop(), rig.line.fire
        rig.line.free = 0

        def under_way(*exit_order: Any) -> int:
            if rig.line.free:
                loop.call_later(0.15, lambda: fire(*exit_order))
            return rig.line.free

        def comes_free() -> None:
            rig.line.free = 4
            assert rig.line.on_ready is not None
            rig.line.on_ready()

        rig.line.fire = under_way  # type: ignore[method-assign,assignment]
        rig.tick(98_900)
        # In the very turn of the loop in which the wait ends: what is readable comes before the timers.
        loop.call_later(firing.NO_LINE_SECONDS - 1e-10, comes_free)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert [request.quantity for request in rig.exits] == [100]
    assert rig.alarms == []


def test_a_journal_that_cannot_write_holds_no_exit_back_and_gets_all_of_it_later() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.journal.broken = True
        rig.broker.answers = [refusal()]
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        assert rig.journal.stops[stop.id].state is StopState.ARMED
        rig.journal.broken = False
        await asyncio.sleep(60.0)
        assert rig.journal.stops[stop.id].state is StopState.CLOSED
        told = rig.journal.told
        assert [told.index(what) for what in ("fired", "refused", "attempt", "position flat")] == sorted(
            told.index(what) for what in ("fired", "refused", "attempt", "position flat")
        )

    assert any("journal cannot be written" in alarm for alarm in play(script).alarms)


def test_a_position_that_was_read_before_somebody_else_closed_it_sends_no_second_exit() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        told = rig.broker.positions

        async def slowly() -> Sequence[Position]:
            answer = await told()
            await asyncio.sleep(2.0)
            return answer

        rig.broker.positions = slowly  # type: ignore[method-assign]
        rig.broker.answers = [refusal()]
        rig.tick(98_900)
        await asyncio.sleep(0.5)
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, Product.MIS, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(by_phone).broker_order_id)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert len(play(script).exits) == 1


def test_what_the_journal_gets_late_never_puts_back_what_it_was_asked_to_write_since() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        record = StopRecord(rig.journal, rig.clock, rig.events.append)
        rig.journal.broken = True
        await record.keep(replace(stop, state=StopState.FIRED), "fired", "")
        rig.journal.broken, rig.journal.gate = False, asyncio.Event()
        closing = asyncio.create_task(record.keep(replace(stop, state=StopState.CLOSED), "position flat", ""))
        await asyncio.sleep(5.0)  # it waits for the disk, and behind it what is owed from before
        rig.journal.gate.set()
        await closing
        await asyncio.sleep(5.0)
        assert rig.journal.stops[stop.id].state is StopState.CLOSED
        assert rig.journal.told[-2:] == ["position flat", "fired"]

    play(script)


@pytest.mark.expects_log("followed afresh")
def test_a_follower_that_fails_is_replaced_and_sends_nothing_twice() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.failures["positions"] = [ZeroDivisionError()]
        rig.tick(98_900)
        await rig.ended(stop)

    rig = play(script)
    assert len(rig.exits) == 1
    assert any("Following the exit failed" in alarm for alarm in rig.alarms)


def test_an_exit_step_that_fails_is_said_aloud_and_tried_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.broker.failures["modify"] = [Unreachable("down")]
        rig.tick(98_900)
        await asyncio.sleep(8)
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)

    rig = play(script)
    assert "step failed" in rig.journal.told
    assert any("exit step failed" in alarm for alarm in rig.alarms)


def test_an_exit_of_an_earlier_run_that_comes_late_and_unheard_is_found_and_taken_back_within_seconds() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.tick(98_900)
        await asyncio.sleep(0.1)  # the journal has it
        rig.log_out()
        again = Rig(rig.broker, rig.journal, rig.events)
        again.engine.adopt(rig.journal.stops[stop.id])
        await again.recover()
        await again.ended(stop)
        await asyncio.sleep(20)
        stream, again.broker.state = again.broker.state, None
        late = again.broker.accept(again.exits[0])
        again.broker.fill(late.broker_order_id)
        again.broker.state = stream
        assert again.broker.held[KEY] == -100
        await asyncio.sleep(6)
        assert again.broker.held[KEY] == 0
        await again.tasks.stop()

    assert any("late exit order" in alarm for alarm in play(script).alarms)


def test_an_order_that_turns_up_while_the_journal_writes_stops_the_next_attempt() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.tick(98_900)
        await asyncio.sleep(1.5)  # one reading is behind us
        rig.journal.gate = asyncio.Event()
        await asyncio.sleep(2)
        late = rig.broker.accept(rig.exits[0])
        rig.journal.gate.set()
        await asyncio.sleep(1)
        rig.broker.fill(late.broker_order_id)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_fills_that_the_position_does_not_show_yet_are_waited_for() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.tick(98_900)
        rig.broker.hold(KEY, 100)
        await asyncio.sleep(2)
        rig.broker.hold(KEY, 0)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_position_that_the_broker_insists_on_is_closed_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.tick(98_900)
        rig.broker.hold(KEY, 60)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert [request.quantity for request in play(script).exits] == [100, 60]


def test_the_rest_of_a_cancelled_exit_is_sent_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        rig.broker.fill(BrokerOrderId("1000"), 30)
        rig.broker.finish(BrokerOrderId("1000"), OrderStatus.CANCELLED)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert [request.quantity for request in play(script).exits] == [100, 70]


def test_a_position_read_while_the_last_fill_came_sends_nothing_more() -> None:
    """The answer was on its way when the rest filled: it shows units that are gone already."""

    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await settle()
        number = next(iter(rig.broker.book))
        rig.broker.fill(number, stop.quantity // 2)
        await asyncio.sleep(8)  # half of it rests so long that the position looks settled
        read = rig.broker.positions

        async def overtaken() -> object:
            answer = await read()
            if rig.broker.book[number].pending_quantity:
                rig.broker.fill(number)
            return answer

        rig.broker.positions = overtaken  # type: ignore[method-assign,assignment]
        closed = await rig.ended(stop)
        assert closed.state is StopState.CLOSED
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert len(rig.exits) == 1
    assert "attempt" not in rig.journal.told
