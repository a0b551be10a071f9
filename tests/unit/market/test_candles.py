"""Candles from ticks: rules, real minute bars rebuilt, and the recorded session against the feed's own candles."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import InstrumentId
from app.domain.market import Candle, Interval, Tick
from app.market.candles import CandleBuilder, bucket, merge, trade_seconds
from tests.shared_data import shared_data

NANOS = 1_000_000_000
MIDNIGHT = int(datetime.fromisoformat("2025-12-15T00:00:00+05:30").timestamp())
OPEN = MIDNIGHT + 9 * 3600 + 15 * 60
CLOSE = MIDNIGHT + 15 * 3600 + 30 * 60


def market_hours(midnight: int) -> tuple[int, int] | None:
    return midnight + OPEN - MIDNIGHT, midnight + CLOSE - MIDNIGHT


def builder(interval: Interval = Interval.MINUTE) -> CandleBuilder:
    return CandleBuilder(interval, hours=market_hours)


def row(candle: Candle | None) -> tuple[int, int, int, int, int, int] | None:
    """Seconds after the opening, O, H, L, C, V."""
    if candle is None:
        return None
    return (candle.start // NANOS - OPEN, candle.open, candle.high, candle.low, candle.close, candle.volume)


def test_a_minute_of_ticks() -> None:
    candles = builder()
    for second, price, volume in ((0, 100, 10), (1, 105, 15), (30, 95, 15), (59, 101, 40)):
        assert candles.add(price, OPEN + second, volume) is None
    assert row(candles.running) == (0, 100, 105, 95, 101, 40)
    assert row(candles.add(102, OPEN + 60, 41)) == (0, 100, 105, 95, 101, 40)
    assert row(candles.running) == (60, 102, 102, 102, 102, 1)


def test_pre_open_volume_belongs_to_no_minute() -> None:
    candles = builder()
    assert candles.add(99, OPEN - 400, 5000) is None
    assert candles.running is None
    candles.add(100, OPEN, 5010)
    assert row(candles.running) == (0, 100, 100, 100, 100, 10)


def test_started_in_the_middle_only_new_volume_counts() -> None:
    candles = builder()
    candles.add(100, OPEN + 600, 90_000)
    candles.add(101, OPEN + 601, 90_025)
    assert row(candles.running) == (600, 100, 101, 100, 101, 25)


def test_volume_of_a_gap_is_in_the_candle_that_first_shows_it() -> None:
    candles = builder()
    candles.add(100, OPEN, 10)
    closed = candles.add(110, OPEN + 300, 1000)
    assert row(closed) == (0, 100, 100, 100, 100, 10)
    assert row(candles.running) == (300, 110, 110, 110, 110, 990)


def test_volume_that_goes_backwards_is_ignored() -> None:
    candles = builder()
    for volume in (100, 90, 95, 110):
        candles.add(100, OPEN + 5, volume)
    assert row(candles.running) == (0, 100, 100, 100, 100, 110)


def test_a_late_tick_does_not_reopen_a_candle() -> None:
    candles = builder()
    candles.add(100, OPEN + 59, 10)
    candles.add(101, OPEN + 60, 20)
    assert candles.add(500, OPEN + 58, 30) is None
    assert candles.late == 1
    assert row(candles.running) == (60, 101, 101, 101, 101, 10)


def test_an_older_tick_of_the_running_minute_moves_the_range_not_the_close() -> None:
    candles = builder()
    candles.add(100, OPEN + 30, 10)
    candles.add(120, OPEN + 10, 11)
    assert row(candles.running) == (0, 100, 120, 100, 100, 11)


def test_post_close_trades_make_no_minute_but_count_for_the_day() -> None:
    candles, day = builder(), builder(Interval.DAY)
    for price, at, volume in ((99, OPEN - 400, 500), (100, CLOSE - 1, 600), (103, CLOSE + 700, 650)):
        candles.add(price, at, volume)
        day.add(price, at, volume)
    assert row(candles.running) == (CLOSE - 60 - OPEN, 100, 100, 100, 100, 100)
    assert row(day.running) == (MIDNIGHT - OPEN, 99, 103, 99, 103, 650)


def test_a_new_day_starts_its_volume_again() -> None:
    candles = builder()
    candles.add(100, CLOSE - 1, 9000)
    closed = candles.add(101, OPEN + 86_400, 70)
    assert row(closed) == (CLOSE - 60 - OPEN, 100, 100, 100, 100, 0)
    assert row(candles.running) == (86_400, 101, 101, 101, 101, 70)
    assert candles.add(102, CLOSE, 80) is None, "a tick of yesterday"
    assert candles.late == 1


def test_closed_by_the_clock_stays_closed() -> None:
    candles = builder()
    candles.add(100, OPEN + 3, 10)
    assert candles.flush(OPEN + 59) is None
    assert row(candles.flush(OPEN + 60)) == (0, 100, 100, 100, 100, 10)
    assert candles.flush(OPEN + 61) is None
    assert candles.running is None
    assert candles.add(500, OPEN + 59, 20) is None
    assert candles.late == 1
    candles.add(101, OPEN + 61, 30)
    assert row(candles.running) == (60, 101, 101, 101, 101, 20)


def test_an_index_has_no_volume() -> None:
    candles = builder()
    candles.add(2_600_000, OPEN)
    candles.add(2_600_100, OPEN + 1)
    assert row(candles.running) == (0, 2_600_000, 2_600_100, 2_600_000, 2_600_100, 0)


def test_without_hours_every_tick_counts() -> None:
    candles = CandleBuilder(Interval.MINUTE)
    candles.add(100, MIDNIGHT, 7)
    assert row(candles.running) == (MIDNIGHT - OPEN, 100, 100, 100, 100, 7)
    opening = CandleBuilder(Interval.MINUTE)
    opening.add(100, OPEN, 7)
    assert row(opening.running) == (0, 100, 100, 100, 100, 7)


def test_no_session_no_candle() -> None:
    candles = CandleBuilder(Interval.MINUTE, hours=lambda _: None)
    assert candles.add(100, OPEN, 7) is None
    assert candles.running is None


def test_trade_time_comes_before_exchange_time_before_receive_time() -> None:
    tick = Tick(InstrumentId("NSE:X"), 100, received_at=3 * NANOS)
    assert trade_seconds(tick) == 3
    assert trade_seconds(Tick(InstrumentId("NSE:X"), 100, 3 * NANOS, exchange_time=2 * NANOS)) == 2
    assert trade_seconds(Tick(InstrumentId("NSE:X"), 100, 3 * NANOS, 2 * NANOS, last_trade_time=NANOS)) == 1


def test_a_trade_that_claims_to_be_later_than_the_exchange_itself_does_not_end_the_day() -> None:
    candles = builder()
    bad = Tick(InstrumentId("NSE:X"), 101, 3, (OPEN + 5) * NANOS, last_trade_time=(OPEN + 86_400) * NANOS)
    for price, at in ((100, OPEN + 1), (bad.last_price, trade_seconds(bad)), (102, OPEN + 30)):
        candles.add(price, at)
    assert candles.late == 0
    assert row(candles.running) == (0, 100, 102, 100, 102, 0)


def test_kite_cuts_hours_at_a_quarter_past() -> None:
    path = shared_data("minute_60m_kite_2024_2026", "SBIN.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        starts = [int(datetime.fromisoformat(line["datetime"]).timestamp()) for line in csv.DictReader(file)]
    assert len(starts) == 1905
    odd = [start for start in starts if bucket(start, Interval.HOUR) != start]
    muhurat = int(datetime.fromisoformat("2025-10-21T13:45:00+05:30").timestamp())
    assert odd == [muhurat]
    candles = CandleBuilder(Interval.HOUR, hours=lambda _: (muhurat, muhurat + 3600))
    candles.add(90_800, muhurat + 3599)
    assert candles.running is not None
    assert candles.running.start == muhurat * NANOS
    assert all(bucket(start + 3599, Interval.HOUR) == start for start in starts if start != muhurat)


def _prices(line: dict[str, str]) -> tuple[int, int, int, int]:
    paise = [round(float(line[name]) * 100) for name in ("open", "high", "low", "close")]
    return (paise[0], paise[1], paise[2], paise[3])


def _minute_bars(path: Path, column: str, days: int = 0) -> list[Candle]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        candles = [
            Candle(
                int(datetime.fromisoformat(line[column]).timestamp()) * NANOS,
                *_prices(line),
                int(float(line["volume"])),
            )
            for line in csv.DictReader(file)
        ]
    return candles[: days * 375] if days else candles


def _build(candles: CandleBuilder, ticks: list[tuple[int, int, int]]) -> list[Candle]:
    closed = [candle for tick in ticks if (candle := candles.add(*tick)) is not None]
    return [*closed, candles.running] if candles.running else closed


def _as_ticks(bars: list[Candle]) -> list[tuple[int, int, int]]:
    """Four ticks a minute that have the bar's O, H, L, C; all volume comes with the last."""
    ticks: list[tuple[int, int, int]] = []
    day, volume = 0, 0
    for bar in bars:
        start = bar.start // NANOS
        if start // 86_400 != day:
            day, volume = start // 86_400, 0
        for second, price in ((0, bar.open), (15, bar.high), (30, bar.low), (59, bar.close)):
            ticks.append((price, start + second, volume + bar.volume if second == 59 else volume))
        volume += bar.volume
    return ticks


