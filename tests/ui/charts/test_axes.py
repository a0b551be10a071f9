from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.market import Candle
from app.ui.charts.axes import PRICE_SPACING, TIME_SPACING, price_ticks, time_labels
from app.ui.charts.money_curve import money_ticks
from app.ui.charts.series import CandleSeries

MINUTE = 60_000_000_000
OPEN = 1_795_232_700_000_000_000
"""2026-11-21 09:15 IST."""
DAY = 1440 * MINUTE


def sessions(days: int, minutes: int = 375) -> CandleSeries:
    series = CandleSeries()
    for day in range(days):
        series.load([Candle(OPEN + day * DAY + m * MINUTE, 1, 1, 1, 1, 1) for m in range(minutes)])
    return series


@settings(max_examples=100, deadline=None)
@given(st.integers(5, 10**7), st.integers(1, 10**6), st.floats(60, 1200), st.sampled_from([1, 5, 10, 25, 100, 500]))
def test_price_labels_are_on_ticks_and_apart(low: int, span: int, pixels: float, tick: int) -> None:
    ticks = price_ticks(low, low + span, pixels, tick)
    assert all(t % tick == 0 and low <= t <= low + span for t in ticks)
    gaps = np.diff(ticks)
    assert len(set(gaps.tolist())) <= 1
    assert all(g * pixels / span >= PRICE_SPACING - 1e-6 for g in gaps)


def test_price_labels_are_round() -> None:
    assert price_ticks(166_500, 167_500, 520, 5) == [166_500, 166_600, 166_700, 166_800, 166_900, 167_000, 167_100,
                                                     167_200, 167_300, 167_400, 167_500]  # fmt: skip
    assert price_ticks(100, 100, 500, 5) == []


def test_a_day_is_labelled_by_its_hours_and_begins_with_its_date() -> None:
    labels = time_labels(sessions(2), 300, 750, 2.0)
    assert [label.text for label in labels if label.major] == ["22 Nov"]
    assert [label.text for label in labels if not label.major][:2] == ["10:00", "11:00"]
    assert next(label.index for label in labels if label.major) == 375


def test_nights_take_no_room() -> None:
    labels = time_labels(sessions(3), 0, 1125, 1.0)
    majors = [label.index for label in labels if label.major]
    assert majors == [375, 750]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12_000), st.integers(2, 12_000), st.floats(0.02, 40))
def test_time_labels_never_touch(first: int, count: int, pixels: float) -> None:
    labels = time_labels(MANY, first, first + count, pixels)
    places = [label.index * pixels for label in labels]
    assert all(b - a >= TIME_SPACING - 1e-6 for a, b in pairwise(places))
    assert [label.index for label in labels] == sorted(label.index for label in labels)


MANY = sessions(35)


def test_months_and_years_are_told_when_days_are_too_many() -> None:
    series = CandleSeries()
    series.load([Candle(OPEN + day * DAY, 1, 1, 1, 1, 1) for day in range(800)])
    texts = {label.text: label.major for label in time_labels(series, 0, 800, 1.5)}
    assert texts["2027"] is True
    assert texts["2028"] is True
    assert texts["Mar"] is False


@pytest.mark.parametrize(("low", "high"), [(-120_000, 350_000), (0, 100_000), (-5_000_000, -1_000)])
def test_money_labels_are_whole_rupees_with_zero_among_them(low: int, high: int) -> None:
    ticks = money_ticks(low, high, 300)
    assert all(t % 100 == 0 for t in ticks)
    assert (0 in ticks) == (low <= 0 <= high)
