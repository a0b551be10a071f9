"""Sync of a real book with the paper exchange: twice, and with the exchange or the token dying in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.brokers.base import BrokerSession
from app.brokers.registry import Registry
from app.domain.errors import SessionExpired
from app.domain.events import SyncProgressed, SyncStep
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.runtime.clock import AccountClock
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from app.sync.service import SyncService, SyncTarget
from tests.contract.zerodha.test_session import log_in
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange
from tests.unit.sync.conftest import charge_table

A = AccountId("zerodha-paper")
INFY = InstrumentId("NSE:INFY")


@pytest.fixture
def exchange() -> Iterator[PaperExchange]:
    with paper_exchange("--seed", "11", "--clock", "2026-11-20T10:00:00", "--order-delay", "0") as running:
        yield running


@pytest.fixture
async def broker(exchange: PaperExchange) -> AsyncIterator[BrokerSession]:
    helper = Helper()
    session = (
        Registry(helper).factory("zerodha").session(await log_in(exchange), exchange.credentials, exchange.endpoints)
    )
    yield session
    await session.close()
    await helper.stop()


class Rig:
    """A book, the sync on it, and what it said."""

    def __init__(self, book: Book, broker: BrokerSession, clock: AccountClock) -> None:
        self.book = book
        self.events: list[object] = []
        self.dead: list[AccountId] = []
        self.fetching = asyncio.Event()
        targets = [SyncTarget(A, broker, clock)]
        self.service = SyncService(
            book, charge_table(), lambda: targets, self._publish, self._on_dead, sleep=self._sleep
        )

    def _publish(self, event: object) -> None:
        self.events.append(event)
        if isinstance(event, SyncProgressed) and event.step is SyncStep.FETCHING:
            self.fetching.set()

    async def _on_dead(self, account: AccountId, _: SessionExpired, _of: object) -> None:
        self.dead.append(account)

    async def _sleep(self, _: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def rig(broker: BrokerSession, tmp_path: Path) -> AsyncIterator[Rig]:
    store, _ = await open_store(tmp_path, Secret("cd" * 32), StoreKind.BOOK)
    clock = AccountClock()
    reading = await broker.exchange_clock()
    clock.set(reading.now, reading.speed)
    yield Rig(Book(store), broker, clock)
    await store.close()


async def trade(broker: BrokerSession, quantity: int = 20) -> None:
    """In and out again."""
    for side in (Side.BUY, Side.SELL):
        number = await broker.place(OrderRequest(A, INFY, side, quantity, Product.MIS, OrderKind.MARKET))

        async def done(number: str = number) -> bool:
            return any(f.broker_order_id == number for f in await broker.fills()) and all(
                o.status.is_final for o in await broker.orders()
            )

        await eventually(done)


async def test_trades_come_home_once_net_of_charges(rig: Rig, broker: BrokerSession) -> None:
    await trade(broker)
    (first,) = await rig.service.run()
    assert first.step is SyncStep.COMPLETED
    fills = await broker.fills()
    assert (first.fetched, first.created) == (len(fills), len(fills))
    (round_trip,) = (await rig.book.trades.page()).rows
    sold = sum(f.price * f.quantity for f in fills if f.side is Side.SELL)
    bought = sum(f.price * f.quantity for f in fills if f.side is Side.BUY)
    assert (round_trip.instrument, round_trip.quantity, round_trip.gross) == (INFY, 20, sold - bought)
    assert round_trip.net < round_trip.gross
    (again,) = await rig.service.run()
    assert (again.created, again.updated, again.skipped) == (0, 0, len(fills))
    assert (await rig.book.trades.page()).rows == (round_trip,)
    (position,) = await rig.book.positions.load(A)
    assert position.quantity == 0


async def test_an_exchange_killed_in_the_middle_fails_in_words_and_writes_nothing(
    rig: Rig, broker: BrokerSession, exchange: PaperExchange
) -> None:
    await trade(broker)
    await exchange.control("PUT", "/faults", {"faults": ["delay=30:route=holdings"]})
    running = asyncio.ensure_future(rig.service.run())
    await rig.fetching.wait()
    exchange.kill()
    (result,) = await running
    assert result.step is SyncStep.FAILED
    assert "127.0.0.1" in result.error
    assert await rig.book.fills.all(A) == []
    assert await rig.book.positions.load(A) == []
    assert rig.dead == []
    assert (await rig.book.sync_log.recent())[0].step is SyncStep.FAILED


async def test_a_token_that_dies_between_two_calls_expires_the_account(
    rig: Rig, broker: BrokerSession, exchange: PaperExchange
) -> None:
    await trade(broker)
    (first,) = await rig.service.run()
    assert first.step is SyncStep.COMPLETED
    # Past six in the morning of the next day: the regulator's hour.
    await exchange.control("PUT", "/clock", {"now": "2026-11-21T06:00:01+05:30"})
    (result,) = await rig.service.run()
    assert result.step is SyncStep.FAILED
    assert "Log in again" in result.error
    assert rig.dead == [A]
    assert len((await rig.book.trades.page()).rows) == 1
