"""The sync against the paper exchange on days that are odd and right: equal trade ids, a self-match, fills after the
close of shares, a clock that is off, a day without its closing sync, a day without trades."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path

import pytest

from app.brokers.info import shipped_info
from app.brokers.pacing import Window
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.rest import Limits
from app.domain.calendar import IST, TradingCalendar
from app.domain.errors import SessionExpired
from app.domain.events import SyncProgressed, SyncStep
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Product, Segment
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.sync import SyncPlan
from app.runtime.clock import AccountClock, from_datetime
from app.runtime.paths import resource
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from app.sync.scheduler import Scheduler
from app.sync.service import SyncService
from app.sync.target import SyncTarget
from tests.contract.contracts import CRUDE, listed
from tests.contract.zerodha.test_session import log_in
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange
from tests.unit.sync.conftest import charge_table

A = AccountId("zerodha-paper")
NSE, BSE, FUTURE = InstrumentId("NSE:INFY"), InstrumentId("BSE:INFY"), InstrumentId("NFO:NIFTY26DECFUT")
MORE = (
    "128053508,500209,INFY,INFOSYS,0,,0,0.05,1,EQ,BSE,BSE,1120,9000000\n"
    "14866434,58072,NIFTY26DECFUT,NIFTY,0,2026-12-29,0,0.1,65,FUT,NFO-FUT,NFO,24500,400000\n"
)
HOUR = 3600 * 10**9
FRIDAY, MONDAY, WEDNESDAY = "2026-11-20", "2026-11-23", "2026-11-25"
"""The 24th is a holiday."""


class Odd:
    """An account at an exchange whose clock the test sets."""

    def __init__(self, exchange: PaperExchange, book: Book) -> None:
        self.exchange = exchange
        self.book = book
        self.broker: ZerodhaSession | None = None
        self.now: Nanos = 0
        self.clock = AccountClock()
        self.service = SyncService(book, charge_table(), self._targets, lambda _: None, self._on_dead, self._ran)
        self.scheduler = Scheduler(book, self.service, self._targets, lambda _: date(2026, 11, 20), lambda _: None)

    def _targets(self) -> list[SyncTarget]:
        calendar = TradingCalendar.parse(
            *(path.read_text(encoding="utf-8") for path in sorted(resource("calendar").glob("*.json")))
        )
        plan = SyncPlan(A, segments=(Segment.EQUITY, Segment.FUTURES, Segment.COMMODITY))
        info = shipped_info("zerodha")
        return [SyncTarget(A, self.broker, self.clock, info, plan, calendar, broker_time=lambda: self.now)]

    async def _on_dead(self, account: AccountId, cause: SessionExpired, _of: object) -> None:
        raise AssertionError((account, cause))

    async def _ran(self, progress: SyncProgressed) -> None:
        self.scheduler.ran(progress)

    async def at(self, day: str, time: str, *, ours_off_by: Nanos = 0) -> None:
        """The exchange's clock; ours may be another one."""
        self.now = from_datetime(datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=IST))
        self.clock.set(self.now + ours_off_by)
        await self.exchange.control("PUT", "/clock", {"now": f"{day}T{time}+05:30"})

    async def morning(self, day: str) -> None:
        await self.at(day, "09:30:00")
        await self.close()
        limits = Limits()
        limits.reads = Window(10_000)
        self.broker = ZerodhaSession(
            await log_in(self.exchange), self.exchange.credentials, self.exchange.endpoints, limits=limits
        )

    async def close(self) -> None:
        if self.broker is not None:
            await self.broker.close()

    async def order(self, instrument: InstrumentId, side: Side, quantity: int, price: int | None = None) -> None:
        assert self.broker is not None
        shares = instrument.startswith(("NSE", "BSE"))
        product, kind = Product.MIS if shares else Product.NRML, OrderKind.MARKET if price is None else OrderKind.LIMIT
        await self.broker.place(OrderRequest(A, instrument, side, quantity, product, kind, price=price))

    async def filled(self, trades: int) -> list[dict[str, str]]:
        """Once there are so many of the day."""

        async def there() -> list[dict[str, str]] | None:
            rows: list[dict[str, str]] = (await self.exchange.control("GET", "/book"))["trades"]
            return rows if len(rows) >= trades else None

        return list(await eventually(there))

    async def sync(self) -> SyncProgressed:
        (result,) = await self.service.run()
        assert result.step is SyncStep.COMPLETED, result.error
        return result

    async def schedule(self) -> None:
        await self.scheduler.look(self._targets()[0])
        await self.scheduler.settled()

    async def days(self) -> Counter[str]:
        """Fills by trade date."""
        return Counter(fill.id.trade_date for fill in await self.book.fills.all())


