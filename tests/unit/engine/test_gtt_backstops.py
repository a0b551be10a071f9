"""The trigger (GTT) behind a stop on shares: written, kept in step, taken back; and the races with the local stop."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.backstop import RestingState, RestingTrigger
from app.domain.coverage import Protection, coverage_of
from app.domain.errors import OutcomeUnknown, SessionExpired, Unreachable
from app.domain.events import Level, Noticed
from app.domain.gtt import Gtt, GttLeg, GttRequest, GttStatus
from app.domain.ids import BrokerOrderId, GttId, StopId, Tag
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderStatus, Purpose, Side
from app.domain.stop import Stop, StopPlan, StopState, is_triggered
from app.engine.backstop_plan import BUDGET, Nothing, step
from app.engine.gtt_plan import Delete, Rewrite, Write, found, next_action
from tests.fakes.fast_loop import settle
from tests.fakes.trading import INFY, KEY, FakeBroker, Rig, refusal
from tests.fakes.triggers import MADE_AT
from tests.unit.engine.rigged import play_quoted as play

SHARES = replace(KEY, product=Product.CNC)
DISTANCE = 1_000
DAY = 86_400 * 10**9


async def guarded(rig: Rig, quantity: int = 100, trigger: int = 99_000) -> Stop:
    """Shares of delivery, their stop, and the trigger behind it."""
    rig.broker.hold(SHARES, quantity)
    await rig.state.read_positions()
    stop = await rig.engine.arm(SHARES, StopPlan(trigger, backstop=DISTANCE))
    await asyncio.sleep(3)
    return stop


def the_one(rig: Rig) -> Gtt:
    (gtt,) = rig.broker.gtts_waiting
    return gtt


def backed(rig: Rig) -> dict[StopId, int]:
    return rig.engine.backstops.triggers.backed


async def next_run(rig: Rig, *stops: Stop) -> Rig:
    """The same profile and broker, in another process."""
    rig.log_out()
    again = Rig(rig.broker, rig.journal, around=rig.around)
    again.last[INFY.id] = 100_000
    for stop in stops:
        again.engine.adopt(rig.journal.stops[stop.id])
    await again.recover()
    await asyncio.sleep(3)
    return again


# -- where it stands --------------------------------------------------------------------------------------------------


def test_behind_a_stop_on_shares_a_trigger_waits_and_no_order_of_the_day() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        leg = the_one(rig).legs[0]
        assert (leg.side, leg.quantity, leg.product, leg.trigger) == (Side.SELL, 100, Product.CNC, 98_000)
        assert leg.kind is OrderKind.LIMIT
        assert 95_000 < leg.price < 97_000, "far enough below for an opening gap with nobody there"
        assert backed(rig) == {stop.id: 100}
        assert rig.broker.placed == []
        reading = rig.state.reading
        assert reading is not None
        (row,) = coverage_of(
            reading.positions.values(),
            rig.engine.stops,
            live=True,
            backed={},
            triggers=rig.engine.backstops.triggers.backed,
        )
        assert row.kind is Protection.GTT_TWIN
        assert "GTT at the broker" in row.kind.value

    rig = play(script)
    assert rig.alarms == []
    (row,) = rig.journal.gtt_backstops.rows.values()
    assert (row.state, row.gtt) == (RestingState.RESTING, GttId("500"))
    told = [line.what for line in rig.journal.lines if line.stop is not None]
    assert told.index("backstop") < told.index("backstop rests"), "in the journal before it left"


def test_shares_of_the_day_alone_have_an_order_behind_their_stop() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        await rig.engine.arm(KEY, StopPlan(99_000, backstop=DISTANCE))
        await asyncio.sleep(3)
        assert rig.broker.gtts_waiting == []
        assert [request.kind for request in rig.broker.placed] == [OrderKind.SL]

    play(script)


def test_it_follows_the_stop_and_what_is_sold_or_bought() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        await rig.engine.move(stop.id, 99_500)
        await asyncio.sleep(3)
        assert the_one(rig).legs[0].trigger == 98_500
        rig.broker.hold(SHARES, 40)
        await rig.state.read_positions()
        await asyncio.sleep(3)
        assert the_one(rig).legs[0].quantity == 40
        rig.broker.hold(SHARES, 90)
        for _ in range(3):
            await rig.state.read_positions()
            await asyncio.sleep(4)
        assert the_one(rig).legs[0].quantity == rig.of(stop).quantity == 90
        assert set(rig.broker.triggers) == {"500"}, "always the same one"

    assert play(script).alarms == []


def test_a_trail_moves_it_in_steps_and_not_with_every_tick() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        for level in range(99_010, 99_200, 10):
            await rig.engine.move(stop.id, level)
            await asyncio.sleep(1)
        assert [what for what, _ in rig.broker.asked] == ["place"]
        await rig.engine.move(stop.id, 99_300)
        await asyncio.sleep(2)
        assert [what for what, _ in rig.broker.asked] == ["place", "modify"]
        assert the_one(rig).legs[0].trigger == 98_300

    play(script)


def test_while_prices_are_silent_it_moves_up_to_its_stop_and_back() -> None:
    async def script(rig: Rig) -> None:
        await guarded(rig)
        rig.engine.backstops.tighten(tight=True)
        await asyncio.sleep(2)
        assert the_one(rig).legs[0].trigger == 98_995
        rig.engine.backstops.tighten(tight=False)
        await asyncio.sleep(2)
        assert the_one(rig).legs[0].trigger == 98_000

    play(script)


@pytest.mark.parametrize("how", ["disarmed", "sold by hand", "without a backstop"])
def test_no_trigger_outlives_its_stop(how: str) -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        if how == "disarmed":
            await rig.engine.disarm(stop.id)
        elif how == "sold by hand":
            rig.broker.hold(SHARES, 0)
            await rig.state.read_positions()
        else:
            await rig.engine.change(stop.id, StopPlan(99_000))
        await asyncio.sleep(5)
        assert rig.broker.gtts_waiting == []
        assert rig.of(stop).state.is_final == (how != "without a backstop")

    rig = play(script)
    assert rig.alarms == []
    assert rig.journal.told.count("backstop taken back") == 1


def test_one_that_waits_for_its_turn_is_not_sent_behind_a_stop_that_has_fired() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 100)
        await rig.state.read_positions()
        exits = [asyncio.ensure_future(rig.orders.wire.queue.turn(Purpose.EXIT, placing=True)) for _ in range(20)]
        await settle()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000, backstop=DISTANCE))
        await asyncio.sleep(1)
        rig.tick(98_900)
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert all(one.done() for one in exits)
        assert rig.broker.asked == []

    assert play(script).alarms == []


def test_one_that_waits_to_follow_its_stop_is_not_moved_beside_the_exit() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        exits = [asyncio.ensure_future(rig.orders.wire.queue.turn(Purpose.EXIT, placing=True)) for _ in range(20)]
        await settle()
        await rig.engine.move(stop.id, 99_500)
        await asyncio.sleep(0.5)
        rig.tick(99_400)
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert all(one.done() for one in exits)
        assert [what for what, _ in rig.broker.asked] == ["place", "delete"]

    assert play(script).alarms == []


def test_one_that_is_not_ours_is_never_touched() -> None:
    async def script(rig: Rig) -> None:
        leg = GttLeg(98_000, Side.SELL, 100, Product.CNC, 97_500)
        foreign = rig.broker.put(GttRequest(KEY.account, INFY.id, 100_000, (leg,)))
        stop = await guarded(rig)
        mine = next(gtt for gtt in rig.broker.gtts_waiting if gtt.id != foreign)
        twin = rig.broker.put(GttRequest(KEY.account, INFY.id, 100_000, mine.legs), MADE_AT)  # says the same
        await rig.engine.disarm(stop.id)
        await asyncio.sleep(5)
        assert {gtt.id for gtt in rig.broker.gtts_waiting} == {foreign, twin}

    play(script)


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_refused_one_is_said_and_asked_for_again_only_when_the_stop_moves() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.gtt_answers = [refusal("Maximum allowed active triggers (500) exceeded.")]
        stop = await guarded(rig)
        await asyncio.sleep(120)
        assert [what for what, _ in rig.broker.asked] == ["place"]
        assert any("could not be kept in step" in alarm and "500" in alarm for alarm in rig.alarms)
        assert backed(rig) == {}
        await rig.engine.move(stop.id, 99_200)
        await asyncio.sleep(3)
        assert the_one(rig).legs[0].trigger == 98_200

    play(script)


def test_one_that_was_on_its_way_when_the_session_died_is_asked_for_anew_after_a_quick_login() -> None:
    async def script(rig: Rig) -> None:
        place = rig.broker.place_gtt

        async def dying(request: GttRequest) -> GttId:
            await asyncio.sleep(5)
            raise SessionExpired("The token is dead.")

        rig.broker.place_gtt = dying  # type: ignore[method-assign]
        await guarded(rig)
        rig.log_out()
        rig.log_in()
        rig.broker.place_gtt = place  # type: ignore[method-assign]
        await rig.recover()
        await asyncio.sleep(60)
        assert the_one(rig).legs[0].quantity == 100

    assert play(script).alarms == []


def test_one_that_was_deleted_by_phone_is_noticed_and_not_fought_over() -> None:
    async def script(rig: Rig) -> None:
        await guarded(rig)
        rig.broker.end(the_one(rig).id)
        await rig.orders.gtts.read()
        await asyncio.sleep(10)
        assert rig.broker.gtts_waiting == []
        assert backed(rig) == {}

    rig = play(script)
    assert [alarm for alarm in rig.alarms if "is gone" in alarm]
    assert rig.journal.told.count("backstop ended") == 1


def test_one_that_the_list_does_not_show_must_be_missing_twice() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        kept = rig.broker.triggers.pop(the_one(rig).id)
        await rig.orders.gtts.read()
        rig.broker.triggers[kept.id] = kept
        await asyncio.sleep(2)
        await rig.orders.gtts.read()
        assert backed(rig) == {stop.id: 100}
        del rig.broker.triggers[kept.id]
        for _ in range(2):
            await rig.orders.gtts.read()
            await asyncio.sleep(2)
        assert backed(rig) == {}

    assert any("is gone" in alarm for alarm in play(script).alarms)


def test_one_reconciliation_is_enough_to_say_that_it_is_gone() -> None:
    async def script(rig: Rig) -> None:
        await guarded(rig)
        await rig.engine.backstops.triggers.reread()
        assert len(backed(rig)) == 1
        del rig.broker.triggers[the_one(rig).id]
        await rig.engine.backstops.triggers.reread()
        assert backed(rig) == {}

    assert any("is gone" in alarm for alarm in play(script).alarms)


@pytest.mark.parametrize("answer", ["lost", OutcomeUnknown("lost")], ids=["it arrived", "it did not"])
def test_an_unanswered_one_is_looked_for_and_never_doubled(answer: Exception | str) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.gtt_answers = [answer]
        stop = await guarded(rig)
        await asyncio.sleep(10)
        if answer != "lost":
            assert rig.broker.gtts_waiting == [], "nothing is put beside one that may turn up yet"
            assert any("could not be kept in step" in alarm for alarm in rig.alarms)
            (row,) = rig.journal.gtt_backstops.rows.values()
            rig.broker.put(GttRequest(KEY.account, INFY.id, 100_000, (row.leg,)))  # it comes a minute late
            await asyncio.sleep(10)
        assert len(rig.broker.gtts_waiting) == 1
        assert backed(rig) == {stop.id: 100}
        await rig.engine.disarm(stop.id)
        await asyncio.sleep(3)
        assert rig.broker.gtts_waiting == []

    play(script)


def test_one_that_never_arrived_is_an_alarm_once_that_is_certain() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.gtt_answers = [OutcomeUnknown("lost")]
        await guarded(rig)
        rig.clock.set(rig.clock.now() + 100 * 10**9)
        await asyncio.sleep(10)

    rig = play(script)
    assert any("never reached the broker" in alarm for alarm in rig.alarms)
    assert [row.state for row in rig.journal.gtt_backstops.rows.values()] == [RestingState.GONE]


def test_without_a_journal_nothing_is_sent_for_nobody_would_know_it_again() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 100)
        await rig.state.read_positions()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.journal.gtt_backstops.broken = True
        await rig.engine.change(stop.id, StopPlan(99_000, backstop=DISTANCE))
        await asyncio.sleep(3)
        assert rig.broker.asked == []
        assert any("could not be kept in step" in alarm for alarm in rig.alarms)

    play(script)


def test_it_is_not_written_while_the_price_is_beyond_it() -> None:
    async def script(rig: Rig) -> None:
        rig.around.closed = {INFY.id}
        rig.broker.hold(SHARES, 100)
        await rig.state.read_positions()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.last[INFY.id] = 97_000  # the closing auction went through both
        await rig.engine.backstops.triggers._looked.wait()
        rig.engine._stops[stop.id] = replace(rig.of(stop), plan=StopPlan(99_000, backstop=DISTANCE))
        rig.engine.backstops.follow(rig.of(stop))
        await asyncio.sleep(3)
        assert rig.broker.asked == [], "it would wait for the price to rise"

    play(script)


# -- the exit ---------------------------------------------------------------------------------------------------------


def test_the_exit_leaves_at_once_and_the_trigger_is_deleted_behind_it() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.tick(98_900)
        assert [request.quantity for request, _ in rig.line.fired] == [100], "one write, before anything else ran"
        closed = await rig.ended(stop)
        assert closed.note == "position flat"
        await asyncio.sleep(3)
        assert rig.broker.held[SHARES] == 0
        assert [gtt.status for gtt in rig.broker.triggers.values()] == [GttStatus.DELETED]

    assert play(script).alarms == []


def test_one_that_cannot_be_taken_back_is_an_alarm_and_tried_until_it_is_gone() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.broker.gtt_failures["delete_gtt"] = [Unreachable("down")] * 5
        rig.tick(98_900)
        await rig.ended(stop)
        await asyncio.sleep(20)
        assert rig.broker.gtts_waiting == []

    assert any("could not be taken back yet" in alarm for alarm in play(script).alarms)


def test_a_trigger_that_fires_by_itself_closes_the_stop() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        await rig.orders.gtts.read()
        await asyncio.sleep(2)
        assert rig.of(stop).state in (StopState.FIRED, StopState.EXITING), "its order is in the market"
        assert is_triggered(rig.state.orders[number].tag)
        rig.broker.fill(number)
        closed = await rig.ended(stop)
        assert "trigger (GTT) filled" in closed.note
        assert closed.exit_average == 99_000

    rig = play(script)
    assert rig.alarms == []
    assert rig.line.fired == []
    assert "trigger fired" in rig.journal.told


def test_one_that_fired_while_we_were_away_and_was_refused_sells_nothing() -> None:
    """The price is above the stop again: it is watched on."""

    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        number = the_one(rig).id
        rig.log_out()
        rig.broker.finish(rig.broker.reach(number) or BrokerOrderId(""), OrderStatus.REJECTED)
        again = await next_run(rig, stop)
        await asyncio.sleep(5)
        assert again.of(stop).state is StopState.ARMED
        assert rig.broker.placed == []
        assert the_one(again).legs[0].trigger == 98_000, "and there is another behind it"
        assert [e.title for e in again.events if isinstance(e, Noticed) and e.level is Level.ALARM] == [
            "A trigger (GTT) behind a stop has fired, and the broker refused its order"
        ]
        again.tick(98_900)
        await again.ended(stop)
        assert rig.broker.held[SHARES] == 0
        await again.tasks.stop()

    play(script)


def test_what_it_sent_is_priced_anew_until_it_fills() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        await rig.orders.gtts.read()
        await asyncio.sleep(8)
        assert [order for order, _ in rig.broker.priced][:2] == [number, number]
        rig.broker.fill(number)
        await rig.ended(stop)
        assert rig.broker.held[SHARES] == 0
        assert len(rig.broker.placed) == 0

    play(script)


def test_the_fill_may_be_heard_before_anybody_knows_whose_order_it_is() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        rig.broker.fill(number)
        await asyncio.sleep(0.1)
        assert rig.of(stop).state is StopState.ARMED
        await rig.state.read_positions()
        closed = await rig.ended(stop)
        assert "trigger (GTT) filled" in closed.note

    rig = play(script)
    assert rig.alarms == []
    assert rig.line.fired == []


@pytest.mark.parametrize("seen", [True, False], ids=["the update comes", "the stream is down"])
def test_both_at_the_same_instant_never_leave_more_sold_than_there_was(seen: bool) -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        if not seen:
            rig.broker.state = None
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        rig.tick(97_900)  # the gap went through both
        rig.broker.fill(number)
        rig.broker.state = rig.state
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert rig.broker.held[SHARES] == 0
        assert not [order for order in rig.broker.book.values() if not order.status.is_final]

    rig = play(script)
    assert any("closed twice" in alarm for alarm in rig.alarms)


async def a_part_gone_through_both(rig: Rig) -> Stop:
    """A stop on 100 of 300 shares; a gap reaches it and its trigger, and no update comes of either."""
    rig.broker.hold(SHARES, 300)
    await rig.state.read_positions()
    stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100, backstop=DISTANCE))
    await asyncio.sleep(3)
    rig.broker.state = None
    number = rig.broker.reach(the_one(rig).id)
    assert number is not None
    rig.tick(97_900)  # the gap went through both
    rig.broker.fill(number)
    rig.broker.state = rig.state
    return stop


def test_both_at_the_same_instant_leave_the_shares_that_the_stop_does_not_guard() -> None:
    async def script(rig: Rig) -> None:
        stop = await a_part_gone_through_both(rig)
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert rig.broker.held[SHARES] == 200
        assert not [order for order in rig.broker.book.values() if not order.status.is_final]

    assert any("closed twice" in alarm for alarm in play(script).alarms)


def test_a_local_exit_that_the_broker_refuses_because_the_trigger_sells_is_not_repeated() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        rig.broker.answers = [refusal("Insufficient holding quantity")]
        rig.tick(97_900)
        await asyncio.sleep(2)
        rig.broker.fill(number)
        await rig.ended(stop)
        assert rig.broker.held[SHARES] == 0

    rig = play(script)
    assert len(rig.broker.placed) == 1


def test_a_trigger_whose_order_was_refused_leaves_the_local_stop_on_watch() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.broker.reach(the_one(rig).id, refused="Authorisation at the depository is needed.")
        await rig.orders.gtts.read()
        await asyncio.sleep(5)
        assert rig.of(stop).state is StopState.ARMED
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[SHARES] == 0

    assert any("is gone" in alarm for alarm in play(script).alarms)


# -- another run, another day -----------------------------------------------------------------------------------------


def test_it_is_known_again_by_the_next_run_and_rests_through_the_night() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.clock.set(rig.clock.now() + DAY)
        again = await next_run(rig, stop)
        assert backed(again) == {stop.id: 100}
        assert len(rig.broker.gtts_waiting) == 1
        again.tick(98_900, seconds=1_900_000_000)
        await again.ended(stop)
        await asyncio.sleep(3)
        assert rig.broker.gtts_waiting == []
        await again.tasks.stop()
        assert [what for what, _ in rig.broker.asked] == ["place", "delete"]

    play(script)


def test_one_that_fired_while_nobody_was_here_closes_the_stop() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.log_out()
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        rig.broker.fill(number)
        again = await next_run(rig, stop)
        closed = await again.ended(stop)
        assert "trigger (GTT) filled" in closed.note
        assert again.alarms == []
        await again.tasks.stop()

    assert play(script).broker.placed == []


def test_one_that_fires_between_the_looks_of_the_next_run_sells_alone() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.log_out()
        again = Rig(rig.broker, rig.journal, around=rig.around)
        again.engine.adopt(rig.journal.stops[stop.id])

        def fires() -> None:
            number = rig.broker.reach(the_one(rig).id)
            assert number is not None
            rig.broker.fill(number)

        asyncio.get_running_loop().call_later(0.5, fires)
        await again.recover()
        again.tick(98_900)
        closed = await again.ended(stop)
        assert "trigger (GTT) filled" in closed.note
        assert "re-armed" not in rig.journal.told, "watched for a moment, it fires beside what its trigger sold"
        await again.tasks.stop()

    assert play(script).broker.placed == []


async def reached(rig: Rig) -> tuple[Stop, BrokerOrderId]:
    """A stop on 100 of 300 shares whose trigger has fired: the stop, and the order that the broker sent."""
    rig.broker.hold(SHARES, 300)
    await rig.state.read_positions()
    stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100, backstop=DISTANCE))
    await asyncio.sleep(3)
    number = rig.broker.reach(the_one(rig).id)
    assert number is not None
    await rig.orders.gtts.read()
    return stop, number


def test_what_its_order_did_not_sell_is_not_taken_for_sold_on_another_day() -> None:
    async def script(rig: Rig) -> None:
        stop, number = await reached(rig)
        rig.broker.answers = ["rejected"]  # the broker takes no exit of this stop today
        rig.broker.finish(number, OrderStatus.REJECTED)
        await asyncio.sleep(0.1)
        rig.log_out()
        rig.broker.book.clear()
        rig.clock.set(rig.clock.now() + DAY)
        again = await next_run(rig, stop)
        await again.ended(stop)
        assert rig.broker.held[SHARES] == 200
        await again.tasks.stop()

    play(script)


def test_what_both_sold_before_the_program_ended_is_told_in_the_morning() -> None:
    """What was sold short is settled by then: nothing can go back, and the trader must know."""

    async def script(rig: Rig) -> None:
        stop = await a_part_gone_through_both(rig)
        await asyncio.sleep(0.5)
        rig.log_out()  # before the excess went back
        rig.journal.stops[stop.id] = replace(rig.of(stop), state=StopState.EXITING, closed_at=None)
        rig.broker.book.clear()
        rig.broker.placed.clear()
        rig.broker.hold(SHARES, 100)
        rig.clock.set(rig.clock.now() + DAY)
        again = await next_run(rig, stop)
        await again.ended(stop)
        assert not rig.broker.placed
        assert any("100 units more than it guarded" in alarm for alarm in again.alarms)
        await again.tasks.stop()

    play(script)


def test_that_the_trigger_of_a_closed_stop_had_fired_as_well_is_told_when_it_is_heard_of_the_next_day() -> None:
    """The exit closed the stop while the list of triggers could not be read, and the order is in no list any more."""

    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 200)
        await rig.state.read_positions()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100, backstop=DISTANCE))
        await asyncio.sleep(3)
        number = rig.broker.reach(the_one(rig).id)
        assert number is not None
        rig.broker.gtt_failures["gtts"] = [Unreachable("down")] * 100
        rig.broker.gtt_failures["delete_gtt"] = [Unreachable("down")] * 100
        rig.tick(97_900)  # the gap went through both
        rig.broker.fill(number)
        await rig.ended(stop)
        await asyncio.sleep(1)
        rig.log_out()
        await rig.tasks.stop()
        assert not rig.alarms
        rig.broker.gtt_failures.clear()
        rig.broker.book.clear()
        rig.broker.hold(SHARES, 0)
        closed = rig.of(stop)
        assert closed.closed_at is not None
        rig.journal.stops[stop.id] = replace(closed, closed_at=closed.closed_at - DAY)
        again = await next_run(rig, stop)
        await asyncio.sleep(1)
        assert any("up to 100 units more than it guarded" in alarm for alarm in again.alarms)
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("sold_by", ["its trigger", "its exit", "its exit, in part"])
def test_a_share_of_the_position_that_was_sold_on_an_earlier_day_is_not_sold_again(sold_by: str) -> None:
    """The order book is empty in the morning, and the position does not tell whose units are left."""

    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 300)
        await rig.state.read_positions()
        behind = DISTANCE if sold_by == "its trigger" else None
        stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100, backstop=behind))
        await asyncio.sleep(3)
        sold = 100
        if behind:
            rig.log_out()
            number = rig.broker.reach(the_one(rig).id)
            assert number is not None
            rig.broker.fill(number)
        else:
            rig.broker.answers = ["open"]
            rig.tick(98_900)
            await asyncio.sleep(0.3)
            sold = 40 if "part" in sold_by else 100
            (exit_order,) = rig.broker.book
            rig.broker.fill(exit_order, sold)
            await asyncio.sleep(0.2)
            rig.log_out()
            fired = replace(rig.of(stop), state=StopState.EXITING, closed_at=None)
            rig.journal.stops[stop.id] = fired
        rig.broker.book.clear()
        rig.broker.placed.clear()
        rig.broker.hold(SHARES, 300 - sold)
        rig.clock.set(rig.clock.now() + DAY)
        again = await next_run(rig, stop)
        again.tick(98_800, seconds=1_900_000_000)
        await again.ended(stop)
        await asyncio.sleep(3)
        assert rig.broker.held[SHARES] == 200
        assert sum(request.quantity for request in rig.broker.placed) == 100 - sold
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize(
    ("seen", "days", "told"),
    [
        (None, 1, "the 100 units that are closed now may have been closed then"),
        (40, 1, "the 60 units that are closed now may have been closed then"),
        (-40, 1, ""),
        (None, 0, ""),
    ],
    ids=["nothing was heard", "a part was heard to fill", "the rest was cancelled", "it is of today"],
)
def test_an_exit_of_an_earlier_day_that_nobody_saw_end_is_told_when_its_units_are_closed_again(
    seen: int | None, days: int, told: str
) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 300)
        await rig.state.read_positions()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100))
        rig.broker.answers = ["open"]
        if seen is None:
            rig.broker.state, rig.line.silent = None, True
        rig.tick(98_900)
        await asyncio.sleep(0.2)
        (exit_order,) = rig.broker.book
        if seen is not None:
            rig.broker.fill(exit_order, abs(seen))
            if seen < 0:
                rig.broker.finish(exit_order, OrderStatus.CANCELLED)
            await asyncio.sleep(0.2)
        rig.log_out()
        fired_at = rig.clock.now() - days * DAY
        rig.journal.stops[stop.id] = replace(rig.of(stop), state=StopState.EXITING, closed_at=None, fired_at=fired_at)
        rig.broker.book.clear()
        again = await next_run(rig, stop)
        await again.ended(stop)
        alarms = [alarm for alarm in again.alarms if "nobody saw its order end" in alarm]
        assert len(alarms) == bool(told)
        assert all(told in alarm for alarm in alarms)
        await again.tasks.stop()

    play(script)


async def half_sold_and_gone(rig: Rig, *, heard: int, sold: int, held: int = 300) -> Stop:
    """A trigger of 100 units: so many of its order were heard to fill, so many had when the day ended, unseen."""
    rig.broker.hold(SHARES, held)
    await rig.state.read_positions()
    stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100, backstop=DISTANCE))
    await asyncio.sleep(3)
    number = rig.broker.reach(the_one(rig).id)
    assert number is not None
    await rig.orders.gtts.read()
    await asyncio.sleep(0.1)
    rig.broker.answers = ["rejected"]  # the local exit does not come beside it
    if heard:
        rig.broker.fill(number, heard)
    await asyncio.sleep(0.3)
    rig.log_out()
    rig.journal.stops[stop.id] = replace(rig.of(stop), state=StopState.EXITING, closed_at=None)
    rig.broker.book.clear()
    rig.broker.placed.clear()
    rig.broker.answers = []
    rig.broker.hold(SHARES, held - sold)
    rig.clock.set(rig.clock.now() + DAY)
    return stop


def test_what_an_exit_may_have_sold_beside_its_trigger_on_an_earlier_day_is_told() -> None:
    """Both left in the last moment, and the program ended before its own exit was heard of."""

    async def script(rig: Rig) -> None:
        stop, number = await reached(rig)
        rig.broker.fill(number, 100)
        await asyncio.sleep(0.1)
        rig.log_out()
        rig.journal.stops[stop.id] = replace(
            rig.of(stop), state=StopState.EXITING, closed_at=None, fired_at=rig.clock.now() - DAY
        )
        rig.broker.book.clear()
        rig.broker.hold(SHARES, 0)
        again = await next_run(rig, stop)
        await again.ended(stop)
        assert rig.broker.placed == []
        (alarm,) = [one for one in again.alarms if "nobody saw its order end" in one]
        assert "up to 100 units more than it guarded may have been sold" in alarm
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize(("heard", "sold"), [(0, 0), (24, 24), (24, 60), (24, 100)])
def test_an_order_that_nobody_saw_end_sold_what_the_position_lost(heard: int, sold: int) -> None:
    """The program ended while the trigger's order was filling: what was left of it stays guarded."""

    async def script(rig: Rig) -> None:
        stop = await half_sold_and_gone(rig, heard=heard, sold=sold)
        again = await next_run(rig, stop)
        await again.ended(stop)
        assert rig.broker.held[SHARES] == 200
        assert sum(request.quantity for request in rig.broker.placed) == 100 - sold
        assert again.alarms == []
        await again.tasks.stop()

    play(script)


