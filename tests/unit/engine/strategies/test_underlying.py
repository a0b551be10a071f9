"""A strategy whose stop looks at the underlying: at distances from where that stood, and never without a stop."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import TriggerSource
from app.domain.strategy import Leaving, Measure, StrategyPlan
from app.domain.strategy import Level as At
from app.engine.strategies.check import problems_of
from tests.fakes.trading import ACCOUNT, INFY
from tests.unit.engine.strategies.stage import PLAN, S, Stage, play

INDEX = Instrument(
    InstrumentId("NSE:NIFTY 50"), 256265, Exchange.NSE, Segment.EQUITY, InstrumentKind.INDEX, "NIFTY 50", 5, 1
)
CALL = Instrument(
    InstrumentId("NFO:NIFTY26D0125000CE"), 901, Exchange.NFO, Segment.OPTIONS, InstrumentKind.CALL, "NIFTY", 5, 75,
)  # fmt: skip
PUT = replace(CALL, id=InstrumentId("NFO:NIFTY26D0125000PE"), token=902, kind=InstrumentKind.PUT)
STOOD = 2_500_000
"""25,000.00 at the entry."""


def looking(instrument: Instrument, side: Side = Side.BUY) -> StrategyPlan:
    return replace(
        PLAN, instrument=instrument.id, product=Product.NRML, side=side, quantity=75, stop=At(Measure.POINTS, 5_000),
        target=At(Measure.PERCENT, 100), source=TriggerSource.UNDERLYING, underlying=INDEX.id,
        own_stop=At(Measure.PERCENT, 3_000), limit=None,
    )  # fmt: skip


async def ready(stage: Stage, instrument: Instrument, index: int | None = STOOD) -> PositionKey:
    stage.know({INDEX.id: INDEX, CALL.id: CALL, PUT.id: PUT})
    stage.rig.last[instrument.id] = 99_000
    if index is not None:
        stage.rig.last[INDEX.id] = index
    return PositionKey(ACCOUNT, instrument.id, Product.NRML)


@pytest.mark.parametrize(
    ("instrument", "side", "stop", "target", "own"),
    [
        (CALL, Side.BUY, 2_495_000, 2_525_000, 69_300),
        (PUT, Side.BUY, 2_505_000, 2_475_000, 69_300),
        (CALL, Side.SELL, 2_505_000, 2_475_000, 128_700),
        (PUT, Side.SELL, 2_495_000, 2_525_000, 128_700),
    ],
)
def test_its_levels_lie_where_the_underlying_hurts_and_its_own_stop_stands_beside(
    instrument: Instrument, side: Side, stop: int, target: int, own: int
) -> None:
    async def script(stage: Stage) -> None:
        key = await ready(stage, instrument)
        armed = await stage.bought(looking(instrument, side))
        assert (armed.plan.trigger, armed.plan.target, armed.plan.underlying) == (stop, target, INDEX.id)
        assert armed.plan.last_trigger == own, "30 % from an entry at 990.00"
        stage.rig.last[INDEX.id] = stop
        stage.rig.tick(stop, INDEX.token, stage.clock.now() // 10**9 + 1)
        hit = await stage.until(S.EXITED_BY_SL)
        assert (hit.leaving, stage.broker.held[key]) == (Leaving.STOP, 0)

    play(script)


def test_what_fills_later_counts_from_where_the_underlying_stood_at_first() -> None:
    async def script(stage: Stage) -> None:
        await ready(stage, CALL)
        stage.broker.answers = ["open"]
        await stage.started(replace(looking(CALL), quantity=150))
        await stage.true(stage.open_orders)
        number = stage.order()
        stage.broker.fill(number, 75)
        await stage.true(lambda: stage.rig.engine.stops)
        stage.rig.last[INDEX.id] = STOOD + 3_000
        stage.broker.fill(number, 75)
        await stage.until(S.BOUGHT)
        stop = await stage.true(stage.guard)
        assert (stop.quantity, stop.plan.trigger) == (150, 2_495_000)

    play(script)


def test_an_underlying_that_nobody_knows_leaves_its_own_stop_and_calls_the_trader() -> None:
    async def script(stage: Stage) -> None:
        await ready(stage, CALL, index=None)
        armed = await stage.bought(looking(CALL))
        assert (armed.plan.source, armed.trigger) == (TriggerSource.LAST, 69_300)
        assert any("Its own stop stands alone" in alarm for alarm in stage.alarms)
        await asyncio.sleep(5)
        assert len(stage.alarms) == 1

    play(script)


def test_the_underlying_that_is_beyond_its_level_when_it_could_be_armed_gets_it_out_at_once() -> None:
    async def script(stage: Stage) -> None:
        key = await ready(stage, CALL)
        plan = replace(looking(CALL), stop=At(Measure.PRICE, 2_510_000), target=None)
        await stage.started(plan)
        await stage.until(S.EXITED_BY_SL, seconds=400)
        assert stage.broker.held[key] == 0

    play(script)


def test_prices_of_the_underlying_are_wanted_while_it_runs() -> None:
    async def script(stage: Stage) -> None:
        await ready(stage, CALL)
        names: list[object] = []
        stage.engine.when_wanted(names.append)
        await stage.started(looking(CALL))
        await stage.true(lambda: {CALL.token: CALL.id, INDEX.token: INDEX.id} in names)

    play(script)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"own_stop": None}, "own_stop", "says nothing"),
        ({"break_even": At(Measure.POINTS, 500)}, "break_even", "own price"),
        ({"backstop": At(Measure.POINTS, 500)}, "backstop", "cannot watch the underlying"),
        ({"underlying": None}, "source", "no underlying"),
        ({"stop": At(Measure.PRICE, 2_510_000), "target": At(Measure.PRICE, 2_500_000)}, "target", "above the stop"),
        ({"stop": None}, "stop", "needs a stop"),
    ],
)
def test_what_cannot_go_together_with_it_is_said(changes: dict[str, object], field: str, words: str) -> None:
    found = problems_of(replace(looking(CALL), **changes), CALL, 0)  # type: ignore[arg-type]
    assert [one for one in found if one.field == field and words in one.words], found


def test_a_put_has_its_prices_the_other_way_round_and_a_share_has_none() -> None:
    put = replace(looking(PUT), stop=At(Measure.PRICE, 2_510_000), target=At(Measure.PRICE, 2_490_000))
    assert problems_of(put, PUT, 0) == ()
    share = replace(looking(CALL), instrument=INFY.id, product=Product.MIS)
    assert [one.field for one in problems_of(share, INFY, 0)] == ["source"]
