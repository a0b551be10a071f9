"""Where levels go: a trail only tightens, for long and short alike, on every tick size."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.stop import BreakEven, FiredBy, StopPlan, Trail, TrailKind
from app.engine.levels import Levels

POINTS = Trail(TrailKind.POINTS, Decimal(500))


def trailing(trail: Trail, *, gains: int = 1, trigger: int = 99_000, target: int | None = None) -> Levels:
    return Levels(StopPlan(trigger, target=target, trail=trail), gains, 5, trigger)


def after(levels: Levels, *prices: int) -> int:
    """The level when these prices came, as the hot path would hand them over."""
    for price in prices:
        low, high = levels.quiet()
        if not low < price < high and levels.hit(price) is None:
            levels.think(price)
    return levels.level


@pytest.mark.parametrize(
    ("prices", "level"),
    [((99_400,), 99_000), ((99_500,), 99_000), ((99_505,), 99_005), ((100_003,), 99_500), ((101_000, 99_900), 100_500)],
)
def test_a_trail_by_points_stays_behind_the_best_price_on_a_tick(prices: tuple[int, ...], level: int) -> None:
    assert after(trailing(POINTS), *prices) == level


def test_a_short_position_is_the_mirror_image() -> None:
    levels = trailing(POINTS, gains=-1, trigger=101_000)
    assert after(levels, 100_503) == 101_000
    assert after(levels, 100_203) == 100_705, "rounded away from the price"
    assert levels.hit(100_700) is None
    assert levels.hit(100_705) is FiredBy.STOP
    assert levels.best_price == 100_203


def test_a_trail_in_percent_grows_with_the_price() -> None:
    levels = trailing(Trail(TrailKind.PERCENT, Decimal("1.25")))
    assert after(levels, 110_000) == 108_625
    assert after(levels, 110_003) == 108_625, "110,003 less 1.25 % is 108,627.96, which is on no tick"


def test_a_step_moves_the_level_in_whole_steps() -> None:
    levels = trailing(Trail(TrailKind.POINTS, Decimal(500), step=250))
    assert after(levels, 99_740) == 99_000
    assert after(levels, 99_750) == 99_250
    assert after(levels, 100_349) == 99_750


def test_an_average_range_moves_the_level_when_it_shrinks_and_never_back() -> None:
    levels = trailing(Trail(TrailKind.ATR, Decimal(2)))
    after(levels, 100_500)
    assert levels.level == 99_000, "without a range nothing moves"
    assert levels.set_range(Fraction(1001, 4), Decimal(2))
    assert levels.level == 99_995, "100,500 less 500.5, rounded to the looser tick"
    assert not levels.set_range(Fraction(400), Decimal(2))
    assert levels.level == 99_995


def test_a_stop_goes_to_break_even_once_and_rounds_so_that_charges_are_covered() -> None:
    plan = BreakEven(after=400, offset=20)
    levels = Levels(StopPlan(99_000, break_even=plan), 1, 5, 99_000)
    levels.set_entry(plan, Fraction(100_000), 100_062)
    assert after(levels, 100_399) == 99_000
    assert after(levels, 100_400) == 100_085
    assert after(levels, 101_500) == 100_085


def test_break_even_without_charges_is_the_average_price() -> None:
    plan = BreakEven(after=400, with_charges=False)
    levels = Levels(StopPlan(101_000, break_even=plan), -1, 5, 101_000)
    levels.set_entry(plan, Fraction(200_003, 2), 99_900)
    assert after(levels, 99_602) == 101_000
    assert after(levels, 99_600) == 100_000


def test_a_target_fires_on_the_other_side_and_a_trail_never_passes_it() -> None:
    levels = trailing(Trail(TrailKind.POINTS, Decimal(5)), target=100_000)
    assert levels.hit(100_000) is FiredBy.TARGET
    assert after(levels, 99_999) == 99_990
    assert levels.quiet()[1] <= 100_000
    assert levels.hit(99_990) is FiredBy.STOP


prices = st.lists(st.integers(90_000, 120_000), min_size=1, max_size=60)
trails = st.one_of(
    st.builds(Trail, st.just(TrailKind.POINTS), st.integers(1, 400).map(lambda n: Decimal(5 * n))),
    st.builds(Trail, st.just(TrailKind.PERCENT), st.decimals("0.05", "9", places=2)),
)


@given(prices, trails, st.sampled_from([1, -1]), st.sampled_from([0, 5, 50]))
def test_what_the_quiet_band_hides_changes_nothing(way: list[int], trail: Trail, gains: int, step: int) -> None:
    """The hot path asks only beyond the band; a reckoning on every price must come to the same."""
    trail = Trail(trail.kind, trail.amount, step)
    start = 95_000 if gains > 0 else 115_000
    lazy, eager = (trailing(trail, gains=gains, trigger=start) for _ in range(2))
    for price in way:
        assert lazy.hit(price) == eager.hit(price)
        if eager.hit(price) is not None:
            return
        low, high = lazy.quiet()
        before = lazy.level
        if not low < price < high:
            lazy.think(price)
        eager.think(price)
        assert lazy.level == eager.level
        assert (lazy.level - before) * gains >= 0, "a trail only tightens"
        assert lazy.level % 5 == 0
        assert lazy.hit(price) is None, "a price does not fire the level that it has moved itself"
