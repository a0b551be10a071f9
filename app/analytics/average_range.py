"""Wilder's average true range, exactly: whole numbers from candle to result. Pure.

J. Welles Wilder, New Concepts in Technical Trading Systems (1978): the true range of a candle is the largest of its
high less its low and of the distances of both from the close before. The average begins as the plain mean of the first
`period` ranges, and then takes (period - 1) parts of itself and one of the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from app.domain.market import Candle

_PARTS = 1_000_000
"""Of a minor unit; what is smaller is cut off at each step."""


def average_true_range(candles: Sequence[Candle], period: int) -> Fraction | None:
    """In minor units, after the last of these candles (oldest first, all of them over). None: there are too few."""
    if period < 1 or len(candles) <= period:
        return None
    ranges = [max(now.high, before.close) - min(now.low, before.close) for before, now in pairwise(candles)]
    average = sum(ranges[:period]) * _PARTS // period
    for newest in ranges[period:]:
        average = (average * (period - 1) + newest * _PARTS) // period
    return Fraction(average, _PARTS)
