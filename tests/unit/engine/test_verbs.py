"""Verbs whose writes take their time: logins, ticks, fills and backstops that come in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from app.domain.errors import StorageError, Unreachable
from app.domain.instrument import Instrument
from app.domain.stop import Stop, StopPlan, StopState, Trail, TrailKind
from tests.fakes.trading import KEY, Rig
from tests.unit.engine.rigged import play

BY_RANGE = Trail(TrailKind.ATR, Decimal(1))


async def armed(rig: Rig, plan: StopPlan, quantity: int = 100) -> Stop:
    """A position of 100 and its stop."""
    rig.broker.hold(KEY, quantity)
    await rig.state.read_positions()
    return await rig.engine.arm(KEY, plan)


async def held_up(rig: Rig, verb: Awaitable[Stop]) -> asyncio.Task[Stop]:
    """A verb that waits for the disk."""
    rig.journal.gate = asyncio.Event()
    task = asyncio.ensure_future(verb)
    await asyncio.sleep(0.2)
    return task


def let_go(rig: Rig) -> None:
    """The disk answers."""
    assert rig.journal.gate is not None
    rig.journal.gate.set()


async def logged_in_anew(rig: Rig) -> asyncio.Task[None]:
    """Another session, and its recovery, well under way."""
    rig.log_out()
    rig.log_in()
    recovery = asyncio.create_task(rig.recover())
    await asyncio.sleep(4)
    return recovery


# -- a login meanwhile -------------------------------------------------------------------------------------------------


def test_a_stop_that_was_moved_across_a_login_fires_at_its_new_level() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000))
        moving = await held_up(rig, rig.engine.move(stop.id, 99_500))
        recovery = await logged_in_anew(rig)
        let_go(rig)
        await moving
        await recovery
        rig.tick(99_400)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_stop_whose_change_failed_across_a_login_fires_at_its_old_level() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=BY_RANGE))

        async def timed_out(instrument: Instrument, trail: Trail) -> Fraction:
            await asyncio.sleep(10)
            raise Unreachable("timed out")

        rig.around.average_range = timed_out  # type: ignore[method-assign]
        changing = asyncio.create_task(rig.engine.change(stop.id, replace(stop.plan, target=120_000)))
        await asyncio.sleep(0.2)
        rig.log_out()
        rig.log_in()
        await rig.recover()
        with pytest.raises(Unreachable):
            await changing
        rig.tick(98_900)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_stop_whose_disarm_failed_across_a_login_watches_on() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000))
        disarming = await held_up(rig, rig.engine.disarm(stop.id))
        recovery = await logged_in_anew(rig)
        rig.journal.broken = True
        let_go(rig)
        with pytest.raises(StorageError):
            await disarming
        rig.journal.broken = False
        await recovery
        rig.tick(98_900)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_stop_beside_one_that_is_being_armed_is_watched_after_a_login() -> None:
    async def script(rig: Rig) -> None:
        first = await armed(rig, StopPlan(99_000, quantity=50))
        arming = await held_up(rig, rig.engine.arm(KEY, StopPlan(98_000, quantity=50)))
        recovery = await logged_in_anew(rig)
        let_go(rig)
        await arming
        await recovery
        assert rig.engine.watching == 2
        rig.tick(98_900)
        assert (await rig.ended(first)).state is StopState.CLOSED

    assert [order.quantity for order in play(script).exits] == [50]
