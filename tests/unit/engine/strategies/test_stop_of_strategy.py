"""What the stop of a strategy does beyond its level, and what happens where that is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from app.domain.errors import Rejected, Unreachable
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderStatus
from app.domain.portfolio import Holding
from app.domain.stop import BreakEven, StopState, Trail, TrailKind, TriggerSource, as_it_stands, is_backstop
from app.domain.strategy import Leaving, Level, Measure, StrategyState
from tests.fakes.trading import ACCOUNT, INFY, KEY
from tests.unit.engine.strategies.stage import PLAN, Stage, at, other, play, second

RICH = replace(
    PLAN,
    trail=None,
    range_trail=Trail(TrailKind.ATR, Decimal("2.5"), period=10),
    break_even=Level(Measure.PERCENT, 150),
    backstop=Level(Measure.POINTS, 700),
    source=TriggerSource.DOUBLE_LAST,
)


def test_a_strategys_stop_has_all_that_a_stop_has() -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought(RICH)
        assert stop.plan.trail == RICH.range_trail
        assert stop.plan.break_even == BreakEven(1_485)
        assert (stop.plan.backstop, stop.plan.source) == (700, TriggerSource.DOUBLE_LAST)
        await asyncio.sleep(3)
        (behind,) = [o for o in stage.broker.book.values() if is_backstop(o.tag)]
        assert (behind.kind, behind.trigger_price) == (OrderKind.SL, stop.trigger - 700)
        await stage.engine.stop(RICH.id, close=True)
        await stage.until(StrategyState.IDLE, StrategyState.SOLD, plan=RICH)
        await asyncio.sleep(3)
        assert stage.held == 0
        live = [o for o in stage.broker.book.values() if is_backstop(o.tag) and not o.status.is_final]
        assert live == [], "no order may outlive the strategy's position"
        assert all(o.status in (OrderStatus.FILLED, OrderStatus.CANCELLED) for o in stage.broker.book.values())

    play(script)


def test_where_it_cannot_be_armed_as_asked_its_plain_level_stands_and_the_trader_is_called() -> None:
    async def script(stage: Stage) -> None:
        stage.rig.around.range = Unreachable("No candles now.")
        stop = await stage.bought(RICH)
        assert stop.plan.trail is None
        assert stop.trigger == RICH.stop_price(99_000, 5)
        assert any("level alone" in alarm and "No candles now" in alarm for alarm in stage.alarms)

    play(script)


def test_ended_while_its_first_stop_waits_for_the_positions_it_is_sold_once() -> None:
    async def script(stage: Stage) -> None:
        await stage.started()
        stage.broker.slow = 0.8
        await stage.until(StrategyState.BOUGHT)
        stage.tick(97_000)  # beyond its level: whoever arms the exit fires it too
        await stage.engine.stop(PLAN.id, close=True)
        await stage.until(StrategyState.IDLE, StrategyState.SOLD)
        await asyncio.sleep(10)
        assert [request.quantity for request in stage.exits] == [PLAN.quantity]
        assert stage.held == 0

    play(script)


def test_a_full_disk_does_not_hold_back_what_is_sold_by_time() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(stage.open_orders)
        stage.broker.slow = 700.0  # nothing is armed when the time comes
        stage.broker.fill(stage.order())
        await stage.until(StrategyState.SELLING)
        stage.rig.journal.broken = stage.book.broken = True
        stage.broker.slow = 0.01
        await stage.true(lambda: stage.held == 0)
        assert [request.quantity for request in stage.exits] == [PLAN.quantity]

    play(script)


def test_a_slow_disk_does_not_hold_back_what_is_sold_by_time_or_bought() -> None:
    async def script(stage: Stage) -> None:
        two = other()
        await stage.engine.save(two)
        await stage.engine.start(two.id)
        await stage.started()
        await stage.until(StrategyState.BUYING, StrategyState.BOUGHT)
        stage.book.slow = 400.0
        await stage.true(lambda: stage.guard() and stage.guard(two), 10)
        await stage.until(StrategyState.SELLING, StrategyState.SOLD)
        await stage.true(lambda: stage.held == 0, 5)
        assert stage.clock.now() - at("2026-11-25 09:30") < 6 * 10**9
        stage.book.slow = 0.001
        await asyncio.sleep(3_000)
        assert {kept.state for kept in stage.book.kept.values()} == {StrategyState.SOLD}
        for plan in (PLAN, two):
            assert [w for w in stage.told(plan) if w in list(StrategyState)][-2:] == ["selling", "sold"]

    play(script)


def test_stopped_and_closed_by_the_trader_it_is_closed_on_a_full_disk_too() -> None:
    async def script(stage: Stage) -> None:
        await stage.bought()
        stage.rig.journal.broken = stage.book.broken = True
        await stage.engine.stop(PLAN.id, close=True)
        await stage.true(lambda: stage.held == 0, 5)
        assert any("journal cannot be written" in alarm for alarm in stage.alarms)

    play(script)


@pytest.mark.parametrize("restart", [False, True])
def test_a_stop_that_the_trader_disarmed_does_not_come_back_with_a_login_or_a_restart(restart: bool) -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        await stage.rig.engine.disarm(stop.id)
        await stage.true(lambda: "sell time only" in stage.engine.strategy(PLAN.id).note)
        stage.tick(98_000)
        if restart:
            stage = await stage.again("2026-11-25 09:25")
            stage.rig.last[INFY.id] = 98_000
        else:
            stage.rig.log_out()
            stage.rig.log_in()
            await stage.rig.recover()
            await stage.engine.take_up()
        await asyncio.sleep(20)
        stage.tick(97_900)
        await asyncio.sleep(20)
        assert (stage.engine.strategy(PLAN.id).state, stage.held, stage.exits) == (StrategyState.BOUGHT, 100, [])
        await stage.until(StrategyState.SOLD)  # its sell time
        assert (stage.held, stage.clock.now() >= at("2026-11-25 09:30")) == (0, True)
        await stage.rig.tasks.stop()

    play(script)


def test_what_is_bought_after_the_trader_disarmed_its_stop_is_guarded() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(lambda: stage.entries)
        await asyncio.sleep(1)
        stage.broker.fill(stage.order(0), 40)
        first = await stage.true(stage.guard)
        await stage.rig.engine.disarm(first.id)
        await asyncio.sleep(5)
        assert stage.guard() is None
        stage.broker.fill(stage.order(0))
        whole = await stage.true(stage.guard)
        assert whole.quantity == 100

    play(script)


def test_a_share_without_a_stop_that_was_closed_by_hand_is_over_and_a_later_position_is_the_traders() -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        await stage.rig.engine.disarm(stop.id)
        await asyncio.sleep(1)
        stage.broker.hold(KEY, 30)
        await stage.rig.state.read_positions()
        await stage.true(lambda: stage.engine.strategy(PLAN.id).held == 30, 10)
        stage.broker.hold(KEY, 0)
        await stage.rig.state.read_positions()
        ended = await stage.until(StrategyState.ABORTED, seconds=10)
        assert ended.note == "The position was closed elsewhere; the strategy has ended"
        stage.broker.hold(KEY, 100)
        await stage.rig.state.read_positions()
        stage.clock.jump(at("2026-11-25 09:31"))
        await asyncio.sleep(60)
        assert (stage.held, stage.exits) == (100, [])

    play(script)


def test_a_share_without_a_stop_is_not_sold_out_of_what_another_strategy_has() -> None:
    async def script(stage: Stage) -> None:
        two = other(exit_second=second("09:40"))
        await stage.engine.save(two)
        await stage.engine.start(two.id)
        stop = await stage.bought()
        await stage.until(StrategyState.BOUGHT, plan=two)
        theirs = await stage.true(lambda: stage.guard(two))
        await stage.rig.engine.disarm(stop.id)
        await asyncio.sleep(1)
        stage.broker.hold(KEY, 100)
        await stage.rig.state.read_positions()
        await stage.until(StrategyState.ABORTED, StrategyState.SOLD, seconds=10)
        assert (stage.rig.of(theirs).quantity, stage.held, stage.alarms) == (100, 100, [])

    play(script)


def test_what_was_sold_by_hand_while_its_exit_waits_is_not_looked_for_in_the_traders_own_units() -> None:
    async def script(stage: Stage) -> None:
        own = await stage.rig.guard(KEY, 100, 95_000)
        await stage.rig.engine.change(own.id, replace(own.plan, quantity=100))
        await stage.bought()
        stage.rig.around.closed.add(INFY.id)
        await stage.until(StrategyState.SELLING)
        stage.broker.hold(KEY, 160)
        await stage.rig.state.read_positions()
        await asyncio.sleep(10)
        stage.rig.around.closed.clear()
        await stage.until(StrategyState.SOLD, seconds=30)
        assert ([request.quantity for request in stage.exits], stage.held) == ([60], 100)
        assert not any("already has a stop" in alarm for alarm in stage.alarms)

    play(script)


def test_shares_of_which_nobody_knows_whether_they_are_there_stay_the_strategys() -> None:
    """Bought for delivery, disarmed, and on the next day in a list of holdings that cannot be read."""

    async def script(stage: Stage) -> None:
        plan = replace(PLAN, product=Product.CNC, carry=1)
        key = plan.key
        stop = await stage.bought(plan)
        await stage.rig.engine.disarm(stop.id)
        await asyncio.sleep(1)
        stage.broker.book.clear()
        del stage.broker.held[key]
        later = await stage.again("2026-11-26 09:29")
        await later.until(StrategyState.SELLING)
        await asyncio.sleep(30)
        assert later.engine.strategy(PLAN.id).state is StrategyState.SELLING
        assert any("100 units are to be closed" in alarm for alarm in later.alarms)
        row = Holding(ACCOUNT, INFY.id, "INE009A01021", 0, 100, Decimal(990), 99_000, 99_000)
        later.broker.demat = [row]
        later.rig.state.holdings_heard([row])
        await later.true(lambda: [request.quantity for request in later.exits] == [100], 30)
        await later.rig.tasks.stop()

    play(script)


@pytest.mark.parametrize("price", [90_000, 100_000])
def test_stopped_and_kept_with_the_price_beyond_its_stop_already_it_is_sold_by_that_stop(price: int) -> None:
    """It stays open under its stop, as asked; one that is reached when it can be armed sells."""

    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(stage.open_orders)
        stage.broker.failures["cancel"] = [Rejected("filled meanwhile")]
        await stage.engine.stop(PLAN.id, close=False)
        stage.rig.last[INFY.id] = price
        stage.broker.fill(stage.order())
        await asyncio.sleep(30)
        strategy = stage.engine.strategy(PLAN.id)
        if price == 90_000:
            assert (stage.held, strategy.state, strategy.leaving) == (0, StrategyState.EXITED_BY_SL, Leaving.STOP)
        else:
            assert (stage.held, strategy.state) == (100, StrategyState.IDLE)
            assert [s.state for s in stage.rig.engine.stops] == [StopState.ARMED]

    play(script)


def test_stopped_while_its_stop_grows_all_of_it_is_guarded_before_it_is_the_traders_own() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(stage.open_orders)
        stage.broker.fill(stage.order(), 40)
        await stage.true(stage.guard)
        stage.broker.fill(stage.order())
        stage.broker.hold(KEY, 40)  # positions lag behind fills
        await stage.until(StrategyState.BOUGHT, seconds=5)
        await stage.engine.stop(PLAN.id, close=False)
        await asyncio.sleep(1.5)
        stage.broker.hold(KEY, 100)
        stopped = await stage.until(StrategyState.IDLE, seconds=10)
        assert "100 units stay open, its stop stays armed" in stopped.note
        await asyncio.sleep(2)
        (stop,) = [one for one in stage.rig.engine.stops if not one.state.is_final]
        assert (stop.quantity, stop.plan.strategy) == (100, None)

    play(script)


def test_what_was_missing_at_one_exit_is_not_missing_at_the_next_entry() -> None:
    """Positions lag behind fills each day anew."""

    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        await stage.rig.engine.disarm(stop.id)
        stage.clock.jump(at("2026-11-25 09:29:59"))
        await asyncio.sleep(0.5)
        stage.broker.hold(KEY, 0)  # by phone, just before its time
        await stage.until(StrategyState.SOLD, StrategyState.ABORTED, seconds=30)
        assert stage.engine.strategy(PLAN.id).state is StrategyState.SOLD
        await asyncio.sleep(60)
        stage.broker.answers = ["open"]
        stage.clock.jump(at("2026-11-26 09:19:58"))
        await stage.true(stage.open_orders, 10)
        stage.broker.fill(stage.order())
        stage.broker.hold(KEY, 0)
        await asyncio.sleep(1.5)
        stage.broker.hold(KEY, 100)
        await stage.true(stage.guard, 20)
        assert stage.engine.strategy(PLAN.id).state is StrategyState.BOUGHT

    play(script)


def test_a_stop_that_comes_back_after_a_conversion_that_failed_is_the_strategys_again() -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        await stage.rig.engine.disarm(stop.id)
        await asyncio.sleep(0.3)
        again = await stage.rig.engine.arm(KEY, as_it_stands(stop))
        await asyncio.sleep(20)
        await stage.rig.state.read_positions()
        strategy = stage.engine.strategy(PLAN.id)
        assert (strategy.state, strategy.stop, strategy.unguarded) == (StrategyState.BOUGHT, again.id, 0)
        await stage.until(StrategyState.SOLD)
        assert (stage.held, len(stage.exits)) == (0, 1)

    play(script)


def test_a_stop_that_followed_a_conversion_is_not_the_strategys() -> None:
    async def script(stage: Stage) -> None:
        stop = await stage.bought()
        await stage.rig.engine.disarm(stop.id)
        there = replace(KEY, product=Product.NRML)
        stage.broker.held = {there: 100}
        await stage.rig.state.read_positions()
        await stage.rig.engine.arm(there, as_it_stands(stop))
        await stage.until(StrategyState.ABORTED, seconds=30)
        assert [s.key for s in stage.rig.engine.stops if s.state is StopState.ARMED] == [there]

    play(script)


def test_a_position_that_the_broker_does_not_list_at_all_on_the_day_of_its_entry_is_not_closed() -> None:
    """One that is closed stays listed for the day: its row has not come yet."""

    async def script(stage: Stage) -> None:
        stage.broker.answers = ["open"]
        await stage.started()
        await stage.true(stage.open_orders)
        stage.broker.fill(stage.order())
        del stage.broker.held[KEY]
        await asyncio.sleep(20)
        assert stage.engine.strategy(PLAN.id).state is StrategyState.BOUGHT
        assert any("100 units are held and their exit is not armed" in alarm for alarm in stage.alarms)
        stage.broker.hold(KEY, 100)
        guard = await stage.true(stage.guard, 5)
        assert guard.quantity == 100

    play(script)
