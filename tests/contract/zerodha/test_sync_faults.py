"""The sync against the paper exchange while it misbehaves: whatever happens, no fill is lost, none is doubled, and the
failure is named (C8).
"""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.brokers.base import BrokerSession
from app.brokers.info import shipped_info
from app.brokers.pacing import Window
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.rest import Limits
from app.domain.errors import SessionExpired
from app.domain.events import SyncPaused, SyncProgressed, SyncStep
from app.domain.fill import Fill
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.sync import ErrorClass
from app.runtime.clock import AccountClock
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import Store, open_store
from app.sync.service import SyncService
from app.sync.target import SyncTarget
from tests.contract.zerodha.test_session import log_in
from tests.fakes.book_rows import written_rows
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange
from tests.unit.sync.conftest import charge_table

A = AccountId("zerodha-paper")
INFY = InstrumentId("NSE:INFY")
ZERODHA = shipped_info("zerodha")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    """One for all: each test has a session, faults and a book of its own."""
    options = ("--seed", "12", "--clock", "2026-11-20T10:00:00", "--order-delay", "0", "--fault", "limits=off")
    with paper_exchange(*options) as running:
        yield running


@dataclass
class Rig:
    """A book, the sync on it, and what it said."""

    exchange: PaperExchange
    broker: BrokerSession
    store: Store
    book: Book
    service: SyncService
    events: list[object]
    dead: list[AccountId]
    pauses: list[float]

    async def faults(self, *specs: str) -> None:
        """In place of those before."""
        await self.exchange.control("PUT", "/faults", {"faults": ["limits=off", *specs]})

    async def sync(self) -> SyncProgressed:
        (result,) = await self.service.run()
        return result

    async def trade(self, quantity: int = 5) -> None:
        """One fill more at the exchange."""
        request = OrderRequest(A, INFY, Side.BUY, quantity, Product.MIS, OrderKind.MARKET)
        order = await self.broker.place(request)

        async def done() -> bool:
            return any(fill.broker_order_id == order for fill in await self.broker.fills())

        await eventually(done)

    async def there(self) -> set[tuple[str, str, int]]:
        """The exchange's fills."""
        rows: list[dict[str, Any]] = (await self.exchange.control("GET", "/book"))["trades"]
        return {(row["trade_id"], row["transaction_type"], row["quantity"]) for row in rows}

    async def here(self) -> set[tuple[str, str, int]]:
        """The book's. Fails when one is there twice."""
        fills: list[Fill] = await self.book.fills.all()
        found = {(fill.id.trade_id, fill.side.value, fill.quantity) for fill in fills}
        assert len(found) == len(fills)
        return found


@pytest.fixture
async def rig(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Rig]:
    await exchange.control("PUT", "/faults", {"faults": ["limits=off"]})
    helper = Helper()
    limits = Limits()
    limits.reads = Window(10_000)  # the exchange has none here
    broker = ZerodhaSession(await log_in(exchange), exchange.credentials, exchange.endpoints, helper, limits)
    store, _ = await open_store(tmp_path, Secret("cd" * 32), StoreKind.BOOK)
    book = Book(store)
    clock = AccountClock()
    clock.set((await broker.exchange_clock()).now)
    events: list[object] = []
    dead: list[AccountId] = []
    pauses: list[float] = []

    async def on_dead(account: AccountId, _: SessionExpired, _of: object) -> None:
        dead.append(account)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    info = replace(ZERODHA, rate_limits=())
    service = SyncService(
        book, charge_table(), lambda: [SyncTarget(A, broker, clock, info)], events.append, on_dead, sleep=sleep
    )
    yield Rig(exchange, broker, store, book, service, events, dead, pauses)
    await broker.close()
    await store.close()
    await helper.stop()


RETRIED = {
    **{f"{status}": f"status={status}" for status in (408, 429, 500, 502, 503, 504)},
    **{f"{status}, retry after": f"status={status}:retry-after=3" for status in (408, 429, 500, 502, 503, 504)},
    "closed before a word": "lost-before",
    "closed after the work": "lost-after",
    "closed in the middle": "close",
}


async def test_what_passes_is_waited_out_and_the_sync_is_whole(rig: Rig) -> None:
    for fault, spec in RETRIED.items():
        await rig.trade()
        await rig.faults(f"{spec}{':' if ':' not in spec else ','}route=trades")
        rig.pauses.clear()
        rig.events.clear()
        result = await rig.sync()
        assert (fault, result.step, result.retries) == (fault, SyncStep.COMPLETED, 1), result.error
        assert await rig.here() == await rig.there()
        (pause,) = rig.pauses
        told = [event.seconds for event in rig.events if isinstance(event, SyncPaused)]
        if "retry after" in fault:
            assert (fault, pause, told) == (fault, 3, [3])
        elif fault == "429":
            assert (fault, pause, told) == (fault, 60, [60])
        else:
            assert told == []
            assert 0.8 <= pause <= 1.2, fault


NAMED = {
    "the CDN's page": ("html-403", ErrorClass.ANSWER, "web page"),
    "half of a gzip": ("bad-gzip", ErrorClass.ANSWER, ""),
    "half of a document": ("cut-json", ErrorClass.ANSWER, ""),
    "more than fits": ("oversized=20", ErrorClass.ANSWER, "larger than"),
    "a server that is down": ("status=503", ErrorClass.SERVER, "could not answer"),
    "a line that is cut": ("lost-before", ErrorClass.NETWORK, ""),
}