def test_where_others_sold_beside_it_the_trader_is_told_what_it_is_taken_to_have_sold() -> None:
    """More has gone than it could sell: it is taken for sold whole, and nobody knows for certain."""

    async def script(rig: Rig) -> None:
        stop = await half_sold_and_gone(rig, heard=24, sold=150)
        again = await next_run(rig, stop)
        await again.ended(stop)
        assert not rig.broker.placed
        (alarm,) = again.alarms
        assert "nobody saw its order end: 24 of 100 units were seen to fill, 100 are taken for sold" in alarm
        await again.tasks.stop()

    play(script)


def test_while_the_position_is_not_known_only_what_was_seen_to_fill_counts() -> None:
    """Unknown is not flat."""

    async def script(rig: Rig) -> None:
        stop = await half_sold_and_gone(rig, heard=24, sold=24)
        rig.around.closed = {INFY.id}
        again = await next_run(rig, stop)
        assert again.of(stop).quantity == 76
        assert any("24 are taken for sold, and 76 stay guarded" in alarm for alarm in again.alarms)
        await again.tasks.stop()

    play(script)


def test_a_waiting_stop_is_made_smaller_by_what_was_sold_once_and_has_a_trigger_for_the_rest() -> None:
    async def script(rig: Rig) -> None:
        stop = await half_sold_and_gone(rig, heard=24, sold=24)
        rig.journal.stops[stop.id] = replace(rig.journal.stops[stop.id], state=StopState.ARMED, fired_at=None)
        again = await next_run(rig, stop)
        rig.journal.stops[stop.id] = again.of(stop)
        third = await next_run(again, stop)
        for one in (again, third):
            assert (one.of(stop).quantity, one.of(stop).state) == (76, StopState.ARMED)
        assert [gtt.legs[0].quantity for gtt in rig.broker.gtts_waiting] == [76]
        await again.tasks.stop()
        await third.tasks.stop()

    play(script)


