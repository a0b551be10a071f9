from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator.matching import (
    Execution,
    Taken,
    band_percent,
    crosses,
    is_triggered,
    match,
    protected_price,
    visible,
)

sides = st.sampled_from(["BUY", "SELL"])
levels = st.lists(
    st.tuples(st.integers(1, 5_000), st.integers(1, 500), st.integers(1, 9)),
    max_size=5,
    unique_by=lambda level: level[0],
)


@pytest.mark.parametrize(
    ("option", "rupees", "percent"),
    [
        (False, "99.95", "2"),
        (False, "100", "1"),
        (False, "500", "1"),
        (False, "500.05", "0.5"),
        (True, "9.95", "5"),
        (True, "10", "3"),
        (True, "99.95", "3"),
        (True, "100", "2"),
        (True, "500", "2"),
        (True, "500.05", "1"),
    ],
)
def test_automatic_bands_of_the_brokers_table(option: bool, rupees: str, percent: str) -> None:
    assert band_percent(option=option, last_price=int(Decimal(rupees) * 100)) == Decimal(percent)


def test_a_protected_buy_is_the_limit_of_the_published_sample() -> None:
    # TATASTEEL in the broker's sample book: limit 159.82 with mktp:2.00
    assert protected_price("BUY", 15669, Decimal(2), 1) == 15982


@given(sides, st.integers(1, 10_000_000), st.decimals("0.05", 100, places=2), st.sampled_from([1, 5, 10, 100]))
def test_protection_stays_on_the_tick_and_inside_the_band(side: str, last: int, percent: Decimal, tick: int) -> None:
    limit = protected_price(side, last, percent, tick)
    assert limit % tick == 0
    assert limit > 0
    if side == "BUY":
        assert limit <= max(int(last * (100 + percent) / 100), last + tick)
        assert limit >= last
    else:
        assert limit >= min(int(last * (100 - percent) / 100), last - tick)
        assert limit <= max(last, tick)


@given(sides, st.integers(1, 3_000), st.integers(1, 5_000), levels, levels, st.booleans())
def test_nothing_is_lost_and_no_price_is_worse_than_the_limit(
    side: str,
    quantity: int,
    limit: int,
    buy: list[tuple[int, int, int]],
    sell: list[tuple[int, int, int]],
    resting: bool,
) -> None:
    book = visible(side, buy, sell)
    found = match(side, quantity, limit, book, resting=resting)
    assert all(crosses(side, limit, e.price) for e in found.executions)
    assert all(e.quantity > 0 for e in found.executions)
    acceptable = sum(level.quantity for level in book if crosses(side, limit, level.price))
    assert found.quantity == min(quantity, acceptable)
    if found.swept:
        assert found.quantity == acceptable < quantity


@given(sides, st.integers(1, 5_000), levels, st.lists(st.integers(1, 400), max_size=6))
def test_orders_on_one_quote_never_take_more_than_it_shows(
    side: str, limit: int, shown: list[tuple[int, int, int]], wanted: list[int]
) -> None:
    book = visible(side, shown, shown)
    taken, total = Taken(), 0
    for quantity in wanted:
        left = taken.left(side, book)
        found = match(side, quantity, limit, left)
        taken.take(side, left, found.quantity)
        total += found.quantity
    acceptable = sum(level.quantity for level in book if crosses(side, limit, level.price))
    assert total == min(sum(wanted), acceptable)


def test_best_price_first() -> None:
    book = visible("SELL", [(9990, 5, 1), (10000, 3, 1), (9980, 9, 2)], [])
    assert match("SELL", 10, 9985, book).executions == (Execution(3, 10000), Execution(5, 9990))


def test_a_resting_order_trades_at_its_own_price() -> None:
    book = visible("SELL", [(11500, 50, 1)], [])
    assert match("SELL", 20, 11000, book, resting=True).executions == (Execution(20, 11000),)


def test_empty_levels_are_no_liquidity() -> None:
    assert visible("BUY", [], [(0, 0, 0), (100, 0, 0), (0, 10, 1)]) == []


@pytest.mark.parametrize(
    ("side", "last", "woken"),
    [("SELL", 99, True), ("SELL", 100, True), ("SELL", 101, False), ("BUY", 100, True), ("BUY", 99, False)],
)
def test_a_stop_wakes_at_its_trigger(side: str, last: int, woken: bool) -> None:
    assert is_triggered(side, last, 100) is woken
