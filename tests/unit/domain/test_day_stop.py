"""The limits of a day: tighter now, looser tomorrow, and a halt that ends on its day."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.day_stop import DayBreach, DayLimits, DayStop, breach, changed, reckoned, rolled
from app.domain.ids import AccountId

ACCOUNT = AccountId("zerodha-X")
amounts = st.none() | st.integers(1, 10_000)
limits = st.builds(DayLimits, amounts, amounts, amounts)


def day(of: DayLimits, **more: object) -> DayStop:
    return replace(DayStop(ACCOUNT, "2026-11-25", of), **more)  # type: ignore[arg-type]


def test_a_tighter_limit_holds_today_a_looser_one_tomorrow() -> None:
    stop = day(DayLimits(loss=5_000, drawdown=3_000))
    stop = changed(stop, DayLimits(loss=4_000, drawdown=9_000, profit=7_000))
    assert stop.limits == DayLimits(loss=4_000, drawdown=3_000, profit=7_000)
    assert rolled(stop, "2026-11-26").limits == DayLimits(loss=4_000, drawdown=9_000, profit=7_000)


def test_a_limit_taken_away_goes_tomorrow_and_a_change_of_mind_forgets_it() -> None:
    stop = changed(day(DayLimits(loss=5_000)), DayLimits())
    assert (stop.limits.loss, stop.tomorrow) == (5_000, DayLimits())
    assert rolled(stop, "2026-11-26").limits == DayLimits()
    assert changed(stop, DayLimits(loss=5_000)).tomorrow is None


@given(limits, limits)
def test_nothing_that_the_trader_enters_loosens_today(before: DayLimits, asked: DayLimits) -> None:
    after = changed(day(before), asked)
    for net in (-10_000, -100, 0, 100, 10_000):
        for peak in (0, 5_000):
            if breach(day(before, net=net, peak=max(peak, net))) is not None:
                assert breach(replace(after, net=net, peak=max(peak, net))) is not None
    assert rolled(after, "2026-11-26").limits == asked


@pytest.mark.parametrize(
    ("net", "peak", "reached"),
    [
        (-2_999, 0, None),
        (-3_000, 0, DayBreach.DRAWDOWN),
        (-5_000, 0, DayBreach.LOSS),
        (1_000, 4_000, DayBreach.DRAWDOWN),
        (1_001, 4_000, None),
        (8_000, 8_000, DayBreach.PROFIT),
        (None, 9_000, None),
    ],
)
def test_which_limit_a_day_has_reached(net: int | None, peak: int, reached: DayBreach | None) -> None:
    assert breach(day(DayLimits(5_000, 8_000, 3_000), net=net, peak=peak)) is reached


def test_the_best_of_the_day_is_kept_and_begins_anew() -> None:
    stop = day(DayLimits())
    for net in (700, 900, 200):
        stop = reckoned(stop, net)
    assert (stop.net, stop.peak) == (200, 700), "what one look alone has seen is no best"
    assert (rolled(stop, "2026-11-26").peak, rolled(stop, "2026-11-26").net) == (0, None)
    assert rolled(stop, "2026-11-24") == stop, "a clock that went back changes nothing"


def test_a_halt_that_left_something_open_lasts_until_that_is_closed_but_no_second_day() -> None:
    stop = day(DayLimits(1), halted=DayBreach.LOSS, until="2026-11-30")
    assert not rolled(stop, "2026-11-29").overdue
    late = rolled(stop, "2026-11-30")
    assert (late.halted, late.overdue) == (DayBreach.LOSS, True)
    assert rolled(replace(late, flat=True), "2026-11-30") == day(DayLimits(1), day="2026-11-30")
    assert rolled(late, "2026-12-01") == rolled(stop, "2026-12-01") == day(DayLimits(1), day="2026-12-01")


def test_a_halt_lasts_until_its_day() -> None:
    stop = day(DayLimits(1), halted=DayBreach.LOSS, until="2026-11-30", flat=True)
    assert rolled(stop, "2026-11-28").halted is DayBreach.LOSS
    assert rolled(stop, "2026-11-30") == day(DayLimits(1), day="2026-11-30")
