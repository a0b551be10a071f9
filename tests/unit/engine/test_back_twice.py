"""What was closed twice goes back by two orders, or is no more to be told apart: what stands open is told (F4)."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.errors import OutcomeUnknown, Unreachable
from app.domain.order import Order, OrderKind, OrderRequest, Side
from app.domain.stop import Stop, StopState
from tests.fakes.fast_loop import settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, Rig
from tests.unit.engine.rigged import play

DAY = 86_400_000_000_000


async def _closed_twice(rig: Rig) -> tuple[Stop, OrderRequest, Order]:
    """Two exits have sold; of what takes it back the first order had no answer, and the second rests."""
    stop = await rig.guard()
    rig.broker.answers = [OutcomeUnknown("lost"), "filled", OutcomeUnknown("lost"), "open"]
    rig.tick(98_900)
    await rig.ended(stop)
    await asyncio.sleep(5)
    rig.broker.fill(rig.broker.accept(rig.exits[0]).broker_order_id)
    for _ in range(200):
        await asyncio.sleep(0.05)
        if len(rig.broker.placed) == 4:
            break
    await settle()
    lost, resting = [request for request in rig.broker.placed if request.side is Side.BUY]
    assert (rig.broker.held[KEY], resting.quantity) == (-100, 100)
    return stop, lost, next(order for order in rig.broker.book.values() if not order.status.is_final)


async def _reopened(rig: Rig, later_ns: int = 0) -> Rig:
    """The program is killed, and another takes over."""
    await rig.tasks.stop()
    again = Rig(broker=rig.broker, journal=rig.journal)
    if later_ns:
        again.clock.set(rig.clock.now() + later_ns)
    for known in rig.journal.stops.values():
        again.engine.adopt(known)
    await again.recover()
    await again.state.read_orders()
    return again


def _both_fill(rig: Rig, lost: OrderRequest, resting: Order) -> None:
    rig.broker.fill(rig.broker.accept(lost).broker_order_id)
    rig.broker.fill(resting.broker_order_id)


def _by_hand(rig: Rig, side: Side, units: int) -> Order:
    return rig.broker.accept(OrderRequest(ACCOUNT, INFY.id, side, units, KEY.product, OrderKind.LIMIT, tag=None))


def _unguarded(rig: Rig) -> list[str]:
    return [alarm for alarm in rig.alarms if "that no stop guards" in alarm]


def test_what_two_orders_took_back_is_told_and_not_touched() -> None:
    async def script(rig: Rig) -> None:
        stop, lost, resting = await _closed_twice(rig)
        _both_fill(rig, lost, resting)
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 100
        assert rig.of(stop).state is StopState.CLOSED
        assert _unguarded(rig) == [
            "Late orders of a stop on INFY are dealt with, and 100 units are open that no stop guards."
        ]

    play(script)


def test_what_two_orders_took_back_and_a_stop_guards_is_not_told() -> None:
    async def script(rig: Rig) -> None:
        _, lost, resting = await _closed_twice(rig)
        _both_fill(rig, lost, resting)
        await asyncio.sleep(1.5)
        await rig.guard()
        await asyncio.sleep(10)
        assert _unguarded(rig) == []

    play(script)


def test_what_went_back_once_is_not_told_again_whatever_the_trader_buys() -> None:
    async def script(rig: Rig) -> None:
        stop, _, resting = await _closed_twice(rig)
        rig.broker.fill(resting.broker_order_id)
        await asyncio.sleep(0.2)
        rig.broker.fill(_by_hand(rig, Side.BUY, 40).broker_order_id)
        await rig.ended(stop)
        await asyncio.sleep(10)
        assert (rig.broker.held[KEY], _unguarded(rig)) == (40, [])

    play(script)


def test_what_went_back_twice_while_the_program_was_killed_is_told() -> None:
    async def script(rig: Rig) -> None:
        stop, lost, resting = await _closed_twice(rig)
        await rig.tasks.stop()
        rig.broker.state = None
        _both_fill(rig, lost, resting)
        again = await _reopened(rig)
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 100
        assert again.of(stop).state is StopState.CLOSED
        assert len(_unguarded(again)) == 1
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("filled", [False, True])
def test_what_stands_open_on_the_next_day_is_told(filled: bool) -> None:
    async def script(rig: Rig) -> None:
        stop, lost, resting = await _closed_twice(rig)
        await rig.tasks.stop()
        rig.broker.state = None
        if filled:
            _both_fill(rig, lost, resting)
        rig.broker.book.clear()
        again = await _reopened(rig, later_ns=DAY)
        await asyncio.sleep(10)
        assert again.of(stop).state is StopState.CLOSED
        units = "100 units are" if filled else "100 units short are"
        assert [units in alarm for alarm in _unguarded(again)] == [True]
        await again.tasks.stop()

    play(script)


def test_a_late_exit_that_was_taken_back_is_not_told_again_after_a_restart() -> None:
    async def script(rig: Rig) -> None:
        stop, _, resting = await _closed_twice(rig)
        rig.broker.fill(resting.broker_order_id)
        await rig.ended(stop)
        await rig.tasks.stop()
        again = await _reopened(rig)
        await asyncio.sleep(10)
        assert again.alarms == []
        assert again.of(stop).state is StopState.CLOSED
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("unread", [0, 4])
def test_what_an_order_from_elsewhere_closed_too_much_goes_back_once(unread: int) -> None:
    async def script(rig: Rig) -> None:
        stop = await rig.guard()
        elsewhere = _by_hand(rig, Side.SELL, 100)
        rig.tick(98_900)
        await rig.ended(stop)
        rig.broker.answers = ["open"]
        rig.broker.fill(elsewhere.broker_order_id)
        await asyncio.sleep(3)
        back = next(order for order in rig.broker.book.values() if not order.status.is_final)
        assert (back.side, back.quantity, rig.broker.held[KEY]) == (Side.BUY, 100, -100)
        rig.broker.failures["positions"] = [Unreachable("down")] * unread
        rig.broker.fill(back.broker_order_id)
        await asyncio.sleep(2)
        rig.broker.fill(_by_hand(rig, Side.BUY, 40).broker_order_id)
        await asyncio.sleep(30)
        assert (rig.broker.held[KEY], _unguarded(rig)) == (40, []), "they are the trader's"

    play(script)
