"""The twin behind a local stop: placed, kept in step, made the exit, taken back; and the races between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.coverage import Protection, coverage_of
from app.domain.errors import Denied, OutcomeUnknown, SessionExpired, Unreachable
from app.domain.events import Noticed
from app.domain.ids import BrokerOrderId, StopId, Tag
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Purpose, Side
from app.domain.stop import Stop, StopPlan, StopState, is_backstop
from app.engine.backstop_plan import (
    BUDGET,
    Leg,
    Move,
    Nothing,
    Rest,
    TakeBack,
    Wanted,
    next_action,
    step,
    wanted,
)
from app.engine.rules import ExitRules
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, EXIT_RULES, INFY, KEY, TABLES, Rig, refusal

DISTANCE = 1_000
REPLACING = ExitRules.parse(
    (TABLES / "exits.csv").read_text("utf-8"), backstop="broker,since,exit_by\nzerodha,2016-01-01,replace\n"
)
"""The other way round: the broker does not turn a resting order into an exit."""


def play(script: Callable[[Rig], Awaitable[None]], rules: ExitRules = EXIT_RULES) -> Rig:
    async def scene() -> Rig:
        rig = Rig(rules=rules)
        await script(rig)
        await rig.tasks.stop()
        return rig

    return run(scene())


async def twin(rig: Rig, quantity: int = 100, trigger: int = 99_000) -> Stop:
    """A position, its stop, and the backstop behind it resting."""
    rig.broker.hold(KEY, quantity)
    await rig.state.read_positions()
    stop = await rig.engine.arm(KEY, StopPlan(trigger, backstop=DISTANCE))
    await asyncio.sleep(3)
    return stop


def resting(rig: Rig) -> list[Order]:
    return [order for order in rig.broker.book.values() if is_backstop(order.tag) and not order.status.is_final]


# -- where it stands --------------------------------------------------------------------------------------------------


def test_a_stop_with_a_backstop_has_an_order_resting_behind_it() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        (order,) = resting(rig)
        assert (order.kind, order.side, order.quantity) == (OrderKind.SL, Side.SELL, 100)
        assert order.trigger_price == 98_000, "wider than the local stop"
        assert order.price is not None
        assert order.price < 98_000
        assert rig.engine.backstops.backed == {stop.id: 100}
        reading = rig.state.reading
        assert reading is not None
        rows = coverage_of(reading.positions.values(), rig.engine.stops, live=True, backed=rig.engine.backstops.backed)
        assert rows[0].kind is Protection.TWIN

    rig = play(script)
    assert "backstop" in rig.journal.told, "in the journal before it left"
    assert rig.alarms == []


def test_of_a_short_position_it_stands_above() -> None:
    async def script(rig: Rig) -> None:
        await twin(rig, -50, 101_000)
        (order,) = resting(rig)
        assert (order.side, order.trigger_price) == (Side.BUY, 102_000)
        assert order.price is not None
        assert order.price > 102_000

    play(script)


def test_it_follows_the_stop_and_the_position() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        await rig.engine.move(stop.id, 99_500)
        await asyncio.sleep(3)
        assert resting(rig)[0].trigger_price == 98_500
        rig.broker.hold(KEY, 40)
        await rig.state.read_positions()
        await asyncio.sleep(3)
        assert [order.quantity for order in resting(rig)] == [40]
        rig.broker.hold(KEY, 90)
        await rig.state.read_positions()
        await asyncio.sleep(6)
        await rig.state.read_positions()
        await asyncio.sleep(6)
        assert sum(order.quantity for order in resting(rig)) == sum(s.quantity for s in rig.engine.stops)

    play(script)


@pytest.mark.parametrize("how", ["disarmed", "position gone"])
def test_no_backstop_outlives_its_stop(how: str) -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        if how == "disarmed":
            await rig.engine.disarm(stop.id)
        else:
            rig.broker.hold(KEY, 0)
            await rig.state.read_positions()
        await asyncio.sleep(5)
        assert resting(rig) == []
        assert rig.of(stop).state.is_final
        assert rig.broker.held[KEY] == 0 or how == "disarmed"

    assert play(script).alarms == []


def notices(rig: Rig) -> list[Noticed]:
    """What was told of orders that nobody knows."""
    return [event for event in rig.events if isinstance(event, Noticed) and "know" in event.title]


async def without_its_journal(rig: Rig) -> Rig:
    """The same broker, before a profile that never heard of the stop: put back from a backup."""
    rig.log_out()
    again = Rig(rig.broker)
    await again.recover()
    await again.state.read_orders()
    await asyncio.sleep(5)
    return again


def test_one_whose_stop_this_profile_does_not_know_is_told_and_left_while_its_position_is_open() -> None:
    async def script(rig: Rig) -> None:
        await twin(rig)
        again = await without_its_journal(rig)
        await again.state.read_positions()
        assert len(resting(rig)) == 1, "it may be all that guards the position"
        (told,) = notices(again)
        assert "a stop that this profile does not know" in told.title
        assert "Sell 100 at 980.00" in told.cause
        reading = again.state.reading
        assert reading is not None
        (row,) = coverage_of(
            reading.positions.values(), (), live=True, backed=again.engine.backstops.backed,
            orders=again.state.orders.values(),
        )  # fmt: skip
        assert (row.kind, row.protected) == (Protection.BROKER, 100)
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("turned", [0, -100])
def test_it_is_taken_back_when_its_position_is_closed_and_never_an_order_of_somebody_else(turned: int) -> None:
    async def script(rig: Rig) -> None:
        await twin(rig)
        (ours,) = resting(rig)
        elsewhere = replace(ours, broker_order_id=BrokerOrderId("77"), tag=Tag("PHONE"), id=None)
        rig.broker.book[elsewhere.broker_order_id] = elsewhere
        again = await without_its_journal(rig)
        rig.broker.hold(KEY, turned)
        await again.state.read_positions()
        rig.broker.hold(KEY, 100)  # a row that lags shows nothing for a moment
        await asyncio.sleep(3)
        assert len(resting(rig)) == 1
        rig.broker.hold(KEY, turned)
        await again.state.read_positions()
        await asyncio.sleep(3)
        assert resting(rig) == []
        assert not rig.broker.book[elsewhere.broker_order_id].status.is_final
        assert "is taken back: its position is closed" in notices(again)[-1].title
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("what", ["orphan", "surplus"])
def test_what_could_turn_the_position_round_waits_for_no_crowd(what: str) -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        crowd = [asyncio.ensure_future(rig.orders.wire.queue.turn(Purpose.MANUAL, placing=True)) for _ in range(60)]
        await settle()
        now = asyncio.get_running_loop().time
        began = now()
        if what == "orphan":
            await rig.engine.disarm(stop.id)
        else:
            rig.broker.hold(KEY, 40)
            await rig.state.read_positions()
        while sum(order.quantity for order in resting(rig)) > (0 if what == "orphan" else 40):
            assert now() - began < 0.5, "it stood behind orders of the hand"
            await asyncio.sleep(0.02)
        assert sum(not one.done() for one in crowd) > 40
        for one in crowd:
            one.cancel()

    play(script)


def test_a_backstop_that_waits_for_its_turn_is_not_sent_beside_the_exit_of_its_stop() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        exits = [asyncio.ensure_future(rig.orders.wire.queue.turn(Purpose.EXIT, placing=True)) for _ in range(20)]
        await settle()
        stop = await rig.engine.arm(KEY, StopPlan(99_000, backstop=DISTANCE))
        await asyncio.sleep(1)
        rig.tick(98_900)
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert all(one.done() for one in exits)
        assert len(rig.broker.placed) == 1
        assert rig.alarms == []

    play(script)


@pytest.mark.parametrize(("level", "sent"), [(99_500, [98_000]), (97_500, [96_500])])
def test_a_backstop_that_waits_while_its_stop_is_moved_rests_behind_it(level: int, sent: list[int]) -> None:
    """Behind a trail it is sent and follows: asked for anew with every tick it would never be there."""

    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        exits = [asyncio.ensure_future(rig.orders.wire.queue.turn(Purpose.EXIT, placing=True)) for _ in range(20)]
        await settle()
        stop = await rig.engine.arm(KEY, StopPlan(99_000, backstop=DISTANCE))
        await asyncio.sleep(1)
        await rig.engine.move(stop.id, level)
        await asyncio.sleep(5)
        assert all(one.done() for one in exits)
        assert [request.trigger_price for request in rig.broker.placed] == sent
        assert [order.trigger_price for order in resting(rig)] == [level - DISTANCE]
        assert rig.alarms == []

    play(script)


def test_a_backstop_that_waits_to_follow_its_stop_is_left_alone_once_it_has_become_the_exit() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.broker.conversions = ["open"]
        exits = [asyncio.ensure_future(rig.orders.wire.queue.turn(Purpose.EXIT, placing=True)) for _ in range(20)]
        await settle()
        await rig.engine.move(stop.id, 99_500)
        await asyncio.sleep(0.5)
        rig.tick(99_400)
        await asyncio.sleep(3.5)
        assert all(one.done() for one in exits)
        assert len(rig.broker.converted) == 1
        assert rig.broker.book[BrokerOrderId("1000")].trigger_price is None
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)
        assert rig.alarms == []

    play(script)


def test_a_refused_backstop_is_said_and_asked_for_again_only_when_the_stop_moves() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.answers = [refusal("Insufficient funds. Required margin is 1 but available margin is 0.")]
        stop = await twin(rig)
        await asyncio.sleep(60)
        assert len(rig.broker.placed) == 1
        assert any("backstop could not be kept" in alarm for alarm in rig.alarms)
        assert rig.of(stop).state is StopState.ARMED, "the local stop stands"
        await rig.engine.move(stop.id, 99_200)
        await asyncio.sleep(3)
        assert resting(rig)[0].trigger_price == 98_200

    play(script)


def test_a_placement_without_an_answer_is_looked_up_and_not_doubled() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        take = rig.broker.take
        rig.broker.take = lambda request: (_ for _ in ()).throw(_lost(rig, request))  # type: ignore[method-assign]
        await twin(rig)
        rig.broker.take = take  # type: ignore[method-assign]
        await asyncio.sleep(5)
        assert len(resting(rig)) == 1

    def _lost(rig: Rig, request: object) -> Exception:
        rig.broker.accept(request, OrderStatus.TRIGGER_PENDING)  # type: ignore[arg-type]
        return OutcomeUnknown("lost")

    play(script)


def test_one_that_somebody_took_back_is_an_alarm_and_not_fought_over() -> None:
    async def script(rig: Rig) -> None:
        await twin(rig)
        rig.broker.finish(resting(rig)[0].broker_order_id, OrderStatus.CANCELLED)
        await asyncio.sleep(10)
        assert resting(rig) == []

    assert any("backstop is gone" in alarm for alarm in play(script).alarms)


def test_one_that_ends_with_the_trading_day_is_no_alarm_and_is_there_again_after_the_next_login() -> None:
    async def script(rig: Rig) -> None:
        await twin(rig)
        rig.around.closed.add(INFY.id)
        rig.broker.finish(resting(rig)[0].broker_order_id, OrderStatus.CANCELLED)
        await asyncio.sleep(10)
        assert resting(rig) == []
        rig.log_out()
        rig.around.closed.clear()
        rig.log_in()
        await rig.recover()
        await asyncio.sleep(10)
        assert len(resting(rig)) == 1

    rig = play(script)
    assert rig.alarms == []
    assert "backstop ended" in rig.journal.told


def test_one_that_was_on_its_way_when_the_session_died_is_asked_for_anew_after_a_quick_login() -> None:
    async def script(rig: Rig) -> None:
        place = rig.broker.place

        async def dying(request: OrderRequest) -> BrokerOrderId:
            await asyncio.sleep(5)
            raise SessionExpired("The token is dead.")

        rig.broker.place = dying  # type: ignore[method-assign]
        await twin(rig)
        rig.log_out()
        rig.log_in()
        rig.broker.place = place  # type: ignore[method-assign]
        await rig.recover()
        await asyncio.sleep(60)
        assert len(resting(rig)) == 1

    assert play(script).alarms == []


def test_a_distance_that_no_exchange_takes_is_denied_when_arming() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        for distance in (0, 7, 99_000):
            with pytest.raises(Denied):
                await rig.engine.arm(KEY, StopPlan(99_000, backstop=distance))

    play(script)


@pytest.mark.parametrize(("quantity", "stop", "price"), [(100, 99_000, 98_000), (-100, 101_000, 102_000)])
def test_who_types_a_price_where_a_distance_belongs_is_told_so(quantity: int, stop: int, price: int) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, quantity)
        await rig.state.read_positions()
        with pytest.raises(Denied, match="takes a distance, not a price"):
            await rig.engine.arm(KEY, StopPlan(stop, backstop=price))

    play(script)


# -- the exit ---------------------------------------------------------------------------------------------------------


def test_the_exit_is_a_change_of_the_backstop_and_never_a_second_order() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        placed = len(rig.broker.placed)
        rig.tick(98_900)
        assert len(rig.line.fired) == 1, "one write, before anything else ran"
        closed = await rig.ended(stop)
        assert closed.note == "position flat"
        assert rig.broker.held[KEY] == 0
        assert len(rig.broker.placed) == placed

    rig = play(script)
    ((_, price, units),) = rig.broker.converted
    assert units == 100
    assert price is not None
    assert price < 98_900, "marketable"
    assert rig.alarms == []


def test_what_the_backstop_does_not_cover_leaves_as_an_order_of_its_own() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.broker.failures["modify"] = [refusal()] * 9
        rig.broker.hold(KEY, 100)
        leg = resting(rig)[0]
        rig.broker._tell(replace(leg, quantity=60, pending_quantity=60))
        rig.broker.answers = [refusal("no")]  # its missing part is refused
        await asyncio.sleep(3)
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert [units for *_, units in rig.broker.converted] == [60]
    assert [r.quantity for r in rig.broker.placed if not is_backstop(r.tag)] == [40]


@pytest.mark.parametrize(
    "answers",
    [
        [refusal("Insufficient funds. Required margin is 1 but available margin is 0.")],
        [Unreachable("down")],
        [OutcomeUnknown("lost"), OutcomeUnknown("lost")],
        [OutcomeUnknown("lost")] * 5,
    ],
    ids=["fresh margin asked", "not sent", "no answer", "no answer at all"],
)
def test_a_change_that_does_not_work_still_gets_the_trader_out_once(answers: list[Exception | str]) -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.broker.conversions = list(answers)
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        assert resting(rig) == []

    rig = play(script)
    assert sum(o.filled_quantity for o in rig.broker.book.values()) == 100


def test_where_the_broker_does_not_convert_the_backstop_goes_before_the_exit() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        assert rig.broker.cancelled == ["1000"]

    rig = play(script, REPLACING)
    assert rig.broker.converted == []
    sent = [request for request in rig.broker.placed if not is_backstop(request.tag)]
    assert [request.quantity for request in sent] == [100]


def test_a_resting_exit_that_was_a_backstop_is_priced_anew() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.broker.conversions = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(8)
        assert rig.of(stop).state is StopState.EXITING
        assert len(rig.broker.priced) >= 2
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop)

    play(script)


# -- races ------------------------------------------------------------------------------------------------------------


def test_a_backstop_that_fires_by_itself_closes_the_stop_as_by_the_exchange() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.broker.fill(resting(rig)[0].broker_order_id)
        closed = await rig.ended(stop)
        assert "by the exchange" in closed.note

    rig = play(script)
    assert rig.alarms == []
    assert rig.line.fired == []


def test_the_position_may_show_the_fill_of_the_backstop_first() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        number = resting(rig)[0].broker_order_id
        rig.broker.state = None  # the stream is slower
        rig.broker.fill(number)
        await rig.state.read_positions()
        rig.broker.state = rig.state
        closed = await rig.ended(stop)
        assert "by the exchange" in closed.note

    assert play(script).alarms == []


def test_a_backstop_that_fills_while_the_exit_is_on_its_way_is_counted_once() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        number = resting(rig)[0].broker_order_id
        rig.broker.state = None  # nobody has told yet
        rig.broker.fill(number)
        rig.tick(98_900)
        rig.broker.state = rig.state
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert len(play(script).broker.placed) == 1


def test_a_backstop_that_fills_beside_an_exit_is_squared_off_with_an_alarm() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        number = resting(rig)[0].broker_order_id
        rig.broker.failures["cancel"] = [Unreachable("down")] * 3
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 0)  # sold by hand in the same moment
        rig.broker.fill(number)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script, REPLACING)
    assert any("closed twice" in alarm for alarm in rig.alarms)


def test_a_backstop_that_fills_after_the_position_was_sold_by_hand_is_squared_off() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        number = resting(rig)[0].broker_order_id
        rig.broker.failures["cancel"] = [Unreachable("down")] * 3
        by_hand = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, Product.MIS, OrderKind.MARKET, tag=Tag("MANUAL"))
        rig.broker.fill(rig.broker.accept(by_hand).broker_order_id)  # nothing is left to guard
        rig.broker.fill(number)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert any("closed twice" in alarm for alarm in rig.alarms)


def test_a_backstop_is_found_again_after_a_new_login() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.log_out()
        rig.log_in()
        await rig.recover()
        await asyncio.sleep(5)
        assert rig.of(stop).state is StopState.ARMED
        assert len(resting(rig)) == 1, "not a second one"
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert len(rig.broker.converted) == 1
    assert len(rig.broker.placed) == 1


@pytest.mark.parametrize("what", ["the position grew", "the backstop was taken back"])
def test_an_exit_that_a_backstop_covered_is_in_the_journal_before_it_leaves_as_an_order(what: str) -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        rig.log_out()
        rig.log_in()
        await rig.recover()  # from now on the exit is a change of the backstop alone
        if what == "the position grew":
            rig.broker.failures["modify"] = [refusal()] * 9
            rig.broker.answers = [refusal("no")]
            rig.broker.hold(KEY, 200)
            await rig.state.read_positions()
        else:
            rig.broker.finish(resting(rig)[0].broker_order_id, OrderStatus.CANCELLED)
        await asyncio.sleep(3)
        written = {request.tag for request in rig.journal.intents}
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        own = [r.tag for r in rig.broker.placed if not is_backstop(r.tag)]
        assert own
        assert set(own) <= written

    play(script)


def test_one_that_fired_while_we_were_away_closes_the_stop() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        number = resting(rig)[0].broker_order_id
        rig.log_out()
        rig.broker.fill(number)
        rig.log_in()
        await rig.recover()
        closed = await rig.ended(stop)
        assert "by the exchange" in closed.note

    assert len(play(script).broker.placed) == 1


# -- the plan ---------------------------------------------------------------------------------------------------------

levels = st.integers(200, 2_000).map(lambda n: n * 50)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Stop, Wanted | None, list[Leg], int]:
    side = draw(st.sampled_from(Side))
    level = draw(levels)
    plan = StopPlan(level, backstop=draw(st.none() | st.integers(1, 40).map(lambda n: n * 50)))
    state = draw(st.sampled_from(StopState))
    stop = Stop(KEY.account, KEY, side, level, draw(st.integers(1, 500)), state, 1, plan)  # type: ignore[arg-type]
    legs = [
        Leg(BrokerOrderId(str(n)), units, trigger, changes)
        for n, (units, trigger, changes) in enumerate(
            draw(st.lists(st.tuples(st.integers(1, 300), levels, st.integers(0, 25)), max_size=4))
        )
    ]
    size = draw(st.sampled_from([0, 50, 200]))
    reach = draw(st.integers(0, 500))
    price = (lambda trigger: max(5, trigger - reach)) if side is Side.SELL else (lambda trigger: trigger + reach)
    return stop, wanted(stop, price), legs, size


@given(pictures())
def test_it_never_guards_more_than_its_stop_and_always_stands_behind_it(
    picture: tuple[Stop, Wanted | None, list[Leg], int],
) -> None:
    stop, want, legs, size = picture
    action = next_action(stop, want, legs, size)
    if want is not None:
        assert want.trigger <= stop.trigger if stop.side is Side.SELL else want.trigger >= stop.trigger
        assert want.price <= want.trigger if stop.side is Side.SELL else want.price >= want.trigger
    if isinstance(action, Rest):
        assert want is not None
        assert sum(leg.quantity for leg in legs) + sum(action.sizes) <= stop.quantity
    if isinstance(action, Move):
        used = next(leg.changes for leg in legs if leg.order == action.order)
        assert used < BUDGET, "the last five changes are the exit's"
    if isinstance(action, Nothing) and want is not None:
        assert sum(leg.quantity for leg in legs) == stop.quantity
        for leg in legs:
            behind = leg.trigger < stop.trigger if stop.side is Side.SELL else leg.trigger > stop.trigger
            assert behind
    if isinstance(action, TakeBack):
        assert action.orders
    if stop.state in (StopState.FIRED, StopState.EXITING):
        assert isinstance(action, Nothing), "the exit's business"


def test_the_step_grows_as_changes_are_used_up() -> None:
    stop = Stop(
        StopId("BUDGETSEDGE1"), KEY, Side.SELL, 99_000, 100, StopState.ARMED, 1, StopPlan(99_000, backstop=1_000)
    )
    assert [step(stop, used) for used in (0, 4, 5, 10, 19)] == [250, 250, 500, 750, 1_000]


def test_over_a_long_trend_a_backstop_whose_changes_are_used_up_is_placed_anew() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        for level in range(99_100, 140_000, 100):
            rig.tick(level + 500)
            rig.last[INFY.id] = level + 500
            await rig.engine.move(stop.id, level)
            await asyncio.sleep(3)
            moved = resting(rig)
            assert sum(order.quantity for order in moved) == 100
            assert level - 3 * DISTANCE < (moved[0].trigger_price or 0) < level
        ours = [order for order in rig.broker.book.values() if is_backstop(order.tag)]
        assert len(ours) > 2
        assert max(rig.state.changes[order.broker_order_id] for order in ours) <= BUDGET
        assert rig.alarms == []

    play(script)


@pytest.mark.parametrize("renewable", [True, False])
def test_one_without_changes_is_taken_back_only_where_another_may_follow(renewable: bool) -> None:
    stop = Stop(
        StopId("BUDGETSEDGE1"), KEY, Side.SELL, 99_000, 100, StopState.ARMED, 1, StopPlan(99_000, backstop=1_000)
    )
    legs = [Leg(BrokerOrderId("1"), 100, 90_000, BUDGET)]
    action = next_action(stop, Wanted(98_000, 97_000, 100), legs, renewable=renewable)
    assert isinstance(action, TakeBack if renewable else Nothing)


def test_a_trailing_stop_takes_its_backstop_along_within_the_budget() -> None:
    async def script(rig: Rig) -> None:
        stop = await twin(rig)
        for level in range(99_050, 99_950, 10):
            await rig.engine.move(stop.id, level)
            await asyncio.sleep(2)
        (order,) = resting(rig)
        assert order.trigger_price is not None
        assert 99_940 - 3 * DISTANCE < order.trigger_price < 99_940
        assert rig.state.changes[order.broker_order_id] <= BUDGET
        rig.tick(99_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    play(script)
