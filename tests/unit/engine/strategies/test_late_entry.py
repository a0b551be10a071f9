"""An entry order that outlives what was wanted of it: cancelled, guarded where it fills, and it blocks nothing."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.errors import Denied, OutcomeUnknown, Unreachable
from app.domain.order import OrderStatus
from tests.unit.engine.strategies.stage import PLAN, S, Stage, at, play


async def stopped_out_with_the_rest_open(stage: Stage) -> None:
    """40 of 100 are bought, their stop is hit, and the rest cannot be cancelled."""
    stage.broker.answers = ["open"]
    await stage.started()
    await stage.true(lambda: stage.entries)
    await asyncio.sleep(1)
    stage.broker.fill(stage.order(0), 40)
    await stage.rig.state.read_positions()
    await stage.true(stage.guard)
    stage.broker.failures["cancel"] = [Unreachable("no network")] * 1000
    stage.tick(98_000)
    await stage.until(S.SELLING)


@pytest.mark.parametrize("killed", [S.SELLING, S.EXITED_BY_SL])
def test_killed_while_the_rest_of_the_entry_is_cancelled_the_next_run_cancels_it(killed: S) -> None:
    async def script(stage: Stage) -> None:
        await stopped_out_with_the_rest_open(stage)
        await stage.until(killed)
        stage.broker.failures.clear()
        later = await stage.again("2026-11-25 09:21")
        await later.until(S.EXITED_BY_SL, seconds=60)
        await later.true(lambda: later.broker.book[later.order(0)].status is OrderStatus.CANCELLED, seconds=10)
        later.clock.jump(at("2026-11-26 09:00"))
        await later.until(S.WAITING, seconds=60)
        assert (sum(sold.quantity for sold in later.exits), later.held) == (40, 0)
        await later.rig.tasks.stop()

    play(script)


def test_an_entry_whose_end_was_not_heard_that_day_does_not_keep_the_strategy_from_the_next() -> None:
    async def script(stage: Stage) -> None:
        await stopped_out_with_the_rest_open(stage)
        await stage.until(S.EXITED_BY_SL)
        stage.broker.failures.clear()
        stage.broker.book.clear()  # the next day's list
        later = await stage.again("2026-11-26 09:00")
        await later.until(S.WAITING, seconds=60)
        await later.until(S.BOUGHT)
        assert later.held == 100
        await later.rig.tasks.stop()

    play(script)


@pytest.mark.expects_log("went from denied to open")
def test_a_plan_is_not_changed_beside_a_late_fill() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = [OutcomeUnknown("no answer")] * 3
        await stage.started()
        await stage.until(S.BUY_FAILED)
        quick = stage.book.save_strategy

        async def slow(*written: object) -> None:
            await asyncio.sleep(0.5)
            await quick(*written)  # type: ignore[arg-type]

        stage.book.save_strategy = slow  # type: ignore[assignment, method-assign]
        stage.broker.fill(stage.broker.accept(stage.entries[-1]).broker_order_id)
        await asyncio.sleep(0.1)
        with pytest.raises(Denied, match="cannot be changed"):
            await stage.engine.save(PLAN)
        await stage.true(stage.guard)

    play(script)
