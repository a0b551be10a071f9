"""Many stops in one frame: the most endangered money first, within pool and rate, each order exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.brokers.base import ExitReply
from app.domain.ids import InstrumentId, StopId, Tag
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopState, exit_tag
from app.engine.volley import HELD_BY_LINE, HELD_BY_RATE, Entry, Load, Volley
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, FakePrepared, Rig, position


class Line:
    """A pool: each connection is busy until its answer has come."""

    def __init__(self, connections: int) -> None:
        self.ready = connections
        self.on_ready: Callable[[], None] | None = None
        self.fired: list[tuple[float, Tag]] = []

    def prepare(self, request: OrderRequest, price_scale: int = 100) -> FakePrepared:
        return FakePrepared(request)

    def fire(self, prepared: object, on_reply: Callable[[ExitReply], None], price: Price | None = None) -> int:
        if not self.ready:
            return 0
        assert isinstance(prepared, FakePrepared)
        self.ready -= 1
        loop = asyncio.get_running_loop()
        self.fired.append((loop.time(), prepared.request.tag or Tag("")))
        loop.call_later(0.05, self._answered)
        return len(self.fired)

    def _answered(self) -> None:
        self.ready += 1
        if self.on_ready is not None:
            self.on_ready()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Second:
    """Ten orders in any second."""

    def __init__(self, most: int = 10) -> None:
        self.times: list[float] = []
        self.unsent = 0
        self._most = most

    def exit_wait(self) -> float:
        now = asyncio.get_running_loop().time()
        recent = [at for at in self.times if at > now - 1.0]
        return 0.0 if len(recent) < self._most else recent[0] + 1.0 - now

    def count(self, requests: int = 1) -> None:
        self.times += [asyncio.get_running_loop().time()] * requests


def load(number: int, units: int, slices: int = 1) -> Load:
    stop = StopId(f"{number:012d}")
    requests = (
        OrderRequest(ACCOUNT, INFY.id, Side.SELL, units, KEY.product, OrderKind.MARKET, tag=exit_tag(stop, 1, n))
        for n in range(1, slices + 1)
    )
    return Load(stop, tuple(map(FakePrepared, requests)), lambda reply: None, None, units * slices)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 10)), min_size=1, max_size=30),
    st.integers(1, 5),
)
def test_every_order_leaves_exactly_once_and_never_more_than_the_broker_takes(
    exits: list[tuple[int, int]], connections: int
) -> None:
    async def scene() -> None:
        line, gate, out = Line(connections), Second(), []
        volley = Volley(line, gate, lambda entry, written: out.append(entry.load.stop_id))
        loads = [load(n, units, slices) for n, (units, slices) in enumerate(exits)]
        at_once = [one.stop_id for one in loads if volley.fire(Entry(one, 100, 1, 1))]
        await asyncio.sleep(120)
        tags = [tag for _, tag in line.fired]
        assert sorted(tags) == sorted(tag for one in loads for tag in one.tags)
        assert len(set(tags)) == len(tags)
        assert sorted([*at_once, *out]) == sorted(one.stop_id for one in loads)
        times = [at for at, _ in line.fired]
        assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[10:], strict=False))

    run(scene())


def test_what_waits_goes_by_the_money_behind_it() -> None:
    async def scene() -> None:
        line = Line(1)
        volley = Volley(line, Second(), lambda entry, written: None)
        for number, units in enumerate((10, 5, 500, 50)):
            volley.fire(Entry(load(number, units), 100, 1, 1))
        await asyncio.sleep(5)
        assert [int(tag[:12]) for _, tag in line.fired] == [0, 2, 3, 1]

    run(scene())


def test_an_exit_on_a_currency_goes_by_the_money_behind_it_too() -> None:
    dollar = replace(
        INFY, id=InstrumentId("CDS:USDINR26DECFUT"), token=9, exchange=Exchange.CDS, segment=Segment.CURRENCY,
        kind=InstrumentKind.FUTURE, tick_size=25_000, price_scale=10_000_000,
    )  # fmt: skip
    key = PositionKey(ACCOUNT, dollar.id, Product.NRML)

    async def scene() -> None:
        rig = Rig(instruments={INFY.id: INFY, dollar.id: dollar})
        rig.broker.rows = [replace(position(key, 10, 850_000_000), multiplier=1_000)]
        await rig.guard(quantity=1)
        stop = await rig.guard(key, 10, 840_000_000)
        rig.engine.check([(INFY.token, 98_900, 0, 1_800_000_000), (9, 839_000_000, 0, 1_800_000_000)], 1)
        await rig.ended(stop)
        assert [request.instrument for request, _ in rig.line.fired] == [dollar.id, INFY.id], "₹8,39,000 before ₹989"
        await rig.tasks.stop()

    run(scene())


def test_a_dropped_or_closed_exit_leaves_no_more() -> None:
    async def scene() -> None:
        line = Line(1)
        volley = Volley(line, Second(), lambda entry, written: None)
        loads = [load(n, 10 * (9 - n), slices=2) for n in range(3)]
        for one in loads:
            volley.fire(Entry(one, 100, 1, 1))
        volley.drop(loads[1].stop_id)
        assert volley.close() == [loads[0], loads[2]]
        assert loads[0].unsent == (exit_tag(loads[0].stop_id, 1, 2),), "one slice is out, the other is not"
        await asyncio.sleep(5)
        assert len(line.fired) == 1

    run(scene())


def test_why_it_waited_is_told() -> None:
    async def scene() -> None:
        slow, busy = Line(1), Line(9)
        told: list[str] = []
        connections = Volley(slow, Second(), lambda entry, written: told.append(entry.held))
        rate = Volley(busy, Second(1), lambda entry, written: told.append(entry.held))
        for volley in (connections, rate):
            for number in range(2):
                volley.fire(Entry(load(number, 1), 100, 1, 1))
        assert rate.holds(StopId(f"{1:012d}"))
        assert not connections.holds(StopId(f"{1:012d}")), "only a connection helps"
        await asyncio.sleep(5)
        assert told == [HELD_BY_LINE, HELD_BY_RATE]

    run(scene())


def test_what_comes_later_and_goes_first_waits_for_the_same() -> None:
    async def scene() -> None:
        told: list[str] = []
        volley = Volley(Line(9), Second(1), lambda entry, written: told.append(entry.held))
        for number, units in enumerate((1, 1, 500)):
            volley.fire(Entry(load(number, units), 100, 1, 1))
        await asyncio.sleep(5)
        assert told == [HELD_BY_RATE, HELD_BY_RATE]

    run(scene())


# -- the whole engine -------------------------------------------------------------------------------------------------


def crowd(count: int) -> dict[InstrumentId, Instrument]:
    return {
        InstrumentId(f"NSE:S{n}"): replace(INFY, id=InstrumentId(f"NSE:S{n}"), token=1_000 + n, name=f"S{n}")
        for n in range(count)
    }


@pytest.mark.parametrize("count", [100])
def test_a_hundred_stops_hit_by_one_frame_are_all_out_once_the_dearest_first(count: int) -> None:
    async def scene() -> Rig:
        rig = Rig(instruments=crowd(count))
        stops = []
        for n, instrument in enumerate(rig.instruments.values()):
            key = replace(KEY, instrument=instrument.id)
            stops.append(await rig.guard(key, 10 + (n * 37) % count, 99_000))
        began = asyncio.get_running_loop().time()
        rig.engine.check([(i.token, 98_900, 0, 1_800_000_000) for i in rig.instruments.values()], 1)
        await settle()
        first = [request.quantity for request, _ in rig.line.fired]
        assert len(first) == 10, "as many as the broker takes in a second, at once"
        assert first == sorted((stop.quantity for stop in stops), reverse=True)[:10]
        for stop in stops:
            assert (await rig.ended(stop)).state is StopState.CLOSED
        assert asyncio.get_running_loop().time() - began < 20
        await rig.tasks.stop()
        return rig

    rig = run(scene())
    assert len(rig.exits) == count
    assert len({request.tag for request in rig.exits}) == count
    quantities = [request.quantity for request in rig.exits]
    assert quantities == sorted(quantities, reverse=True)
    assert not any(rig.broker.held.values())
    assert rig.alarms == []


def test_an_exit_above_the_freeze_quantity_fires_all_its_slices_at_once() -> None:
    from tests.unit.engine.test_pricing import NIFTY

    option = replace(NIFTY, token=5)

    async def scene() -> Rig:
        rig = Rig(instruments={option.id: option})
        key = replace(KEY, instrument=option.id)
        stop = await rig.guard(key, 4_030, 9_000)
        assert [request.quantity for request in rig.journal.intents] == [1_755, 1_755, 520], "durable when arming"
        rig.tick(8_900, option.token)
        assert [request.quantity for request, _ in rig.line.fired] == [1_755, 1_755, 520], "before anything else ran"
        assert [str(r.tag) for r, _ in rig.line.fired] == [exit_tag(stop.id, 1, n) for n in (1, 2, 3)]
        await rig.ended(stop)
        assert rig.broker.held[key] == 0
        await rig.tasks.stop()
        return rig

    assert len(run(scene()).exits) == 3


def test_an_exit_that_waits_to_leave_shrinks_with_the_position() -> None:
    async def scene() -> Rig:
        rig = Rig()
        stop = await rig.guard()
        rig.line.free = 0
        rig.tick(98_900)
        await settle()
        by_phone = OrderRequest(ACCOUNT, INFY.id, Side.SELL, 40, KEY.product, OrderKind.MARKET)
        rig.broker.fill(rig.broker.accept(by_phone).broker_order_id)
        rig.line.free = 4
        assert rig.line.on_ready is not None
        rig.line.on_ready()
        await rig.ended(stop)
        assert rig.broker.held[KEY] == 0
        await rig.tasks.stop()
        return rig

    assert [request.quantity for request in run(scene()).exits] == [60]


def test_a_line_that_dies_between_two_slices_sends_only_the_rest_the_long_way() -> None:
    from tests.unit.engine.test_pricing import NIFTY

    option = replace(NIFTY, token=5)

    async def scene() -> Rig:
        rig = Rig(instruments={option.id: option})
        key = replace(KEY, instrument=option.id)
        stop = await rig.guard(key, 4_030, 9_000)
        fire, left = rig.line.fire, [1]

        def one_only(*args: object) -> int:
            if not left:
                rig.line.free = 0
                return 0
            left.pop()
            return fire(*args)  # type: ignore[arg-type]

        rig.line.fire = one_only  # type: ignore[method-assign,assignment]
        rig.tick(8_900, option.token)
        await rig.ended(stop)
        assert rig.broker.held[key] == 0
        await rig.tasks.stop()
        return rig

    sent = [request.quantity for request in run(scene()).exits]
    assert sum(sent) == 4_030
    assert sent[0] == 1_755


@pytest.mark.parametrize("left", [1, 0])
def test_a_session_that_dies_while_slices_wait_leaves_none_of_them_behind(left: int) -> None:
    from tests.unit.engine.test_pricing import NIFTY

    option = replace(NIFTY, token=5)

    async def scene() -> Rig:
        rig = Rig(instruments={option.id: option})
        key = replace(KEY, instrument=option.id)
        stop = await rig.guard(key, 4_030, 9_000)
        rig.orders.wire.queue.count(10 - left)  # of the broker's ten a second
        rig.tick(8_900, option.token)
        await settle()
        assert len(rig.line.fired) == left
        rig.log_out()
        await asyncio.sleep(3)
        rig.log_in()
        await rig.recover()
        await rig.ended(stop, 20)
        assert rig.broker.held[key] == 0
        await rig.tasks.stop()
        return rig

    rig = run(scene())
    assert sum(request.quantity for request in rig.exits) == 4_030
    assert rig.journal.told.count("not sent") == 3 - left, "of one that had left nobody says that it was not sent"
