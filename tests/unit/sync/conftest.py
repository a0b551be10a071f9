"""A real book, a real adapter, and a broker whose answers the test writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from app.analytics.charge_table import ChargeTable
from app.brokers.base import Credentials, Session
from app.brokers.pacing import Window
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.rest import Limits
from app.domain.account import Endpoints
from app.domain.errors import SessionExpired
from app.domain.events import SyncProgressed
from app.domain.fill import Fill, Trade
from app.domain.ids import AccountId, Nanos
from app.runtime.paths import resource
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from app.sync.service import SyncService, SyncTarget
from tests.fakes.scripted_server import ScriptedServer, Seen, answer

A, B = AccountId("zerodha-AB1234"), AccountId("zerodha-CD5678")
DAY = "2026-11-20"
NOON = 1_795_156_200_000_000_000  # 2026-11-20 12:00 in India

T = TypeVar("T")


def charge_table() -> ChargeTable:
    return ChargeTable.parse(*(path.read_text(encoding="utf-8") for path in sorted(resource("charges").glob("*.csv"))))


def trade_row(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "trade_id": str(number),
        "order_id": "1100000000000000000",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "instrument_token": 408065,
        "product": "MIS",
        "average_price": 1500.05,
        "quantity": 10,
        "exchange_order_id": "1",
        "transaction_type": "BUY",
        "fill_timestamp": f"{DAY} 09:16:{number % 60:02}",
        "order_timestamp": "09:16:39",
        "exchange_timestamp": f"{DAY} 09:16:{number % 60:02}",
    }
    return row | changes


MARGINS = {
    "equity": {"enabled": True, "net": 1000.5, "available": {"opening_balance": 1200}, "utilised": {"debits": 1}}
}


@dataclass
class Desk:
    """What a broker says, what the sync told, and the clock."""

    trades: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, list[bytes]] = field(default_factory=dict)
    """Answers to give instead, by path, each once."""
    events: list[object] = field(default_factory=list)
    dead: list[AccountId] = field(default_factory=list)
    results: list[SyncProgressed] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    """A broken answer was given."""
    at: Nanos = NOON
    on_fetching: Callable[[], Awaitable[None]] | None = None
    """Done while a sync fetches, once the trades were asked for."""
    on_saving: Callable[[], Awaitable[None]] | None = None
    """Done once the trades were read, before they are saved."""

    def now(self) -> Nanos:
        return self.at

    def script(self, seen: Seen) -> bytes:
        instead = self.broken.get(seen.path)
        if instead:
            self.struck.set()
            return instead.pop(0)
        data = {
            "/trades": self.trades,
            "/portfolio/positions": {"net": [], "day": []},
            "/portfolio/holdings": [],
            "/user/margins": MARGINS,
        }[seen.path]
        return answer(json.dumps({"status": "success", "data": data}).encode())

    def told(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    async def on_dead(self, account: AccountId, _: SessionExpired, _of: object) -> None:
        self.dead.append(account)

    async def on_result(self, progress: SyncProgressed) -> None:
        self.results.append(progress)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    store, _ = await open_store(tmp_path, Secret("ab" * 32), StoreKind.BOOK)
    yield Book(store)
    await store.close()


@pytest.fixture
async def broker(desk: Desk) -> AsyncIterator[ZerodhaSession]:
    async with ScriptedServer(desk.script) as server:
        endpoints = Endpoints(server.url, server.url, server.url)
        session = Session(A, "AB1234", "Asha", Secret("token"), 0, 0)
        limits = Limits()
        limits.reads = Window(10_000)  # the scripted broker has none
        broker = ZerodhaSession(session, Credentials("key", Secret("secret")), endpoints, limits=limits)
        reported = broker.reported_fills

        async def watched() -> list[tuple[Fill, str]]:
            if desk.on_fetching is not None:
                await desk.on_fetching()
            found = await reported()
            if desk.on_saving is not None:
                await desk.on_saving()
            return list(found)

        broker.reported_fills = watched  # type: ignore[method-assign]  # the moments that tests choose
        yield broker
        await broker.close()


@pytest.fixture
def service(desk: Desk, book: Book, broker: ZerodhaSession) -> SyncService:
    targets = [SyncTarget(A, broker, desk)]
    return SyncService(
        book, charge_table(), lambda: targets, desk.events.append, desk.on_dead, desk.on_result, desk.sleep
    )


async def trades_of(book: Book) -> list[Trade]:
    return list((await book.trades.page()).rows)
