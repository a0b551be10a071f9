"""What the stop of a strategy does beyond its level, and what happens where that is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from app.domain.errors import Unreachable
from app.domain.order import OrderKind, OrderStatus
from app.domain.stop import BreakEven, Trail, TrailKind, TriggerSource, is_backstop
from app.domain.strategy import Level, Measure, StrategyState
from tests.fakes.trading import INFY
from tests.unit.engine.strategies.stage import PLAN, Stage, at, play

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
        stage.broker.slow = 300.0  # nothing is armed when the time comes
        await stage.started()
        await stage.until(StrategyState.SELLING)
        stage.rig.journal.broken = stage.book.broken = True
        stage.broker.slow = 0.01
        await stage.true(lambda: stage.held == 0)
        assert [request.quantity for request in stage.exits] == [PLAN.quantity]

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
