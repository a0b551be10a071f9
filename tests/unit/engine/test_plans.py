"""Stops that do more than wait at a level: what the trader sees of them, through the whole engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import time
from decimal import Decimal
from fractions import Fraction

import pytest

from app.domain.errors import Denied, OutcomeUnknown, Unreachable
from app.domain.events import Level, Noticed, StopChanged
from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.market import Depth, DepthLevel, Tick
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import (
    BreakEven,
    FiredBy,
    Stop,
    StopPlan,
    StopState,
    TimeExit,
    Trail,
    TrailKind,
    TriggerSource,
)
from app.engine.distances import AGAIN_SECONDS
from tests.fakes.fast_loop import settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, Rig
from tests.unit.engine.rigged import play

POINTS = Trail(TrailKind.POINTS, Decimal(500))
LATER = 1_800_000_000


async def armed(rig: Rig, plan: StopPlan, quantity: int = 100, key: PositionKey = KEY) -> Stop:
    rig.broker.hold(key, quantity)
    await rig.state.read_positions()
    return await rig.engine.arm(key, plan)


# -- trail -------------------------------------------------------------------------------------------------------------


def test_a_trail_follows_fires_at_its_level_and_says_so() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=POINTS))
        rig.tick(101_000)
        await asyncio.sleep(0.5)
        assert rig.of(stop).trigger == 100_500, "shown within half a second"
        rig.tick(100_505)
        assert rig.exits == []
        rig.tick(100_500)
        ended = await rig.ended(stop)
        assert (ended.state, ended.fired_by, ended.trigger, ended.best) == (
            StopState.CLOSED,
            FiredBy.STOP,
            100_500,
            101_000,
        )

    assert [request.quantity for request in play(script).exits] == [100]


def test_a_trail_that_moved_in_the_firing_second_is_shown_at_the_level_that_fired() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=POINTS))
        rig.tick(101_000)
        rig.tick(100_400)
        await settle()
        assert rig.of(stop).trigger == 100_500

    play(script)


def test_a_restart_never_loosens_a_trail() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=POINTS))
        for price in (100_000, 101_000, 102_000):
            rig.tick(price)
        await asyncio.sleep(2)
        kept = rig.journal.stops[stop.id]
        assert (kept.trigger, kept.best) == (101_500, 102_000)
        rig.broker.state = None
        again = Rig(broker=rig.broker, journal=rig.journal)
        again.engine.adopt(kept)
        await again.recover()
        assert again.of(stop).trigger == 101_500
        again.tick(101_600)
        assert again.exits == []
        again.tick(103_000)
        again.tick(102_500)
        assert len(again.exits) == 1

    play(script)


def test_a_journal_write_serves_all_trails_that_moved_and_the_audit_trail_is_not_flooded() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, trail=POINTS))
        before = len(rig.journal.lines)
        for second in range(20):
            rig.tick(101_000 + 5 * second)
            await asyncio.sleep(1)
        told = [line for line in rig.journal.lines[before:] if line.what == "level moved"]
        assert 1 <= len(told) <= 2
        assert told[0].detail.startswith("from 990.00 to ")

    play(script)


def test_a_trail_does_not_follow_prices_that_do_not_count() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=POINTS))
        rig.tick(120_000, seconds=1)
        rig.counting = False
        rig.tick(120_000)
        rig.counting = True
        await asyncio.sleep(0.5)
        assert rig.of(stop).trigger == 99_000

    play(script)


@pytest.mark.parametrize(
    "plan",
    [
        StopPlan(99_000),
        StopPlan(99_000, trail=Trail(TrailKind.POINTS, Decimal(1_000))),
        StopPlan(99_000, source=TriggerSource.DOUBLE_LAST),
        StopPlan(99_000, source=TriggerSource.BID_ASK, longest_wait=1),
    ],
)
@pytest.mark.parametrize("held", [100, -100])
def test_a_price_of_nought_is_none_and_moves_nothing(plan: StopPlan, held: int) -> None:
    """A long position does not leave at it, and no trail of a short one follows it down."""

    async def script(rig: Rig) -> None:
        stop = await armed(rig, plan if held > 0 else replace(plan, trigger=101_000), held)
        rig.last[INFY.id] = 100_000
        for volume in (1, 2, 3):
            rig.tick(0)
            for token, name in list(rig.engine.rich.tokens().items()):
                nothing = (DepthLevel(0, 10, 1),)
                tick = Tick(name, 0, 0, exchange_time=LATER * 10**9, volume=volume, depth=Depth(nothing, nothing))
                rig.engine.rich.look(token, tick)
                rig.engine.rich.look(token, replace(tick, last_price=100_000))
        await asyncio.sleep(10)
        assert rig.exits == []
        assert rig.of(stop).trigger == stop.trigger
        assert rig.of(stop).state is StopState.ARMED

    play(script)


def test_an_average_range_is_read_before_the_stop_is_armed_and_again_with_each_candle() -> None:
    async def script(rig: Rig) -> None:
        plan = StopPlan(99_000, trail=Trail(TrailKind.ATR, Decimal(2)))
        rig.around.range = Unreachable("no candles")
        with pytest.raises(Unreachable):
            await armed(rig, plan)
        assert rig.engine.watching == 0
        rig.around.range = Fraction(400)
        stop = await rig.engine.arm(KEY, plan)
        rig.tick(101_000)
        await asyncio.sleep(0.5)
        assert rig.of(stop).trigger == 100_200
        rig.around.range = Fraction(100)
        await asyncio.sleep(310)
        assert rig.of(stop).trigger == 100_800
        rig.around.range = Unreachable("no candles")
        await asyncio.sleep(700)
        assert rig.of(stop).trigger == 100_800, "a range that cannot be read leaves the level"

    play(script)


# -- target, break-even ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "stop_at", "target"), [(100, 99_000, 101_000), (-100, 101_000, 99_000)])
def test_of_stop_and_target_one_cancels_the_other(quantity: int, stop_at: int, target: int) -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(stop_at, target=target), quantity)
        rig.tick(target)
        rig.tick(stop_at)
        ended = await rig.ended(stop)
        assert ended.fired_by is FiredBy.TARGET
        rig.tick(stop_at)
        await settle()
        assert rig.broker.held[KEY] == 0

    assert len(play(script).broker.placed) == 1


def test_a_frame_with_both_prices_sends_one_exit() -> None:
    """Stop and target are levels of one watch, so the race of two resting orders cannot happen."""

    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, target=101_000))
        rig.engine.check([(INFY.token, 101_500, 0, LATER), (INFY.token, 98_000, 0, LATER)], 1)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_target_beyond_the_price_is_denied() -> None:
    async def script(rig: Rig) -> None:
        with pytest.raises(Denied, match="beyond the target"):
            await armed(rig, StopPlan(99_000, target=100_000))
        with pytest.raises(Denied, match="target is not on a tick"):
            await armed(rig, StopPlan(99_000, target=100_001))

    play(script)


def test_a_break_even_move_covers_the_charges_and_follows_an_entry_that_changes() -> None:
    async def script(rig: Rig) -> None:
        rig.around.even = 100_120
        stop = await armed(rig, StopPlan(99_000, break_even=BreakEven(after=500)))
        rig.tick(100_500)
        await asyncio.sleep(0.5)
        assert rig.of(stop).trigger == 100_120
        rig.tick(100_100)
        assert (await rig.ended(stop)).fired_by is FiredBy.STOP

    play(script)


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_time_exit_leaves_at_its_moment_whatever_the_price() -> None:
    async def script(rig: Rig) -> None:
        rig.around.exits = rig.clock.now() + 3600 * 10**9
        stop = await armed(rig, StopPlan(99_000, time_exit=TimeExit(time(15, 10))))
        assert stop.exit_at == rig.around.exits
        await asyncio.sleep(5)
        assert rig.exits == []
        rig.clock.set(rig.around.exits)
        assert (await rig.ended(stop)).fired_by is FiredBy.TIME

    assert len(play(script).exits) == 1


def test_a_time_that_passed_while_the_market_was_closed_waits_for_it_to_open() -> None:
    async def script(rig: Rig) -> None:
        rig.around.exits = rig.clock.now() + 10**9
        stop = await armed(rig, StopPlan(99_000, time_exit=TimeExit(time(15, 10))))
        rig.around.closed.add(INFY.id)
        rig.clock.set(rig.around.exits + 10**9)
        await asyncio.sleep(30)
        assert rig.exits == []
        rig.around.closed.clear()
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_a_contract_that_is_listed_no_more_keeps_no_other_stop_from_its_time_exit() -> None:
    async def script(rig: Rig) -> None:
        day = 86_400 * 10**9
        rig.instruments = {INFY.id: INFY, OPTION.id: OPTION}
        rig.engine._instrument = rig.instruments.get
        rig.last.update({INFY.id: 100_000, OPTION.id: 5_000})
        await armed(rig, StopPlan(99_000))
        rig.around.exits = rig.clock.now() + day
        key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)
        stop = await armed(rig, StopPlan(4_000, time_exit=TimeExit(time(10, 0))), 500, key)
        rig.instruments = {OPTION.id: OPTION}  # the list of the next morning
        rig.engine._instrument = rig.instruments.get
        rig.clock.set(rig.clock.now() + day)
        assert (await rig.ended(stop)).fired_by is FiredBy.TIME

    assert [request.instrument for request in play(script).exits] == [OPTION.id]


# -- what it looks at --------------------------------------------------------------------------------------------------


def book(last: int, bid: int | None, ask: int | None, volume: int = 1, instrument: Instrument = INFY) -> Tick:
    def side(price: int | None) -> tuple[DepthLevel, ...]:
        return () if price is None else (DepthLevel(price, 10, 1),)

    return Tick(instrument.id, last, 0, exchange_time=LATER * 10**9, volume=volume, depth=Depth(side(bid), side(ask)))


def show(rig: Rig, tick: Tick) -> None:
    """A frame: its marks first, then the whole tick to those who want it."""
    rig.tick(tick.last_price)
    rig.last[tick.instrument] = tick.last_price
    assert rig.engine.rich.tokens() == {INFY.token: INFY.id}
    rig.engine.rich.look(INFY.token, tick)


def test_a_freak_trade_does_not_fire_two_in_a_row_do() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, source=TriggerSource.DOUBLE_LAST))
        show(rig, book(100_000, None, None, 1))
        show(rig, book(90_000, None, None, 2))
        show(rig, book(100_000, None, None, 3))
        show(rig, book(98_000, None, None, 4))
        show(rig, book(98_000, None, None, 4))
        assert rig.exits == [], "the same trade told twice is one trade"
        show(rig, book(98_500, None, None, 5))
        assert (await rig.ended(stop)).fired_by is FiredBy.STOP

    assert len(play(script).exits) == 1


def test_a_freak_trade_does_not_pull_a_trail_along() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, trail=POINTS, source=TriggerSource.DOUBLE_LAST))
        for number, price in enumerate((100_000, 150_000, 100_200)):
            show(rig, book(price, None, None, number))
        await asyncio.sleep(0.5)
        assert rig.of(stop).trigger == 99_700

    play(script)


@pytest.mark.parametrize(
    ("source", "quantity", "calm", "fires"),
    [
        (TriggerSource.BID_ASK, 100, (99_005, 99_100), (99_000, 99_500)),
        (TriggerSource.BID_ASK, -100, (100_900, 100_995), (100_000, 101_000)),
        (TriggerSource.MID, 100, (98_900, 99_110), (98_900, 99_100)),
        (TriggerSource.MID, -100, (100_880, 101_110), (100_900, 101_100)),
    ],
)
def test_bid_ask_and_mid_decide_instead_of_the_last_price(
    source: TriggerSource, quantity: int, calm: tuple[int, int], fires: tuple[int, int]
) -> None:
    async def script(rig: Rig) -> None:
        trigger = 99_000 if quantity > 0 else 101_000
        stop = await armed(rig, StopPlan(trigger, source=source), quantity)
        show(rig, book(90_000 if quantity > 0 else 110_000, *calm))
        assert rig.broker.placed == []
        show(rig, book(100_000, *fires))
        await rig.ended(stop)

    assert len(play(script).broker.placed) == 1


@pytest.mark.parametrize("source", [TriggerSource.DOUBLE_LAST, TriggerSource.BID_ASK, TriggerSource.MID])
def test_after_the_longest_wait_the_last_price_alone_decides(source: TriggerSource) -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, source=source, longest_wait=7))
        show(rig, book(98_000, None, None))
        await asyncio.sleep(6)
        assert rig.exits == []
        await asyncio.sleep(2)
        assert len(rig.exits) == 1

    play(script)


def test_a_last_price_that_came_back_within_the_wait_fires_nothing() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, source=TriggerSource.BID_ASK))
        show(rig, book(98_000, 99_500, 99_600))
        show(rig, book(99_500, 99_500, 99_600, 2))
        await asyncio.sleep(30)
        assert rig.exits == []

    play(script)


@pytest.mark.parametrize(
    "plan",
    [
        StopPlan(99_000, break_even=BreakEven(after=500)),
        StopPlan(99_000, trail=Trail(TrailKind.ATR, Decimal(1))),
    ],
    ids=["break-even", "average range"],
)
def test_a_stop_that_was_held_back_follows_its_plan_again(plan: StopPlan) -> None:
    """A reading knows of a sale by hand before its update comes: until the next reading nothing may be sold."""

    async def script(rig: Rig) -> None:
        rig.around.even = 100_120
        stop = await armed(rig, plan, 200)
        sold = rig.broker.accept(OrderRequest(ACCOUNT, INFY.id, Side.SELL, 100, KEY.product, OrderKind.MARKET))
        rig.broker.state = None
        rig.broker.fill(sold.broker_order_id)
        rig.broker.state = rig.state
        await rig.state.read_positions()
        rig.state.order_update(rig.broker.book[sold.broker_order_id])
        await settle()
        rig.tick(98_000)
        assert rig.exits == [], "held back"
        await asyncio.sleep(400)  # over the end of a candle
        await rig.state.read_positions()
        await settle()
        rig.tick(100_600)
        rig.tick(101_000)
        await asyncio.sleep(2)
        assert (rig.of(stop).quantity, rig.of(stop).trigger > 99_000) == (100, True)

    play(script)


@pytest.mark.parametrize("source", [TriggerSource.DOUBLE_LAST, TriggerSource.BID_ASK, TriggerSource.MID])
@pytest.mark.parametrize("plan", [StopPlan(98_000), StopPlan(98_000, source=TriggerSource.MID)], ids=["last", "mid"])
def test_a_stop_that_is_moved_away_within_the_wait_does_not_fire_at_its_old_level(
    source: TriggerSource, plan: StopPlan
) -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, source=source))
        show(rig, book(98_900, 99_500, 99_600))
        await asyncio.sleep(1)
        await rig.engine.change(stop.id, plan)
        await asyncio.sleep(30)
        assert (rig.exits, rig.of(stop).state) == ([], StopState.ARMED)
        rig.tick(98_000)
        rig.last[INFY.id] = 98_000
        await asyncio.sleep(6)

    assert len(play(script).exits) == 1, "the new level guards"


def test_a_stop_that_is_changed_again_and_again_waits_no_longer_than_its_longest_wait() -> None:
    async def script(rig: Rig) -> None:
        plan = StopPlan(99_000, trail=POINTS, source=TriggerSource.MID, longest_wait=7)
        stop = await armed(rig, plan)
        show(rig, book(102_000, 101_900, 102_100))
        show(rig, book(101_000, None, None, 2))  # beyond what the trail has won, and nobody bids
        for target in (110_000, 111_000):
            await asyncio.sleep(3)
            await rig.engine.change(stop.id, replace(plan, target=target))
        assert rig.exits == []
        await asyncio.sleep(1.5)
        assert len(rig.exits) == 1

    play(script)


INDEX = Instrument(
    InstrumentId("NSE:NIFTY 50"), 256_265, Exchange.NSE, Segment.INDEX, InstrumentKind.INDEX, "NIFTY 50", 5, 1
)
FUTURE = Instrument(
    InstrumentId("NFO:NIFTY26DECFUT"), 901, Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, "NIFTY", 10, 75
)
PUT = replace(
    OPTION, id=InstrumentId("NFO:NIFTY26DEC25000PE"), token=902, kind=InstrumentKind.PUT, name="NIFTY", lot_size=75
)
CALL = replace(PUT, id=InstrumentId("NFO:NIFTY26DEC25000CE"), token=903, kind=InstrumentKind.CALL)


async def on_index(
    rig: Rig, option: Instrument, quantity: int, trigger: int, *, future: Instrument | None = FUTURE, **more: object
) -> Stop:
    rig.instruments = {one.id: one for one in (INDEX, FUTURE, PUT, CALL)}
    rig.engine._instrument = rig.instruments.get
    rig.around.future = future
    rig.last[INDEX.id] = 2_500_000
    plan = StopPlan(trigger, source=TriggerSource.UNDERLYING, underlying=INDEX.id, **more)  # type: ignore[arg-type]
    return await armed(rig, plan, quantity, PositionKey(ACCOUNT, option.id, Product.NRML))


@pytest.mark.parametrize(
    ("option", "quantity", "trigger", "calm", "fires"),
    [
        (CALL, 75, 2_480_000, 2_480_005, 2_480_000),
        (PUT, 75, 2_520_000, 2_519_995, 2_520_000),
        (CALL, -75, 2_520_000, 2_519_995, 2_520_000),
        (PUT, -75, 2_480_000, 2_480_005, 2_480_000),
    ],
    ids=["long call", "long put", "short call", "short put"],
)
def test_an_option_leaves_by_its_index_in_the_direction_that_hurts(
    option: Instrument, quantity: int, trigger: int, calm: int, fires: int
) -> None:
    async def script(rig: Rig) -> None:
        stop = await on_index(rig, option, quantity, trigger)
        rig.tick(1, option.token)
        rig.tick(calm, INDEX.token)
        assert rig.broker.placed == []
        rig.tick(fires, INDEX.token)
        await rig.ended(stop)

    (request,) = play(script).broker.placed
    assert (request.instrument, request.quantity) == (option.id, 75)
    assert request.side is (Side.SELL if quantity > 0 else Side.BUY)


def test_a_level_that_the_index_has_passed_is_denied() -> None:
    async def script(rig: Rig) -> None:
        with pytest.raises(Denied, match="underlying is at or beyond"):
            await on_index(rig, PUT, 75, 2_490_000)

    play(script)


def test_where_the_index_stands_still_its_future_decides_less_the_last_distance() -> None:
    async def script(rig: Rig) -> None:
        stop = await on_index(rig, CALL, 75, 2_480_000)
        rig.tick(2_506_000, FUTURE.token)  # 60 points above the index
        rig.tick(2_470_000, FUTURE.token)
        assert rig.exits == [], "while the index moves the future says nothing"
        rig.tick(2_506_000, FUTURE.token)
        rig.around.closed.add(INDEX.id)
        rig.tick(2_486_010, FUTURE.token)
        assert rig.exits == []
        rig.tick(2_486_000, FUTURE.token)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


@pytest.mark.parametrize("when", ["before", "just after", "watched anew"])
def test_where_the_index_stands_still_unmeasured_the_record_tells_how_far_its_future_was(when: str) -> None:
    async def script(rig: Rig) -> None:
        rig.around.apart = 6_000
        if when != "just after":
            rig.around.closed.add(INDEX.id)
        stop = await on_index(rig, CALL, 75, 2_480_000, future=None if when == "watched anew" else FUTURE)
        await settle()
        if when == "just after":  # before the future has ticked once
            rig.around.closed.add(INDEX.id)
        if when == "watched anew":
            rig.around.future = FUTURE
            rig.engine.listed_anew()
        await asyncio.sleep(1.5)
        rig.tick(2_486_010, FUTURE.token)
        assert rig.exits == []
        rig.tick(2_486_000, FUTURE.token)
        await rig.ended(stop)
        assert rig.around.measured == [(INDEX.id, FUTURE.id)]

    assert len(play(script).exits) == 1


def warnings(rig: Rig) -> list[str]:
    return [event.title for event in rig.events if isinstance(event, Noticed) and event.level is Level.WARNING]


def test_a_record_that_cannot_be_read_is_told_once_and_asked_until_it_tells() -> None:
    async def script(rig: Rig) -> None:
        rig.around.closed.add(INDEX.id)
        rig.around.recorded = Unreachable("The broker's record cannot be reached.")
        stop = await on_index(rig, CALL, 75, 2_480_000)
        await asyncio.sleep(20 * AGAIN_SECONDS)
        rig.tick(2_400_000, FUTURE.token)
        assert rig.exits == [], "how far it is from the index is not known"
        assert warnings(rig) == ["Nothing stands in for NSE:NIFTY 50"]
        rig.around.recorded, rig.around.apart = None, 6_000
        await asyncio.sleep(2 * AGAIN_SECONDS)
        rig.tick(2_486_000, FUTURE.token)
        await rig.ended(stop)

    rig = play(script)
    assert len(rig.exits) == 1
    assert len(rig.around.measured) == 21
    assert warnings(rig) == ["Nothing stands in for NSE:NIFTY 50"]


def test_at_night_no_record_is_asked_how_far_a_future_was() -> None:
    async def script(rig: Rig) -> None:
        rig.around.closed |= {INDEX.id, FUTURE.id}
        await on_index(rig, CALL, 75, 2_480_000)
        await asyncio.sleep(20 * AGAIN_SECONDS)
        assert (rig.around.measured, warnings(rig)) == ([], [])

    play(script)


def test_a_stop_that_is_moved_in_the_auction_keeps_the_measured_distance() -> None:
    async def script(rig: Rig) -> None:
        stop = await on_index(rig, CALL, 75, 2_480_000)
        rig.tick(2_506_000, FUTURE.token)
        rig.around.closed.add(INDEX.id)
        rig.around.recorded = Denied("The key has no historical data.", "")
        await rig.engine.move(stop.id, 2_481_000)
        rig.tick(2_487_010, FUTURE.token)
        assert rig.exits == []
        rig.tick(2_487_000, FUTURE.token)
        await rig.ended(stop)
        assert warnings(rig) == []

    assert len(play(script).exits) == 1


def test_a_distance_of_last_week_decides_nothing() -> None:
    async def script(rig: Rig) -> None:
        stop = await on_index(rig, CALL, 75, 2_480_000)
        rig.tick(2_506_000, FUTURE.token)
        await rig.engine.disarm(stop.id)
        rig.clock.set(rig.clock.now() + 7 * 86_400 * 10**9)
        rig.around.closed.add(INDEX.id)
        rig.around.recorded = Denied("The key has no historical data.", "")
        await rig.engine.arm(stop.key, stop.plan)
        await asyncio.sleep(1.5)
        rig.tick(2_400_000, FUTURE.token)
        assert rig.exits == []
        assert warnings(rig) == ["Nothing stands in for NSE:NIFTY 50"]

    play(script)


BANK = replace(INDEX, id=InstrumentId("NSE:NIFTY BANK"), token=905, name="NIFTY BANK")


def test_a_stop_that_is_moved_twice_while_another_index_cannot_be_read_is_guarded() -> None:
    async def script(rig: Rig) -> None:
        async def distance(index: Instrument, future: Instrument) -> int:
            del future
            if index.id == BANK.id:
                await asyncio.sleep(10)
                raise Unreachable("The broker's record cannot be reached.")
            return 6_000

        rig.around.distance = distance  # type: ignore[method-assign]
        rig.around.closed |= {INDEX.id, BANK.id}
        stop = await on_index(rig, CALL, 75, 2_480_000)
        rig.instruments = {**rig.instruments, BANK.id: BANK}
        rig.engine._instrument = rig.instruments.get
        plan = StopPlan(2_520_000, source=TriggerSource.UNDERLYING, underlying=BANK.id)
        await armed(rig, plan, 75, replace(stop.key, instrument=PUT.id))
        for level in (2_481_000, 2_482_000):
            await rig.engine.move(stop.id, level)
            await asyncio.sleep(40)
        rig.tick(2_488_000, FUTURE.token)
        await rig.ended(stop)

    assert [request.instrument for request in play(script).exits] == [CALL.id]


def test_a_future_that_is_listed_after_the_stop_was_armed_stands_in_all_the_same() -> None:
    """At a start what is armed is watched before instruments can be searched."""

    async def script(rig: Rig) -> None:
        stop = await on_index(rig, CALL, 75, 2_480_000, future=None)
        rig.around.future = FUTURE
        rig.engine.listed_anew()
        rig.tick(2_506_000, FUTURE.token)
        rig.around.closed.add(INDEX.id)
        rig.tick(2_486_000, FUTURE.token)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


def test_what_a_trail_has_just_won_is_kept_where_the_stop_is_watched_anew() -> None:
    async def script(rig: Rig) -> None:
        trail = Trail(TrailKind.POINTS, Decimal(20_000))
        stop = await on_index(rig, CALL, 75, 2_480_000, future=None, trail=trail)
        rig.tick(2_510_000, INDEX.token)
        rig.around.future = FUTURE
        rig.engine.listed_anew()
        await asyncio.sleep(1)
        assert rig.of(stop).trigger == 2_490_000
        rig.tick(2_490_000, INDEX.token)
        await rig.ended(stop)

    assert len(play(script).exits) == 1


@pytest.mark.parametrize(("index_speaks", "exits"), [(False, 1), (True, 0)])
def test_an_index_that_says_nothing_leaves_it_to_the_options_own_price(index_speaks: bool, exits: int) -> None:
    async def script(rig: Rig) -> None:
        rig.last[CALL.id] = 20_000
        await on_index(rig, CALL, 75, 2_480_000, last_trigger=10_000)
        rig.last[CALL.id] = 9_000
        rig.tick(9_000, CALL.token)
        await asyncio.sleep(1)
        if index_speaks:
            rig.tick(2_495_000, INDEX.token)
        await asyncio.sleep(10)
        assert len(rig.exits) == exits

    play(script)


@pytest.mark.parametrize(("index_speaks", "exits"), [(False, 1), (True, 0)])
def test_a_change_within_the_wait_forgets_neither_the_wait_nor_what_the_index_said(
    index_speaks: bool, exits: int
) -> None:
    async def script(rig: Rig) -> None:
        rig.last[CALL.id] = 20_000
        stop = await on_index(rig, CALL, 75, 2_480_000, last_trigger=10_000)
        rig.last[CALL.id] = 9_000
        rig.tick(9_000, CALL.token)
        if index_speaks:
            rig.tick(2_495_000, INDEX.token)
        await asyncio.sleep(3)
        watch = rig.engine._watching.prepare(rig.of(stop), CALL)
        rig.engine._watching.take_over(watch)
        await asyncio.sleep(2.5)
        assert len(rig.exits) == exits

    play(script)


def test_an_options_own_level_that_is_moved_away_within_the_wait_does_not_fire() -> None:
    async def script(rig: Rig) -> None:
        rig.last[CALL.id] = 20_000
        stop = await on_index(rig, CALL, 75, 2_480_000, last_trigger=10_000)
        rig.last[CALL.id] = 9_000
        rig.tick(9_000, CALL.token)
        await asyncio.sleep(1)
        await rig.engine.change(stop.id, replace(stop.plan, last_trigger=8_000))
        await asyncio.sleep(30)
        assert (rig.exits, rig.of(stop).state) == ([], StopState.ARMED)

    play(script)


# -- shares ------------------------------------------------------------------------------------------------------------


def test_each_strategy_owns_a_share_together_at_most_the_position() -> None:
    async def script(rig: Rig) -> None:
        first = await armed(rig, StopPlan(99_000, quantity=60, strategy="one"))
        with pytest.raises(Denied, match="Only 40 units"):
            await rig.engine.arm(KEY, StopPlan(98_000, quantity=50, strategy="two"))
        await rig.engine.arm(KEY, StopPlan(98_000, quantity=40, strategy="two"))
        with pytest.raises(Denied, match="Every unit"):
            await rig.engine.arm(KEY, StopPlan(97_000))
        rig.tick(98_900)
        ended = await rig.ended(first)
        assert ended.note == "position flat"
        await asyncio.sleep(40)
        assert rig.broker.held[KEY] == 40
        assert [(stop.strategy, stop.quantity) for stop in rig.engine.stops_on(KEY)] == [("two", 40)]
        rig.tick(97_900)
        await asyncio.sleep(5)
        assert rig.broker.held[KEY] == 0

    assert [request.quantity for request in play(script).exits] == [60, 40]


def test_both_shares_hit_by_one_tick_close_the_position_exactly() -> None:
    async def script(rig: Rig) -> None:
        first = await armed(rig, StopPlan(99_000, quantity=60))
        rest = await rig.engine.arm(KEY, StopPlan(98_900))
        assert rest.quantity == 40
        rig.tick(98_000)
        await rig.ended(first)
        await rig.ended(rest)
        await asyncio.sleep(30)
        assert rig.broker.held[KEY] == 0

    assert sorted(request.quantity for request in play(script).exits) == [40, 60]


def test_the_youngest_gives_way_where_the_position_shrinks_and_grows_back() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, quantity=60))
        await rig.engine.arm(KEY, StopPlan(98_000, quantity=40))
        rig.broker.hold(KEY, 70)
        await rig.state.read_positions()
        assert [stop.quantity for stop in rig.engine.stops_on(KEY)] == [60, 10]
        rig.broker.hold(KEY, 120)
        await rig.state.read_positions()
        assert [stop.quantity for stop in rig.engine.stops_on(KEY)] == [60, 40]
        rig.broker.hold(KEY, 50)
        await rig.state.read_positions()
        await settle()
        assert [stop.quantity for stop in rig.engine.stops_on(KEY)] == [50], "the other has nothing left to guard"

    play(script)


def test_a_sale_elsewhere_makes_the_stop_smaller_before_the_positions_are_read() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000))
        sale = replace(rig.broker.accept(_sale(70)), tag=None)
        rig.state.order_update(
            replace(sale, filled_quantity=70, pending_quantity=0, status=OrderStatus.FILLED, average_price=1)
        )
        rig.tick(98_900)
        await settle()

    assert [request.quantity for request in play(script).exits] == [30]


def test_a_position_that_fills_say_is_gone_is_not_sold_again() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000))
        number = rig.broker.accept(_sale(100)).broker_order_id
        rig.broker.fill(number)
        rig.tick(98_900)
        assert rig.exits == []
        await rig.state.read_positions()
        await settle()
        assert rig.of(stop).state is StopState.CLOSED

    play(script)


def _sale(quantity: int) -> OrderRequest:
    return OrderRequest(ACCOUNT, INFY.id, Side.SELL, quantity, KEY.product, OrderKind.MARKET, tag=None)


# -- leaving now, changing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grown", [0, 30])
def test_closing_it_while_the_positions_still_show_what_one_stop_has_sold_sells_the_rest_once(grown: int) -> None:
    async def script(rig: Rig) -> None:
        first = await armed(rig, StopPlan(99_000, quantity=60))
        rest = await rig.engine.arm(KEY, StopPlan(98_000, quantity=40))
        rig.broker.hold(KEY, 100 + grown)
        await rig.state.read_positions()
        rig.tick(98_900)
        await settle()
        assert rig.broker.held[KEY] == 40 + grown
        left = await rig.engine.leave(KEY, FiredBy.TRADER)
        assert sum(stop.quantity for stop in left) == 40 + grown
        await rig.ended(first)
        await rig.ended(rest)
        await asyncio.sleep(30)
        assert rig.broker.held[KEY] == 0

    rig = play(script)
    assert [request for request in rig.broker.placed if request.side is Side.BUY] == []


def test_closing_it_while_an_exit_takes_what_was_bought_meanwhile_sells_nothing_beside_that() -> None:
    async def script(rig: Rig) -> None:
        first = await armed(rig, StopPlan(99_000, quantity=60))
        rest = await rig.engine.arm(KEY, StopPlan(99_000))
        rig.broker.answers = ["open", "open", "open"]
        rig.tick(98_900)
        await settle()
        rig.broker.hold(KEY, 130)  # the trader has bought 30
        await rig.state.read_positions()
        rig.broker.fill(next(r.broker_order_id for r in rig.broker.book.values() if r.quantity == 40))
        assert await rig.engine.leave(KEY, FiredBy.TRADER) == []
        await asyncio.sleep(8)
        for order in list(rig.broker.book.values()):
            if order.pending_quantity:
                rig.broker.fill(order.broker_order_id)
        await rig.ended(first)
        await rig.ended(rest)
        assert rig.broker.held[KEY] == 0

    assert [request.quantity for request in play(script).exits] == [60, 40, 30]


@pytest.mark.parametrize("rest", [50, None])
def test_no_two_stops_that_wait_own_the_same_units_while_a_third_leaves(rest: int | None) -> None:
    async def script(rig: Rig) -> None:
        rig.broker.hold(KEY, 120)
        await rig.state.read_positions()
        await rig.engine.arm(KEY, StopPlan(99_000, quantity=20))
        await rig.engine.arm(KEY, StopPlan(98_000, quantity=50))
        await rig.engine.arm(KEY, StopPlan(98_000, quantity=rest))
        rig.broker.answers = ["open"]
        rig.tick(98_900)
        await asyncio.sleep(1)
        rig.broker.fill(rig.broker.accept(_sale(90)).broker_order_id)
        await asyncio.sleep(2)
        await rig.state.read_orders()
        await rig.state.read_positions()
        rig.tick(97_900)
        await asyncio.sleep(30)
        assert rig.broker.held[KEY] == 0

    assert [request.quantity for request in play(script).exits] == [20, 30]


def test_a_stop_that_is_changed_takes_no_units_that_another_has_just_sold() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, quantity=50))
        rest = await rig.engine.arm(KEY, StopPlan(98_000, quantity=50))
        rig.broker.slow = 1.0
        rig.tick(98_900)
        await settle()
        assert (await rig.engine.change(rest.id, StopPlan(98_000))).quantity == 50
        rig.tick(97_900)
        await asyncio.sleep(30)

    assert [request.quantity for request in play(script).exits] == [50, 50]


def test_closing_it_while_a_late_order_of_a_stop_that_has_ended_is_taken_back_sells_what_has_no_stop() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000, quantity=50))
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.tick(98_900)
        await rig.ended(stop)
        await asyncio.sleep(10)
        rig.broker.accept(rig.exits[0])
        await settle()
        await rig.engine.leave(KEY, FiredBy.TRADER)
        await asyncio.sleep(30)
        assert rig.broker.held[KEY] == 0

    play(script)


def test_units_that_an_exit_has_just_sold_are_not_guarded_again() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, quantity=30))
        await rig.engine.arm(KEY, StopPlan(99_000, quantity=50))
        rig.broker.answers = ["filled", "open"]
        rig.tick(98_900)
        await settle()
        rest = await rig.engine.arm(KEY, StopPlan(98_000))
        assert rest.quantity == 20
        rig.broker.slow = 5
        assert await rig.engine.leave(KEY, FiredBy.TRADER) == [rig.of(rest)]
        await settle()

    assert sorted(request.quantity for request in play(script).exits) == [20, 30, 50]


def test_a_stop_armed_while_an_exit_is_under_way_takes_its_units_from_the_one_that_has_the_rest() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, quantity=20))
        await rig.engine.arm(KEY, StopPlan(98_000))
        rig.tick(98_900)
        await settle()
        await rig.engine.arm(KEY, StopPlan(97_000, quantity=5))
        await rig.state.read_positions()
        waiting = [stop.quantity for stop in rig.engine.stops_on(KEY) if stop.state is StopState.ARMED]
        assert waiting == [75, 5]

    play(script)


def test_leaving_now_closes_what_stops_own_and_what_none_does_once() -> None:
    async def script(rig: Rig) -> None:
        await armed(rig, StopPlan(99_000, quantity=60))
        left = await rig.engine.leave(KEY, FiredBy.PORTFOLIO)
        assert sorted(stop.quantity for stop in left) == [40, 60]
        await asyncio.sleep(10)
        assert rig.broker.held[KEY] == 0
        assert {stop.fired_by for stop in rig.engine.stops} == {FiredBy.PORTFOLIO}

    assert sorted(request.quantity for request in play(script).exits) == [40, 60]


def test_another_plan_takes_over_when_it_is_durable() -> None:
    async def script(rig: Rig) -> None:
        stop = await armed(rig, StopPlan(99_000))
        changed = await rig.engine.change(stop.id, StopPlan(98_000, target=102_000, trail=POINTS))
        assert rig.journal.stops[stop.id] == changed
        rig.tick(98_900)
        assert rig.exits == []
        rig.tick(102_000)
        assert (await rig.ended(stop)).fired_by is FiredBy.TARGET
        states = {event.stop.state for event in rig.events if isinstance(event, StopChanged)}
        assert StopState.DISARMED not in states

    play(script)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (StopPlan(99_000, trail=Trail(TrailKind.POINTS, Decimal(0))), "no distance"),
        (StopPlan(99_000, trail=Trail(TrailKind.POINTS, Decimal(7))), "whole number of ticks"),
        (StopPlan(99_000, trail=Trail(TrailKind.PERCENT, Decimal(100))), "100 %"),
        (StopPlan(99_000, trail=Trail(TrailKind.ATR, Decimal(2), period=1)), "2 to 200"),
        (StopPlan(99_000, trail=replace(POINTS, step=3)), "step of the trail"),
        (StopPlan(99_000, break_even=BreakEven(0)), "profit"),
        (StopPlan(99_000, break_even=BreakEven(100, 100)), "profit"),
        (StopPlan(99_000, time_exit=TimeExit()), "needs a time"),
        (StopPlan(99_000, longest_wait=0), "longest wait"),
        (StopPlan(99_000, quantity=0), "lot size"),
        (StopPlan(99_000, source=TriggerSource.UNDERLYING, underlying=INFY.id), "no underlying"),
    ],
)
def test_a_plan_that_makes_no_sense_is_denied_in_words(plan: StopPlan, words: str) -> None:
    async def script(rig: Rig) -> None:
        with pytest.raises(Denied, match=words):
            await armed(rig, plan)
        assert rig.engine.stops == ()

    play(script)


def test_another_target_keeps_what_the_trail_has_won_and_a_moved_level_does_not() -> None:
    async def script(rig: Rig) -> None:
        plan = StopPlan(99_000, trail=POINTS, target=110_000)
        stop = await armed(rig, plan)
        rig.tick(101_000)
        await asyncio.sleep(0.5)
        rig.last[INFY.id] = 101_000
        changed = await rig.engine.change(stop.id, replace(plan, target=105_000))
        assert (changed.trigger, changed.best) == (100_500, 101_000)
        moved = await rig.engine.move(stop.id, 98_000)
        assert (moved.trigger, moved.best) == (98_000, None)

    play(script)


# -- every segment -----------------------------------------------------------------------------------------------------


def _contract(
    name: str, exchange: Exchange, segment: Segment, kind: InstrumentKind, tick: int, lot: int, scale: int
) -> Instrument:
    return Instrument(InstrumentId(f"{exchange}:{name}"), 4_242, exchange, segment, kind, name, tick, lot, scale)


SEGMENTS = [
    _contract("INFY", Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, 5, 1, 100),
    _contract("NIFTY", Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, 10, 75, 100),
    _contract("NIFTY", Exchange.NFO, Segment.OPTIONS, InstrumentKind.CALL, 5, 75, 100),
    _contract("RELIANCE", Exchange.NFO, Segment.OPTIONS, InstrumentKind.PUT, 5, 500, 100),
    _contract("CRUDEOIL", Exchange.MCX, Segment.COMMODITY, InstrumentKind.FUTURE, 100, 100, 100),
    _contract("USDINR", Exchange.CDS, Segment.CURRENCY, InstrumentKind.FUTURE, 25, 1_000, 10_000),
]


@pytest.mark.parametrize("instrument", SEGMENTS, ids=lambda one: f"{one.exchange} {one.kind} {one.name}")
@pytest.mark.parametrize("way", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("leaves_by", [FiredBy.STOP, FiredBy.TARGET])
def test_a_trail_and_a_target_work_in_every_segment_on_its_tick(
    instrument: Instrument, way: int, leaves_by: FiredBy
) -> None:
    """Units, ticks and price scales are the contract's own; levels stand on its ticks, whichever way it is held."""

    async def script(rig: Rig) -> None:
        tick, lots = instrument.tick_size, 2 * instrument.lot_size
        start = 4_000 * tick
        rig.instruments = {instrument.id: instrument}
        rig.engine._instrument = rig.instruments.get
        rig.last[instrument.id] = start
        key = PositionKey(
            ACCOUNT, instrument.id, Product.NRML if instrument.expiry or instrument.lot_size > 1 else KEY.product
        )
        trail = Trail(TrailKind.PERCENT, Decimal("0.77"))
        plan = StopPlan(start - way * 200 * tick, target=start + way * 300 * tick, trail=trail)
        stop = await armed(rig, plan, way * lots, key)
        rig.tick(start + way * 250 * tick, instrument.token)
        await asyncio.sleep(0.5)
        level = rig.of(stop).trigger
        assert level % tick == 0
        assert 0 <= (start + way * 250 * tick - level) * way - (start + way * 250 * tick) * Decimal("0.0077") < tick
        rig.tick(level if leaves_by is FiredBy.STOP else plan.target or 0, instrument.token)
        ended = await rig.ended(stop)
        assert (ended.fired_by, ended.price_scale) == (leaves_by, instrument.price_scale)
        assert rig.broker.held[key] == 0

    placed = play(script).broker.placed
    assert sum(request.quantity for request in placed) == 2 * instrument.lot_size
