from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pytest

from app.simulator.clock import IST, ExchangeClock
from app.simulator.feeds.random import STEP, RandomFeed
from app.simulator.listing import Listings, load_sample
from app.simulator.market import BRIDGE, Market, Quote
from app.simulator.opening import open_market

START = datetime(2026, 11, 20, 10, 0, tzinfo=IST)
SBIN = 779521


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-20 {text}" if len(text) < 10 else text).replace(tzinfo=IST)


def random_market(seed: int = 7, start: datetime = START, speed: float = 0.0) -> Market:
    return Market(RandomFeed(load_sample(start.date()), seed), ExchangeClock(start, speed))


def state(market: Market) -> dict[str, list[object]]:
    return {quote.listing.key: quote.save() for quote in market.quotes.values()}


class Listener:
    def __init__(self, market: Market) -> None:
        self.batches: list[list[tuple[int, int, int]]] = []
        market.add_listener(self)

    def __call__(self, quotes: Sequence[Quote]) -> None:
        self.batches.append([(q.listing.token, q.last_price, q.volume) for q in quotes])


def test_a_price_set_by_hand_is_a_trade_like_any_other() -> None:
    market = random_market()
    heard = Listener(market)
    quote = market.quotes[SBIN]
    volume = quote.volume
    market.set_price("NSE:SBIN", 99_990)
    assert heard.batches == [[(SBIN, 99_990, volume + 1)]]
    assert (quote.last_price, quote.last_quantity, quote.low) == (99_990, 1, 99_990)
    assert quote.timestamp == quote.last_trade_time == int(START.timestamp())
    assert quote.depth_buy[0][0] <= 99_990 <= quote.depth_sell[0][0]
    assert market.candles(SBIN, "minute", START, START)[0][3] == 99_990


def test_the_market_goes_on_from_a_price_set_by_hand() -> None:
    market = random_market()
    market.set_price("NSE:SBIN", 99_000)
    for _ in range(40):
        market.step()
    assert abs(market.quotes[SBIN].last_price - 99_000) < 300


