"""What is known of an account: news that cross, reads that are shared, sessions that end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest

from app.brokers.base import BrokerSession
from app.domain.errors import SessionExpired, Unreachable
from app.domain.events import OrderChanged, PositionsUnknown
from app.domain.ids import BrokerOrderId
from app.domain.instrument import Product
from app.domain.order import Order, OrderKind, OrderRequest, OrderStatus, Side
from app.engine.account import SLICE
from app.engine.reads import Coalesced, Haste
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, FakeBroker, Rig


def order(status: OrderStatus = OrderStatus.OPEN, filled: int = 0, at: int | None = 10) -> Order:
    return Order(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("1"),
        instrument=INFY.id,
        side=Side.SELL,
        product=Product.MIS,
        kind=OrderKind.MARKET,
        status=status,
        quantity=100,
        filled_quantity=filled,
        pending_quantity=100 - filled,
        average_price=None,
        updated_at=at,
    )


@pytest.mark.parametrize(
    ("known", "news", "taken"),
    [
        (order(), order(), False),
        (order(filled=50), order(filled=20), False),
        (order(filled=20), order(filled=50), True),
        (order(OrderStatus.CANCELLED), order(OrderStatus.OPEN), False),
        (order(at=10), order(OrderStatus.CANCEL_PENDING, at=9), False),
        (order(at=10), order(OrderStatus.CANCEL_PENDING, at=11), True),
        (order(at=10), order(OrderStatus.CANCELLED, at=9), True),
        (order(at=None), order(OrderStatus.CANCEL_PENDING), True),
        (order(OrderStatus.CANCELLED), order(OrderStatus.FILLED, filled=100), True),
    ],
)
def test_news_from_before_what_is_known_is_dropped(known: Order, news: Order, taken: bool) -> None:
    async def scene() -> None:
        rig = Rig()
        rig.state.order_update(known)
        rig.state.order_update(news)
        told = [event for event in rig.events if isinstance(event, OrderChanged)]
        assert len(told) == 1 + taken
        assert rig.state.orders[known.broker_order_id].status is (news if taken else known).status

    run(scene())


def test_an_order_of_the_trader_carries_our_id() -> None:
    async def scene() -> None:
        rig = Rig()
        request = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 1, Product.MIS, OrderKind.MARKET)
        rig.broker.accept(replace(request, tag="M0123456789ABC"))  # type: ignore[arg-type]  # a tag is a text
        assert next(iter(rig.state.orders.values())).id == "M0123456789ABC"

    run(scene())


def test_a_failed_reading_changes_nothing_and_is_said() -> None:
    async def scene() -> None:
        rig = Rig()
        rig.broker.hold(KEY, 5)
        reading = await rig.state.read_positions()
        assert reading.lists(KEY)
        rig.broker.failures = {"positions": [Unreachable("down")]}
        with pytest.raises(Unreachable):
            await rig.state.read_positions()
        assert rig.state.reading is reading
        assert isinstance(rig.events[-1], PositionsUnknown)

    run(scene())


def test_a_dead_session_is_noticed_and_a_late_word_of_the_one_before_is_not() -> None:
    async def scene() -> None:
        rig = Rig()
        died: list[SessionExpired] = []
        rig.state.on_session_dead = died.append
        rig.broker.failures = {"orders": [SessionExpired("dead")]}
        with pytest.raises(SessionExpired):
            await rig.state.read_orders()
        assert len(died) == 1
        await asyncio.sleep(1)
        rig.broker.failures = {"orders": [SessionExpired("dead")]}
        late = asyncio.ensure_future(rig.state.read_orders())
        await settle()
        rig.state.attach(cast("BrokerSession", FakeBroker()))
        with pytest.raises(SessionExpired):
            await late
        assert len(died) == 1
        rig.state.detach()
        assert not rig.state.active
        with pytest.raises(SessionExpired):
            await rig.state.read_orders()

    run(scene())


class Source:
    """Reads that take a second and say which one they were."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.failing = False

    async def read(self) -> int:
        self.begun.append(asyncio.get_running_loop().time())
        number = len(self.begun)
        await asyncio.sleep(1)
        if self.failing:
            raise Unreachable("down")
        return number


def test_many_who_ask_at_once_share_one_read_that_began_after_they_asked() -> None:
    async def scene() -> None:
        source = Source()
        reads = Coalesced(source.read, "test")
        first = asyncio.ensure_future(reads.fresh())
        await settle()
        later = [asyncio.ensure_future(reads.fresh()) for _ in range(5)]
        assert await first == 1
        assert await asyncio.gather(*later) == [2] * 5
        assert await reads.fresh() == 3

    run(scene())


def test_reads_keep_their_distance() -> None:
    async def scene() -> None:
        source = Source()
        reads = Coalesced(source.read, "test", 5.0)
        await reads.fresh()
        waiting = [asyncio.ensure_future(reads.fresh()) for _ in range(2)]
        assert await asyncio.gather(*waiting) == [2, 2]
        assert source.begun[1] - source.begun[0] >= 5

    run(scene())


