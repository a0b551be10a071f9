from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise

import pytest

from app.simulator import pricing
from app.simulator.candles import DAY, day_start, local_day
from app.simulator.clock import IST, ExchangeClock
from app.simulator.feeds.random import STEP, RandomFeed
from app.simulator.listing import load_file, load_sample
from app.simulator.market import Market, Quote
from tests.shared_data import shared_data

START = datetime(2026, 11, 20, 10, 0, tzinfo=IST)
STEPS = 400


def market_of(seed: int, steps: int = 0, start: datetime = START) -> Market:
    market = Market(RandomFeed(load_sample(start.date()), seed), ExchangeClock(start, 0))
    for _ in range(steps):
        market.step()
    return market


@pytest.fixture(scope="module")
def lived() -> tuple[Market, Counter[str]]:
    market = market_of(11)
    updates: Counter[str] = Counter()

    def count(quotes: Sequence[Quote]) -> None:
        updates.update(quote.listing.key for quote in quotes)
        for quote in quotes:
            check(quote)

    market.add_listener(count)
    for _ in range(STEPS):
        market.step()
    return market, updates


def check(quote: Quote) -> None:
    """What holds for every tick of a sound market."""
    row = quote.listing
    assert quote.low <= quote.last_price <= quote.high
    assert quote.low <= quote.open <= quote.high
    if not row.tradable:
        assert (quote.volume, quote.last_trade_time, quote.depth_buy) == (0, 0, [])
        return
    assert quote.last_price % row.tick_size == 0
    assert row.lower_circuit <= quote.last_price <= row.upper_circuit
    assert quote.volume % row.lot_size == quote.last_quantity % row.lot_size == 0
    bids, asks = [level[0] for level in quote.depth_buy], [level[0] for level in quote.depth_sell]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert quote.last_price in (bids[0], asks[0])
    assert all(level[1] > 0 and level[1] % row.lot_size == 0 for level in (*quote.depth_buy, *quote.depth_sell))
    assert quote.low <= quote.average_price <= quote.high


def prices(market: Market) -> dict[str, int]:
    return {quote.listing.key: quote.last_price for quote in market.quotes.values()}


def test_the_same_seed_gives_the_same_prices() -> None:
    assert prices(market_of(5, 60)) == prices(market_of(5, 60))


def test_another_seed_gives_other_prices() -> None:
    assert prices(market_of(5, 4)) != prices(market_of(6, 4))


def test_liquid_instruments_tick_one_to_four_times_a_second_illiquid_ones_less(
    lived: tuple[Market, Counter[str]],
) -> None:
    _, updates = lived
    seconds = STEPS * STEP
    for key in ("NSE:NIFTY 50", "NSE:RELIANCE", "NSE:SBIN", "NFO:NIFTY26DECFUT", "NFO:NIFTY26DEC24500CE"):
        assert 1 <= updates[key] / seconds <= 4.1, key
    assert updates["NFO:INFY26DEC1160PE"] / seconds < 0.5


def test_every_instrument_has_opened_and_has_a_sound_quote(lived: tuple[Market, Counter[str]]) -> None:
    market, _ = lived
    for quote in market.quotes.values():
        assert quote.open > 0
        assert START.timestamp() <= quote.timestamp <= market.clock.epoch()


def test_futures_stay_at_their_basis_and_options_at_parity(lived: tuple[Market, Counter[str]]) -> None:
    market, _ = lived

    def last(key: str) -> float:
        return market.quotes[market.listings.by_key[key].token].last_price / 100

    spot, future = last("NSE:NIFTY 50"), last("NFO:NIFTY26DECFUT")
    years = (datetime(2026, 12, 29, 15, 30, tzinfo=IST) - START).total_seconds() / pricing.YEAR
    assert future == pytest.approx(spot * math.exp(pricing.RATE * years), rel=0.002)
    for strike in (24000, 24500, 25000):
        call, put = last(f"NFO:NIFTY26DEC{strike}CE"), last(f"NFO:NIFTY26DEC{strike}PE")
        assert call - put == pytest.approx((future - strike) * math.exp(-pricing.RATE * years), abs=25)
    assert last("NFO:NIFTY26DEC24000CE") > last("NFO:NIFTY26DEC24500CE") > last("NFO:NIFTY26DEC25000CE")