def test_real_minutes_played_as_ticks_come_out_equal() -> None:
    bars = _minute_bars(shared_data("minute_1m_kite_2023", "SBIN.csv.gz"), "Date", days=5)
    assert len(bars) == 1875
    assert _build(builder(), _as_ticks(bars)) == bars


def test_the_closing_auction_day_with_its_flat_minutes_comes_out_equal() -> None:
    with shared_data("cas_close_RELIANCE_20260911_1445_1529.csv").open(encoding="utf-8") as file:
        bars = [Candle(int(line["ts_ns"]), *_prices(line), int(line["volume"])) for line in csv.DictReader(file)]
    assert sum(bar.volume == 0 for bar in bars) == 14
    built = _build(builder(), _as_ticks(bars))
    # started at 14:45, so the first tick's volume (none here) is only the base
    assert built == bars


def _recorded(key: str) -> list[tuple[int, int, int]]:
    ticks = []
    with gzip.open(shared_data("ticks_upstox_v3_20251215", f"{key}.jsonl.gz"), "rt", encoding="utf-8") as file:
        for line in file:
            feed = json.loads(line)["fullFeed"]["marketFF"]
            last = feed["ltpc"]
            ticks.append((round(last["ltp"] * 100), int(last["ltt"]) // 1000, int(feed["vtt"])))
    return ticks


@pytest.mark.parametrize(
    ("key", "common", "opens", "closes", "volumes", "whole"),
    [
        # Measured. The rest differs by the feed's sampling (about one update a second, see app.market.candles);
        # the feed's own candles hold every trade.
        ("NSE_EQ_INE465A01025", 351, 291, 329, 304, 227),
        ("NSE_FO_51507", 351, 253, 348, 342, 200),
    ],
)
def test_the_recorded_session_against_the_feeds_own_candles(
    key: str, common: int, opens: int, closes: int, volumes: int, whole: int
) -> None:
    theirs = {c.start: c for c in _minute_bars(shared_data("minute_1m_upstox_I1_20251215", f"{key}.csv.gz"), "ts")}
    ticks = _recorded(key)
    ours = {c.start: c for c in _build(builder(), ticks)}
    both = sorted(ours.keys() & theirs.keys())
    assert len(both) == common
    assert sum(ours[at].open == theirs[at].open for at in both) == opens
    assert sum(ours[at].close == theirs[at].close for at in both) == closes
    assert sum(ours[at].volume == theirs[at].volume for at in both) == volumes
    assert sum(ours[at] == theirs[at] for at in both) == whole
    # What we saw is part of what there was.
    assert all(ours[at].high <= theirs[at].high and ours[at].low >= theirs[at].low for at in both)
    # Minutes that only one side has: before the recording's first update, and at its receive gaps.
    odd = {
        datetime.fromtimestamp(at // NANOS + 19800).astimezone().strftime("%H:%M") for at in ours.keys() ^ theirs.keys()
    }
    assert len(odd) == 7
    # Nothing is lost: first to last tick, all volume is in some candle.
    inside = [volume for _, at, volume in ticks if OPEN <= at < CLOSE]
    assert sum(candle.volume for candle in ours.values()) == max(inside) - inside[0]


_BARS = st.lists(
    st.tuples(st.integers(0, 800), st.lists(st.integers(1, 1000), min_size=4, max_size=4), st.integers(0, 10**6)),
    max_size=60,
    unique_by=lambda bar: bar[0],
).map(
    lambda rows: [
        Candle((OPEN + minute * 60) * NANOS, prices[0], max(prices), min(prices), prices[3], volume)
        for minute, prices, volume in sorted(rows)
    ]
)


def _longer(bars: list[Candle], interval: Interval) -> list[Candle]:
    """Of shorter candles, one by one."""
    found: dict[int, Candle] = {}
    for bar in bars:
        start = bucket(bar.start // NANOS, interval) * NANOS
        one = found.get(start)
        if one is None:
            found[start] = Candle(start, bar.open, bar.high, bar.low, bar.close, bar.volume)
        else:
            found[start] = Candle(
                start, one.open, max(one.high, bar.high), min(one.low, bar.low), bar.close, one.volume + bar.volume
            )
    return list(found.values())


@given(_BARS, st.sampled_from([Interval.MINUTES_5, Interval.HOUR, Interval.DAY]))
def test_candles_of_ticks_and_of_shorter_candles_agree(bars: list[Candle], interval: Interval) -> None:
    ticks: list[tuple[int, int, int]] = []
    volume = 0
    for bar in bars:
        volume += bar.volume
        start = bar.start // NANOS
        ticks += [
            (bar.open, start, volume),
            (bar.high, start, volume),
            (bar.low, start, volume),
            (bar.close, start, volume),
        ]
    built = _build(CandleBuilder(interval), ticks)
    resampled = _longer(bars, interval)
    days = {bucket(bar.start // NANOS, Interval.DAY) for bar in bars}
    assert [(c.start, c.open, c.high, c.low, c.close) for c in built] == [
        (c.start, c.open, c.high, c.low, c.close) for c in resampled
    ]
    if len(days) == 1 and bars[0].start == OPEN * NANOS:
        assert built == resampled


def _candle(minute: int, open_: int, high: int, low: int, close: int, volume: int) -> Candle:
    return Candle((OPEN + minute * 60) * NANOS, open_, high, low, close, volume)


def test_history_and_live_join_without_gap_or_double() -> None:
    history = [_candle(0, 10, 12, 9, 11, 100), _candle(1, 11, 13, 11, 12, 60)]
    live = [_candle(0, 11, 11, 11, 11, 5), _candle(1, 12, 14, 12, 14, 80), _candle(2, 14, 15, 14, 15, 7)]
    assert merge(history, live) == [
        _candle(0, 10, 12, 9, 11, 100),  # the broker's record
        _candle(1, 11, 14, 11, 14, 80),  # was running when fetched
        _candle(2, 14, 15, 14, 15, 7),
    ]
    assert merge([], live) == live
    assert merge(history, []) == history


@given(_BARS, st.integers(0, 60))
def test_a_series_cut_anywhere_joins_to_itself(bars: list[Candle], cut: int) -> None:
    joined = merge(bars[: cut + 1], bars[min(cut, len(bars)) :])
    assert joined == bars
    assert all(one.start < two.start for one, two in pairwise(joined))


def test_who_begins_to_listen_in_the_middle_takes_the_first_half_from_the_broker() -> None:
    partial = Candle((OPEN + 60) * NANOS, 100, 104, 97, 99, 500)
    before_any_tick, after_some = builder(), builder()
    after_some.add(101, OPEN + 90, 9_000)
    for candles in (before_any_tick, after_some):
        candles.join(partial)
        candles.add(101, OPEN + 95, 9_010)
    assert row(before_any_tick.running) == (60, 100, 104, 97, 101, 500)
    assert row(after_some.running) == (60, 100, 104, 97, 101, 510)
    after_some.add(90, OPEN + 120, 9_011)
    assert row(after_some.running) == (120, 90, 90, 90, 90, 1)


def test_a_candle_of_the_broker_that_is_over_changes_nothing() -> None:
    candles = builder()
    candles.add(101, OPEN + 90, 10)
    candles.join(Candle(OPEN * NANOS, 1, 900, 1, 1, 10**6))
    assert row(candles.running) == (60, 101, 101, 101, 101, 0)
    candles.flush(OPEN + 121)
    candles.join(Candle((OPEN + 120) * NANOS, 98, 99, 97, 99, 50))
    assert candles.running is None
    candles.add(100, OPEN + 125, 12)
    assert row(candles.running) == (120, 98, 100, 97, 100, 52)
