"""An entry order that outlives what was wanted of it: cancelled, guarded where it fills, and it blocks nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from app.domain.errors import Denied, OutcomeUnknown, Unreachable
from app.domain.order import OrderStatus
from tests.unit.engine.strategies.stage import PLAN, S, Stage, at, play, second


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


VERBS: dict[str, Callable[[Stage], Awaitable[object]]] = {
    "pause": lambda stage: stage.engine.pause(PLAN.id),
    "start": lambda stage: stage.engine.start(PLAN.id),
    "stop": lambda stage: stage.engine.stop(PLAN.id, close=False),
    "save": lambda stage: stage.engine.save(replace(PLAN, name="Other")),
}


async def given_up(stage: Stage) -> None:
    """Three attempts, none of which was answered or is listed."""
    stage.broker.answers = [OutcomeUnknown("no answer")] * 3
    await stage.started()
    await stage.until(S.BUY_FAILED)


@pytest.mark.parametrize(
    "restart", [pytest.param(False, marks=pytest.mark.expects_log("went from denied to open")), True]
)
@pytest.mark.parametrize("verb", VERBS)
def test_an_attempt_that_fills_late_is_guarded_and_said_whatever_the_trader_did_meanwhile(
    verb: str, restart: bool
) -> None:
    async def script(stage: Stage) -> None:
        await given_up(stage)
        await VERBS[verb](stage)
        if restart:
            stage = await stage.again("2026-11-25 09:21:30")
        stage.broker.fill(stage.broker.accept(stage.entries[-1]).broker_order_id)
        stop = await stage.true(stage.guard, seconds=10)
        assert (stop.quantity, stage.engine.strategy(PLAN.id).state) == (100, S.BOUGHT)
        assert any("100 units were filled late" in words for words in stage.alarms)
        await stage.until(S.SOLD, S.PAUSED)  # at the sell time of the day on which it was sent
        assert (stage.held, stage.clock.now() < at("2026-11-25 09:31")) == (0, True)
        stage.clock.jump(at("2026-11-26 09:19"))
        follows = {"pause": S.PAUSED, "stop": S.SOLD, "save": S.SOLD}.get(verb, S.BOUGHT)
        await stage.until(follows)
        await asyncio.sleep(120)
        assert stage.engine.strategy(PLAN.id).state is follows
        await stage.rig.tasks.stop()

    play(script)


@pytest.mark.expects_log("went from denied to open")
@pytest.mark.parametrize("verb", [None, *VERBS])
@pytest.mark.parametrize("which", [0, 2])
def test_an_attempt_that_rests_late_is_cancelled_whatever_the_trader_did_meanwhile(
    verb: str | None, which: int
) -> None:
    async def script(stage: Stage) -> None:
        await given_up(stage)
        if verb is not None:
            await VERBS[verb](stage)
        late = stage.broker.accept(stage.entries[which])
        await stage.true(lambda: stage.broker.book[late.broker_order_id].status is OrderStatus.CANCELLED, seconds=10)
        assert stage.held == 0

    play(script)


@pytest.mark.expects_log("went from denied to open")
@pytest.mark.parametrize("answers", [False, True])
def test_an_attempt_that_fills_late_when_the_next_met_a_dead_network_is_guarded(answers: bool) -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = [OutcomeUnknown("no answer"), Unreachable("no network")]
        await stage.started()
        await stage.until(S.BROKER_UNREACHABLE)
        if answers:
            await stage.rig.state.read_positions()
            await stage.until(S.WAITING)
        stage.broker.fill(stage.broker.accept(stage.entries[0]).broker_order_id)
        await stage.true(stage.guard, seconds=10)
        assert any("100 units were filled late" in words for words in stage.alarms)

    play(script)


@pytest.mark.expects_log("went from denied to open")
def test_an_attempt_that_fills_late_beside_the_entry_that_was_started_after_it_is_guarded_with_it() -> None:
    async def script(stage: Stage) -> None:
        await given_up(stage)
        lost = stage.entries[-1]
        again = replace(PLAN, entry_second=second("09:24"))
        await stage.engine.save(again)
        await stage.engine.start(PLAN.id)
        stop = await stage.true(stage.guard)
        assert stop.quantity == 100
        stage.broker.fill(stage.broker.accept(lost).broker_order_id)
        await stage.true(lambda: (guard := stage.guard()) is not None and guard.quantity == 200, seconds=10)
        assert any("200 units were filled, 100 were asked for" in words for words in stage.alarms)
        await stage.until(S.SOLD)
        assert stage.held == 0
        stage.clock.jump(at("2026-11-26 09:19"))
        assert (await stage.until(S.BOUGHT)).bought == 100

    play(script)


def test_while_the_rest_of_an_entry_is_cancelled_nothing_drops_it() -> None:
    async def script(stage: Stage) -> None:
        await stopped_out_with_the_rest_open(stage)
        await stage.until(S.EXITED_BY_SL)
        for verb in ("start", "save"):
            with pytest.raises(Denied, match="still being cancelled"):
                await VERBS[verb](stage)
        with pytest.raises(Denied, match="still being cancelled"):
            await stage.engine.delete(PLAN.id)
        await stage.engine.stop(PLAN.id, close=True)
        stage.broker.failures.clear()
        await stage.true(lambda: stage.broker.book[stage.order(0)].status is OrderStatus.CANCELLED, seconds=10)
        await asyncio.sleep(5)
        await stage.engine.start(PLAN.id)

    play(script)
