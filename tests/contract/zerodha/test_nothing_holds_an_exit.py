"""An armed stop fires with the breaker open, the account in error, the vault locked, a sync being cancelled, the day's
orders used up: whole desks against the paper exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.desk.desk import LocalDesk
from app.domain.errors import BrokerPaused, Denied
from app.domain.events import SessionState
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopPlan, StopState
from app.runtime.paths import ProfilePaths
from app.sync.breaker import FAILURES
from tests.contract.zerodha.desks import connected, log_in, new_desk
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange

INFY = InstrumentId("NSE:INFY")
QUANTITY = 10
OPENS_AT = 1_120.0


@dataclass
class Scene:
    """A position with its stop armed."""

    desk: LocalDesk
    exchange: PaperExchange
    account: AccountId
    stop: Stop

    async def fire(self) -> None:
        """The price falls through; flat by exactly one exit."""
        mine = self.desk._workspace.account(self.account)
        price = self.stop.trigger * 98 // 100
        await self.exchange.control("PUT", "/market", {str(INFY): price / 100})

        async def closed() -> bool:
            known = next(one for one in mine.stops.stops if one.id == self.stop.id)
            return known.state is StopState.CLOSED

        await eventually(closed)
        sold = [o for o in mine.state.orders.values() if o.side is Side.SELL and o.placed_at]
        assert [(o.status, o.filled_quantity) for o in sold[-1:]] == [(OrderStatus.FILLED, QUANTITY)]
        assert (await mine.state.read_positions()).quantity(self.stop.key) == 0


async def breaker_open(scene: Scene) -> None:
    breaker = scene.desk.sync.service.guard.breaker("zerodha")
    for _ in range(FAILURES):
        breaker.failed()
    with pytest.raises(BrokerPaused):
        await breaker.enter()


async def account_in_error(scene: Scene) -> None:
    workspace = scene.desk._workspace
    await workspace.save(replace(workspace.record(scene.account), state=SessionState.ERROR))


async def vault_locked(scene: Scene) -> None:
    scene.desk._workspace.vault.lock()


async def sync_being_cancelled(scene: Scene) -> None:
    running = asyncio.ensure_future(scene.desk.portfolio.sync())
    await asyncio.sleep(0)
    cancelling = asyncio.ensure_future(scene.desk.portfolio.cancel_sync())
    scene.desk._workspace.tasks.start(_both(running, cancelling), "sync and its end")


async def _both(*tasks: Awaitable[object]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


async def day_used_up(scene: Scene) -> None:
    orders = scene.desk._workspace.account(scene.account).orders
    orders.wire.queue.count(5_000)
    with pytest.raises(Denied, match="kept for exits"):
        await scene.desk.trading.place(OrderRequest(scene.account, INFY, Side.BUY, 1, Product.MIS, OrderKind.MARKET))


HINDRANCES: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "the breaker open": breaker_open,
    "the account in error": account_in_error,
    "the vault locked": vault_locked,
    "a sync being cancelled": sync_being_cancelled,
    "the day's orders used up": day_used_up,
}


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00", "--fault", "limits=off") as running:
        yield running


@pytest.fixture
async def scene(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Scene]:
    async with new_desk(ProfilePaths(tmp_path / "profile")) as desk:
        account = await connected(desk, exchange)
        await log_in(desk, exchange, account, INFY)
        mine = desk._workspace.account(account)
        await exchange.control("PUT", "/market", {str(INFY): OPENS_AT})  # the scene before has moved it
        key = PositionKey(account, INFY, Product.MIS)
        await desk.trading.place(OrderRequest(account, INFY, Side.BUY, QUANTITY, Product.MIS, OrderKind.MARKET))

        async def held() -> bool:
            return (await mine.state.read_positions()).quantity(key) == QUANTITY and bool(mine.last_price(INFY))

        await eventually(held)
        last = mine.last_price(INFY) or 0
        stop = await desk.stops.arm(key, StopPlan(last * 99 // 100 // 100 * 100))
        yield Scene(desk, exchange, account, stop)


@pytest.mark.parametrize("hindrance", list(HINDRANCES))
async def test_an_armed_stop_fires_with(hindrance: str, scene: Scene) -> None:
    await HINDRANCES[hindrance](scene)
    await scene.fire()
