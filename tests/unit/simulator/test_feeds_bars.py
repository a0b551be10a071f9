"""Bars replayed as ticks must give the same bars again, to the paisa and to the unit."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.candles import Bar, local_day
from app.simulator.clock import IST
from app.simulator.feeds.bars import TICKS_PER_BAR, BarTape, parse_bars, read_bars
from app.simulator.feeds.identity import fitted, identify
from app.simulator.listing import Listing, load_sample
from app.simulator.market import Market, Quote
from app.simulator.opening import open_market
from tests.shared_data import shared_data

OPEN = int(datetime(2023, 4, 3, 9, 15, tzinfo=IST).timestamp())
KNOWN = load_sample()
HEADER = "date,open,high,low,close,volume\n"


class Builder:
    """Bars from ticks as a client builds them: by exchange time, volume by its growth."""

    def __init__(self, market: Market) -> None:
        self.bars: dict[int, dict[int, list[int]]] = {token: {} for token in market.quotes}
        self._volume: dict[int, tuple[int, int]] = {}
        market.add_listener(self)

    def __call__(self, quotes: Sequence[Quote]) -> None:
        for q in quotes:
            token, start = q.listing.token, q.timestamp // 60 * 60
            day, before = self._volume.get(token, (0, 0))
            grown = q.volume - before if day == local_day(start) else q.volume
            self._volume[token] = (local_day(start), q.volume)
            bar = self.bars[token].get(start)
            if bar is None:
                self.bars[token][start] = [q.last_price] * 4 + [grown]
            else:
                bar[1:3] = max(bar[1], q.last_price), min(bar[2], q.last_price)
                bar[3], bar[4] = q.last_price, bar[4] + grown

    def of(self, token: int) -> list[tuple[int, ...]]:
        return [(start, *bar) for start, bar in sorted(self.bars[token].items())]


def play(market: Market) -> None:
    market.clock.speed = 0
    while market.feed.next_at() is not None:
        market.step()


def source(name: str, day: str = "") -> str:
    return f"replay:{shared_data(*name.split('/'))}{day}"


def share(lot: int = 1) -> Listing:
    return Listing(257, 1, "X", "X", None, Decimal(0), 5, lot, "EQ", "NSE", "NSE")


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    low = draw(st.integers(1, 400)) * 5
    high = low + draw(st.integers(0, 60)) * 5
    price = st.integers(low // 5, high // 5).map(lambda n: n * 5)
    return (OPEN, draw(price), high, low, draw(price), draw(st.integers(0, 10_000)), 0)


@settings(max_examples=400)
@given(bar=bars(), lot=st.sampled_from([1, 35, 65]))
def test_any_bar_is_rebuilt_by_its_ticks(bar: Bar, lot: int) -> None:
    _, o, high, low, c, volume, _ = bar
    bar = (*bar[:5], volume * lot, 0)
    ticks = BarTape(share(lot), [bar]).ticks(bar)
    prices = [price for _, price, _ in ticks]
    assert (prices[0], prices[-1], max(prices), min(prices)) == (o, c, high, low)
    assert sum(quantity for _, _, quantity in ticks) == volume * lot
    assert all(quantity >= 0 and quantity % lot == 0 for _, _, quantity in ticks)
    times = [offset for offset, _, _ in ticks]
    assert times == sorted(set(times))
    assert 0 <= times[0] <= times[-1] < 60
    assert len(ticks) <= TICKS_PER_BAR
    if volume >= 4:
        assert all(quantity > 0 for _, _, quantity in ticks)  # every price is a trade's


def test_high_and_low_come_in_a_plausible_order() -> None:
    rising: Bar = (OPEN, 1000, 1200, 900, 1100, 500, 0)
    prices = [price for _, price, _ in BarTape(share(), [rising]).ticks(rising)]
    assert prices.index(900) < prices.index(1200)
    falling: Bar = (OPEN, 1100, 1200, 900, 1000, 500, 0)
    prices = [price for _, price, _ in BarTape(share(), [falling]).ticks(falling)]
    assert prices.index(1200) < prices.index(900)


def test_a_real_day_of_eight_instruments_is_rebuilt_exactly() -> None:
    market = open_market(source("minute_1m_kite_2023", "@2023-04-05"))
    built = Builder(market)
    day = local_day(datetime(2023, 4, 5, tzinfo=IST).timestamp())
    play(market)
    for row in market.listings.by_token.values():
        stem = {"NIFTY BANK": "BANKNIFTY", "INDIA VIX": "INDIAVIX"}.get(row.tradingsymbol, row.tradingsymbol)
        recorded = read_bars(shared_data("minute_1m_kite_2023", f"{stem}.csv.gz"))
        expected = [bar[:6] for bar in recorded if local_day(bar[0]) == day]
        assert len(expected) == 375
        assert built.of(row.token) == expected, row.key
        start, end = (datetime.fromtimestamp(expected[i][0], IST) for i in (0, -1))
        served = market.candles(row.token, "minute", start, end)
        assert [(int(bar[0].timestamp()), *bar[1:6]) for bar in served] == expected
        quote = market.quotes[row.token]
        assert quote.volume == sum(bar[5] for bar in expected)
        assert (quote.open, quote.last_price) == (expected[0][1], expected[-1][4])
        assert quote.close == next(bar[4] for bar in reversed(recorded) if local_day(bar[0]) < day)


def test_the_clock_starts_just_before_the_recording_and_is_not_always_open() -> None:
    market = open_market(source("minute_1m_kite_2023/SBIN.csv.gz", "@2023-04-05"), speed=0)
    assert market.clock.now().replace(microsecond=0) == datetime(2023, 4, 5, 9, 14, 50, tzinfo=IST)
    assert not market.always_open
    assert market.listings.by_key["NSE:SBIN"].token == 779521
    quote = market.quotes[779521]
    assert (quote.volume, quote.open, quote.last_trade_time) == (0, 0, 0)
    assert quote.last_price == quote.close > 0


def test_a_later_clock_finds_the_morning_already_traded() -> None:
    spec = source("minute_1m_kite_2023/SBIN.csv.gz", "@2023-04-05")
    whole = open_market(spec)
    late = open_market(spec, clock=datetime(2023, 4, 5, 11, 0, 30, tzinfo=IST), speed=0)
    heard = Builder(late)
    until = late.clock.epoch()
    whole.clock.speed = 0
    while (at := whole.feed.next_at()) is not None and at <= until:
        whole.step()
    assert late.quotes[779521].save() == whole.quotes[779521].save()
    play(late)
    play(whole)
    assert late.quotes[779521].save() == whole.quotes[779521].save()
    assert heard.of(779521)[0][0] == int(until) // 60 * 60


def test_earlier_days_are_history_and_later_ones_are_played_in_order() -> None:
    market = open_market(
        source("minute_1m_kite_2023/SBIN.csv.gz"), clock=datetime(2023, 4, 5, 9, 0, tzinfo=IST), speed=0
    )
    days: list[date] = []
    market.add_day_listener(days.append)
    rows = market.candles(779521, "day", datetime(2023, 4, 1, tzinfo=IST), datetime(2023, 6, 1, tzinfo=IST))
    assert [row[0].date() for row in rows] == [date(2023, 4, 3)]  # 2023-04-04 was a holiday
    recorded = read_bars(shared_data("minute_1m_kite_2023", "SBIN.csv.gz"))
    while len(days) < 2:
        market.step()
    assert days == [date(2023, 4, 6), date(2023, 4, 10)]
    minutes = market.candles(779521, "minute", datetime(2023, 4, 3, tzinfo=IST), datetime(2023, 4, 6, 23, tzinfo=IST))
    assert [(int(bar[0].timestamp()), *bar[1:6]) for bar in minutes] == [bar[:6] for bar in recorded[: 3 * 375]]
    assert market.quotes[779521].close == recorded[3 * 375 - 1][4]


async def test_a_recorded_night_is_leapt_over() -> None:
    spec = source("minute_1m_kite_2023/SBIN.csv.gz")
    market = open_market(spec, clock=datetime(2023, 4, 3, 15, 29, 50, tzinfo=IST), speed=60)
    begun = asyncio.Event()
    market.add_day_listener(lambda _: begun.set())
    run = asyncio.create_task(market.run())
    await asyncio.wait_for(begun.wait(), 20)
    assert market.clock.now().date() == date(2023, 4, 5)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_replay_at_great_speed_leaves_nothing_out() -> None:
    market = open_market(source("minute_1m_kite_2023/SBIN.csv.gz", "@2023-04-05"), speed=10_000)
    built, done = Builder(market), asyncio.Event()
    market.add_listener(lambda _: done.set() if market.ended else None)
    run = asyncio.create_task(market.run())
    await asyncio.wait_for(done.wait(), 60)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    recorded = read_bars(shared_data("minute_1m_kite_2023", "SBIN.csv.gz"))
    day = local_day(datetime(2023, 4, 5, tzinfo=IST).timestamp())
    assert built.of(779521) == [bar[:6] for bar in recorded if local_day(bar[0]) == day]


def test_the_closing_auction_survives_its_silent_minutes() -> None:
    market = open_market(source("cas_close_RELIANCE_20260911_1445_1529.csv"))
    built = Builder(market)
    play(market)
    expected = [bar[:6] for bar in read_bars(shared_data("cas_close_RELIANCE_20260911_1445_1529.csv"))]
    token = market.listings.by_key["NSE:RELIANCE"].token
    assert built.of(token) == expected
    assert [bar[5] for bar in built.of(token)][-15:] == [0] * 14 + [842_771]
    quote = market.quotes[token]
    assert quote.last_price == 125_750
    assert quote.last_trade_time >= expected[-1][0]


def test_a_minute_without_volume_moves_no_trade_time() -> None:
    market = open_market(source("cas_close_RELIANCE_20260911_1445_1529.csv"), speed=0)
    quote = market.quotes[market.listings.by_key["NSE:RELIANCE"].token]
    silent = int(datetime(2026, 9, 11, 15, 15, tzinfo=IST).timestamp())
    while quote.timestamp < silent + 600:
        market.step()
    assert quote.last_trade_time < silent
    assert quote.last_price == 126_300


def test_a_replay_goes_on_after_a_crash(tmp_path: Path) -> None:
    spec = source("minute_1m_kite_2023", "@2023-04-05")
    lived, other = open_market(spec, speed=0), open_market(spec, speed=0)
    for _ in range(3_000):
        lived.step()
    other.restore(json.loads(json.dumps(lived.snapshot())))
    for _ in range(200):
        assert [q.save() for q in lived.step()] == [q.save() for q in other.step()]
    assert other.clock.epoch() == lived.clock.epoch()
    third = open_market(source("minute_1m_kite_2023/SBIN.csv.gz", "@2023-04-05"), speed=0)
    with pytest.raises(ValueError, match="another recording"):
        third.restore(lived.snapshot())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("SBIN", "NSE:SBIN"),
        ("BANKNIFTY", "NSE:NIFTY BANK"),
        ("INDIAVIX", "NSE:INDIA VIX"),
        ("NSE_EQ_INE027H01010", "NSE:MAXHEALTH"),
        ("NSE_EQ_INE118H01025", "NSE:BSE"),
        ("NSE_EQ_INE465A01025", "NSE:BHARATFORG"),
        ("NSE_FO_51460", "NFO:BANKNIFTY25DEC59500CE"),
        ("cas_close_RELIANCE_20260911_1445_1529", "NSE:RELIANCE"),
        ("NIFTY26DEC24500CE", "NFO:NIFTY26DEC24500CE"),
        ("unheard", "NSE:UNHEARD"),
    ],
)
def test_a_file_name_tells_the_instrument(name: str, key: str) -> None:
    assert identify(name, KNOWN).key == key


def test_limits_and_tick_fit_the_recording() -> None:
    row = fitted(identify("SBIN", KNOWN), 52_560, [52_500, 61_115], 100)
    assert row.tick_size == 5
    assert row.lower_circuit <= 52_500 < 61_115 <= row.upper_circuit
    assert fitted(share(), 100, [100_000, 150_000], 1).tick_size == 500


@pytest.mark.parametrize(
    "time",
    ["2023-04-03 09:15:00+05:30", "2023-04-03T09:15:00", "1680493500", "1680493500000", "1680493500000000000"],
)
def test_times_of_every_shape_are_read(time: str) -> None:
    assert parse_bars(f"{HEADER}{time},1.05,2,1,1.5,7\n".splitlines(), "x") == [(OPEN, 105, 200, 100, 150, 7, 0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no bars"),
        ("a,b\n", "holds no bars"),
        (HEADER, "holds no bars"),
        (HEADER + "soon,1,1,1,1,1\n", "line 2: not a bar"),
        (HEADER + "1680493500,1,1,1\n", "line 2: not a bar"),
        (HEADER + "1680493500,1,x,1,1,1\n", "line 2: not a bar"),
        (HEADER + "1680493500,2,1,1,1,1\n", "line 2: high, low and volume do not fit"),
        (HEADER + "1680493500,0,0,0,0,1\n", "line 2: high, low and volume do not fit"),
        (HEADER + "1680493500,1,1,1,1,-1\n", "line 2: high, low and volume do not fit"),
        (HEADER + "1680493500,1,1,1,1,1\n" * 2, "line 3: not later"),
    ],
)
def test_a_file_that_holds_no_bars_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "SBIN.csv.gz"
    file.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=words):
        open_market(f"replay:{file}")


def test_impossible_replays_are_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "SBIN.csv"
    file.write_text(HEADER + "1680493500,1,1,1,1,1\n")
    twin = tmp_path / "SBIN_again.csv"
    twin.write_text(file.read_text())
    with pytest.raises(ValueError, match="same instrument"):
        open_market(f"replay:{file},{twin}")
    with pytest.raises(ValueError, match="no bar of 2023-04-09"):
        open_market(f"replay:{file}@2023-04-09")
    with pytest.raises(ValueError, match="after the end of the recording"):
        open_market(f"replay:{file}", clock=datetime(2024, 1, 1, tzinfo=IST))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nothing to replay"):
        open_market(f"replay:{tmp_path / 'empty'}")
