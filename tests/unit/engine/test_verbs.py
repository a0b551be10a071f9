"""Verbs whose writes take their time: logins, ticks, fills and backstops that come in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

import pytest

from app.domain.errors import Denied, StorageError, Unreachable
from app.domain.ids import BrokerOrderId
from app.domain.instrument import Instrument
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, Trail, TrailKind, is_backstop
from tests.fakes.fast_loop import settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, Rig
from tests.unit.engine.rigged import play

T = TypeVar("T")

BY_RANGE = Trail(TrailKind.ATR, Decimal(1))


async def armed(rig: Rig, plan: StopPlan, quantity: int = 100) -> Stop:
    """A position of 100 and its stop."""
    rig.broker.hold(KEY, quantity)
    await rig.state.read_positions()
    return await rig.engine.arm(KEY, plan)


async def held_up(rig: Rig, verb: Awaitable[T]) -> asyncio.Future[T]:
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


# -- prices and backstops meanwhile ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", ["disk", "candles"])
def test_what_a_trail_wins_while_its_stop_is_changed_is_kept(slow: str) -> None:
    async def script(rig: Rig) -> None:
        trail = BY_RANGE if slow == "candles" else Trail(TrailKind.POINTS, Decimal(500))
        stop = await armed(rig, StopPlan(99_000, trail=trail))
        rig.tick(101_000)
        await asyncio.sleep(1)
        changing = await held_up(rig, rig.engine.change(stop.id, replace(stop.plan, target=120_000)))
        if slow == "candles":
            let_go(rig)
            await changing
            read = rig.around.average_range

            async def average_range(instrument: Instrument, trail: Trail) -> Fraction:
                await asyncio.sleep(2)
                return await read(instrument, trail)

            rig.around.average_range = average_range  # type: ignore[method-assign]
            changing = asyncio.create_task(rig.engine.change(stop.id, replace(stop.plan, target=121_000)))
            await asyncio.sleep(0.5)
        rig.tick(104_000)
        await asyncio.sleep(0.01)
        let_go(rig)
        assert (await changing).trigger == 103_500
        await asyncio.sleep(3)
        assert (rig.of(stop).trigger, rig.journal.stops[stop.id].trigger) == (103_500, 103_500)
        rig.tick(103_400)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


@pytest.mark.parametrize(("price", "exits"), [(98_900, 1), (99_100, 0)])
@pytest.mark.parametrize("verb", ["arm", "move", "resume"])
def test_what_the_price_does_while_a_stop_is_written_down_is_looked_at_once_it_watches(
    verb: str, price: int, exits: int
) -> None:
    """A quiet instrument may not tick again for minutes."""

    async def script(rig: Rig) -> None:
        rig.last[INFY.id] = 100_000
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        if verb == "arm":
            writing = await held_up(rig, rig.engine.arm(KEY, StopPlan(99_000)))
        elif verb == "move":
            stop = await rig.engine.arm(KEY, StopPlan(98_000))
            writing = await held_up(rig, rig.engine.move(stop.id, 99_000))
        else:
            stop = await rig.engine.arm(KEY, StopPlan(98_000))
            rig.engine._watching.stop(stop.id)
            rig.engine._set(replace(stop, state=StopState.SUSPENDED))
            writing = await held_up(rig, rig.engine.resume(stop.id, StopPlan(99_000)))
        rig.tick(price)
        rig.last[INFY.id] = price
        let_go(rig)
        await writing
        await asyncio.sleep(2)
        assert len(rig.exits) == exits

    play(script)


def test_a_moved_trail_starts_at_its_new_level_whatever_it_wins_meanwhile() -> None:
    """Also for the next start: the level that is journalled last is the one in force."""

    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=Trail(TrailKind.POINTS, Decimal(500))))
        moving = await held_up(rig, rig.engine.move(stop.id, 98_000))
        rig.tick(104_000)
        await asyncio.sleep(2)  # the level that was won waits for the disk too
        let_go(rig)
        assert (await moving).trigger == 98_000
        await asyncio.sleep(3)
        assert rig.journal.stops[stop.id].trigger == 98_000

    assert play(script).exits == []


def test_a_backstop_that_arrives_while_its_stop_is_changed_becomes_the_exit() -> None:
    async def script(rig: Rig) -> None:
        place = rig.broker.place

        async def slow(request: OrderRequest) -> BrokerOrderId:
            await asyncio.sleep(0.3)
            return await place(request)

        rig.broker.place = slow  # type: ignore[method-assign]
        stop = await armed(rig, StopPlan(99_000, backstop=1_000))
        await asyncio.sleep(0.1)  # it is on its way to the broker
        changing = await held_up(rig, rig.engine.change(stop.id, replace(stop.plan, target=120_000)))
        await asyncio.sleep(0.5)
        let_go(rig)
        await changing
        await asyncio.sleep(5)
        rig.tick(98_900)
        await rig.ended(stop)
        assert [is_backstop(request.tag) for request, _ in rig.line.fired] == [True]
        assert rig.broker.held[KEY] == 0

    play(script)


def test_a_backstop_that_ends_while_its_stop_is_changed_is_not_the_exit() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, backstop=1_000))
        await asyncio.sleep(3)
        leg = next(order for order in rig.broker.book.values() if is_backstop(order.tag))
        changing = await held_up(rig, rig.engine.change(stop.id, replace(stop.plan, target=120_000)))
        rig.broker.finish(leg.broker_order_id, OrderStatus.CANCELLED)
        let_go(rig)
        await changing
        rig.tick(98_900)
        await settle()
        assert [is_backstop(request.tag) for request, _ in rig.line.fired] == [False]
        assert rig.broker.held[KEY] == 0

    play(script)


def test_a_backstop_that_fills_while_its_stop_is_armed_again_is_the_exit() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, backstop=1_000))
        await asyncio.sleep(3)
        leg = next(order for order in rig.broker.book.values() if is_backstop(order.tag))
        rig.log_out()
        rig.log_in()
        recovery = asyncio.create_task(rig.recover())
        await asyncio.sleep(0.9)
        rig.journal.gate = asyncio.Event()
        await asyncio.sleep(0.5)
        rig.broker.fill(leg.broker_order_id)
        let_go(rig)
        await recovery
        rig.tick(98_900)
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        assert rig.line.fired == []

    play(script)


# -- fills meanwhile ---------------------------------------------------------------------------------------------------


def sold_by_phone(rig: Rig, units: int) -> None:
    order = rig.broker.accept(OrderRequest(ACCOUNT, KEY.instrument, Side.SELL, units, KEY.product, OrderKind.MARKET))
    rig.broker.fill(order.broker_order_id)


@pytest.mark.parametrize(("slow", "listed"), [(0.01, True), (0.3, True), (0.01, False)])
def test_what_is_sold_while_an_exit_by_hand_is_written_down_is_not_sold_again(slow: float, listed: bool) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        rig.broker.slow = slow
        leaving = await held_up(rig, rig.engine.leave(KEY, FiredBy.TRADER))
        sold_by_phone(rig, 100)
        if not listed:
            del rig.broker.held[KEY]
        reading = asyncio.create_task(rig.state.read_positions())  # as the desk does after a fill
        let_go(rig)
        with pytest.raises(Denied, match="closed meanwhile"):
            await leaving
        await reading
        rig.tick(98_900)
        await asyncio.sleep(10)
        assert [stop.state for stop in rig.engine.stops] == [StopState.CLOSED]

    rig = play(script)
    assert rig.exits == []
    assert rig.alarms == []


def test_an_exit_by_hand_sells_what_others_have_left_meanwhile() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        leaving = await held_up(rig, rig.engine.leave(KEY, FiredBy.TRADER))
        sold_by_phone(rig, 60)
        let_go(rig)
        (stop,) = await leaving
        await rig.ended(stop)

    assert [order.quantity for order in play(script).exits] == [40]


def test_what_is_sold_while_a_stop_is_armed_is_not_guarded() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        arming = await held_up(rig, rig.engine.arm(KEY, StopPlan(99_000)))
        sold_by_phone(rig, 60)
        let_go(rig)
        stop = await arming
        rig.tick(98_900)
        await rig.ended(stop)

    assert [order.quantity for order in play(script).exits] == [40]


@pytest.mark.parametrize(("sold", "exits"), [(60, [40]), (100, [])])
def test_a_stop_whose_disarm_failed_does_not_sell_what_was_sold_meanwhile(sold: int, exits: list[int]) -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000))
        disarming = await held_up(rig, rig.engine.disarm(stop.id))
        sold_by_phone(rig, sold)
        rig.journal.broken = True
        let_go(rig)
        with pytest.raises(StorageError):
            await disarming
        rig.journal.broken = False
        rig.tick(98_900)
        await asyncio.sleep(1)
        await rig.state.read_positions()
        await rig.ended(stop)

    assert [order.quantity for order in play(script).exits] == exits


def test_a_stop_whose_disarm_failed_does_not_change_a_backstop_that_is_gone() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, backstop=1_000))
        await asyncio.sleep(3)
        leg = next(order for order in rig.broker.book.values() if is_backstop(order.tag))
        disarming = await held_up(rig, rig.engine.disarm(stop.id))
        rig.broker.finish(leg.broker_order_id, OrderStatus.CANCELLED)
        rig.journal.broken = True
        let_go(rig)
        with pytest.raises(StorageError):
            await disarming
        rig.journal.broken = False
        rig.tick(98_900)
        await settle()
        assert [is_backstop(request.tag) for request, _ in rig.line.fired] == [False]

    play(script)


def test_positions_that_cannot_be_read_after_a_fill_leave_nothing_unguarded() -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        arming = await held_up(rig, rig.engine.arm(KEY, StopPlan(99_000)))
        sold_by_phone(rig, 60)
        rig.broker.slow = 30
        let_go(rig)
        async with asyncio.timeout(3):
            await arming
        assert rig.engine.watching == 1

    play(script)


# -- what comes back from a backup -------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", [None, 100])
def test_a_stop_of_a_backup_that_has_left_since_is_not_taken_up_under_its_own_name(quantity: int | None) -> None:
    """Its exit is in the list of the day: after the next login it would be taken for the one that closes what is held
    now, which was bought after it."""

    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, quantity=quantity))
        kept = rig.journal.stops[stop.id]
        rig.tick(98_900)
        await rig.ended(stop)
        rig.broker.hold(KEY, 100)
        rig.broker.state = None
        again = Rig(broker=rig.broker)
        again.engine.adopt(replace(kept, state=StopState.SUSPENDED, attempt=kept.attempt + 1_000))
        await again.recover()
        again.last[INFY.id] = 100_000
        await again.state.read_orders()
        await again.state.read_positions()
        with pytest.raises(Denied, match="has left already"):
            await again.engine.resume(stop.id, StopPlan(98_000, quantity=quantity))
        await again.engine.disarm(stop.id)
        fresh = await again.engine.arm(KEY, StopPlan(98_000, quantity=quantity))
        (await logged_in_anew(again)).cancel()
        assert (len(again.exits), again.engine.watching) == (1, 1)
        again.tick(97_900)
        await again.ended(fresh)
        await asyncio.sleep(10)
        assert len(again.exits) == 2
        assert again.broker.held[KEY] == 0
        await again.tasks.stop()

    play(script)
