"""A contract under another symbol: its stops go along, and ask where the prices were restated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from app.domain.ids import InstrumentId
from app.domain.instrument import Instrument
from app.domain.stop import StopPlan, StopState
from tests.fakes.fast_loop import run
from tests.fakes.trading import INFY, KEY, Rig

NEW = replace(INFY, id=InstrumentId("NSE:INFOSYS"))
UNDER_NEW = replace(KEY, instrument=NEW.id)


def play(script: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def scene() -> Rig:
        rig = Rig(instruments={INFY.id: INFY, NEW.id: NEW})
        await script(rig)
        await rig.tasks.stop()
        return rig

    return run(scene())


async def rename(rig: Rig, new: Instrument = NEW) -> None:
    """The broker lists the position under the new symbol from now on."""
    rig.broker.held[UNDER_NEW] = rig.broker.held.pop(KEY)
    await rig.engine.renamed(INFY, new)


def test_a_stop_goes_along_to_the_new_symbol_and_fires_there() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        await rename(rig)
        for _ in range(3):  # readings that do not list the old name any more
            await rig.state.read_positions()
            await asyncio.sleep(2)
        now = rig.of(stop)
        assert (now.state, now.key, now.trigger) == (StopState.ARMED, UNDER_NEW, stop.trigger)
        assert rig.journal.stops[stop.id].key == UNDER_NEW
        rig.tick(98_900)
        assert (await rig.ended(stop)).state is StopState.CLOSED

    (exit_,) = play(script).exits
    assert (exit_.instrument, exit_.quantity) == (NEW.id, 100)


def test_a_stop_that_is_being_moved_goes_along_with_its_new_level() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.journal.gate = asyncio.Event()
        moving = asyncio.create_task(rig.engine.move(stop.id, 99_500))
        await asyncio.sleep(0.1)
        renaming = asyncio.create_task(rename(rig))
        await asyncio.sleep(0.5)
        rig.journal.gate.set()
        await asyncio.gather(moving, renaming)
        for _ in range(3):
            await rig.state.read_positions()
            await asyncio.sleep(2)
        now = rig.of(stop)
        assert (now.state, now.key, now.trigger) == (StopState.ARMED, UNDER_NEW, 99_500)
        rig.tick(99_400)
        assert (await rig.ended(stop)).state is StopState.CLOSED

    (exit_,) = play(script).exits
    assert (exit_.instrument, exit_.quantity) == (NEW.id, 100)


def test_before_the_login_of_the_day_the_stop_is_renamed_and_armed_by_the_recovery() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.log_out()
        await rename(rig)
        rig.log_in()
        await rig.recover()
        assert (rig.of(stop).state, rig.of(stop).key) == (StopState.ARMED, UNDER_NEW)
        assert rig.engine.watching == 1

    play(script)


def test_where_the_lot_has_changed_the_stop_asks_and_the_answer_arms_it() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        await rename(rig, replace(NEW, lot_size=2))
        await rig.state.read_positions()
        assert rig.of(stop).state is StopState.SUSPENDED
        assert "split or bonus?" in rig.of(stop).note
        assert [alarm for alarm in rig.alarms if "split or bonus" in alarm]
        rig.tick(50_000)
        assert rig.exits == []
        rig.last[NEW.id] = 50_000
        await rig.engine.resume(stop.id, StopPlan(49_500))
        rig.tick(49_500)
        assert (await rig.ended(stop)).state is StopState.CLOSED

    play(script)


def test_a_stop_that_has_fired_is_followed_under_the_name_it_left_by() -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        rig.tick(98_900)
        await rig.engine.renamed(INFY, NEW)
        assert rig.of(stop).key == KEY
        assert (await rig.ended(stop)).state is StopState.CLOSED

    play(script)


@pytest.mark.parametrize(("held", "levels"), [(100, (99_000, 98_000)), (-100, (101_000, 102_000))])
def test_two_stops_of_one_position_both_go_along(held: int, levels: tuple[int, int]) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, held)
        await rig.state.read_positions()
        stops = [await rig.engine.arm(KEY, StopPlan(level, quantity=50)) for level in levels]
        await rename(rig)
        await rig.state.read_positions()
        assert rig.engine.watching == 2
        rig.tick(levels[1])
        for stop in stops:
            assert (await rig.ended(stop)).state is StopState.CLOSED

    assert [exit_.quantity for exit_ in play(script).broker.placed] == [50, 50]