async def test_what_stays_fails_by_its_name_and_leaves_the_book_as_it_was(rig: Rig) -> None:
    for fault, (spec, kind, words) in NAMED.items():
        await rig.faults()
        rig.service.guard.breaker("zerodha").succeeded()  # as a minute later
        assert (await rig.sync()).step is SyncStep.COMPLETED
        before = await rig.here()
        assert before == await rig.there()
        await rig.trade()
        await rig.faults(f"{spec}:route=trades,count=0")
        result = await rig.sync()
        assert (fault, result.step, result.error_class) == (fault, SyncStep.FAILED, kind), result.error
        assert words in result.error
        assert await rig.here() == before
        assert await rig.book.leases.load() == []


async def test_an_answer_that_drips_is_given_up_in_time(rig: Rig) -> None:
    """A byte a second would take minutes: the deadline is on the whole answer, not on the next byte."""
    await rig.trade()
    rest = rig.broker._rest  # type: ignore[attr-defined]
    rest._http._deadline = 0.3  # seven seconds in life
    await rig.faults("slow=0.05:route=trades,count=0")
    result = await rig.sync()
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.NETWORK), result.error
    assert "in time" in result.error
    assert result.retries == 2
    await rig.faults()


async def test_a_token_that_dies_between_trades_and_positions_asks_for_a_login(rig: Rig) -> None:
    await rig.trade()
    await rig.faults("end-session:route=positions")
    result = await rig.sync()
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.AUTH), result.error
    assert "Log in again" in result.error
    assert rig.dead == [A]
    assert await rig.here() == set()  # nothing of a sync that was cut short


async def test_fills_that_arrive_while_the_sync_reads_are_neither_lost_nor_doubled(rig: Rig) -> None:
    await rig.trade()
    await rig.faults(
        "fill-after=3:route=trades,instrument=NSE:INFY", "fill-before=2:route=positions,instrument=NSE:INFY"
    )
    assert (await rig.sync()).step is SyncStep.COMPLETED
    assert await rig.here() < await rig.there()
    await rig.faults()
    assert (await rig.sync()).created >= 1
    assert await rig.here() == await rig.there()


async def test_a_fill_that_the_broker_takes_back_is_marked_and_counts_no_more(rig: Rig) -> None:
    await rig.trade()
    await rig.trade(7)
    await rig.sync()
    known = {fill.id for fill in await rig.book.fills.all()}
    await rig.faults("withdraw:route=trades")
    result = await rig.sync()
    assert (result.step, result.updated) == (SyncStep.COMPLETED, 1)
    assert await rig.here() == await rig.there()
    (gone,) = known - {fill.id for fill in await rig.book.fills.all()}
    assert await rig.book.fills.raw(gone) is not None  # still there, with the broker's own words


async def test_an_address_that_cannot_be_found_is_said(rig: Rig) -> None:
    lost = replace(rig.exchange.endpoints, api_url="http://broker.invalid:9")
    session = ZerodhaSession(await log_in(rig.exchange), rig.exchange.credentials, lost)
    clock = AccountClock()
    service = SyncService(
        rig.book, charge_table(), lambda: [SyncTarget(A, session, clock, ZERODHA)], rig.events.append, _nobody,
        sleep=lambda _s: asyncio.sleep(0),
    )  # fmt: skip
    (result,) = await service.run()
    await session.close()
    assert (result.step, result.error_class) == (SyncStep.FAILED, ErrorClass.NETWORK)
    assert "could not be found (DNS)" in result.error or "could not be reached" in result.error


async def _nobody(account: AccountId, cause: SessionExpired, _of: object) -> None:
    raise AssertionError((account, cause))


async def test_a_full_disk_fails_in_words_and_the_next_sync_makes_up_for_it(rig: Rig) -> None:
    for _ in range(3):
        await rig.trade()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = rig.store.path.with_name(rig.store.path.name + "-wal")
    try:
        # A file that may not grow is what a full disk looks like to whoever writes.
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 4096, hard))
        outcome = (await asyncio.gather(rig.service.run(), return_exceptions=True))[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    if isinstance(outcome, BaseException):
        assert "disk" in str(outcome).lower() or "space" in str(outcome).lower(), outcome
    else:
        assert outcome[0].step is SyncStep.FAILED
        assert outcome[0].error_class is ErrorClass.STORAGE
    result = await rig.sync()
    assert result.step is SyncStep.COMPLETED, result.error
    assert await rig.here() == await rig.there()
    assert await rig.book.leases.load() == []


async def test_button_and_schedule_at_once_fetch_once(rig: Rig) -> None:
    await rig.trade()
    await rig.faults("delay=0.1:route=trades,count=0")
    both = await asyncio.gather(rig.service.run(), rig.service.run(A, "scheduled"), rig.service.run(A, "command line"))
    assert len({result.run for (result,) in both}) == 1
    shown = await rig.exchange.control("GET", "/faults")
    assert [fault["seen"] for fault in shown["faults"]] == [1]
    assert await rig.here() == await rig.there()


async def test_the_same_again_writes_nothing(rig: Rig) -> None:
    await rig.trade()
    await rig.sync()
    before = await written_rows(rig.store)
    fills, trades, lagging = before
    assert fills
    assert trades
    assert not lagging
    for _ in range(3):
        result = await rig.sync()
        assert (result.created, result.updated, result.skipped) == (0, 0, result.fetched)
    assert await written_rows(rig.store) == before
