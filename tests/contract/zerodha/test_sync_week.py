"""Scheduled syncs on the exchange's own clock, run fast, with two requests in a hundred going wrong and an outage at
noon: at the end both books are equal, every day is closed, and the alerts were those of C12.

STOPLINE_SYNC_DAYS sets how many trading days (1; `make soak` takes a week).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.brokers.info import shipped_info
from app.brokers.pacing import Window
from app.brokers.zerodha.adapter import ZerodhaSession
from app.brokers.zerodha.rest import Limits
from app.domain.calendar import IST, TradingCalendar, ist_date
from app.domain.errors import SessionExpired
from app.domain.events import Noticed, SyncStep
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.sync import SyncPlan
from app.runtime.clock import AccountClock, from_datetime, to_datetime
from app.runtime.helper import Helper
from app.runtime.paths import resource
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from app.sync.scheduler import Scheduler
from app.sync.service import SyncService
from app.sync.target import SyncTarget
from app.sync.trouble import ENOUGH_RUNS
from tests.contract.zerodha.test_session import log_in
from tests.fakes.browser import browser
from tests.fakes.paper_exchange import PaperExchange, eventually, paper_exchange
from tests.unit.sync.conftest import charge_table

DAYS = int(os.environ.get("STOPLINE_SYNC_DAYS", "1"))
SEED = int(os.environ.get("STOPLINE_SEED", "1"))
MONDAY = date(2026, 11, 16)
A = AccountId("zerodha-paper")
NAMES = [InstrumentId(f"NSE:{name}") for name in ("INFY", "SBIN", "TCS", "ITC")]
EVERY_S = 540
"""Nine minutes: an outage of an hour is more than five failures."""
SPEED = 20.0
"""Exchange seconds in a real one, and the hours between two syncs are jumped over."""
SECOND, HOUR = 10**9, 3600 * 10**9
READS = ("trades", "positions", "holdings", "margins")
FAULTS = [
    f"{fault}:route={route},chance={chance},count=0"
    for route in READS
    for fault, chance in (("status=503", 0.01), ("lost-before", 0.005), ("throttle=2", 0.005))
]
OUTAGE = [f"status=502:route={route},count=0" for route in READS]


@pytest.fixture
def exchange() -> Iterator[PaperExchange]:
    start = f"{MONDAY.isoformat()}T08:40:00"
    options = ("--seed", str(SEED), "--clock", start, "--order-delay", "0", "--fault", "limits=off")
    with paper_exchange(*options) as running:
        yield running


@dataclass
class Week:
    """An account that trades and is synced by its schedule; nobody sits at the desk."""

    exchange: PaperExchange
    book: Book
    helper: Helper
    dice: random.Random
    clock: AccountClock = field(default_factory=AccountClock)
    events: list[tuple[Nanos, object]] = field(default_factory=list)
    expected: set[tuple[str, str, str, int]] = field(default_factory=set)
    """Every fill that the exchange ever had."""

    set: tuple[str, ...] = ()
    """Faults, as last set."""
    door: httpx.AsyncClient = field(default_factory=browser)

    def __post_init__(self) -> None:
        calendar = TradingCalendar.parse(
            *(path.read_text(encoding="utf-8") for path in sorted(resource("calendar").glob("*.json")))
        )
        info = replace(shipped_info("zerodha"), rate_limits=())
        self.target = SyncTarget(A, None, self.clock, info, SyncPlan(A, every_s=EVERY_S), calendar)
        self.service = SyncService(
            self.book, charge_table(), lambda: [self.target], self._hear, self._on_dead, self._ran,
            sleep=lambda _seconds: asyncio.sleep(0), clock=lambda: self.clock.now() / SECOND,
        )  # fmt: skip
        self.scheduler = Scheduler(self.book, self.service, lambda: [self.target], lambda _: MONDAY, lambda _: None)

    def _hear(self, event: object) -> None:
        self.events.append((self.clock.now(), event))

    async def _on_dead(self, account: AccountId, cause: SessionExpired, _of: object) -> None:
        raise AssertionError((account, cause))

    async def _ran(self, progress: object) -> None:
        self.scheduler.ran(progress)  # type: ignore[arg-type]  # what the service tells

    async def log_in(self) -> None:
        limits = Limits()
        limits.reads = Window(10_000)
        await self.log_out()
        session = await log_in(self.exchange)
        broker = ZerodhaSession(session, self.exchange.credentials, self.exchange.endpoints, self.helper, limits)
        self.target = replace(self.target, broker=broker)

    async def log_out(self) -> None:
        if isinstance(self.target.broker, ZerodhaSession):
            await self.target.broker.close()
        self.target = replace(self.target, broker=None)

    async def jump(self, at: Nanos) -> None:
        """Both clocks."""
        moment = to_datetime(at).isoformat()
        await self.control("PUT", "/clock", {"now": moment, "speed": SPEED})
        self.clock.set(at, SPEED)

    async def faults(self, *specs: str) -> None:
        if specs != self.set:
            self.set = specs
            await self.control("PUT", "/faults", {"faults": ["limits=off", *specs]})

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """The exchange's own door, over one connection."""
        answer = await self.door.request(method, f"{self.exchange.endpoints.api_url}/simulator{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def trade(self) -> None:
        broker = self.target.broker
        assert isinstance(broker, ZerodhaSession)
        side, name = self.dice.choice(list(Side)), self.dice.choice(NAMES)
        quantity = self.dice.randint(1, 40)
        order = await broker.place(OrderRequest(A, name, side, quantity, Product.MIS, OrderKind.MARKET))

        async def filled() -> bool:
            rows = (await self.control("GET", "/book"))["orders"]
            return any(row["order_id"] == order and row["status"] == "COMPLETE" for row in rows)

        await eventually(filled)

    async def remember(self) -> None:
        """The exchange's list of the day, before it forgets it."""
        for row in (await self.control("GET", "/book"))["trades"]:
            self.expected.add((row["fill_timestamp"][:10], row["trade_id"], row["transaction_type"], row["quantity"]))


@pytest.fixture
async def week(exchange: PaperExchange, tmp_path: Path) -> AsyncIterator[Week]:
    helper = Helper()
    store, _ = await open_store(tmp_path, Secret("cd" * 32), StoreKind.BOOK)
    made = Week(exchange, Book(store), helper, random.Random(SEED))
    yield made
    await made.scheduler.stop()
    await made.log_out()
    await made.door.aclose()
    await store.close()
    await helper.stop()


@pytest.mark.slow
@pytest.mark.timeout(max(180, 90 * DAYS))
async def test_books_are_equal_after_syncs_that_nobody_watched(week: Week) -> None:
    last_day = MONDAY + timedelta(days=DAYS - 1 + 2 * ((DAYS - 1) // 5))
    end = from_datetime(datetime(last_day.year, last_day.month, last_day.day, 20, tzinfo=IST))
    await week.jump(from_datetime(datetime(2026, 11, 16, 8, 40, tzinfo=IST)))
    day = None
    while (due := week.scheduler.next_of(week.target, week.clock.now())) is not None and due.at < end:
        at = max(due.at, week.clock.now()) + SECOND
        if ist_date(at) != day:  # tokens die in the morning: somebody logs in before nine
            day = ist_date(at)
            await week.jump(at - HOUR // 6)
            await week.log_in()
        await week.jump(at)
        noon = 11 <= to_datetime(at).hour < 12
        if week.dice.random() < 0.4:
            await week.trade()
        await week.faults(*(OUTAGE if noon else FAULTS))
        await week.scheduler.look(week.target)
        await week.scheduler.settled()
        if due.closing:
            await week.remember()
    found = await week.book.fills.all(A)
    assert {(f.id.trade_date, f.id.trade_id, f.side.value, f.quantity) for f in found} == week.expected
    assert len(found) == len(week.expected)
    assert await week.book.sync_days.open() == []
    assert await week.book.leases.load() == []
    assert await week.book.failed_jobs.listed() == []
    await the_alerts_were_those_of_the_log(week)
    await week.faults()
    (again,) = await week.service.run()
    assert (again.step, again.created, again.updated) == (SyncStep.COMPLETED, 0, 0)


async def the_alerts_were_those_of_the_log(week: Week) -> None:
    """Worked out anew from the log: each alert was raised whenever its reason began, and at no other time."""
    runs = sorted(await week.book.sync_log.recent(10_000), key=lambda run: run.started_at)
    ran = [run for run in runs if run.step in (SyncStep.COMPLETED, SyncStep.FAILED)]
    assert {run.trigger for run in ran} == {"scheduled", "closing"}
    assert len(ran) > 40 * DAYS
    raised = {"Many syncs fail": 0, "More than a tenth of the syncs fail": 0}
    stands = dict.fromkeys(raised, False)
    for n, run in enumerate(ran):
        hour = [r for r in ran[: n + 1] if r.started_at >= run.started_at - HOUR]
        whole = [r for r in ran[: n + 1] if r.started_at >= run.started_at - 24 * HOUR]
        failed = sum(r.step is SyncStep.FAILED for r in whole)
        now = {
            "Many syncs fail": sum(r.step is SyncStep.FAILED for r in hour) > 5,
            "More than a tenth of the syncs fail": len(whole) >= ENOUGH_RUNS and failed * 10 > len(whole),
        }
        for name, reason in now.items():
            raised[name] += reason and not stands[name]
        stands = now
    told = [event.title for _, event in week.events if isinstance(event, Noticed)]
    assert {name: told.count(name) for name in raised} == raised
    assert raised["Many syncs fail"] == DAYS  # one outage a day
    assert told.count("A sync keeps failing") == DAYS
    assert sum(run.retries for run in ran) > 0