def test_where_the_brokers_requests_run_short_routine_readings_leave_them_to_the_others() -> None:
    async def scene() -> None:
        rig = Rig()
        loop = asyncio.get_running_loop()
        rig.broker.used = 0.5

        async def often() -> None:
            for _ in range(100):
                await rig.state.read_positions(Haste.ROUTINE)
                await asyncio.sleep(0.05)

        readers = [asyncio.ensure_future(often()) for _ in range(3)]
        await asyncio.sleep(10)
        assert rig.broker.reads <= 11
        asked = loop.time()
        reading = await rig.state.read_positions()
        assert asked <= reading.began <= asked + 0.25, "an exit's own look never waits for them"
        rig.broker.used = 0.0
        before = rig.broker.reads
        await asyncio.sleep(5)
        assert rig.broker.reads - before >= 18
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    run(scene())


def test_an_exit_that_reads_for_an_hour_never_uses_up_the_brokers_requests() -> None:
    """Upstox counts 2,000 in half an hour: read four times a second they would be gone after eight minutes."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        begun: list[float] = []

        async def read() -> int:
            begun.append(loop.time())
            return len(begun)

        def used() -> float:
            return sum(moment > loop.time() - 1800 for moment in begun) / 2000

        async def follow(reads: Coalesced[int], looks: list[float]) -> None:
            while loop.time() < ends:
                await reads.fresh()
                looks.append(begun[-1])

        ends = loop.time() + 3600
        orders: list[float] = []
        positions: list[float] = []
        await asyncio.gather(
            *(follow(Coalesced(read, "test", 0.25, used), looks) for looks in (orders, positions)),
        )
        assert max(_in_half_an_hour(begun)) < 2000
        gaps = [later - before for before, later in pairwise(positions)]
        assert max(gaps[:500]) < 0.3, "as quick as ever in the first minutes"
        assert max(gaps) < 45, "and never blind"

    run(scene())


def test_where_a_position_stands_the_wrong_way_round_the_next_reading_is_cut_short() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        begun: list[float] = []

        async def read() -> int:
            begun.append(loop.time())
            return len(begun)

        reads = Coalesced(read, "test", 0.25, lambda: 0.9)
        assert await reads.read(Haste.SOON) == 1
        waiting = asyncio.ensure_future(reads.read(Haste.SOON))
        await asyncio.sleep(0.1)
        assert await reads.read(Haste.URGENT) == 2
        assert await waiting == 2
        assert begun[1] - begun[0] < 0.3
        await reads.read(Haste.SOON)
        assert begun[2] - begun[1] > 0.9

    run(scene())


def _in_half_an_hour(begun: list[float]) -> list[int]:
    """At each reading: how many there were in the half hour before it."""
    first, counts = 0, []
    for place, moment in enumerate(begun):
        while begun[first] <= moment - 1800:
            first += 1
        counts.append(place - first + 1)
    return counts


def test_a_routine_reading_takes_what_another_reads_meanwhile() -> None:
    async def scene() -> None:
        begun: list[float] = []

        async def read() -> int:
            begun.append(asyncio.get_running_loop().time())
            return len(begun)

        reads = Coalesced(read, "test", 0.25, lambda: 0.5)
        assert await reads.routine() == 1
        waiting = asyncio.ensure_future(reads.routine())
        await settle()
        assert await reads.fresh() == 2
        assert await waiting == 2
        assert begun[1] - begun[0] < 0.3

    run(scene())


def test_who_stops_waiting_takes_nothing_from_the_others() -> None:
    async def scene() -> None:
        source = Source()
        reads = Coalesced(source.read, "test")
        first, second = (asyncio.ensure_future(reads.fresh()) for _ in range(2))
        await settle()
        first.cancel()
        assert await second in (1, 2)

    run(scene())


def test_a_cancelled_read_does_not_hold_up_those_after_it() -> None:
    async def scene() -> None:
        source = Source()
        reads = Coalesced(source.read, "test")
        first = asyncio.ensure_future(reads.fresh())
        await settle()
        second = asyncio.ensure_future(reads.fresh())
        await settle()
        assert reads._next is not None
        reads._next.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await first == 1
        assert await reads.fresh() == 2

    run(scene())


def test_a_failure_reaches_all_who_waited_and_the_next_read_is_a_new_one() -> None:
    async def scene() -> None:
        source = Source()
        source.failing = True
        reads = Coalesced(source.read, "test")
        failed = await asyncio.gather(reads.fresh(), reads.fresh(), return_exceptions=True)
        assert all(isinstance(one, Unreachable) for one in failed)
        source.failing = False
        assert await reads.fresh()

    run(scene())


def test_a_long_book_leaves_the_loop_to_others_in_between() -> None:
    async def scene() -> None:
        rig = Rig()
        for n in range(500):
            rig.broker.book[BrokerOrderId(str(n))] = replace(
                order(OrderStatus.FILLED, filled=100), broker_order_id=BrokerOrderId(str(n))
            )
        turns: list[int] = []

        def others() -> None:
            turns.append(len(rig.state.orders))
            if turns[-1] < 500:
                asyncio.get_running_loop().call_soon(others)

        def begun(_order: Order) -> None:
            if not turns:
                others()

        rig.state.on_order.append(begun)
        await rig.state.read_orders()
        assert len(rig.state.orders) == 500
        assert max(after - before for before, after in pairwise(turns)) <= SLICE
        told = len(rig.events)
        await rig.state.read_orders()
        assert len(rig.events) == told

    run(scene())
