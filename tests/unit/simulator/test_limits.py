from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app.simulator.limits import Limits
from app.simulator.refusal import Refused
from tests.unit.simulator.conftest import Make


def passed(request: Callable[[], None]) -> bool:
    try:
        request()
    except Refused as refused:
        return (refused.status, refused.error_type) != (429, "NetworkException")
    return True


@pytest.mark.parametrize(("kind", "most"), [("quote", 1), ("historical", 3), ("other", 10)])
def test_requests_a_second(kind: str, most: int) -> None:
    limits = Limits()
    assert [passed(lambda: limits.request(kind, 5.0)) for _ in range(most + 1)] == [True] * most + [False]
    assert not passed(lambda: limits.request(kind, 5.99))
    assert passed(lambda: limits.request(kind, 6.0))


def test_classes_do_not_share() -> None:
    limits = Limits()
    assert passed(lambda: limits.request("quote", 5.0))
    assert passed(lambda: limits.request("historical", 5.0))
    assert not passed(lambda: limits.request("quote", 5.5))


def test_orders_count_by_the_servers_calendar_second() -> None:
    limits = Limits()
    at = [100.95] * 10 + [101.0] * 10
    for moment in at:
        limits.order(moment, 0, placement=True)
    assert not passed(lambda: limits.order(101.99, 0, placement=True))
    assert not passed(lambda: limits.order(101.99, 0, placement=False))  # a cancel shares the bucket


def test_four_hundred_orders_a_minute() -> None:
    limits = Limits()
    for n in range(400):
        limits.order(100.0 + n // 10, n, placement=True)
    assert not passed(lambda: limits.order(141.0, 400, placement=True))
    assert passed(lambda: limits.order(141.0, 400, placement=False))  # cancels do not count for the minute
    assert passed(lambda: limits.order(160.0, 400, placement=True))


def test_five_thousand_orders_a_day() -> None:
    assert passed(lambda: Limits().order(1.0, 4999, placement=True))
    with pytest.raises(Refused, match="Maximum allowed order requests exceeded"):
        Limits().order(1.0, 5000, placement=True)
    assert passed(lambda: Limits().order(1.0, 5000, placement=False))


async def test_over_the_wire_the_second_quote_of_a_second_is_refused(make: Make) -> None:
    bench = await make("limits=on")
    answers = await asyncio.gather(*(bench.http.get("/quote/ltp", params={"i": "NSE:INFY"}) for _ in range(4)))
    refused = [answer.json() for answer in answers if answer.status_code == 429]
    assert len(refused) == 3
    assert refused[0]["error_type"] == "NetworkException"
    assert refused[0]["message"] == "Too many requests"


async def test_refused_placements_count_for_the_day(make: Make) -> None:
    bench = await make()
    await bench.try_place(market_protection=None)
    assert bench.exchange.oms.records.placed_today == 1