def test_what_an_exit_sold_is_taken_off_once_however_often_the_program_begins() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 300)
        await rig.state.read_positions()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000, quantity=100))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(0.3)
        (exit_order,) = rig.broker.book
        rig.broker.fill(exit_order, 60)
        await asyncio.sleep(0.2)
        rig.log_out()
        rig.journal.stops[stop.id] = replace(rig.of(stop), state=StopState.EXITING, closed_at=None)
        rig.broker.book.clear()
        rig.broker.placed.clear()
        rig.clock.set(rig.clock.now() + DAY)
        rig.broker.answers = [refusal("Markets are closed right now.")] * 200
        again = rig
        for _ in range(3):
            again = await next_run(again, stop)
        rig.broker.answers = []
        await again.ended(stop)
        assert rig.broker.held[SHARES] == 200
        await again.tasks.stop()

    play(script)


def test_one_whose_number_a_crash_kept_from_the_journal_is_found_by_what_it_says() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        (row,) = rig.journal.gtt_backstops.rows.values()
        rig.journal.gtt_backstops.rows[row.tag] = replace(row, gtt=None, state=RestingState.ASKED)
        again = await next_run(rig, stop)
        assert backed(again) == {stop.id: 100}
        assert len(rig.broker.gtts_waiting) == 1
        await again.tasks.stop()

    play(script)


