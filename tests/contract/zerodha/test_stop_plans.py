"""Stops of every kind and the portfolio stop, with the whole desk against the paper exchange over its own wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from app.domain.day_stop import DayBreach, DayLimits
from app.domain.errors import Denied
from app.domain.instrument import Product
from app.domain.market import Interval
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.stop import FiredBy, Stop, StopPlan, StopState, TimeExit, Trail, TrailKind, TriggerSource
from app.runtime.paths import ProfilePaths
from tests.contract.zerodha.desks import connected, log_in, new_desk
from tests.contract.zerodha.test_desk_verbs import INFY, Trader
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

BASE: Price = 112_000
"""Where each test begins, in the middle between the day's circuit limits."""


@pytest.fixture(scope="module")
def open_market() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "7", "--clock", "2026-11-20T11:00:00", "--fault", "limits=off") as running:
        yield running


@pytest.fixture
async def at_desk(open_market: PaperExchange, tmp_path: Path) -> AsyncIterator[Trader]:
    try:
        async with new_desk(ProfilePaths(tmp_path / "profile")) as desk:
            account = await connected(desk, open_market)
            await log_in(desk, open_market, account, INFY)
            trader = Trader(desk, open_market, account)
            await goes_to(trader, BASE)
            await trader.buy(10, Product.MIS)
            yield trader
            if held := await trader.quantity(Product.MIS):
                assert held == 10
    finally:
        positions = (await open_market.control("GET", "/book"))["net"]
        for row in positions:
            if row["quantity"]:
                change = {"instrument": "NSE:INFY", "quantity": -row["quantity"], "product": row["product"]}
                await open_market.control("PUT", "/trade", change)


async def ended(trader: Trader, stop: Stop) -> Stop:
    async def final() -> Stop | None:
        (now,) = [s for s in await trader.desk.stops.stops() if s.id == stop.id]
        return now if now.state.is_final else None

    found: Stop = await eventually(final, 20)
    assert await trader.quantity(Product.MIS) == 0
    return found


def tick(price: Price) -> Price:
    return price // 10 * 10


async def goes_to(trader: Trader, price: Price) -> None:
    """The market trades there, and the desk has seen it."""
    await trader.exchange.control("PUT", "/market", {"NSE:INFY": price / 100})
    desk = trader.desk._workspace.account(trader.account)

    async def seen() -> bool:
        last = desk.last_price(INFY)
        return last is not None and abs(last - price) * 200 < price

    await eventually(seen)


@pytest.mark.parametrize("source", [TriggerSource.BID_ASK, TriggerSource.MID, TriggerSource.DOUBLE_LAST])
async def test_a_stop_that_looks_at_the_book_or_two_trades_fires_over_the_wire(
    at_desk: Trader, source: TriggerSource
) -> None:
    last = BASE
    stop = await at_desk.desk.stops.arm(at_desk.key(Product.MIS), StopPlan(tick(last * 98 // 100), source=source))
    for percent in (97, 96):
        await goes_to(at_desk, tick(last * percent // 100))
    assert (await ended(at_desk, stop)).fired_by is FiredBy.STOP


async def test_a_target_a_trail_of_the_exchanges_own_candles_and_a_time_are_foreseen_and_armed(at_desk: Trader) -> None:
    last = BASE
    key = at_desk.key(Product.MIS)
    plan = StopPlan(
        tick(last * 95 // 100),
        target=tick(last * 102 // 100),
        trail=Trail(TrailKind.ATR, Decimal(3), interval=Interval.MINUTES_5),
        time_exit=TimeExit(before_end=10),
    )
    foreseen = await at_desk.desk.stops.foresee(key, plan)
    assert foreseen.denied == ""
    assert foreseen.average_range is not None
    assert foreseen.average_range > 0
    assert foreseen.leaves_at is not None
    assert foreseen.target_outcome is not None
    assert foreseen.target_outcome > foreseen.outcome
    stop = await at_desk.desk.stops.arm(key, plan)
    assert stop.exit_at == foreseen.leaves_at
    await goes_to(at_desk, tick(last * 103 // 100))
    assert (await ended(at_desk, stop)).fired_by is FiredBy.TARGET


async def test_a_portfolio_stop_closes_the_position_and_holds_entries_back(at_desk: Trader) -> None:
    last = BASE
    desk = at_desk.desk._workspace.account(at_desk.account)
    stop = await at_desk.desk.stops.arm(at_desk.key(Product.MIS), StopPlan(tick(last * 50 // 100)))
    figures = desk.day.now()
    assert figures is not None
    lost = max(0, -figures[1])
    await at_desk.desk.stops.set_day_limits(at_desk.account, DayLimits(loss=lost + 10 * (last // 50)))
    await goes_to(at_desk, tick(last * 97 // 100))
    assert (await ended(at_desk, stop)).fired_by is FiredBy.PORTFOLIO
    (day,) = await at_desk.desk.stops.day_stops()
    assert (day.halted, day.until) == (DayBreach.LOSS, "2026-11-21"), "the paper market trades every day"
    with pytest.raises(Denied, match="portfolio stop"):
        await at_desk.desk.trading.place(
            OrderRequest(at_desk.account, INFY, Side.BUY, 1, Product.MIS, OrderKind.MARKET)
        )
    assert not [s for s in await at_desk.desk.stops.stops() if s.state is StopState.ARMED]


async def test_a_stop_beyond_the_days_circuit_limit_says_so_before_it_is_armed(at_desk: Trader) -> None:
    key = at_desk.key(Product.MIS)

    async def told() -> Price | None:
        return (await at_desk.desk.stops.preview(key, 60_000)).beyond

    await eventually(told)
    limit = await told()
    assert limit is not None
    assert 95_000 < limit < BASE
    assert (await at_desk.desk.stops.preview(key, limit)).beyond is None
    assert (await at_desk.desk.stops.preview(key, limit - 10)).beyond == limit
