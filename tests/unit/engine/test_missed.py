"""Trades that no packet showed, proven by two packets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.ids import AccountId, InstrumentId, StopId
from app.domain.instrument import Product
from app.domain.market import Tick
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopPlan, StopState, TriggerSource
from app.engine.missed import MissedTrades

INFY = InstrumentId("NSE:INFY")


def stop(side: Side, level: int, source: TriggerSource = TriggerSource.LAST) -> Stop:
    key = PositionKey(AccountId("zerodha-1"), INFY, Product.MIS)
    plan = StopPlan(level, source=source)
    return Stop(StopId("S1"), key, side, trigger=level, quantity=5, state=StopState.ARMED, armed_at=1, plan=plan)


def tick(last: int, low: int | None, high: int | None, volume: int | None) -> Tick:
    return Tick(INFY, last, 0, volume=volume, low=low, high=high)


class Scene:
    def __init__(self, armed: Stop) -> None:
        self.armed = armed
        self.told: list[int] = []
        self.missed = MissedTrades(lambda _token: [self.armed], lambda _stop, _tick, price: self.told.append(price))

    def see(self, *ticks: Tick) -> list[int]:
        for one in ticks:
            self.missed.look(7, one)
        return self.told


@pytest.mark.parametrize(
    ("side", "level", "after", "price"),
    [(Side.SELL, 100, tick(105, 99, 110, 60), 99), (Side.BUY, 110, tick(105, 101, 111, 60), 111)],
)
def test_a_new_extreme_beyond_the_level_is_a_trade_that_was_missed(
    side: Side, level: int, after: Tick, price: int
) -> None:
    assert Scene(stop(side, level)).see(tick(105, 101, 109, 50), after) == [price]


@pytest.mark.parametrize(
    "after",
    [
        tick(105, 101, 110, 60),  # nothing new
        tick(105, 100, 111, 50),  # nothing traded
        tick(99, 99, 110, 60),  # shown: the level test is at it
        tick(105, None, None, 60),
        tick(105, 99, 110, None),
    ],
)
def test_what_proves_nothing_says_nothing(after: Tick) -> None:
    assert Scene(stop(Side.SELL, 100)).see(tick(105, 101, 110, 50), after) == []


def test_a_low_from_before_the_stop_was_armed_or_tightened_is_none_of_its_business() -> None:
    scene = Scene(stop(Side.SELL, 95))
    scene.see(tick(105, 101, 110, 50))
    scene.armed = replace(scene.armed, trigger=100)  # a trail that followed
    assert scene.see(tick(105, 99, 110, 60)) == []
    fresh = Scene(stop(Side.SELL, 100))
    assert fresh.see(tick(105, 99, 110, 60)) == []
    fresh.missed.forget()
    assert fresh.see(tick(105, 98, 110, 70)) == []


def test_a_low_between_the_old_level_and_the_one_that_the_trader_has_moved_to_is_none_either() -> None:
    scene = Scene(stop(Side.SELL, 100))
    scene.see(tick(105, 101, 110, 50))
    scene.armed = replace(scene.armed, trigger=95)
    assert scene.see(tick(105, 99, 110, 60)) == []
    assert scene.see(tick(105, 95, 110, 70)) == [95]


def test_a_low_of_nought_is_no_trade() -> None:
    assert Scene(stop(Side.SELL, 100)).see(tick(105, 101, 110, 50), tick(105, 0, 110, 60)) == []


def test_a_stop_that_looks_at_more_than_the_last_price_is_left_to_its_own_judgement() -> None:
    scene = Scene(stop(Side.SELL, 100, TriggerSource.DOUBLE_LAST))
    assert scene.see(tick(105, 101, 110, 50), tick(105, 99, 110, 60)) == []
