"""Closing at the break-even nets nothing or a little more; one tick worse loses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analytics.break_even import break_even, net_at, position_entry
from app.domain.fill import Fill
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import Position, PositionKey
from tests.unit.analytics.builders import BUY, SELL, allocate, build_trades, fill, shipped

DAY = "2026-04-01"


def net_in_the_book(entries: list[Fill], price: int, on: str) -> int:
    """The net of the trade that the book would show."""
    first = entries[0]
    quantity = sum(one.quantity for one in entries)
    close = fill(
        first.instrument, first.side.opposite, quantity, price / 100, on, order="x", product=first.product, at=99
    )
    fills = [*entries, close]
    return sum(trade.net for trade in build_trades(fills, allocate(fills, shipped())))


def test_one_lot_of_a_future() -> None:
    entry = fill("NFO:NIFTY26DECFUT", BUY, 75, 22000, DAY)
    price = break_even([entry], 10, DAY, shipped())
    # 984.53 of charges at an exit of 22,100 (vector 23) are 13.13 a unit; a little less tax at a lower exit
    assert price == 2201310
    assert net_in_the_book([entry], 2201310, DAY) >= 0 > net_in_the_book([entry], 2201300, DAY)


@settings(max_examples=60, deadline=None)
@given(
    instrument=st.sampled_from(["NFO:NIFTY26DECFUT", "NFO:NIFTY26DEC24000CE", "NSE:SBIN", "BSE:SBIN"]),
    side=st.sampled_from([BUY, SELL]),
    product=st.sampled_from([Product.CNC, Product.MIS]),
    parts=st.lists(st.tuples(st.integers(1, 500), st.integers(100, 30_000)), min_size=1, max_size=3),
    tick=st.sampled_from([1, 5, 10]),
    opened=st.sampled_from([DAY, "2026-03-30"]),
)
def test_at_it_nothing_is_lost_and_one_tick_worse_it_is(
    instrument: str, side: Side, product: Product, parts: list[tuple[int, int]], tick: int, opened: str
) -> None:
    entries = [
        fill(instrument, side, quantity, paise * tick / 100, opened, order=f"{n}", product=product, at=n)
        for n, (quantity, paise) in enumerate(parts)
    ]
    price = break_even(entries, tick, DAY, shipped())
    if price is None:
        assert side is SELL
        assert net_in_the_book(entries, tick, DAY) < 0
        return
    assert price % tick == 0
    assert net_in_the_book(entries, price, DAY) >= 0
    assert net_in_the_book(entries, price - side.sign * tick, DAY) < 0
    net = net_at(entries, DAY, shipped())
    better = [price + side.sign * tick * n for n in range(200)]
    assert all(net(one) >= 0 for one in better if one > 0)


def test_a_short_that_cannot_win() -> None:
    assert break_even([fill("NFO:NIFTY26DEC24000CE", SELL, 1, 0.10, DAY)], 5, DAY, shipped()) is None


def test_fills_of_both_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="one open position"):
        break_even([fill("NSE:SBIN", BUY, 1, 1, DAY), fill("NSE:SBIN", SELL, 1, 1, DAY)], 5, DAY, shipped())
    with pytest.raises(ValueError, match="one open position"):
        break_even([], 5, DAY, shipped())


def _position(quantity: int, average: str) -> Position:
    key = PositionKey(AccountId("a"), InstrumentId("NFO:NIFTY26DECFUT"), Product.NRML)
    value = Decimal(average) * abs(quantity)
    return Position(key, quantity, Decimal(average), 0, 0, abs(quantity), value, 0, Decimal(0))


@pytest.mark.parametrize(("quantity", "price", "side"), [(75, 2200004, BUY), (-75, 2200003, SELL)])
def test_an_average_is_rounded_against_the_position(quantity: int, price: int, side: Side) -> None:
    future = Instrument(
        InstrumentId("NFO:NIFTY26DECFUT"), 1, Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, "NIFTY", 10, 75
    )
    entry = position_entry(_position(quantity, "22000.0333"), future, DAY)
    assert (entry.price, entry.side, entry.quantity) == (price, side, 75)
    assert break_even([entry], 10, DAY, shipped()) in (2201320, 2198680, 2198690)
    with pytest.raises(ValueError, match="flat"):
        position_entry(_position(0, "1"), future, DAY)
