"""Wilder's average true range, against a reckoning by hand and by exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.analytics.average_range import average_true_range
from app.domain.market import Candle

bars = st.tuples(st.integers(1, 10_000), st.integers(0, 500), st.integers(0, 500))


def candle(number: int, close: int, up: int = 0, down: int = 0) -> Candle:
    return Candle(number, close, close + up, close - down, close, 1)


def test_a_gap_counts_from_the_close_before() -> None:
    candles = [candle(0, 100), candle(1, 110, 1, 1), candle(2, 105, 0, 0), candle(3, 105, 2, 2)]
    # True ranges 11 (111 - 100), 5 (110 - 105), 4: the mean of two is 8, then (8 + 4) / 2.
    assert average_true_range(candles, 2) == 6


def test_too_few_candles_are_no_average() -> None:
    assert average_true_range([candle(n, 100) for n in range(14)], 14) is None
    assert average_true_range([candle(n, 100) for n in range(15)], 14) == 0
    assert average_true_range([], 0) is None


@given(st.lists(bars, min_size=16, max_size=60), st.integers(2, 14))
def test_whole_numbers_come_to_the_same_as_fractions(rows: list[tuple[int, int, int]], period: int) -> None:
    candles = [candle(n, *row) for n, row in enumerate(rows)]
    ranges = [max(b.high, a.close) - min(b.low, a.close) for a, b in pairwise(candles)]
    exact = Fraction(sum(ranges[:period]), period)
    for newest in ranges[period:]:
        exact = (exact * (period - 1) + newest) / period
    found = average_true_range(candles, period)
    assert found is not None
    assert 0 <= exact - found < Fraction(period + 1, 1_000_000)
