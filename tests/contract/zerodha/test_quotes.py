"""Quotes for the display at a whole desk: from the account or a provider, in order, and never to a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.domain.events import Event, FeedState
from app.domain.instrument import Product
from app.domain.quotes import PolledPrice, PricesPolled
from app.domain.stop import StopPlan, StopState
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.contract.zerodha.test_accounts import INFY, Trader, at_the_desk
from tests.fakes.finnhub import KEY, FinnhubPaper
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

BELOW = 12.5
"""What the provider says INFY is worth: far below any stop."""


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "9", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as running:
        yield running


@pytest.fixture
async def trader(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Trader]:
    async with at_the_desk(exchange, ProfilePaths(tmp_path / "profile")) as found:
        yield found


async def test_the_first_of_the_order_is_asked_and_what_it_says_fires_no_stop(trader: Trader) -> None:
    desk = trader.desk
    heard: list[PolledPrice] = []

    def hear(event: Event) -> None:
        if isinstance(event, PricesPolled):
            heard.extend(event.prices)

    desk.listen(hear)
    async with FinnhubPaper({"RELIANCE.NS": 1450.0, "INFY.NS": BELOW}) as finnhub:
        await desk.quotes.save_key("finnhub", Secret(KEY), finnhub.url)
        (mine,) = await desk.quotes.ask([INFY])
        assert mine.source.startswith("Zerodha ")
        assert [source.name for source in (await desk.quotes.arrange(["finnhub"])).sources] == [
            "finnhub", trader.account,
        ]  # fmt: skip
        (theirs,) = await desk.quotes.ask([INFY])
        assert (theirs.source, theirs.tick.last_price) == ("Finnhub", 12_50)

        key = await trader.hold(10, Product.MIS)
        low = await trader.last() * 80 // 100 // 10 * 10
        stop = await desk.stops.arm(key, StopPlan(low))
        assert heard == []  # while the feed brings the price nobody is asked
        await trader.exchange.control("POST", "/faults", {"faults": ["ticker-silence=9"]})

        async def shown() -> bool:
            return any(price.tick.instrument == INFY and price.source == "Finnhub" for price in heard)

        await eventually(shown)
        account = desk._workspace.account(trader.account)
        assert account.hub.state is not FeedState.LIVE

        async def back() -> bool:
            return account.hub.state is FeedState.LIVE

        await eventually(back)
        await asyncio.sleep(0)
        (kept,) = [one for one in await desk.stops.stops() if one.id == stop.id]
        assert kept.state is StopState.ARMED
        assert account.last_price(INFY) != 12_50
