"""Stops on shares in demat: guarded without a position, across the night, and never more than is there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from app.domain.errors import Denied, Unreachable
from app.domain.ids import BrokerOrderId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import Holding
from app.domain.stop import FiredBy, Stop, StopPlan, StopState
from app.engine.delivery import opening_units, unreleased
from tests.fakes.trading import INFY, KEY, Rig, refusal
from tests.unit.engine.rigged import play

SHARES = replace(KEY, product=Product.CNC)
DAY = 86_400 * 10**9


def held(settled: int, t1: int = 0, used: int = 0, released: int = 1_000, opening: int = 0) -> Holding:
    return Holding(
        KEY.account, INFY.id, "INE009A01021", settled, t1, Decimal(900), 100_000, 100_000,
        used_quantity=used, authorised_quantity=released, opening_quantity=opening,
    )  # fmt: skip


async def see(rig: Rig, *holdings: Holding, day: int | None = None) -> None:
    """What the broker shows from now on, read."""
    rig.broker.demat = list(holdings)
    rig.around.held = holdings[0] if holdings else None
    rig.broker.held = {} if day is None else {SHARES: day}
    await rig.state.read_positions()
    rig.state.holdings_heard(rig.broker.demat)


async def guarded(rig: Rig, settled: int = 100, quantity: int | None = None) -> Stop:
    await see(rig, held(settled))
    return await rig.engine.arm(SHARES, StopPlan(99_000, quantity=quantity))


def test_a_holding_without_a_position_is_guarded_and_sold_once() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        assert stop.quantity == 100
        rig.tick(98_900)
        ended = await rig.ended(stop)
        assert ended.state is StopState.CLOSED
        (order,) = rig.broker.book.values()
        assert (order.product, order.quantity, order.filled_quantity) == (Product.CNC, 100, 100)

    assert play(script).alarms == []


@pytest.mark.parametrize(
    "morning",
    [
        pytest.param((held(100, used=40, opening=100),), id="quantity stays as it was"),
        pytest.param((held(60, used=40, opening=100),), id="quantity becomes smaller with a sale"),
    ],
)
def test_a_sale_out_of_the_holding_makes_the_stop_smaller_by_just_that(morning: tuple[Holding]) -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        await see(rig, *morning, day=-40)
        assert rig.of(stop).quantity == 60

    play(script)


def test_shares_bought_today_are_guarded_still_when_they_have_become_a_holding() -> None:
    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.around.closed = {INFY.id}
        rig.clock.set(rig.clock.now() + DAY)
        await see(rig)  # neither the one nor the other, for some minutes of the night
        await asyncio.sleep(5)
        await see(rig, held(0, t1=100), day=100)  # and both for some others
        await asyncio.sleep(5)
        assert (rig.of(stop).state, rig.of(stop).quantity) == (StopState.ARMED, 100)
        rig.around.closed = set()
        await see(rig, held(0, t1=100))
        await asyncio.sleep(5)
        await rig.state.read_positions()
        assert (rig.of(stop).state, rig.of(stop).quantity) == (StopState.ARMED, 100)
        await see(rig)
        await asyncio.sleep(5)
        assert rig.of(stop).state is StopState.CLOSED, "sold elsewhere, and the market is open"

    play(script)


@pytest.mark.parametrize(("left", "sold"), [(0, 100), (50, 50), (60, 40)])
def test_what_was_sold_of_yesterdays_shares_before_the_morning_look_is_told_from_what_is_left(
    left: int, sold: int
) -> None:
    """Shares on their way have no opening quantity, and their row is what is left of them."""

    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.log_out()
        rig.clock.set(rig.clock.now() + DAY)
        again = Rig(rig.broker, rig.journal, around=rig.around)
        again.clock.set(rig.clock.now())
        again.engine.adopt(rig.journal.stops[stop.id])
        rig.broker.demat, rig.broker.held = [held(0, t1=left, used=sold)], {SHARES: -sold}
        await again.recover()
        await asyncio.sleep(5)
        await again.state.read_positions()
        now = again.of(stop)
        if left:
            assert (now.state, now.quantity) == (StopState.ARMED, left)
        else:
            assert now.state is StopState.CLOSED
        assert rig.broker.placed == []
        await again.tasks.stop()

    play(script)


@pytest.mark.parametrize("how", ["a new login", "the session lives on"])
def test_in_the_morning_holdings_of_yesterday_end_no_stop(how: str) -> None:
    """The program ran through the night, and the market is open when the shares are first looked for."""

    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.clock.set(rig.clock.now() + DAY)
        rig.broker.held, rig.broker.demat = {}, [held(0, t1=100)]
        if how == "a new login":
            rig.log_out()
            rig.log_in()
            await rig.recover()
        for _ in range(4):
            await rig.state.read_positions()
            await asyncio.sleep(2)
        assert (rig.of(stop).state, rig.of(stop).quantity) == (StopState.ARMED, 100)

    play(script)


@pytest.mark.parametrize("sold", [0, 40])
def test_an_exit_of_shares_that_is_left_over_at_the_close_goes_on_in_the_morning(sold: int) -> None:
    """Over night the shares are neither a position nor a holding for a while: nobody has sold them."""

    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(2)
        if sold:
            rig.broker.fill(BrokerOrderId("1000"), sold)
            await asyncio.sleep(2)
        rig.around.closed = {INFY.id}
        rig.broker.finish(BrokerOrderId("1000"), OrderStatus.CANCELLED)
        rig.broker.answers = [refusal("Markets are closed right now.")] * 5
        await see(rig)
        await asyncio.sleep(60)
        assert not rig.of(stop).state.is_final
        await see(rig, held(0, t1=100 - sold))
        rig.broker.answers = []
        rig.around.closed = set()
        await rig.ended(stop)
        assert sum(o.filled_quantity for o in rig.broker.book.values()) == 100

    play(script)


def test_an_exit_of_shares_that_are_sold_by_hand_in_the_closing_auction_is_taken_back() -> None:
    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(2)
        rig.around.closed = {INFY.id}
        by_hand = OrderRequest(KEY.account, INFY.id, Side.SELL, 100, Product.CNC, OrderKind.LIMIT, 98_000)
        rig.broker.fill(rig.broker.accept(by_hand).broker_order_id)
        await rig.ended(stop, 5)
        assert rig.broker.cancelled == ["1000"]
        assert rig.broker.held[SHARES] == 0

    play(script)


def test_an_exit_of_shares_that_is_left_over_at_the_close_goes_on_after_a_restart_in_the_night() -> None:
    """The list of orders still has those of the day: what they sold then does not explain where the others are."""

    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(2)
        rig.around.closed = {INFY.id}
        rig.broker.fill(BrokerOrderId("1000"), 40)
        rig.broker.finish(BrokerOrderId("1000"), OrderStatus.CANCELLED)
        rig.broker.answers = [refusal("Markets are closed right now.")] * 1_000
        await asyncio.sleep(30)
        rig.log_out()
        again = Rig(rig.broker, rig.journal, around=rig.around)
        again.engine.adopt(rig.journal.stops[stop.id])
        await see(again)
        await again.recover()
        await asyncio.sleep(60)
        assert not again.of(stop).state.is_final
        await see(again, held(0, t1=60))
        rig.broker.answers = []
        rig.around.closed = set()
        await again.ended(stop)
        assert sum(o.filled_quantity for o in rig.broker.book.values()) == 100
        await again.tasks.stop()

    play(script)


def test_an_exit_that_sold_all_its_shares_in_the_last_moment_is_over_at_once() -> None:
    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(2)
        rig.around.closed = {INFY.id}
        rig.broker.fill(BrokerOrderId("1000"))
        await rig.ended(stop, 5)

    play(script)


@pytest.mark.parametrize("hidden", ["market closed", "holdings unread"])
def test_after_a_restart_what_is_not_known_of_shares_ends_no_stop(hidden: str) -> None:
    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.log_out()
        rig.broker.held = {}
        again = Rig(rig.broker, rig.journal, around=rig.around)
        if hidden == "market closed":
            again.around.closed = {INFY.id}
        else:
            again.broker.failures["holdings"] = [Unreachable("Down.")] * 2
        again.engine.adopt(rig.journal.stops[stop.id])
        await again.recover()
        assert (again.of(stop).state, again.of(stop).quantity) == (StopState.ARMED, 100)
        again.around.closed = set()
        await see(again, held(0, t1=100))
        again.tick(98_900)
        assert (await again.ended(stop)).state is StopState.CLOSED
        assert sum(order.filled_quantity for order in again.broker.book.values()) == 100
        await again.tasks.stop()

    play(script)


def test_before_the_opening_both_stops_of_a_holding_are_watched_again() -> None:
    """At half past eight the shares of yesterday are neither positions nor holdings yet."""

    async def script(rig: Rig) -> None:
        await see(rig, day=100)
        stops = [await rig.engine.arm(SHARES, StopPlan(level, quantity=50)) for level in (99_000, 98_000)]
        rig.log_out()
        rig.clock.set(rig.clock.now() + DAY)
        rig.broker.held = {}
        rig.around.closed = {INFY.id}
        rig.log_in()
        await rig.recover()
        rig.around.closed = set()
        await see(rig, held(0, t1=100))
        assert [(rig.of(stop).state, rig.of(stop).quantity) for stop in stops] == [(StopState.ARMED, 50)] * 2
        assert rig.engine.watching == 2

    play(script)


async def sold_beside(rig: Rig, stop: Stop, units: int, *listed: Holding) -> int:
    """The exit has sold 50 when another terminal sells so many, and it sells 5 more before that is known. What the
    broker shows of the day at the end. `listed`: the holdings as they are read in between."""
    rig.broker.answers = ["open"]
    rig.tick(98_900)
    await asyncio.sleep(1.5)
    ours = next(iter(rig.broker.book))
    rig.broker.fill(ours, 50)
    await asyncio.sleep(1.5)
    rig.state.holdings_heard(listed)
    await asyncio.sleep(1.5)
    rig.broker.hold(SHARES, rig.broker.held[SHARES] - units)
    rig.broker.fill(ours, 5)
    await rig.ended(stop)
    await asyncio.sleep(5)
    return rig.broker.held[SHARES]


@pytest.mark.parametrize(
    ("morning", "later"),
    [
        pytest.param([held(100)], [held(100, used=50)], id="a holding"),
        pytest.param([held(0, t1=100)], [held(0, t1=50, used=50)], id="on their way"),
        pytest.param([held(100)], [], id="listed no more"),
        pytest.param([], [], id="bought today"),
    ],
)
def test_what_an_exit_sold_beyond_all_that_was_there_is_taken_back_with_an_alarm(
    morning: list[Holding], later: list[Holding]
) -> None:
    async def script(rig: Rig) -> None:
        day = 0 if morning else 100
        await see(rig, *morning, day=day)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        await rig.state.read_positions()
        assert await sold_beside(rig, stop, 50, *later) == day - 100, "all is sold, and nothing is owed"
        assert any("closed twice; the excess of 5" in alarm for alarm in rig.alarms)

    play(script)


def test_what_was_sold_before_anybody_looked_is_not_bought_back() -> None:
    async def script(rig: Rig) -> None:
        morning = held(160, used=60)  # of 160, or of 220: brokers differ
        await see(rig, morning, day=-60)
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        assert await sold_beside(rig, stop, 90, morning) == -60 - 145
        assert [order.side for order in rig.broker.placed] == [Side.SELL]

    play(script)


def test_a_list_that_has_less_than_is_guarded_makes_nothing_certain() -> None:
    async def script(rig: Rig) -> None:
        await see(rig, held(100))
        stop = await rig.engine.arm(SHARES, StopPlan(99_000))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        rig.state.holdings_heard([held(60)])
        await asyncio.sleep(1.5)
        rig.broker.fill(next(iter(rig.broker.book)), 100)
        await rig.ended(stop)
        assert [order.side for order in rig.broker.placed] == [Side.SELL]

    play(script)


def test_a_list_of_long_before_the_trading_makes_nothing_certain() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig)
        rig.log_out()
        again = Rig(rig.broker, rig.journal, around=rig.around)
        again.around.closed = {INFY.id}
        again.engine.adopt(rig.journal.stops[stop.id])
        rig.broker.demat = [held(60)]  # yesterday's 40 come later
        await again.recover()
        await asyncio.sleep(90)
        again.around.closed = set()
        await again.state.read_positions()
        assert await sold_beside(again, stop, 80, held(100, used=50)) == -135
        assert [order.side for order in rig.broker.placed] == [Side.SELL]
        await again.tasks.stop()

    play(script)


def test_shares_that_the_depository_holds_back_are_an_alarm_when_armed_and_once_a_day() -> None:
    async def script(rig: Rig) -> None:
        await see(rig, held(100, t1=10, released=30))
        await rig.engine.arm(SHARES, StopPlan(99_000))
        (alarm,) = rig.alarms
        assert "70 of 110 shares are not released" in alarm
        await see(rig, held(100, t1=10, released=30))
        assert len(rig.alarms) == 1
        await see(rig, held(100, t1=10))
        await see(rig, held(100, t1=10))
        rig.clock.set(rig.clock.now() + DAY)
        await see(rig, held(110, released=0))
        assert len(rig.alarms) == 2, "an authorisation is of one day"

    play(script)


def test_more_shares_than_are_there_cannot_be_guarded() -> None:
    async def script(rig: Rig) -> None:
        await rig.state.read_positions()
        with pytest.raises(Denied, match="not known yet"):
            await rig.engine.arm(SHARES, StopPlan(99_000))
        await see(rig, held(0))
        with pytest.raises(Denied, match="no open position"):
            await rig.engine.arm(SHARES, StopPlan(99_000))

    play(script)


def test_closing_the_days_positions_leaves_the_holding_behind_them_alone() -> None:
    async def script(rig: Rig) -> None:
        stop = await guarded(rig, 90)
        with pytest.raises(Denied, match="is a holding"):
            await rig.engine.leave(SHARES, FiredBy.PORTFOLIO)
        await see(rig, held(90), day=10)
        await asyncio.sleep(3)
        await rig.engine.leave(SHARES, FiredBy.PORTFOLIO)
        await rig.engine.leave(SHARES, FiredBy.PORTFOLIO)
        await asyncio.sleep(6)
        assert sum(order.filled_quantity for order in rig.broker.book.values()) == 10
        await rig.state.read_positions()
        assert (rig.of(stop).state, rig.of(stop).quantity) == (StopState.ARMED, 90)

    play(script)


@pytest.mark.parametrize("sold", [40, 70])
def test_what_is_left_of_a_holding_is_not_sold_because_some_of_it_was_sold_today(sold: int) -> None:
    async def script(rig: Rig) -> None:
        await see(rig, held(100 - sold, used=sold, opening=100), day=-sold)
        with pytest.raises(Denied, match="is a holding"):
            await rig.engine.leave(SHARES, FiredBy.TRADER)
        await asyncio.sleep(3)
        assert rig.broker.placed == []

    play(script)


def test_units_of_the_morning_and_what_needs_a_release() -> None:
    assert [opening_units(h) for h in (held(80, 20), held(80, 20, used=5), held(75, 20, 5, opening=80))] == [100] * 3
    late = [held(0, 0, used=10), held(0, 5, used=5), held(0, 4, used=6)]
    assert [opening_units(h, 10) for h in late] == [10, 10, 10], "sold before anybody looked: its row is smaller"
    assert unreleased(held(80, 20, released=80), 10, 110) == 0
    assert unreleased(held(80, 20, released=80, used=30), 0, 70) == 0
    assert unreleased(held(80, 20, released=0), 0, 100) == 80
