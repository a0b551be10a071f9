import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.market import Candle
from app.ui.charts.series import CandleSeries, Put

MINUTE = 60_000_000_000
BEGIN = 1_795_232_700_000_000_000
"""2026-11-21 09:15 IST."""


def walk(count: int, seed: int = 1) -> list[Candle]:
    random = np.random.default_rng(seed)
    close = 150_000 + np.cumsum(random.integers(-40, 41, count))
    open_ = np.concatenate([[150_000], close])[:count]
    high = np.maximum(open_, close) + random.integers(0, 30, count)
    low = np.minimum(open_, close) - random.integers(0, 30, count)
    volume = random.integers(0, 5000, count)
    return [
        Candle(BEGIN + i * MINUTE, *map(int, row))
        for i, row in enumerate(zip(open_, high, low, close, volume, strict=True))
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1500), st.integers(0, 1499), st.integers(1, 1500), st.integers(1, 300))
def test_columns_tell_the_same_as_the_candles_they_stand_for(count: int, first: int, length: int, columns: int) -> None:
    candles = walk(count)
    series = CandleSeries()
    series.load(candles)
    shown = series.window(first, first + length, columns)
    if first >= count:
        assert len(shown) == 0
        return
    assert len(shown) <= columns + 1
    assert shown.first[0] <= first
    assert shown.first[-1] + shown.stride >= min(first + length, count)
    for k, at in enumerate(shown.first):
        part = candles[at : at + shown.stride]
        assert shown.open[k] == part[0].open
        assert shown.high[k] == max(c.high for c in part)
        assert shown.low[k] == min(c.low for c in part)
        assert shown.close[k] == part[-1].close
        assert shown.volume[k] == sum(c.volume for c in part)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 700), st.integers(0, 400))
def test_live_candles_give_the_same_series_as_loaded_ones(loaded: int, live: int) -> None:
    candles = walk(loaded + live)
    grown, whole = CandleSeries(), CandleSeries()
    grown.load(candles[:loaded])
    for candle in candles[loaded:]:
        early = Candle(candle.start, candle.open, candle.open, candle.open, candle.open, 0)
        assert grown.put(early) is Put.APPENDED
        assert grown.put(candle) is Put.REPLACED
    whole.load(candles)
    for columns in (7, 100, 2000):
        one, other = grown.window(0, loaded + live, columns), whole.window(0, loaded + live, columns)
        for name in ("first", "open", "high", "low", "close", "volume"):
            assert (getattr(one, name) == getattr(other, name)).all()


def test_panning_by_a_candle_does_not_change_the_columns_that_stay() -> None:
    series = CandleSeries()
    series.load(walk(4000))
    one, other = series.window(100, 3100, 400), series.window(101, 3101, 400)
    assert one.stride == other.stride
    assert set(other.first[1:-1]) <= set(one.first) | {int(other.first[-1])}


def test_a_million_candles_are_never_touched_one_by_one() -> None:
    series = CandleSeries()
    start = BEGIN + np.arange(1_000_000, dtype=np.int64) * MINUTE
    price = np.full(1_000_000, 100_000, np.int64)
    series.load_columns(start, price, price + 5, price - 5, price, price)
    shown = series.window(0, 1_000_000, 1200)
    assert 600 <= len(shown) <= 1200
    assert series.extent(0, 1_000_000) == (99_995, 100_005)


def test_a_correction_replaces_and_a_stranger_from_the_past_is_refused() -> None:
    candles = walk(50)
    series = CandleSeries()
    series.load(candles)
    fixed = Candle(candles[20].start, 1, 9, 1, 5, 77)
    assert series.put(fixed) is Put.REPLACED
    assert series.candle(20) == fixed
    assert series.extent(0, 50) == (1, max(c.high for c in candles[:20] + candles[21:]))
    assert series.put(Candle(candles[20].start + 1, 1, 9, 1, 5, 77)) is Put.REFUSED
    assert len(series) == 50


def test_disorder_is_refused() -> None:
    candles = walk(5)
    series = CandleSeries()
    series.load(candles[2:])
    with pytest.raises(ValueError, match="order"):
        series.load(candles[:2])
    with pytest.raises(ValueError, match="order"):
        CandleSeries().load(candles[::-1])


def test_the_candle_of_a_moment() -> None:
    series = CandleSeries()
    series.load(walk(10))
    assert series.index_at(BEGIN - 1) == -1
    assert series.index_at(BEGIN + 3 * MINUTE + 59) == 3
    assert series.index_at(BEGIN + 100 * MINUTE) == 9
    with pytest.raises(IndexError):
        series.candle(10)


def test_a_gap_is_within_a_day_and_the_night_is_none() -> None:
    day = walk(3)
    later = [Candle(BEGIN + (10 + i) * MINUTE, 1, 1, 1, 1, 1) for i in range(2)]
    tomorrow = [Candle(BEGIN + 1440 * MINUTE, 1, 1, 1, 1, 1)]
    series = CandleSeries()
    series.load([*day, *later, *tomorrow])
    assert series.gaps(0, 6, MINUTE) == [3]
    series.clear()
    assert len(series) == 0
    assert series.gaps(0, 6, MINUTE) == []
