"""The hot path: which tick fires which stop, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.brokers.base import ExitReply
from app.domain.ids import StopId
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.stop import Stop, StopPlan, StopState
from app.engine.volley import Load
from app.engine.watch import Shot, Watch, WatchTable
from tests.fakes.trading import ACCOUNT, INFY, KEY, FakePrepared

ARMED_AT = 1_000 * 10**9
LATER = 1_001


class OpenGate:
    """A broker without limits."""

    unsent = 0

    def exit_wait(self) -> float:
        return 0.0

    def count(self, requests: int = 1) -> None: ...


class Line:
    """Writes down what was fired."""

    def __init__(self, free: int = 9) -> None:
        self.free = free
        self.on_ready: Callable[[], None] | None = None
        self.fired: list[tuple[str | None, Price | None]] = []

    @property
    def ready(self) -> int:
        return self.free

    def prepare(self, request: OrderRequest, price_scale: int = 100) -> FakePrepared:
        return FakePrepared(request)

    def fire(self, prepared: object, on_reply: Callable[[ExitReply], None], price: Price | None = None) -> int:
        if self.free == 0:
            return 0
        self.free -= 1
        assert isinstance(prepared, FakePrepared)
        self.fired.append((prepared.request.tag, price))
        return 7

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def stop(number: int = 1, side: Side = Side.SELL, trigger: Price = 99_000, token: int = INFY.token) -> Stop:
    name = StopId(f"{number:012d}")
    return Stop(name, KEY, side, trigger, 10, StopState.ARMED, ARMED_AT, StopPlan(trigger), token=token)


def watch(of: Stop, pricer: Callable[[Price], Price] | None = None, weight: int = 1) -> Watch:
    request = OrderRequest(ACCOUNT, INFY.id, of.side, of.quantity, KEY.product, OrderKind.MARKET, tag=of.tag())
    load = Load(of.id, (FakePrepared(request),), lambda reply: None, pricer, weight)
    return Watch(of, load)


class Table:
    def __init__(self, *stops: Stop, free: int = 9) -> None:
        self.line = Line(free)
        self.shots: list[Shot] = []
        self.counting = True
        self.table = WatchTable(self.line, OpenGate(), lambda *_: self.counting, self.shots.extend)
        for one in stops:
            self.table.add(watch(one))

    def tick(self, price: Price, token: int = INFY.token, seconds: int = LATER) -> list[str]:
        before = len(self.shots)
        self.table.check([(token, price, 0, seconds)], 1)
        return [shot.stop for shot in self.shots[before:]]


def test_a_price_at_or_beyond_the_level_fires_and_any_other_does_not() -> None:
    assert Table(stop()).tick(99_001) == []
    assert Table(stop()).tick(99_000) == ["000000000001"]
    assert Table(stop()).tick(1) == ["000000000001"]
    assert Table(stop(side=Side.BUY)).tick(98_999) == []
    assert Table(stop(side=Side.BUY)).tick(99_000) == ["000000000001"]


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=40), st.integers(2, 199_999), st.sampled_from(Side))
def test_the_first_price_beyond_fires_once_and_nothing_after_it(prices: list[int], trigger: int, side: Side) -> None:
    table = Table(stop(side=side, trigger=trigger))
    fired = [price for price in prices if table.tick(price)]
    beyond = [price for price in prices if (price <= trigger if side is Side.SELL else price >= trigger)]
    assert fired == beyond[:1]
    assert len(table.line.fired) == len(fired)


def test_a_snapshot_from_before_the_arming_does_not_fire() -> None:
    table = Table(stop())
    assert table.tick(98_000, seconds=999) == []
    assert table.tick(98_000, seconds=1_000) == [], "the second in which it was armed does not count"
    assert table.tick(98_000, seconds=0) == [], "a packet without a time does not count"
    assert table.tick(98_000, seconds=1_001) != []


def test_a_tick_outside_continuous_trading_does_not_fire() -> None:
    table = Table(stop())
    table.counting = False
    assert table.tick(98_000) == []
    table.counting = True
    assert table.tick(98_000) != []


def test_another_instrument_fires_nothing() -> None:
    assert Table(stop()).tick(1, token=1) == []


def test_two_stops_of_one_instrument_both_fire() -> None:
    table = Table(stop(1), stop(2, trigger=98_500))
    assert len(table.table) == 2
    assert table.tick(98_700) == ["000000000001"]
    assert table.tick(98_400) == ["000000000002"]


def test_many_stops_fire_in_one_frame_and_are_told_together() -> None:
    stops = [stop(n, token=n) for n in range(1, 21)]
    table = Table(*stops, free=99)
    told: list[int] = []
    table.table._on_shots = lambda shots: told.append(len(shots))
    table.table.check([(one.token, 98_000, 0, LATER) for one in stops], 1)
    assert told == [20]
    assert len(table.line.fired) == 20


def test_without_a_connection_the_exit_waits_and_leaves_first_when_one_is_ready() -> None:
    table = Table(stop(1), stop(2), stop(3), free=1)
    assert len(table.tick(98_000)) == 3
    assert [shot.written_ns for shot in table.shots] == [7, 0, 0]
    table.line.free = 1
    assert table.line.on_ready is not None
    table.line.on_ready()
    assert [tag for tag, _ in table.line.fired] == [stop(1).tag(), stop(2).tag()]
    table.table.remove(stop(3).id)
    table.line.free = 1
    table.line.on_ready()
    assert len(table.line.fired) == 2, "an exit that was taken back is not sent"


def test_after_the_end_of_a_session_nothing_leaves_by_its_line() -> None:
    table = Table(stop(1), stop(2), free=1)
    table.tick(98_000)
    assert [load.stop_id for load in table.table.close()] == [stop(2).id]
    assert table.line.on_ready is None
    assert table.tick(98_000) == []


def test_a_limit_is_priced_from_the_firing_tick() -> None:
    table = Table()
    table.table.add(watch(stop(), lambda last: last - 100))
    table.tick(98_000)
    assert table.line.fired == [(stop().tag(), 97_900)]


def test_a_removed_stop_is_not_checked_and_its_token_not_wanted() -> None:
    table = Table(stop(1), stop(2), stop(3, token=9))
    assert table.table.names.keys() == {INFY.token, 9}
    table.table.remove(stop(1).id)
    table.table.remove(stop(3).id)
    assert table.table.names.keys() == {INFY.token}
    assert table.tick(98_000) == ["000000000002"]


def test_a_moved_level_holds_from_the_next_tick() -> None:
    guarded = watch(stop())
    table = Table()
    table.table.add(guarded)
    table.table.remove(guarded.stop_id)
    table.table.add(watch(replace(stop(), trigger=98_000)))
    assert table.tick(98_500) == []
    assert table.tick(98_000) != []
    assert replace(stop(), trigger=98_000).is_hit(98_000)
