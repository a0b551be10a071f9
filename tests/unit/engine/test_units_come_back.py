"""An exit has closed units of another stop, and takes them back: they are that stop's when they are there again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.domain.errors import OutcomeUnknown
from app.domain.stop import Stop, StopPlan
from tests.fakes.trading import KEY, Rig
from tests.unit.engine.rigged import play

LATER = 95_000
"""The level of the stop whose units are closed."""


@pytest.mark.parametrize("held", [100, 90, 60])
def test_a_stop_waits_for_its_units_while_another_takes_them_back(held: int) -> None:
    async def after(rig: Rig, other: Stop) -> None:
        await _settled(rig)
        assert (rig.broker.held[KEY], _guarded(rig)) == (held - 50, held - 50)
        rig.tick(LATER - 100)
        await rig.ended(other)
        assert rig.broker.held[KEY] == 0

    _closed_twice(after, held)


def test_after_a_restart_a_stop_waits_for_its_units_while_another_takes_them_back() -> None:
    async def after(rig: Rig, other: Stop) -> None:
        await asyncio.sleep(0.01)
        await rig.tasks.stop()
        rig.broker.state = None
        again = Rig(broker=rig.broker, journal=rig.journal)
        for stop in rig.journal.stops.values():
            again.engine.adopt(stop)
        await again.recover()
        await _settled(again)
        assert (rig.broker.held[KEY], _guarded(again)) == (50, 50)
        again.tick(LATER - 100)
        await again.ended(other)
        await again.tasks.stop()
        assert rig.broker.held[KEY] == 0

    _closed_twice(after)


def test_an_exit_that_rests_goes_on_when_its_units_are_back() -> None:
    async def after(rig: Rig, other: Stop) -> None:
        await rig.ended(other)
        assert rig.broker.held[KEY] == 0

    _closed_twice(after, rests=True)


def _closed_twice(after: Callable[[Rig, Stop], Awaitable[None]], held: int = 100, *, rests: bool = False) -> None:
    """The first exit of a stop on 50 units has no answer, the second fills; then the first arrives after all. The other
    stop of the position, on the rest of it, waits; or `rests` in the market."""

    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, held)
        await rig.state.read_positions()
        first = await rig.engine.arm(KEY, StopPlan(99_000, quantity=50))
        other = await rig.engine.arm(KEY, StopPlan(LATER))
        rig.broker.answers = [OutcomeUnknown("lost"), "filled", "open"]
        rig.tick(98_900)
        await rig.ended(first)
        await asyncio.sleep(10)
        if rests:
            rig.tick(LATER - 100)
            await asyncio.sleep(1)
        else:
            rig.broker.answers = []
        rig.broker.fill(rig.broker.accept(rig.exits[0]).broker_order_id)
        await after(rig, other)

    play(script)


async def _settled(rig: Rig) -> None:
    """Nobody but the desk reads the positions where nothing happens."""
    for _ in range(2):
        await asyncio.sleep(30)
        await rig.state.read_positions()
    await asyncio.sleep(1)


def _guarded(rig: Rig) -> int:
    return sum(stop.quantity for stop in rig.engine.stops if not stop.state.is_final)
