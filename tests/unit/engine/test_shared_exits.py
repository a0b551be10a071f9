"""Several stops of one position that leave at once while its units are sold elsewhere and the program is killed: no
unit is left without a stop, and nothing stays turned round. Scenes at random, on a loop whose clock jumps."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from app.domain.errors import OutcomeUnknown
from app.domain.order import Order, OrderKind, OrderRequest, Side
from app.domain.stop import Stop, StopPlan
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, Rig

HELD = 100
LOOKS = 30
"""Halves of a second between two readings that nobody of the stops asked for."""


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_whatever_is_sold_elsewhere_meanwhile_the_stops_that_are_left_guard_what_is_left(first: int) -> None:
    for seed in range(first, first + 20):
        held, free, stops = run(_scene(Random(seed)))
        guarded = sum(stop.quantity for stop in stops if not stop.state.is_final)
        assert 0 <= held - guarded <= free, (seed, held, free, stops)


async def _scene(chance: Random) -> tuple[int, int, list[Stop]]:
    """Units at the end, units that no stop had at the beginning, and the stops."""
    rig = Rig()
    rig.broker.hold(KEY, HELD)
    await rig.state.read_positions()
    if chance.random() < 0.7:
        rig.broker.state = rig.state  # else the stream is down
    stops = await _armed(rig, chance)
    free = HELD - sum(stop.quantity for stop in stops)
    mishaps: list[Exception | str] = ["filled", "lost", "rejected", OutcomeUnknown("lost")]
    rig.broker.answers = [chance.choice(["open"] * 6 + mishaps) for _ in range(chance.randint(0, 8))]
    if chance.random() < 0.4:
        _something(rig, chance)
    rig.tick(chance.choice([98_950, 98_850, 98_300]))
    await settle()
    for _ in range(chance.randint(0, 6)):
        if chance.random() < 0.1:
            rig = await _killed(rig, chance)
        _something(rig, chance)
        await asyncio.sleep(chance.choice([0, 0.005, 0.05, 0.3, 1.1, 4]))
        if chance.random() < 0.2:
            rig.tick(chance.choice([98_850, 98_300]))
    for turn in range(4 * LOOKS):
        await asyncio.sleep(0.5)
        if turn % LOOKS == 7:
            await rig.state.read_orders()
            await rig.state.read_positions()
        for order in _ours(rig):
            rig.broker.fill(order.broker_order_id)
    await rig.tasks.stop()
    return rig.broker.held[KEY], free, [rig.of(stop) for stop in stops]


async def _armed(rig: Rig, chance: Random) -> list[Stop]:
    """Two to four; the last may take what the others leave."""
    count, left, stops = chance.randint(2, 4), HELD, list[Stop]()
    for one in range(count):
        others = count - 1 - one
        units = None if not others and chance.random() < 0.5 else min(left - others, chance.randint(1, 60))
        stops.append(await rig.engine.arm(KEY, StopPlan(99_000 - chance.choice([0, 0, 100, 500]), quantity=units)))
        left -= stops[-1].quantity
    return stops


async def _killed(rig: Rig, chance: Random) -> Rig:
    """Another engine on the same journal and the same broker."""
    await rig.tasks.stop()
    again = Rig(broker=rig.broker, journal=rig.journal)
    again.broker.state = again.state if chance.random() < 0.7 else None
    for stop in rig.journal.stops.values():
        again.engine.adopt(stop)
    await asyncio.sleep(chance.choice([0, 1, 5]))
    await again.recover()
    return again


def _something(rig: Rig, chance: Random) -> None:
    """Units are sold by phone, or an exit fills a little."""
    broker = rig.broker
    if chance.random() < 0.35 and broker.held[KEY] > 0:
        units = chance.randint(1, broker.held[KEY])
        if chance.random() < 0.6:
            sale = OrderRequest(ACCOUNT, INFY.id, Side.SELL, units, KEY.product, OrderKind.MARKET, tag=None)
            broker.fill(broker.accept(sale).broker_order_id)
        else:
            broker.hold(KEY, broker.held[KEY] - units)  # no list of orders has it
    elif live := _ours(rig):
        order = chance.choice(live)
        broker.fill(order.broker_order_id, chance.randint(1, order.pending_quantity))


def _ours(rig: Rig) -> list[Order]:
    """Orders of the stops that may still fill."""
    return [o for o in rig.broker.book.values() if o.tag and not o.status.is_final and o.pending_quantity]