@pytest.mark.parametrize(("key", "price", "error"), [("NSE:NONE", 100, KeyError), ("NSE:SBIN", 0, ValueError)])
def test_refuses_to_set_a_price_that_cannot_be(key: str, price: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        random_market().set_price(key, price)


def test_a_step_moves_the_clock_and_reports_each_instrument_once() -> None:
    market = random_market()
    heard = Listener(market)
    changed = market.step()
    assert market.clock.now() == START + timedelta(seconds=STEP)
    tokens = [quote.listing.token for quote in changed]
    assert len(tokens) == len(set(tokens)) > 10
    assert [[row[0] for row in batch] for batch in heard.batches] == [tokens]


async def test_a_fast_clock_plays_every_step_that_stepping_plays() -> None:
    fast, stepped = random_market(), random_market()
    heard, expected = Listener(fast), Listener(stepped)
    enough = asyncio.Event()
    fast.add_listener(lambda _: enough.set() if len(heard.batches) >= 200 else None)
    fast.clock.speed = 1000
    run = asyncio.create_task(fast.run())
    await asyncio.wait_for(enough.wait(), 30)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    while len(expected.batches) < len(heard.batches):
        stepped.step()
    assert heard.batches == expected.batches


async def test_a_jump_of_the_clock_wakes_the_market() -> None:
    market = random_market()
    ticked = asyncio.Event()
    market.add_listener(lambda _: ticked.set())
    run = asyncio.create_task(market.run())
    for _ in range(5):
        await asyncio.sleep(0)
    market.clock.speed = 1.0
    market.clock.set(at("14:00:00"))
    await asyncio.wait_for(ticked.wait(), 10)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    newest = max(quote.timestamp for quote in market.quotes.values())
    assert newest >= int(at("14:00:00").timestamp())


def test_a_new_day_begins_with_yesterdays_close() -> None:
    market = random_market()
    days: list[date] = []
    market.add_day_listener(days.append)
    for _ in range(20):
        market.step()
    before = market.quotes[SBIN].last_price
    market.clock.set(at("2026-11-23 09:00:00"))
    market.step()
    quote = market.quotes[SBIN]
    assert days == [date(2026, 11, 23)]
    assert quote.close == quote.listing.previous_close == before
    assert market.listings.by_token[SBIN] is market.listings.by_key["NSE:SBIN"] is quote.listing
    assert quote.listing.lower_circuit < before * 0.91
    assert quote.volume < 1000  # nothing but the step's own trades
    opened = market.candles(SBIN, "day", at("2026-11-19 00:00"), at("2026-11-23 23:59"))
    assert [row[0].date().day for row in opened][:2] == [19, 20]


def test_midnight_begins_a_day_too() -> None:
    market = random_market(start=at("23:59:59"))
    days: list[date] = []
    market.add_day_listener(days.append)
    for _ in range(8):
        market.step()
    assert days == [date(2026, 11, 21)]


def test_candles_are_ascending_from_the_session_open_with_both_ends_included() -> None:
    market = random_market()
    rows = market.candles(SBIN, "minute", at("09:15:00"), at("09:59:00"))
    assert [row[0] for row in rows] == [at("09:15:00") + timedelta(minutes=i) for i in range(45)]
    assert [row[0] for row in market.candles(SBIN, "minute", at("09:20:00"), at("09:21:00"))] == [
        at("09:20:00"),
        at("09:21:00"),
    ]
    assert market.candles(SBIN, "minute", at("09:20:01"), at("09:20:59")) == []


@pytest.mark.parametrize(
    ("interval", "minutes"),
    [
        ("3minute", 3),
        ("5minute", 5),
        ("10minute", 10),
        ("15minute", 15),
        ("30minute", 30),
        ("60minute", 60),
        ("2minute", 2),
        ("hour", 60),
        ("2hour", 120),
        ("day", 0),
    ],
)
def test_longer_candles_are_made_of_the_minutes(interval: str, minutes: int) -> None:
    market = random_market()
    for _ in range(100):
        market.step()
    start, end = at("2026-11-18 00:00:00"), at("2026-11-20 23:59:59")
    whole = market.candles(SBIN, interval, start, end)
    small = market.candles(SBIN, "minute", start, end)
    assert sum(row[5] for row in whole) == sum(row[5] for row in small)
    for i, row in enumerate(whole):
        until = whole[i + 1][0] if i + 1 < len(whole) else end
        inside = [bar for bar in small if row[0] <= bar[0] < until]
        assert row[1] == inside[0][1]
        assert row[4] == inside[-1][4]
        assert row[2] == max(bar[2] for bar in inside)
        assert row[3] == min(bar[3] for bar in inside)
        assert row[5] == sum(bar[5] for bar in inside)
        opened = row[0].hour * 60 + row[0].minute
        assert opened == 0 if not minutes else (opened - 555) % minutes == 0


@pytest.mark.parametrize("interval", ["", "1day", "0minute", "minutes", "week", "5 minute", "9999minute"])
def test_an_unknown_interval_is_refused(interval: str) -> None:
    with pytest.raises(ValueError, match="invalid interval"):
        random_market().candles(SBIN, interval, START, START)


def test_candles_of_an_unknown_token_are_refused() -> None:
    with pytest.raises(KeyError):
        random_market().candles(1, "minute", START, START)


def test_a_restored_market_goes_on_with_the_same_prices() -> None:
    lived, other = random_market(), random_market(seed=8, start=at("09:30:00"))
    for _ in range(100):
        lived.step()
    lived.set_price("NSE:SBIN", 101_000)
    lived.set_price("NFO:NIFTY26DEC24500CE", 52_000)
    saved = json.loads(json.dumps(lived.snapshot()))
    other.restore(saved)
    assert state(other) == state(lived)
    assert other.clock.epoch() == lived.clock.epoch()
    for _ in range(50):
        lived.step()
        other.step()
    assert state(other) == state(lived)
    for token in list(lived.quotes)[::20]:
        since = at("2026-11-17 09:15:00")
        assert other.candles(token, "30minute", since, START) == lived.candles(token, "30minute", since, START)


def test_a_crash_is_bridged_so_that_no_fill_lies_in_the_future() -> None:
    lived, other = random_market(), random_market(speed=1.0)
    saved = lived.snapshot()
    real = saved["real"]
    assert isinstance(real, float)
    other.restore(saved | {"real": real - 20})
    ahead = other.clock.epoch() - lived.clock.epoch()
    assert 20 <= ahead < BRIDGE + 20
    for _ in range(80):  # the twenty seconds are played again, each step at its own time
        lived.step()
        other.step()
    assert state(other) == state(lived)


def test_started_on_a_later_day_the_market_opens_anew() -> None:
    lived, other = random_market(), random_market(start=at("2026-11-24 10:00:00"))
    for _ in range(10):
        lived.step()
    other.restore(lived.snapshot())
    assert other.clock.now() == at("2026-11-24 10:00:00")
    assert other.quotes[SBIN].close == lived.quotes[SBIN].last_price
    assert other.quotes[SBIN].open > 0


@pytest.mark.parametrize(
    "spoil",
    [lambda s: {}, lambda s: s | {"clock": "now"}, lambda s: s | {"feed": {"kind": "replay"}}],
)
def test_a_foreign_snapshot_is_refused(spoil: object) -> None:
    market = random_market()
    assert callable(spoil)
    with pytest.raises(ValueError, match=r"saved market|saved state"):
        market.restore(spoil(market.snapshot()))


def test_what_is_listed_no_more_is_left_out() -> None:
    market = random_market()
    saved = market.snapshot()
    fewer = Listings(row for row in load_sample(START.date()).by_token.values() if row.token != SBIN)
    smaller = Market(RandomFeed(fewer, 7), ExchangeClock(START, 0))
    smaller.restore(saved)
    assert SBIN not in smaller.quotes
    assert smaller.step()


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ("live", "unknown feed"),
        ("replay", "unknown feed"),
        ("replay:", "unknown feed"),
        ("replay:/none", "no recording"),
    ],
)
def test_an_unknown_feed_is_refused_in_words(feed: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_market(feed)


def test_without_a_clock_the_random_market_is_in_session() -> None:
    market = open_market(speed=0)
    now = market.clock.now()
    assert (now.hour, now.minute) == (10, 0)
    assert now.weekday() < 5
    assert market.always_open
    assert not market.ended


def test_a_clock_can_be_asked_for() -> None:
    asked = datetime(2026, 3, 2, 5, 59)  # noqa: DTZ001 - as a command line may give it
    market = open_market(clock=asked, speed=0)
    assert market.clock.now() == asked.replace(tzinfo=IST)
    assert market.quotes[SBIN].open == 0  # before the open nothing has traded
    assert market.quotes[SBIN].last_price == market.quotes[SBIN].close
    assert market.step()
