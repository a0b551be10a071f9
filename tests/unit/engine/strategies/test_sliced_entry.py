"""A strategy that buys more than one order may carry: the broker cuts it up, and every slice is guarded as it fills."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.order import OrderStatus
from app.domain.strategy import Leaving
from app.engine.rules import ExitRules
from tests.fakes.trading import TABLES, refusal
from tests.unit.engine.strategies.stage import PLAN, S, Stage, play

LARGE = replace(PLAN, quantity=130)
FROZEN = ExitRules.parse(
    (TABLES / "exits.csv").read_text("utf-8"),
    freeze="exchange,underlying,since,quantity\nNSE,*,2016-01-01,50\n",
)
"""The exchange takes fifty at once."""


async def large(stage: Stage) -> None:
    stage.broker.freeze = 50
    await stage.started(LARGE)


def test_all_slices_are_one_entry_and_all_are_sold_again() -> None:
    async def script(stage: Stage) -> None:
        await large(stage)
        bought = await stage.until(S.BOUGHT)
        assert (bought.bought, bought.held, stage.held) == (130, 130, 130)
        assert [request.quantity for request in stage.entries] == [50, 50, 30]
        assert all(request.autoslice for request in stage.entries)
        stop = await stage.true(stage.guard)
        assert stop.quantity == 130
        stage.tick(98_000)
        hit = await stage.until(S.EXITED_BY_SL)
        assert (hit.leaving, stage.held) == (Leaving.STOP, 0)
        assert [request.quantity for request in stage.exits] == [50, 50, 30]
        assert stage.alarms == []

    play(script, rules=FROZEN)


def test_the_first_slice_is_not_the_whole_entry_while_the_others_are_not_listed() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["filled", "open", "open"]
        await large(stage)
        await stage.true(lambda: stage.held == 50)
        await stage.true(lambda: (stop := stage.rig.engine.stops) and stop[0].quantity == 50)
        assert stage.engine.strategy(PLAN.id).state is S.BUYING
        for number in stage.open_orders():
            stage.broker.fill(number)
        bought = await stage.until(S.BOUGHT)
        assert bought.bought == 130
        assert (await stage.true(stage.guard)).quantity == 130

    play(script, rules=FROZEN)


@pytest.mark.parametrize("how", ["refused", "rejected"])
def test_slices_that_the_broker_does_not_take_leave_less_bought_and_that_is_said(how: str) -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["filled", "filled", refusal("no margin") if how == "refused" else "rejected"]
        await large(stage)
        bought = await stage.until(S.BOUGHT)
        assert (bought.bought, stage.held) == (100, 100)
        assert "100 of 130 were bought" in bought.note
        assert (await stage.true(stage.guard)).quantity == 100

    play(script, rules=FROZEN)


def test_its_rest_is_cancelled_in_every_slice_when_its_time_is_over() -> None:
    async def script(stage: Stage) -> None:
        stage.broker.answers = ["filled", "open", "open"]
        await large(stage)
        bought = await stage.until(S.BOUGHT)
        assert bought.bought == 50
        assert sum(order.status is OrderStatus.CANCELLED for order in stage.broker.book.values()) == 2

    play(script, rules=FROZEN)
