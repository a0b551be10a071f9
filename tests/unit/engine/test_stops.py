"""Arm, move, disarm, follow the position, recover: what the trader may rely on, also where things happen at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest

from app.domain.errors import Denied, SessionExpired, StorageError, Unreachable
from app.domain.events import Noticed, StopChanged
from app.domain.ids import BrokerOrderId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopPlan, StopState, exit_tag
from app.engine.watching import exit_request
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, Rig, kinds
from tests.unit.engine.rigged import play

CNC = PositionKey(ACCOUNT, INFY.id, Product.CNC)


# -- arming ------------------------------------------------------------------------------------------------------------


def test_an_armed_stop_is_durable_with_its_exit_before_it_is_acknowledged() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        assert rig.journal.stops[stop.id] == stop
        assert rig.journal.intents[0].tag == stop.tag()
        assert (stop.side, stop.quantity) == (Side.SELL, 100)
        assert rig.engine.watching == 1
        states = [event.stop.state for event in rig.events if isinstance(event, StopChanged)]
        assert states == [StopState.ARMING, StopState.ARMED]

    play(script)


@pytest.mark.parametrize(
    ("quantity", "trigger", "words"),
    [
        (0, 99_000, "no open position"),
        (100, 99_001, "on a tick"),
        (100, 100_000, "fire at once"),
        (-100, 100_000, "fire at once"),
        (100, 0, "on a tick"),
    ],
)
def test_what_makes_no_sense_is_denied_in_words(quantity: int, trigger: int, words: str) -> None:
    async def script(rig: Rig) -> None:
        with pytest.raises(Denied, match=words):
            await rig.guard(KEY, quantity, trigger)
        assert rig.engine.stops == ()

    play(script)


def test_the_last_price_of_the_feed_decides_when_there_is_one() -> None:
    async def script(rig: Rig) -> None:
        rig.last[INFY.id] = 98_000
        with pytest.raises(Denied, match="fire at once"):
            await rig.guard()

    play(script)


def test_one_stop_a_position_two_products_are_two_positions() -> None:
    async def script(rig: Rig) -> None:
        await rig.guard()
        with pytest.raises(Denied, match="already has a stop"):
            await rig.engine.arm(KEY, StopPlan(98_000))
        await rig.guard(CNC, 5)
        rig.tick(98_900)
        await settle()
        assert sorted(request.quantity for request in rig.exits) == [5, 100]

    play(script)


def test_unknown_positions_no_login_and_unknown_instruments_are_denied() -> None:
    async def script(rig: Rig) -> None:
        with pytest.raises(Denied, match="not known yet"):
            await rig.engine.arm(KEY, StopPlan(99_000))
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        rig.instruments = {}
        rig.engine._instrument = lambda _: None
        with pytest.raises(Denied, match="not in the instrument list"):
            await rig.engine.arm(KEY, StopPlan(99_000))
        rig.log_out()
        with pytest.raises(Denied, match="not logged in"):
            await rig.engine.arm(KEY, StopPlan(99_000))

    play(script)


def test_a_stop_that_cannot_be_journalled_is_not_armed() -> None:
    async def script(rig: Rig) -> None:
        rig.journal.broken = True
        with pytest.raises(StorageError):
            await rig.guard()
        assert rig.engine.watching == 0
        assert rig.engine.stops == ()
        last = [event.stop for event in rig.events if isinstance(event, StopChanged)][-1]
        assert last.state is StopState.DISARMED
        rig.journal.broken = False
        await rig.engine.arm(KEY, StopPlan(99_000))

    play(script)


async def _held_up(rig: Rig, verb: Awaitable[Stop]) -> asyncio.Task[Stop]:
    """A verb that waits for the journal."""
    rig.journal.gate = asyncio.Event()
    task = asyncio.ensure_future(verb)
    await settle()
    await asyncio.sleep(0.01)
    return task


def test_a_position_that_shrinks_while_the_journal_writes_is_not_oversold() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        arming = await _held_up(rig, rig.engine.arm(KEY, StopPlan(99_000)))
        rig.broker.hold(KEY, 30)
        await rig.state.read_positions()
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        assert (await arming).quantity == 30
        rig.tick(98_900)
        await settle()
        assert [request.quantity for request in rig.exits] == [30]

    play(script)


def test_a_login_while_the_journal_writes_gives_the_exit_its_own_line() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        arming = await _held_up(rig, rig.engine.arm(KEY, StopPlan(99_000)))
        old = rig.line
        rig.log_out()
        rig.log_in()
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        stop = await arming
        rig.tick(98_900)
        await rig.ended(stop)
        assert old.fired == []
        assert len(rig.line.fired) == 1

    play(script)


def test_a_session_lost_while_arming_leaves_a_stop_for_the_next_login() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        arming = await _held_up(rig, rig.engine.arm(KEY, StopPlan(99_000)))
        rig.log_out()
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        stop = await arming
        assert rig.engine.watching == 0
        assert rig.engine.armed == 1
        rig.log_in()
        await rig.recover()
        rig.tick(98_900)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


@pytest.mark.parametrize("behind", [0, 1, 2])
@pytest.mark.parametrize(("price_then", "exits"), [(98_900, 1), (99_500, 0)])
def test_a_price_in_the_second_of_the_arming_is_judged_a_second_later(price_then: int, exits: int, behind: int) -> None:
    """Ticks carry whole seconds, of a clock that may be a little behind. A quiet instrument may not trade again for
    minutes: its stop may not wait for that."""

    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        await asyncio.sleep(1.5)
        rig.tick(98_900, seconds=stop.armed_at // 10**9 - behind)
        rig.last[INFY.id] = price_then
        await asyncio.sleep(0.5)
        assert rig.exits == []
        await asyncio.sleep(1)
        assert len(rig.exits) == exits

    play(script)


def test_a_doubtful_price_of_a_session_that_has_ended_is_forgotten() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.tick(98_900, seconds=stop.armed_at // 10**9)
        rig.last[INFY.id] = 98_900
        rig.log_out()
        await asyncio.sleep(2)
        assert rig.exits == []

    play(script)


# -- moving and disarming ----------------------------------------------------------------------------------------------


def test_a_moved_stop_fires_at_its_new_level_and_only_on_later_ticks() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.clock.set(1_700_005_000 * 10**9)
        moved = await rig.engine.move(stop.id, 98_000)
        assert rig.journal.stops[stop.id].trigger == 98_000
        rig.tick(98_500)
        rig.tick(97_000, seconds=1_700_004_000)
        await settle()
        assert rig.exits == []
        rig.tick(98_000)
        await rig.ended(moved)

    assert len(play(script).exits) == 1


def test_the_old_level_watches_until_the_new_one_is_durable() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        moving = await _held_up(rig, rig.engine.move(stop.id, 98_000))
        rig.tick(98_900)
        await settle()
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        with pytest.raises(Denied, match="fired"):
            await moving
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_stop_resized_while_it_is_moved_keeps_both() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        moving = await _held_up(rig, rig.engine.move(stop.id, 98_000))
        rig.broker.hold(KEY, 40)
        await rig.state.read_positions()
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        moved = await moving
        await settle()
        assert (moved.trigger, moved.quantity) == (98_000, 40)
        assert (rig.journal.stops[stop.id].trigger, rig.journal.stops[stop.id].quantity) == (98_000, 40)

    play(script)


def test_two_changes_at_once_are_one_too_many() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        moving = await _held_up(rig, rig.engine.move(stop.id, 98_000))
        with pytest.raises(Denied, match="being changed"):
            await rig.engine.disarm(stop.id)
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        await moving
        await rig.engine.disarm(stop.id)

    play(script)


def test_a_move_while_nobody_is_logged_in_any_more_is_kept_for_the_next_login() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        moving = await _held_up(rig, rig.engine.move(stop.id, 98_000))
        rig.log_out()
        assert rig.journal.gate is not None
        rig.journal.gate.set()
        await moving
        rig.log_in()
        await rig.recover()
        rig.tick(98_500)
        await settle()
        assert rig.exits == []
        assert rig.of(stop).trigger == 98_000

    play(script)


def test_a_disarmed_stop_does_not_fire_and_is_not_armed_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        await rig.engine.disarm(stop.id)
        rig.tick(98_900)
        await settle()
        assert rig.exits == []
        assert rig.journal.stops[stop.id].state is StopState.DISARMED
        with pytest.raises(Denied, match="not armed any more"):
            await rig.engine.disarm(stop.id)
        await rig.recover()
        assert rig.engine.watching == 0

    play(script)


def test_a_fired_stop_cannot_be_disarmed_even_before_anybody_was_told() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.line.free = 0
        rig.tick(98_900)
        with pytest.raises(Denied, match="has fired"):
            await rig.engine.disarm(stop.id)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_stop_that_cannot_be_disarmed_durably_watches_on() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.journal.broken = True
        with pytest.raises(StorageError):
            await rig.engine.disarm(stop.id)
        rig.journal.broken = False
        rig.tick(98_900)
        await rig.ended(stop)
        await rig.guard(CNC)
        rig.journal.broken = True
        disarming = asyncio.ensure_future(rig.engine.disarm(rig.engine.stops[-1].id))
        await settle(1)
        rig.log_out()
        with pytest.raises(StorageError):
            await disarming
        assert rig.engine.armed == 1

    assert len(play(script).exits) == 1


# -- in step with the position -----------------------------------------------------------------------------------------


def test_an_exit_follows_the_position() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        for quantity in (50, 250):
            rig.broker.hold(KEY, quantity)
            await rig.state.read_positions()
            await asyncio.sleep(0.1)
            assert rig.of(stop).quantity == quantity
            assert rig.journal.stops[stop.id].quantity == quantity
        rig.tick(98_900)
        await rig.ended(stop)

    assert [request.quantity for request in play(script).exits] == [250]


@pytest.mark.parametrize(("quantity", "words"), [(0, "closed elsewhere"), (-50, "turned round")])
def test_a_position_closed_or_turned_elsewhere_ends_its_stop(quantity: int, words: str) -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.broker.hold(KEY, quantity)
        await rig.state.read_positions()
        await asyncio.sleep(0.1)
        assert words in rig.of(stop).note
        assert rig.journal.stops[stop.id].state is StopState.CLOSED
        told = ["the -50 units that are open now have none" in alarm for alarm in rig.alarms]
        assert told == [True] * (quantity < 0), "a stop that is gone from a position that is there is told"
        rig.tick(98_900)
        await settle()
        assert rig.broker.placed == []

    play(script)


def test_a_position_that_is_missing_from_one_reading_keeps_its_stop() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        held = rig.broker.held.pop(KEY)
        await rig.state.read_positions()
        rig.broker.hold(KEY, held)
        await asyncio.sleep(5)
        assert rig.of(stop).state is StopState.ARMED
        rig.tick(98_900)
        await rig.ended(stop)

    play(script)


def test_a_position_that_stays_missing_ends_its_stop_and_a_failed_reading_does_not() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        del rig.broker.held[KEY]
        await rig.state.read_positions()
        await rig.state.read_positions()
        rig.broker.failures["positions"] = [Unreachable("down")]
        await asyncio.sleep(3)
        assert rig.of(stop).state is StopState.ARMED
        await rig.state.read_positions()
        await asyncio.sleep(0.1)
        assert rig.of(stop).state is StopState.CLOSED

    play(script)


def test_what_must_be_subscribed_is_told() -> None:
    async def script(rig: Rig) -> None:
        told: list[Mapping[int, InstrumentId]] = []
        rig.engine.when_watched(told.append)
        stop = await rig.guard()
        await settle()
        await rig.engine.disarm(stop.id)
        await settle()
        assert told == [{INFY.token: INFY.id}, {}]

    play(script)


# -- recovery ----------------------------------------------------------------------------------------------------------


def restarted(rig: Rig) -> Rig:
    """A new engine on the old journal and the old broker, as after a kill."""
    rig.broker.state = None
    fresh = Rig(broker=rig.broker, journal=rig.journal)
    for stop in rig.journal.stops.values():
        fresh.engine.adopt(stop)
    return fresh


def after_a_restart(before: Callable[[Rig], Awaitable[None]], after: Callable[[Rig, Stop], Awaitable[None]]) -> Rig:
    async def scene() -> Rig:
        first = Rig()
        stop = await first.guard()
        await before(first)
        await first.tasks.stop()
        rig = restarted(first)
        await rig.recover()
        await after(rig, stop)
        await rig.tasks.stop()
        return rig

    return run(scene())


async def nothing(_: Rig) -> None: ...


def test_after_a_restart_the_stop_is_armed_under_a_fresh_tag_with_the_position_of_today() -> None:
    async def before(rig: Rig) -> None:
        rig.broker.hold(KEY, 70)

    async def after(rig: Rig, stop: Stop) -> None:
        assert rig.of(stop).attempt == 2
        rig.tick(98_900)
        await rig.ended(stop)

    rig = after_a_restart(before, after)
    assert [(r.quantity, r.tag) for r in rig.exits] == [(70, replace(rig.engine.stops[0], attempt=2).tag())]


def test_an_exit_of_the_earlier_run_is_found_by_its_tag_and_not_sent_again() -> None:
    async def before(rig: Rig) -> None:
        rig.broker.take(exit_request(rig.engine.stops[0], 100, kinds([rig.journal.intents[0]])[0]))

    async def after(rig: Rig, stop: Stop) -> None:
        await rig.ended(stop)
        assert rig.of(stop).note == "position flat"

    assert len(after_a_restart(before, after).exits) == 1


def test_a_stop_that_had_fired_without_an_order_is_exited() -> None:
    async def before(rig: Rig) -> None:
        stop = rig.engine.stops[0]
        rig.journal.stops[stop.id] = replace(stop, state=StopState.FIRED)

    async def after(rig: Rig, stop: Stop) -> None:
        await rig.ended(stop)

    assert len(after_a_restart(before, after).exits) == 1


def test_an_attempt_that_a_full_disk_kept_out_of_the_journal_lends_its_tag_to_no_other_and_is_told() -> None:
    async def before(rig: Rig) -> None:
        stop = replace(rig.engine.stops[0], state=StopState.FIRED)
        rig.journal.stops[stop.id] = stop
        rig.broker.accept(exit_request(replace(stop, attempt=2), 100, OrderKind.MARKET), OrderStatus.REJECTED)

    async def after(rig: Rig, stop: Stop) -> None:
        await rig.ended(stop)
        assert any("refused" in alarm for alarm in rig.alarms)

    rig = after_a_restart(before, after)
    assert [r.tag for r in rig.exits] == [exit_tag(rig.engine.stops[0].id, 3)]


def test_an_attempt_of_the_earlier_run_that_comes_after_its_successor_is_taken_back_without_news_of_it() -> None:
    async def before(rig: Rig) -> None:
        stop = replace(rig.engine.stops[0], state=StopState.FIRED, attempt=2)
        rig.journal.stops[stop.id] = stop
        rig.broker.fill(rig.broker.accept(exit_request(stop, 100, OrderKind.MARKET)).broker_order_id)

    async def after(rig: Rig, stop: Stop) -> None:
        await rig.ended(stop)
        rig.broker.state = None  # the stream is down
        await asyncio.sleep(30)
        rig.broker.fill(rig.broker.accept(exit_request(stop, 100, OrderKind.MARKET)).broker_order_id)
        assert rig.broker.held[KEY] == -100
        await asyncio.sleep(6)
        assert rig.broker.held[KEY] == 0

    after_a_restart(before, after)


def test_a_position_closed_while_away_ends_the_stop() -> None:
    async def before(rig: Rig) -> None:
        rig.broker.hold(KEY, 0)

    async def after(rig: Rig, stop: Stop) -> None:
        assert "while Stopline was away" in rig.of(stop).note
        told = [
            event for event in rig.events if isinstance(event, Noticed) and event.title == "No stop is left to watch"
        ]
        ended = f"Ended: {KEY.instrument}, position was closed while Stopline was away."
        assert [event.cause for event in told] == [f"0 armed, 0 exits followed. {ended}"]

    assert after_a_restart(before, after).exits == []


def test_an_order_of_the_earlier_run_that_turns_up_after_the_arming_is_followed() -> None:
    async def after(rig: Rig, stop: Stop) -> None:
        late = rig.broker.accept(exit_request(stop, 100, kinds([rig.journal.intents[0]])[0]))
        await asyncio.sleep(0.5)
        assert rig.engine.watching == 0
        rig.tick(98_900)
        rig.broker.fill(late.broker_order_id)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0

    assert after_a_restart(nothing, after).exits == []


def test_a_refused_order_of_the_earlier_run_changes_nothing() -> None:
    async def after(rig: Rig, stop: Stop) -> None:
        rig.broker.accept(exit_request(stop, 100, kinds([rig.journal.intents[0]])[0]), OrderStatus.REJECTED)
        await settle()
        assert rig.of(stop).state is StopState.ARMED
        assert rig.engine.watching == 1

    after_a_restart(nothing, after)


def test_the_exit_of_a_stop_that_ended_in_an_earlier_run_disturbs_nobody() -> None:
    async def before(rig: Rig) -> None:
        rig.tick(98_900)
        await rig.ended(rig.engine.stops[0])

    async def after(rig: Rig, stop: Stop) -> None:
        await settle()
        assert rig.of(stop).state is StopState.CLOSED
        assert rig.alarms == []
        assert rig.broker.cancelled == []

    assert len(after_a_restart(before, after).exits) == 1


def test_a_late_exit_of_a_stop_that_ended_in_an_earlier_run_is_cancelled_with_an_alarm() -> None:
    async def before(rig: Rig) -> None:
        rig.tick(98_900)
        await rig.ended(rig.engine.stops[0])

    async def after(rig: Rig, stop: Stop) -> None:
        await settle()
        second = replace(stop, attempt=2)
        late = rig.broker.accept(exit_request(second, 100, kinds([rig.journal.intents[0]])[0]))
        await rig.ended(stop)
        await asyncio.sleep(2)
        assert rig.broker.cancelled == [late.broker_order_id]
        assert rig.broker.held[KEY] == 0
        assert any("late exit order" in alarm.lower() for alarm in rig.alarms)

    after_a_restart(before, after)


def test_a_late_exit_that_filled_while_nobody_was_there_goes_back_with_an_alarm() -> None:
    async def before(rig: Rig) -> None:
        rig.tick(98_900)
        stop = await rig.ended(rig.engine.stops[0])
        late = rig.broker.accept(exit_request(replace(stop, attempt=2), 100, kinds([rig.journal.intents[0]])[0]))
        assert stop.closed_at is not None
        rig.broker.book[late.broker_order_id] = replace(late, placed_at=stop.closed_at + 1)
        rig.broker.state = None
        rig.broker.fill(late.broker_order_id)
        assert rig.broker.held[KEY] == -100

    async def after(rig: Rig, stop: Stop) -> None:
        await rig.state.read_orders()
        await rig.ended(stop)
        await asyncio.sleep(5)
        assert rig.broker.held[KEY] == 0
        assert any("late exit order" in alarm.lower() for alarm in rig.alarms)
        assert any("closed twice" in alarm for alarm in rig.alarms)

    after_a_restart(before, after)


@pytest.mark.expects_log("could not be taken up")
def test_a_stop_that_cannot_be_taken_up_leaves_no_other_unwatched() -> None:
    async def script(rig: Rig) -> None:
        spoilt, other = await rig.guard(KEY, 100), await rig.guard(replace(KEY, product=Product.NRML), 50)
        rig.log_out()
        rig.log_in()
        rearm = rig.engine.rearm

        async def fails(stop: Stop, held: int | None, reason: str) -> None:
            if stop.id == spoilt.id:
                raise ValueError(reason)
            await rearm(stop, held, reason)

        rig.engine.rearm = fails
        await rig.recover()
        assert rig.engine.watching == 1
        assert rig.of(other).attempt == other.attempt + 1
        assert rig.alarms[-1] == "Stopline itself failed here; its log says where."

    play(script)


def test_recovery_waits_for_a_broker_that_cannot_be_read() -> None:
    async def before(rig: Rig) -> None:
        rig.broker.failures = {"positions": [Unreachable("down")] * 3, "orders": [Unreachable("down")] * 3}

    async def after(rig: Rig, stop: Stop) -> None:
        assert rig.engine.watching == 1

    after_a_restart(before, after)


@pytest.mark.parametrize("method", ["positions", "orders"])
def test_a_session_that_dies_in_the_middle_leaves_the_rest_to_the_next_login(method: str) -> None:
    async def scene() -> None:
        first = Rig()
        stop = await first.guard()
        rig = restarted(first)
        rig.broker.failures = {method: [SessionExpired("dead")]}
        with pytest.raises(SessionExpired):
            await rig.recover()
        assert rig.of(stop).state is StopState.ARMED
        await rig.recover()
        assert rig.engine.watching == 1
        await rig.tasks.stop()

    run(scene())


def test_a_stop_that_cannot_be_armed_again_is_said_aloud_and_others_are() -> None:
    async def scene() -> None:
        first = Rig()
        stop = await first.guard()
        other = await first.guard(CNC, 5)
        foreign = replace(
            stop,
            id=StopId("0" * 12),
            key=PositionKey(ACCOUNT, InstrumentId("NSE:GONE"), Product.MIS),
        )
        first.journal.stops = {foreign.id: foreign, other.id: other}
        first.broker.hold(foreign.key, 10)
        rig = restarted(first)
        await rig.recover()
        assert rig.engine.watching == 1
        assert any("GONE" in alarm for alarm in rig.alarms)
        assert rig.of(foreign).state is StopState.ARMED
        await rig.tasks.stop()

    run(scene())


def test_a_full_disk_leaves_no_stop_unwatched_after_a_login() -> None:
    async def scene() -> None:
        first = Rig()
        stop = await first.guard()
        rig = restarted(first)
        rig.journal.broken = True
        await rig.recover()
        assert rig.engine.watching == 1
        assert any("journal cannot be written" in alarm for alarm in rig.alarms)
        rig.tick(98_900)
        await rig.ended(stop)
        assert len(rig.exits) == 1
        rig.journal.broken = False
        await rig.tasks.stop()

    run(scene())


def test_nothing_to_recover_reads_no_orders() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.failures = {"orders": [Unreachable("never asked")]}
        await rig.recover()
        assert rig.broker.failures["orders"]

    play(script)


def test_after_the_end_of_a_session_no_tick_fires_and_the_stop_stays() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.log_out()
        rig.tick(98_900)
        await settle()
        assert rig.exits == []
        assert rig.engine.watching == 0
        assert rig.engine.armed == 1
        assert rig.journal.stops[stop.id].state is StopState.ARMED
        assert rig.engine.exiting == 0

    play(script)


def test_an_exit_whose_instrument_is_gone_is_said_aloud() -> None:
    async def script(rig: Rig) -> None:
        await rig.guard()
        rig.engine._instrument = lambda _: None
        rig.engine._listed.clear()
        rig.tick(98_900)
        await settle()

    assert any("cannot be followed" in alarm for alarm in play(script).alarms)


def test_an_unrelated_order_is_nobodys_business() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        by_hand = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 1, Product.MIS, kinds([rig.journal.intents[0]])[0])
        rig.broker.fill(rig.broker.accept(by_hand).broker_order_id)
        assert rig.of(stop).state is StopState.ARMED
        assert BrokerOrderId("1000") in rig.state.orders

    play(script)