@pytest.fixture
async def odd(tmp_path: Path) -> AsyncIterator[Odd]:
    contracts = Path(listed(tmp_path))
    await asyncio.to_thread(contracts.write_text, contracts.read_text() + MORE)  # noqa: ASYNC240 - a small file
    store, _ = await open_store(tmp_path, Secret("cd" * 32), StoreKind.BOOK)
    options = ("--seed", "3", "--clock", "2026-11-20T09:30:00", "--order-delay", "0", "--fault", "limits=off")
    with paper_exchange("--instruments", str(contracts), *options, "--cash", "100000000") as exchange:
        made = Odd(exchange, Book(store))
        yield made
        await made.scheduler.stop()
        await made.close()
    await store.close()


async def test_odd_days_come_home_whole_and_once(odd: Odd) -> None:
    # -- Friday: one trade id at two exchanges, and one for both sides of a self-match
    await odd.morning(FRIDAY)
    await odd.order(NSE, Side.BUY, 1)
    await odd.order(BSE, Side.BUY, 1)
    first, second = await odd.filled(2)
    assert first["trade_id"] == second["trade_id"]
    assert (await odd.sync()).created == 2
    await odd.exchange.control("PUT", "/faults", {"faults": ["limits=off", "self_match=on"]})
    last = round(float(first["average_price"]) * 100)
    resting = last * 98 // 100 // 10 * 10
    await odd.order(NSE, Side.BUY, 5, resting)
    await odd.order(NSE, Side.SELL, 5, resting)
    rows = await odd.filled(4)
    ids = Counter((row["exchange"], row["trade_id"]) for row in rows)
    await odd.exchange.control("PUT", "/faults", {"faults": ["limits=off"]})
    assert 2 in ids.values(), "the client's own orders met"
    assert (await odd.sync()).created == len(rows) - 2

    # -- fills after the close of shares: futures at 15:38, crude oil at 23:20
    await odd.at(FRIDAY, "15:38:00")
    await odd.order(FUTURE, Side.BUY, 65)
    rows = await odd.filled(len(rows) + 1)
    await odd.at(FRIDAY, "23:20:00", ours_off_by=-HOUR)
    await odd.order(CRUDE, Side.BUY, 1)
    rows = await odd.filled(len(rows) + 1)
    assert {row["fill_timestamp"][11:16] for row in rows} >= {"15:38", "23:20"}
    assert (await odd.sync()).created == 2
    assert await odd.days() == {FRIDAY: len(rows)}
    # Half past midnight, and our clock says half past eleven: the list is Friday's, or empty, and takes nothing back.
    for off in (-HOUR, HOUR, -24 * HOUR):
        await odd.at("2026-11-21", "00:30:00", ours_off_by=off)
        assert (await odd.sync()).updated == 0
        assert await odd.days() == {FRIDAY: len(rows)}
    assert not [day.day for day in await odd.book.sync_days.open(before="2026-11-21")]  # closed after midnight

    # -- Monday: the trade ids start again, and nobody was there for the closing sync
    await odd.morning(MONDAY)
    await odd.at(MONDAY, "09:30:00", ours_off_by=-72 * HOUR)  # by our clock the empty list is Friday's
    assert (await odd.sync()).updated == 0
    assert await odd.days() == {FRIDAY: len(rows)}
    await odd.order(NSE, Side.BUY, 1)
    (again,) = await odd.filled(1)
    assert again["trade_id"] == first["trade_id"]
    await odd.at(MONDAY, "09:50:00")
    await odd.schedule()
    assert await odd.days() == {FRIDAY: len(rows), MONDAY: 1}

    # -- Wednesday: no trade at all; Monday stays flagged, and nothing of before is taken back
    await odd.morning(WEDNESDAY)
    await odd.schedule()
    (result, *_) = await odd.book.sync_log.recent()
    assert (result.step, result.fetched, result.updated) == (SyncStep.COMPLETED, 0, 0)
    assert await odd.days() == {FRIDAY: len(rows), MONDAY: 1}
    flagged = [day.day for day in await odd.book.sync_days.open(before=WEDNESDAY)]
    assert flagged[0] == MONDAY
    assert FRIDAY not in flagged
