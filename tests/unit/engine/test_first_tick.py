"""A previous close that is not ours suspends the stop before it can fire, unless the broker's record explains it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.domain.errors import Unreachable
from app.domain.market import Tick
from app.domain.stop import Stop, StopPlan, StopState
from tests.fakes.fast_loop import settle
from tests.fakes.trading import INFY, KEY, Rig
from tests.unit.engine.rigged import play

DAY = 86_400 * 10**9
LATER = 1_800_000_000


async def next_day(rig: Rig) -> tuple[Rig, Stop]:
    """A stop armed at a last price of 1,000.00, taken up again on the next morning."""
    stop = await rig.guard()
    rig.broker.state = None
    again = Rig(broker=rig.broker, journal=rig.journal)
    again.clock.set(rig.clock.now() + DAY)
    again.engine.adopt(rig.journal.stops[stop.id])
    await again.recover()
    assert again.engine.watching == 1
    return again, stop


def show(rig: Rig, last: int, close: int | None) -> None:
    rig.tick(last)
    for token, name in list(rig.engine.rich.tokens().items()):
        rig.engine.rich.look(token, Tick(name, last, 0, exchange_time=LATER * 10**9, close=close))


def test_a_bonus_suspends_the_stop_and_the_answer_arms_it_again() -> None:
    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        show(again, 50_000, 50_100)
        await asyncio.sleep(1)
        assert again.exits == []
        held = again.of(stop)
        assert held.state is StopState.SUSPENDED
        assert "501.00, ours was 1,000.00: split or bonus?" in held.note
        assert again.journal.stops[stop.id].state is StopState.SUSPENDED
        assert [alarm for alarm in again.alarms if "split or bonus" in alarm]
        show(again, 40_000, 50_100)
        assert again.exits == []
        again.last[INFY.id] = 50_000
        await again.engine.resume(stop.id, StopPlan(49_500))
        again.tick(49_500)
        assert len(again.exits) == 1
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize(("close", "last", "exits"), [(97_000, 98_900, 1), (103_000, 99_100, 0), (None, 98_900, 1)])
def test_a_close_within_three_percent_lets_the_first_tick_decide_at_once(
    close: int | None, last: int, exits: int
) -> None:
    async def script(rig: Rig) -> None:
        again, _ = await next_day(rig)
        show(again, last, close)
        assert len(again.exits) == exits
        await settle()
        assert again.engine.rich.tokens() == {}, "later ticks cost nothing more"
        again.tick(98_000)
        assert len(again.exits) == 1
        await again.tasks.stop()

    play(script)


def test_a_move_that_the_record_shows_is_no_restatement() -> None:
    """The program was away from noon; the price fell by 5 % until the close. The stop must fire, not wait."""

    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        seen_at = again.of(stop).seen_at

        again.around.recorded_at = lambda at: 100_000 if at == seen_at else 95_000
        show(again, 94_900, 95_000)
        await asyncio.sleep(1)
        assert again.of(stop).state is StopState.ARMED
        again.tick(94_900)
        assert len(again.exits) == 1
        await again.tasks.stop()

    play(script)


def test_a_price_beyond_the_level_waits_for_the_record_and_for_no_further_tick() -> None:
    """The same of an instrument that does not tick again for long."""

    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        seen_at = again.of(stop).seen_at
        again.around.recorded_at = lambda at: 100_000 if at == seen_at else 95_000
        show(again, 94_900, 95_000)
        again.last[INFY.id] = 94_900
        await asyncio.sleep(1)
        assert len(again.exits) == 1
        await again.tasks.stop()

    play(script)


def test_a_stop_that_is_moved_before_the_opening_is_looked_at_all_the_same() -> None:
    """What is known then is the price of another day."""

    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        again.last[INFY.id] = 100_000
        await again.engine.move(stop.id, 99_500)
        show(again, 50_000, 50_100)
        await asyncio.sleep(1)
        assert again.exits == []
        assert again.of(stop).state is StopState.SUSPENDED
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("verb", ["arm", "resume"])
def test_a_stop_that_is_armed_before_the_opening_is_looked_at_as_well(verb: str) -> None:
    """What is known then is the price of another day, whenever it was asked for."""

    async def script(rig: Rig) -> None:
        rig.last[INFY.id] = 100_000
        rig.around.closed.add(INFY.id)
        stop = await rig.guard()
        if verb == "resume":
            rig.engine._watching.stop(stop.id)
            rig.engine._set(replace(stop, state=StopState.SUSPENDED, seen_at=rig.clock.now()))
            await rig.engine.resume(stop.id, StopPlan(99_000))
        rig.around.closed.clear()
        show(rig, 50_000, 50_100)
        await asyncio.sleep(1)
        assert rig.exits == []
        assert rig.of(stop).state is StopState.SUSPENDED

    play(script)


def test_a_stop_that_is_armed_before_an_opening_like_any_other_fires_at_its_first_tick() -> None:
    async def script(rig: Rig) -> None:
        rig.last[INFY.id] = 100_000
        rig.around.closed.add(INFY.id)
        await rig.guard()
        rig.around.closed.clear()
        show(rig, 98_900, 100_000)
        assert len(rig.exits) == 1

    play(script)


def test_a_stop_that_is_moved_after_its_first_tick_watches_at_once() -> None:
    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        show(again, 100_000, 100_000)
        again.last[INFY.id] = 100_000
        await settle()
        await again.engine.move(stop.id, 99_500)
        assert again.engine.rich.tokens() == {}
        again.tick(99_500, seconds=LATER)
        assert len(again.exits) == 1
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("record", [50_000, None])
def test_a_record_that_explains_nothing_suspends(record: int | None) -> None:
    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        again.around.recorded = record
        show(again, 50_000, 50_000)
        await asyncio.sleep(1)
        assert again.of(stop).state is StopState.SUSPENDED
        await again.tasks.stop()

    play(script)


def test_a_suspended_stop_is_disarmed_closed_or_kept_over_a_restart() -> None:
    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        show(again, 50_000, 50_000)
        await asyncio.sleep(1)
        third = Rig(broker=again.broker, journal=again.journal)
        third.engine.adopt(again.journal.stops[stop.id])
        await third.recover()
        assert third.of(stop).state is StopState.SUSPENDED
        assert third.engine.watching == 0
        await third.engine.disarm(stop.id)
        assert third.journal.stops[stop.id].state is StopState.DISARMED
        again.broker.hold(KEY, 0)
        await again.state.read_positions()
        await asyncio.sleep(0.1)
        assert again.of(stop).state is StopState.CLOSED
        await again.tasks.stop()
        await third.tasks.stop()

    play(script)


def test_a_program_that_runs_through_the_night_looks_as_well() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.last[INFY.id] = 100_000
        rig.clock.set(rig.clock.now() + DAY)
        await asyncio.sleep(2)
        show(rig, 50_000, 50_000)
        await asyncio.sleep(1)
        assert rig.of(stop).state is StopState.SUSPENDED
        assert rig.exits == []

    play(script)


def test_the_price_is_remembered_once_a_minute() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.last[INFY.id] = 104_000
        await asyncio.sleep(125)
        assert rig.journal.stops[stop.id].seen_price == 104_000
        assert replace(rig.journal.stops[stop.id], seen_at=None, note="") == replace(
            rig.of(stop), seen_at=None, note=""
        )

    play(script)


def test_a_record_that_cannot_be_read_suspends() -> None:
    async def script(rig: Rig) -> None:
        again, stop = await next_day(rig)
        again.around.recorded = Unreachable("down")
        show(again, 50_000, 50_000)
        await asyncio.sleep(1)
        assert again.of(stop).state is StopState.SUSPENDED
        await again.tasks.stop()

    play(script)