def test_shares_follow_the_index() -> None:
    """The sample's shares move with NIFTY over its past days, each with noise of its own."""
    market = market_of(3)
    since, until = datetime(2025, 11, 20, tzinfo=IST), datetime(2026, 11, 19, 23, tzinfo=IST)

    def returns(key: str) -> list[float]:
        rows = market.candles(market.listings.by_key[key].token, "day", since, until)
        return [math.log(b[4] / a[4]) for a, b in pairwise(rows)]

    index = returns("NSE:NIFTY 50")
    for key in ("NSE:SBIN", "NSE:RELIANCE", "NSE:TCS"):
        assert 0.25 < statistics.correlation(index, returns(key)) < 0.95
    assert statistics.correlation(index, returns("NSE:INDIA VIX")) < -0.5


def test_it_trades_at_any_hour() -> None:
    for start in ("2026-11-22T23:30:00", "2026-11-20T05:59:00", "2026-11-20T16:00:00"):
        market = market_of(1, 1, datetime.fromisoformat(start).replace(tzinfo=IST))
        assert any(quote.last_trade_time for quote in market.quotes.values())


def test_the_past_is_the_same_whenever_it_is_asked_for() -> None:
    one, other = market_of(9), market_of(9)
    token = one.listings.by_key["NSE:TCS"].token
    until = datetime(2026, 11, 19, 23, tzinfo=IST)
    late = one.candles(token, "5minute", datetime(2026, 11, 18, tzinfo=IST), until)
    other.candles(token, "day", datetime(2020, 1, 1, tzinfo=IST), until)
    assert other.candles(token, "5minute", datetime(2026, 11, 18, tzinfo=IST), until) == late


def test_past_days_join_without_weekends() -> None:
    market = market_of(9)
    row = market.listings.by_key["NSE:TCS"]
    rows = market.candles(row.token, "day", datetime(2026, 1, 1, tzinfo=IST), datetime(2026, 11, 19, 23, tzinfo=IST))
    assert all(bar[0].weekday() < 5 for bar in rows)
    assert rows[-1][4] == row.previous_close
    assert len(rows) == 231  # weekdays from 2026-01-01 to 2026-11-19
    for before, bar in pairwise(rows):
        assert bar[3] <= min(bar[1], bar[4]) <= max(bar[1], bar[4]) <= bar[2]
        assert abs(math.log(bar[1] / before[4])) < 0.1


def test_a_derivative_has_no_past_before_it_was_listed() -> None:
    market = market_of(9)
    token = market.listings.by_key["NFO:NIFTY26DEC24500CE"].token
    rows = market.candles(token, "day", datetime(2020, 1, 1, tzinfo=IST), START)
    assert date(2026, 9, 29) <= rows[0][0].date() <= date(2026, 10, 5)


def test_the_morning_ends_where_the_market_stands() -> None:
    market = market_of(2)
    for quote in market.quotes.values():
        bars = market.bars.between(quote.listing.token, 0, 2**40)
        assert len(bars) == 45
        assert bars[0][1] == quote.open
        assert max(bar[2] for bar in bars) == quote.high
        assert min(bar[3] for bar in bars) == quote.low
        assert bars[-1][4] == quote.last_price
        assert sum(bar[5] for bar in bars) == quote.volume


def test_a_pushed_option_returns_to_its_worth_a_pushed_share_stays() -> None:
    market = market_of(4)
    option = market.listings.by_key["NFO:NIFTY26DEC24500CE"]
    fair = market.quotes[option.token].last_price
    market.set_price(option.key, option.on_tick(fair * 1.5))
    share = market.quotes[market.listings.by_key["NSE:ITC"].token]
    market.set_price("NSE:ITC", 25_000)
    for _ in range(4):
        market.step()
    assert market.quotes[option.token].last_price > fair * 1.2
    for _ in range(4 * 150):
        market.step()
    assert market.quotes[option.token].last_price == pytest.approx(fair, rel=0.15)
    assert share.last_price == pytest.approx(25_000, rel=0.02)


def test_a_foreign_dump_without_spots_or_prices_makes_a_market() -> None:
    listings = load_file(shared_data("instruments", "kite_NFO_2026-08-10.csv.gz"), date(2026, 8, 10))
    start = datetime(2026, 8, 10, 9, 15, tzinfo=IST)
    market = Market(RandomFeed(listings, 1), ExchangeClock(start, 0))
    changed = market.step()
    assert len(changed) < 1_000  # a big list must not drown the loop
    for quote in changed:
        check(quote)


def test_days_are_counted_in_india() -> None:
    midnight = datetime(2026, 11, 20, tzinfo=IST).timestamp()
    assert day_start(local_day(midnight)) == midnight
    assert local_day(midnight - 1) == local_day(midnight) - 1
    assert day_start(local_day(midnight) + 1) - midnight == DAY
