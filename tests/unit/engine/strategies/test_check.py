"""What a plan may not be, said for the field that is wrong."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.domain.instrument import Product
from app.domain.order import Side
from app.domain.stop import Trail, TrailKind, TriggerSource
from app.domain.strategy import Days, DaysKind, Level, Measure
from app.engine.strategies.check import problems_of
from tests.fakes.trading import INFY, OPTION
from tests.unit.engine.strategies.stage import PLAN, second

ATR = Trail(TrailKind.ATR, Decimal(2))
PERCENT, POINTS, PRICE = Measure.PERCENT, Measure.POINTS, Measure.PRICE
GOOD = replace(PLAN, target=Level(PERCENT, 200), trail=Level(POINTS, 500))


def test_a_plan_that_makes_sense_has_no_problem() -> None:
    for plan in (GOOD, replace(GOOD, side=Side.SELL), replace(GOOD, product=Product.CNC, carry=3, exit_second=100)):
        assert problems_of(plan, INFY, 0) == ()
    option = replace(PLAN, instrument=OPTION.id, product=Product.NRML, quantity=500)
    assert problems_of(option, OPTION, 5_000) == ()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"quantity": 0}, "quantity", "at least one lot"),
        ({"quantity": 60_000}, "quantity", "at most 10 orders of 5000"),
        ({"product": Product.NRML}, "product", "CNC for delivery or MIS"),
        ({"side": Side.SELL, "product": Product.CNC}, "product", "sold short for delivery"),
        ({"exit_second": second("09:20")}, "exit_second", "later than the entry"),
        ({"carry": 1}, "carry", "closed by the broker the same day"),
        ({"carry": 300, "product": Product.CNC}, "carry", "0 to 250"),
        ({"entry_second": 90_000}, "entry_second", "time of the day"),
        ({"entry_seconds": 0}, "entry_seconds", "1 to 3600"),
        ({"days": Days(DaysKind.WEEKDAYS)}, "days", "at least one weekday"),
        ({"days": Days(DaysKind.DATES)}, "days", "at least one date"),
        ({"stop": None}, "stop", "needs a stop beside it"),
        ({"stop": None, "target": None}, "stop", "begin with"),
        ({"stop": Level(PERCENT, 0)}, "stop", "Stop: enter a number above zero"),
        ({"stop": Level(PERCENT, 6_000)}, "stop", "Stop: at most 50 %"),
        ({"stop": Level(POINTS, 3)}, "stop", "less than one tick"),
        ({"stop": Level(PRICE, 99_003)}, "stop", "on a tick"),
        ({"trail": Level(PRICE, 500)}, "trail", "points or percent"),
        ({"stop": Level(PRICE, 99_000), "target": Level(PRICE, 98_000)}, "target", "above the stop"),
        ({"stop": Level(PRICE, 99_000), "limit": 98_000}, "stop", "below the limit price"),
        ({"target": Level(PRICE, 99_000), "limit": 99_500}, "target", "above the limit price"),
        ({"limit": 99_003}, "limit", "on a tick"),
        ({"range_trail": ATR}, "trail", "not by both"),
        ({"trail": None, "range_trail": replace(ATR, period=1)}, "range_trail", "2 to 200"),
        ({"trail": None, "range_trail": replace(ATR, kind=TrailKind.POINTS)}, "range_trail", "average range"),
        ({"break_even": Level(PRICE, 99_000)}, "break_even", "a distance"),
        ({"backstop": Level(POINTS, 3)}, "backstop", "less than one tick"),
        ({"source": TriggerSource.UNDERLYING}, "source", "no underlying"),
        ({"source": TriggerSource.UNDERLYING}, "own_stop", "says nothing"),
        ({"source": TriggerSource.NONE}, "source", "looks at a price"),
        ({"stop": None, "target": None, "trail": None, "backstop": Level(POINTS, 500)}, "stop", "belongs to a stop"),
    ],
)
def test_what_is_wrong_is_said_for_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    found = problems_of(replace(GOOD, **changes), INFY, 5_000)
    assert [problem for problem in found if problem.field == field and words in problem.words], found


def test_a_short_plan_has_its_prices_the_other_way_round() -> None:
    short = replace(GOOD, side=Side.SELL, trail=None)
    right = replace(short, stop=Level(PRICE, 101_000), target=Level(PRICE, 98_000), limit=100_000)
    assert problems_of(right, INFY, 0) == ()
    wrong = replace(short, stop=Level(PRICE, 98_000), target=Level(PRICE, 101_000))
    assert [problem.field for problem in problems_of(wrong, INFY, 0)] == ["target"]


def test_an_entry_may_be_ten_orders_where_the_broker_cuts_it_up() -> None:
    large = replace(PLAN, quantity=9_000)
    assert problems_of(large, INFY, 900) == ()
    (problem,) = problems_of(replace(large, quantity=9_001), INFY, 900)
    assert (problem.field, problem.words) == ("quantity", "One entry is at most 10 orders of 900: 9000 units.")
    (problem,) = problems_of(large, INFY, 900, 1)
    assert "cuts none up" in problem.words


def test_a_lot_is_a_lot() -> None:
    plan = replace(PLAN, instrument=OPTION.id, product=Product.NRML, quantity=250)
    (problem,) = problems_of(plan, OPTION, 0)
    assert (problem.field, "500" in problem.words) == ("quantity", True)
