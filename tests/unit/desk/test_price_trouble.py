"""When prices fail an account's stops: what is said, and what may fire. The real engine, in time that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pytest

from app.desk.hours import TradingHours
from app.desk.price_trouble import PriceTrouble
from app.domain.events import FeedState, Level, Noticed
from app.domain.guard import AccountGuarding
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Product, Segment
from app.domain.market import Depth, DepthLevel, Quote, Tick
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan, StopState, TriggerSource, is_backstop
from tests.fakes.fast_loop import run
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, Rig
from tests.unit.desk.test_hours import CALENDAR, at
from tests.unit.engine.test_plans import CALL, FUTURE, INDEX, armed, on_index

SECOND = 1_000_000_000
NOW = 1_800_000_000
CRUDE = replace(OPTION, exchange=Exchange.MCX, segment=Segment.COMMODITY)


class Stream:
    """The account's feed, as the scene wants it."""

    def __init__(self) -> None:
        self.state = FeedState.LIVE
        self.on_watched_tick: Callable[[int, Tick], None] = lambda _token, _tick: None
        self.is_now: Callable[[int], bool] = lambda seconds: seconds >= NOW


class Asked:
    """A broker whose quotes carry the exchange's time. Something is traded between two of them."""

    def __init__(self, price: int, seconds: int = NOW, bid: int = 0, **more: int) -> None:
        self.prices = {INFY.id: price, **{InstrumentId(name): of for name, of in more.items()}}
        self.depth = Depth((DepthLevel(bid, 10, 1),), (DepthLevel(bid, 10, 1),)) if bid else None
        self.seconds = seconds
        self.times = 0

    async def quotes(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        self.times += 1
        return {name: Quote(self._tick(name)) for name in instruments}

    def _tick(self, name: InstrumentId) -> Tick:
        at = self.seconds * SECOND
        return Tick(name, self.prices[name], 0, exchange_time=at, volume=self.times, depth=self.depth)


def _open(_instrument: InstrumentId) -> bool:
    return True


def play(
    script: Callable[[Rig, Stream], Awaitable[None]],
    broker: object = None,
    trades: Callable[[InstrumentId], bool] = _open,
    **chosen: bool,
) -> Rig:
    async def scene() -> Rig:
        rig, stream = Rig(), Stream()
        account = AccountId(KEY.account)
        trouble = PriceTrouble(
            account,
            rig.engine,
            stream,
            trades,
            lambda _account: AccountGuarding(account, **chosen),
            rig.events.append,
        )
        task = asyncio.create_task(trouble.run(broker))
        await script(rig, stream)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await rig.tasks.stop()
        return rig

    return run(scene())


def titles(rig: Rig, level: Level) -> list[str]:
    return [event.title for event in rig.events if isinstance(event, Noticed) and event.level is level]


def tick(last: int, low: int, volume: int) -> Tick:
    return Tick(INFY.id, last, 0, exchange_time=NOW * SECOND, volume=volume, low=low, high=101_000)


async def silence(rig: Rig, stream: Stream) -> None:
    await rig.guard()
    stream.state = FeedState.SILENT
    await asyncio.sleep(20)
    stream.state = FeedState.LIVE
    await asyncio.sleep(1)


def test_five_seconds_without_prices_are_one_alarm_and_their_return_is_told() -> None:
    rig = play(silence, Asked(98_000))
    assert titles(rig, Level.ALARM) == ["No prices come"]
    assert titles(rig, Level.INFO)[-1] == "Prices come again"
    assert rig.exits == []


def test_an_alarm_of_silence_ends_where_no_stop_is_left_that_it_makes_blind() -> None:
    broker = Asked(100_000)

    async def script(rig: Rig, stream: Stream) -> None:
        await rig.guard()
        stream.state = FeedState.SILENT
        await asyncio.sleep(10)
        broker.prices[INFY.id] = 98_000
        await asyncio.sleep(10)

    rig = play(script, broker, polled_fires=True)
    notices = [event for event in rig.events if isinstance(event, Noticed) and "silent" in event.repeat_key]
    told = [(notice.level, notice.title) for notice in notices]
    assert told == [(Level.ALARM, "No prices come"), (Level.INFO, "No stop is blind any more")]
    assert len(rig.exits) == 1


def test_a_stream_that_is_refused_again_and_again_is_one_alarm() -> None:
    """A living session, a stop that is armed, and no price: whose fault it is does not matter."""

    async def script(rig: Rig, stream: Stream) -> None:
        await rig.guard()
        for _ in range(4):
            stream.state = FeedState.REFUSED
            await asyncio.sleep(2.2)
            stream.state = FeedState.CONNECTING
            await asyncio.sleep(0.8)
        stream.state = FeedState.LIVE
        await asyncio.sleep(1)

    rig = play(script)
    assert titles(rig, Level.ALARM) == ["No prices come"]
    assert titles(rig, Level.INFO)[-1] == "Prices come again"


def test_a_quote_that_was_asked_for_stays_the_last_price_while_the_stream_is_dialled_anew() -> None:
    async def script(rig: Rig, stream: Stream) -> None:
        await rig.guard()
        stream.state = FeedState.REFUSED
        await asyncio.sleep(5)
        stream.state = FeedState.CONNECTING
        await asyncio.sleep(1)
        assert rig.engine.last_price(INFY.id) == 99_500

    play(script, Asked(99_500), polled_fires=True)


def test_a_stream_that_is_dialled_for_the_first_time_is_no_silence() -> None:
    async def script(rig: Rig, stream: Stream) -> None:
        await rig.guard()
        stream.state = FeedState.CONNECTING
        await asyncio.sleep(20)

    assert titles(play(script), Level.ALARM) == []


def test_without_an_armed_stop_silence_is_nobodys_alarm() -> None:
    async def script(_rig: Rig, stream: Stream) -> None:
        stream.state = FeedState.DOWN
        await asyncio.sleep(20)

    assert titles(play(script), Level.ALARM) == []


def test_a_stream_that_dies_is_told_while_the_market_of_a_stop_trades_whatever_other_markets_do() -> None:
    async def script(rig: Rig, stream: Stream) -> None:
        await rig.guard()
        await rig.guard(PositionKey(ACCOUNT, CRUDE.id, Product.NRML), CRUDE.lot_size)
        stream.state = FeedState.DOWN
        await asyncio.sleep(20)

    # On 24 November shares have a holiday, MCX its evening.
    hours = TradingHours(CALENDAR, {INFY.id: INFY, CRUDE.id: CRUDE}.get, lambda _: False)
    for moment, told in (("2026-11-26T20:00:00", True), ("2026-11-26T23:56:00", False), ("2026-11-24T20:00:00", True)):
        now = at(moment) * SECOND
        rig = play(script, trades=partial(hours.trades, at=now))
        alarms = [event.cause for event in rig.events if isinstance(event, Noticed) and event.level is Level.ALARM]
        assert alarms == (["1 stop is blind: no price comes while the market trades."] if told else [])


def test_quotes_are_asked_for_and_fire_only_where_the_trader_chose_so() -> None:
    broker = Asked(98_000)
    rig = play(silence, broker, polled_fires=True)
    assert len(rig.exits) == 1
    assert broker.times >= 1
    quiet = Asked(100_000)
    assert play(silence, quiet, polled_fires=True).exits == []
    assert quiet.times == 10  # one in two seconds


def test_an_old_quote_fires_nothing_and_a_broker_without_quotes_is_not_asked() -> None:
    assert play(silence, Asked(98_000, NOW - 60), polled_fires=True).exits == []
    assert play(silence, object(), polled_fires=True).exits == []


def test_the_price_of_before_a_silence_ends_no_wait_of_a_stop_that_looks_at_another_one() -> None:
    """No stop decides on a price that is old (E3); what the market does meanwhile nobody knows."""

    async def script(rig: Rig, stream: Stream) -> None:
        rig.last[INFY.id] = 100_000
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        await rig.engine.arm(KEY, StopPlan(99_000, source=TriggerSource.BID_ASK, longest_wait=5))
        rig.last[INFY.id] = 98_900
        rig.tick(98_900)
        stream.state = FeedState.DOWN
        await asyncio.sleep(20)
        assert rig.exits == []
        stream.state = FeedState.LIVE
        rig.tick(98_900)
        await asyncio.sleep(6)
        assert len(rig.exits) == 1

    play(script)


def test_a_quote_of_nought_is_no_price_for_a_stop_that_waits_for_another_one() -> None:
    """What a broker says that has no price."""
    broker = Asked(98_900)

    async def script(rig: Rig, stream: Stream) -> None:
        rig.last[INFY.id] = 100_000
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        await rig.engine.arm(KEY, StopPlan(99_000, source=TriggerSource.BID_ASK, longest_wait=5))
        rig.last[INFY.id] = 98_900
        rig.tick(98_900)
        rig.last[INFY.id] = 99_500
        stream.state = FeedState.SILENT
        broker.prices[INFY.id] = 0
        await asyncio.sleep(10)
        assert rig.engine.last_price(INFY.id) == 99_500
        assert rig.exits == []

    play(script, broker, polled_fires=True)


def test_backstops_move_up_to_their_stops_and_back_where_the_trader_chose_so() -> None:
    seen: list[int | None] = []

    async def script(rig: Rig, stream: Stream) -> None:
        rig.broker.hold(KEY, 100)
        await rig.state.read_positions()
        await rig.engine.arm(KEY, StopPlan(99_000, backstop=1_000))
        await asyncio.sleep(5)

        def rests() -> None:
            seen.extend(o.trigger_price for o in rig.broker.book.values() if is_backstop(o.tag))

        rests()
        stream.state = FeedState.SILENT
        await asyncio.sleep(15)
        rests()
        stream.state = FeedState.LIVE
        await asyncio.sleep(15)
        rests()

    play(script, tightens=True)
    assert seen == [98_000, 99_000 - INFY.tick_size, 98_000]
    seen.clear()
    play(script)
    assert seen == [98_000, 98_000, 98_000]


async def within(rig: Rig, stream: Stream, seconds: float) -> int:
    """Exits so many seconds after the feed fell silent."""
    stream.state = FeedState.SILENT
    await asyncio.sleep(seconds)
    return len(rig.exits)


LOOKS = [TriggerSource.LAST, TriggerSource.DOUBLE_LAST, TriggerSource.BID_ASK, TriggerSource.MID]


@pytest.mark.parametrize(("bid", "seconds"), [(98_000, 4.0), (0, 9.0)], ids=["seen at once", "after the longest wait"])
@pytest.mark.parametrize("source", LOOKS)
def test_quotes_that_are_asked_for_fire_whatever_the_stop_looks_at(
    source: TriggerSource, bid: int, seconds: float
) -> None:
    async def script(rig: Rig, stream: Stream) -> None:
        rig.last[INFY.id] = 100_000  # the feed's last word
        await armed(rig, StopPlan(99_000, source=source, longest_wait=5))
        assert await within(rig, stream, seconds) == 1

    play(script, Asked(98_000, bid=bid), polled_fires=True)


def test_once_the_feed_speaks_again_its_price_is_the_newer_word() -> None:
    async def script(rig: Rig, stream: Stream) -> None:
        rig.last[INFY.id] = 100_000
        await armed(rig, StopPlan(99_000, source=TriggerSource.MID, longest_wait=5))
        assert await within(rig, stream, 4) == 0
        stream.state = FeedState.LIVE
        await asyncio.sleep(30)
        assert rig.exits == []

    play(script, Asked(98_000), polled_fires=True)


@pytest.mark.parametrize(
    ("index", "future", "auction", "exits"),
    [(2_400_000, 2_510_000, False, 1), (2_500_000, 2_480_000, True, 1), (2_500_000, 2_510_000, False, 0)],
    ids=["index", "its future in the auction", "neither"],
)
def test_the_underlying_and_what_stands_in_for_it_are_asked_for(
    index: int, future: int, auction: bool, exits: int
) -> None:
    async def script(rig: Rig, stream: Stream) -> None:
        rig.last[CALL.id] = 20_000
        await on_index(rig, CALL, 75, 2_480_000, last_trigger=10_000)
        rig.around.apart = 6_000
        if auction:
            rig.around.closed.add(INDEX.id)
        assert await within(rig, stream, 5) == exits

    play(script, Asked(1, **{INDEX.id: index, FUTURE.id: future, CALL.id: 20_000}), polled_fires=True)


def test_a_broker_without_quotes_is_not_said_to_be_asked() -> None:
    rig = play(silence, object(), polled_fires=True)
    (told,) = [event for event in rig.events if isinstance(event, Noticed) and event.level is Level.ALARM]
    assert "Quotes" not in told.next_step


async def missed(rig: Rig, stream: Stream) -> None:
    stop = await rig.guard()
    assert stop.side is Side.SELL
    stream.on_watched_tick(INFY.token, tick(100_000, 99_500, 10))
    stream.on_watched_tick(INFY.token, tick(100_000, 98_900, 20))
    await asyncio.sleep(0.1)


def test_a_trade_that_no_packet_showed_is_told_and_fires_only_where_chosen() -> None:
    rig = play(missed)
    (told,) = [event for event in rig.events if isinstance(event, Noticed) and event.level is Level.ALARM]
    assert "It traded at 989.00 (the day's new low), beyond the stop at 990.00" in told.cause
    assert rig.exits == []
    assert [stop.state for stop in rig.engine.stops] == [StopState.ARMED]
    assert len(play(missed, missed_fires=True).exits) == 1