def test_an_orphan_of_an_earlier_run_is_swept() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.log_out()
        rig.journal.stops.pop(stop.id)  # forgotten since
        again = await next_run(rig)
        assert rig.broker.gtts_waiting == []
        await again.tasks.stop()

    play(script)


def test_a_dead_session_leaves_it_and_the_next_login_sweeps_behind_a_stop_that_ended() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.broker.gtt_failures["delete_gtt"] = [Unreachable("down")]
        await rig.engine.disarm(stop.id)
        await asyncio.sleep(0.1)
        rig.log_out()
        await asyncio.sleep(5)
        assert len(rig.broker.gtts_waiting) == 1
        rig.log_in()
        await asyncio.sleep(5)
        assert rig.broker.gtts_waiting == []

    play(script)


# -- the plan ---------------------------------------------------------------------------------------------------------

levels = st.integers(200, 2_000).map(lambda n: n * 50)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Stop, GttLeg | None, list[RestingTrigger], int | None, int]:
    level = draw(levels)
    plan = StopPlan(level, backstop=draw(st.integers(1, 40).map(lambda n: n * 50)))
    stop = Stop(KEY.account, SHARES, Side.SELL, level, draw(st.integers(1, 500)), StopState.ARMED, 1, plan)  # type: ignore[arg-type]
    want = draw(
        st.none() | st.builds(lambda t, q: GttLeg(t, Side.SELL, q, Product.CNC, t), levels, st.integers(1, 500))
    )
    states = st.sampled_from([RestingState.RESTING, RestingState.ASKED])
    resting = [
        RestingTrigger(
            Tag(f"T{n}"), stop.id, INFY.id, GttLeg(draw(levels), Side.SELL, draw(st.integers(1, 500)), Product.CNC, 1),
            draw(states), 1, GttId(str(n)),
        )
        for n in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    return stop, want, resting, draw(st.none() | levels), draw(st.integers(0, 30))


@given(pictures())
def test_the_plan_never_writes_beside_another_nor_on_the_wrong_side_of_the_price(
    picture: tuple[Stop, GttLeg | None, list[RestingTrigger], int | None, int],
) -> None:
    stop, want, resting, last, changes = picture
    action = next_action(stop, want, resting, last, changes)
    known = [one for one in resting if one.state is RestingState.RESTING]
    if isinstance(action, Write | Rewrite):
        assert want is not None
        assert last is not None
        assert last > want.trigger
        assert action.leg == want
    if isinstance(action, Write):
        assert resting == []
    if isinstance(action, Rewrite):
        assert changes < BUDGET
        assert [action.trigger] == resting
    if isinstance(action, Delete):
        assert action.trigger in known
    if isinstance(action, Nothing) and want is not None and len(resting) == len(known) == 1 and last is not None:
        (one,) = known
        if last > want.trigger:
            assert one.leg.quantity <= want.quantity, "never more than the stop guards"
            assert one.leg.trigger < stop.trigger, "never before the local stop"
            if changes < BUDGET:
                assert one.leg.quantity == want.quantity
                assert one.leg.trigger == want.trigger or abs(one.leg.trigger - want.trigger) < step(stop, changes)
    if want is None:
        assert isinstance(action, Delete) == bool(known)


def test_a_trigger_of_another_hour_or_of_others_is_not_taken_for_ours() -> None:
    leg = GttLeg(98_000, Side.SELL, 100, Product.CNC, 97_000)
    one = RestingTrigger(Tag("T"), StopId("S"), INFY.id, leg, RestingState.ASKED, MADE_AT, alike=(GttId("1"),))

    broker = FakeBroker()
    broker.put(GttRequest(KEY.account, INFY.id, 100_000, (leg,)))
    (gtt,) = broker.triggers.values()

    def listed(number: str, *, made_at: int = MADE_AT, quantity: int = 100) -> Gtt:
        return replace(gtt, id=GttId(number), created_at=made_at, legs=(replace(leg, quantity=quantity),))

    assert found(one, [listed("2")], set()) is not None
    assert found(one, [listed("1")], set()) is None, "it was there before"
    assert found(one, [listed("2")], {GttId("2")}) is None, "another stop's"
    assert found(one, [listed("2", made_at=MADE_AT - 200 * 10**9)], set()) is None
    assert found(one, [listed("2", quantity=99)], set()) is None


def test_what_a_trigger_s_order_sold_before_it_was_named_is_not_bought_back() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(SHARES, 200)
        await rig.state.read_positions()
        stop = await rig.engine.arm(SHARES, StopPlan(99_000, backstop=DISTANCE, quantity=100))
        await asyncio.sleep(3)
        sent = rig.broker.reach(the_one(rig).id)
        assert sent is not None
        reading = asyncio.create_task(rig.state.read_positions())  # it knows the fill, and began before it
        await asyncio.sleep(0)
        rig.broker.fill(sent, 90)
        await reading
        await rig.orders.gtts.read()
        await asyncio.sleep(0.1)
        assert rig.of(stop).state is not StopState.ARMED, "its trigger has sent the order"
        rig.broker.fill(sent)
        closed = await rig.ended(stop)
        await asyncio.sleep(5)
        assert (rig.broker.held[SHARES], closed.quantity) == (100, 100)
        assert [order.side for order in rig.broker.book.values()] == [Side.SELL]

    play(script)
