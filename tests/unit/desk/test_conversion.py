"""A position changes its product, and no stop is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.desk.conversion import convert
from app.desk.workspace import Workspace
from app.domain.errors import AppError, Denied, OutcomeUnknown, Rejected, StorageError, Unreachable
from app.domain.events import AuditEntry
from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.portfolio import Conversion, PositionKey
from app.domain.stop import StopPlan, StopState
from tests.fakes.trading import ACCOUNT, INFY, KEY, LostAfter, Rig
from tests.unit.engine.rigged import play

THERE = PositionKey(ACCOUNT, INFY.id, Product.CNC)


class Converter:
    """The broker's part of it. `answer`: what it says."""

    def __init__(self, rig: Rig, answer: AppError | None = None) -> None:
        self._rig = rig
        self._answer = answer
        self.lag = 0.0
        """Seconds until the positions show it."""

    async def convert(self, conversion: Conversion) -> None:
        if self._answer is not None and not isinstance(self._answer, LostAfter):
            raise self._answer
        asyncio.get_running_loop().call_later(
            self.lag, self._rig.broker.__setattr__, "held", {THERE: conversion.quantity}
        )
        await asyncio.sleep(0)
        if self._answer is not None:
            raise self._answer


def at_a_desk(rig: Rig, answer: AppError | None = None, audit: Any = None) -> Workspace:
    journal = rig.journal if audit is None else SimpleNamespace(audit=audit)
    desk = SimpleNamespace(
        account=ACCOUNT,
        stops=rig.engine,
        state=rig.state,
        clock=rig.clock,
        broker=Converter(rig, answer),
        instrument=rig.instruments.get,
    )
    found = SimpleNamespace(account=lambda account: desk, journal=journal, publish=rig.events.append)
    return cast("Workspace", found)


async def two_stops(rig: Rig) -> None:
    rig.broker.hold(KEY, 100)
    await rig.state.read_positions()
    for trigger in (99_000, 98_000):
        await rig.engine.arm(KEY, StopPlan(trigger, quantity=50))


def guarded(rig: Rig) -> list[tuple[PositionKey, int, int]]:
    return [(s.key, s.trigger, s.quantity) for s in rig.engine.stops if s.state is StopState.ARMED]


def test_every_stop_follows_to_the_new_product() -> None:
    async def script(rig: Rig) -> None:
        await two_stops(rig)
        await convert(at_a_desk(rig), Conversion(KEY, Side.BUY, 100, THERE.product))
        assert guarded(rig) == [(THERE, 99_000, 50), (THERE, 98_000, 50)]
        assert (rig.journal.lines[-1].what, rig.alarms) == ("converted", [])

    play(script)


def test_where_the_second_stop_is_being_changed_the_first_guards_again() -> None:
    async def script(rig: Rig) -> None:
        await two_stops(rig)
        rig.engine._busy.add(rig.engine.stops[1].id)
        with pytest.raises(Denied, match="being changed already"):
            await convert(at_a_desk(rig), Conversion(KEY, Side.BUY, 100, THERE.product))
        assert sorted(guarded(rig)) == [(KEY, 98_000, 50), (KEY, 99_000, 50)]
        assert rig.broker.held == {KEY: 100}

    play(script)


@pytest.mark.parametrize("answer", [Rejected("The broker refused."), OutcomeUnknown("The broker did not answer.")])
def test_what_the_broker_did_not_convert_stays_guarded(answer: AppError) -> None:
    async def script(rig: Rig) -> None:
        await two_stops(rig)
        with pytest.raises(type(answer)):
            await convert(at_a_desk(rig, answer), Conversion(KEY, Side.BUY, 100, THERE.product))
        assert guarded(rig) == [(KEY, 99_000, 50), (KEY, 98_000, 50)]
        assert rig.journal.lines[-1].what == "conversion failed"

    play(script)


@pytest.mark.parametrize("lag", [0.0, 1.5])
@pytest.mark.parametrize("answer", [None, LostAfter("The broker did not answer.")])
def test_stops_follow_a_conversion_that_is_seen_late_or_was_never_answered(lag: float, answer: AppError | None) -> None:
    async def script(rig: Rig) -> None:
        await two_stops(rig)
        workspace = at_a_desk(rig, answer)
        cast("Any", workspace.account(ACCOUNT).broker).lag = lag if answer is None else lag / 2
        await convert(workspace, Conversion(KEY, Side.BUY, 100, THERE.product))
        assert guarded(rig) == [(THERE, 99_000, 50), (THERE, 98_000, 50)]
        assert rig.alarms == []

    play(script)


@pytest.mark.parametrize("answer", [Rejected("The broker refused."), OutcomeUnknown("The broker did not answer.")])
def test_positions_that_cannot_be_read_keep_no_stop_away(answer: AppError) -> None:
    async def script(rig: Rig) -> None:
        await two_stops(rig)
        workspace = at_a_desk(rig, answer)
        desk = workspace.account(ACCOUNT)

        async def then_the_network_fails(_conversion: Conversion) -> None:
            rig.broker.failures = {"positions": [Unreachable("down")] * 20}
            raise answer

        cast("Any", desk.broker).convert = then_the_network_fails
        with pytest.raises(type(answer)):
            await convert(workspace, Conversion(KEY, Side.BUY, 100, THERE.product))
        assert (guarded(rig), rig.alarms) == ([(KEY, 99_000, 50), (KEY, 98_000, 50)], [])

    play(script)


def test_the_audit_trail_holds_back_no_stop() -> None:
    async def script(rig: Rig) -> None:
        async def busy(*entries: AuditEntry) -> None:
            raise StorageError("The database is busy.")

        await two_stops(rig)
        await convert(at_a_desk(rig, audit=busy), Conversion(KEY, Side.BUY, 100, THERE.product))
        assert guarded(rig) == [(THERE, 99_000, 50), (THERE, 98_000, 50)]

    play(script)


def test_a_stop_that_cannot_be_armed_again_is_an_alarm() -> None:
    async def script(rig: Rig) -> None:
        await two_stops(rig)
        workspace = at_a_desk(rig)
        desk = workspace.account(ACCOUNT)
        done: Callable[[Conversion], Any] = cast("Any", desk.broker).convert

        async def then_the_disk_fills(conversion: Conversion) -> None:
            await done(conversion)
            rig.journal.broken = True

        cast("Any", desk.broker).convert = then_the_disk_fills
        await convert(workspace, Conversion(KEY, Side.BUY, 100, THERE.product))
        assert (guarded(rig), len(rig.alarms)) == ([], 2)
        assert "its stop could not follow" in rig.alarms[0]

    play(script)
