"""Sync with the paper exchange's Upstox side: today, and the days before by date, which know less than the day did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from app.brokers.upstox import reports
from app.brokers.upstox.adapter import UpstoxSession
from app.domain.events import SyncProgressed, SyncStep
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side
from app.domain.sync import DataSet, ErrorClass
from app.runtime.clock import AccountClock
from app.runtime.secret import Secret
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import Store, open_store
from app.sync.service import SyncService
from app.sync.target import Dates, SyncTarget
from tests.contract.upstox.conftest import FACTORY, A, Upstox, upstox_exchange
from tests.fakes.book_rows import written_rows
from tests.fakes.paper_exchange import eventually
from tests.unit.sync.conftest import charge_table

INFY = InstrumentId("NSE:INFY")
FRIDAY, MONDAY = date(2026, 11, 20), date(2026, 11, 23)


@pytest.fixture
def own() -> Iterator[Upstox]:
    """Its clock is moved: no other test shares it."""
    with upstox_exchange("--seed", "9", "--clock", "2026-11-20T10:00:00", "--order-delay", "0") as running:
        yield running


class Rig:
    """An Upstox account, its book and its sync."""

    def __init__(self, exchange: Upstox, store: Store) -> None:
        self.exchange = exchange
        self.store = store
        self.book = book = Book(store)
        self.clock = AccountClock()
        self.broker: UpstoxSession | None = None
        self.dead: list[object] = []
        self.pauses: list[float] = []
        self.service = SyncService(
            book, charge_table(), self._targets, lambda _event: None, self._on_dead, sleep=self._sleep
        )

    def _targets(self) -> list[SyncTarget]:
        return [SyncTarget(A, self.broker, self.clock, FACTORY.info)]

    async def _on_dead(self, account: object, _: object, _of: object) -> None:
        self.dead.append(account)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def morning(self, at: str) -> None:
        """The exchange's clock is set, and somebody logs in."""
        await self.exchange.control("PUT", "/clock", {"now": at})
        await self.close()
        broker = FACTORY.session(await self.exchange.log_in(), self.exchange.credentials, self.exchange.endpoints)
        assert isinstance(broker, UpstoxSession)
        await broker.instruments()
        self.broker = broker
        self.clock.set((await broker.exchange_clock()).now)

    async def close(self) -> None:
        if self.broker is not None:
            await self.broker.close()

    async def trade(self, side: Side, quantity: int) -> None:
        assert self.broker is not None
        broker = self.broker
        order = await broker.place(OrderRequest(A, INFY, side, quantity, Product.MIS, OrderKind.MARKET))

        async def done() -> bool:
            return sum(f.quantity for f in await broker.fills() if f.broker_order_id == order) == quantity

        await eventually(done)

    async def faults(self, *specs: str) -> None:
        """In place of those before."""
        await self.exchange.control("PUT", "/faults", {"faults": ["limits=off", *specs]})

    async def tried(self, dates: Dates | None = None) -> SyncProgressed:
        (result,) = await self.service.run(A, dates=dates)
        assert await self.book.leases.load() == []
        return result

    async def sync(self, dates: Dates | None = None) -> SyncProgressed:
        (result,) = await self.service.run(A, dates=dates)
        assert result.step is SyncStep.COMPLETED, result.error
        assert self.dead == []
        return result

    async def units(self) -> dict[tuple[str, str], int]:
        """Units by day and side in the book."""
        found: dict[tuple[str, str], int] = {}
        for fill in await self.book.fills.all():
            key = (fill.id.trade_date, fill.side.value)
            found[key] = found.get(key, 0) + fill.quantity
        return found


@pytest.fixture
async def rig(own: Upstox, tmp_path: Path) -> AsyncIterator[Rig]:
    store, _ = await open_store(tmp_path, Secret("cd" * 32), StoreKind.BOOK)
    made = Rig(own, store)
    yield made
    await made.close()
    await store.close()


async def test_a_day_that_was_synced_is_found_again_and_one_that_was_missed_is_filled(rig: Rig) -> None:
    await rig.morning("2026-11-20T10:00:00+05:30")
    await rig.trade(Side.BUY, 20)
    first = await rig.sync()
    assert first.created == first.fetched > 0
    before = await written_rows(rig.store)
    fills, trades, lagging = before
    assert len(fills) == first.fetched
    assert trades
    assert not lagging
    again = await rig.sync()
    assert (again.created, again.updated, again.skipped) == (0, 0, first.fetched)
    assert await written_rows(rig.store) == before  # nothing was written, not even the same
    synced = await rig.book.fills.all()
    await rig.trade(Side.SELL, 20)  # and no sync any more that day
    await rig.morning("2026-11-23T10:00:00+05:30")
    await rig.trade(Side.BUY, 5)
    await rig.sync()
    assert await rig.units() == {("2026-11-20", "BUY"): 20, ("2026-11-23", "BUY"): 5}
    past = await rig.sync(Dates(FRIDAY, FRIDAY))
    assert (past.skipped, past.updated, past.conflicting) == (len(synced), 0, 0)
    expected = {("2026-11-20", "BUY"): 20, ("2026-11-20", "SELL"): 20, ("2026-11-23", "BUY"): 5}
    assert await rig.units() == expected
    whole = await rig.sync(Dates(FRIDAY, MONDAY))
    assert (whole.created, whole.updated) == (0, 0)
    assert await rig.units() == expected
    known: list[Any] = await rig.book.fills.all()
    assert all(fill in known for fill in synced)  # order, time and product as the day knew them


RETRIED = {
    **{f"{status}": f"status={status}" for status in (408, 429, 500, 502, 503, 504)},
    **{f"{status}, retry after": f"status={status}:retry-after=3" for status in (408, 429, 500, 502, 503, 504)},
    "closed before a word": "lost-before",
    "closed after the work": "lost-after",
    "closed in the middle": "close",
}
NAMED = {
    "the CDN's page": ("html-403", ErrorClass.ANSWER, "web page"),
    "half of a gzip": ("bad-gzip", ErrorClass.ANSWER, "cut off"),
    "half of a document": ("cut-json", ErrorClass.ANSWER, "JSON"),
    "more than fits": ("oversized=20", ErrorClass.ANSWER, "larger than"),
    "a server that is down": ("status=503", ErrorClass.SERVER, "could not answer"),
    "a line that is cut": ("lost-before", ErrorClass.NETWORK, ""),
}


def on(spec: str, route: str) -> str:
    """A fault on one route."""
    return f"{spec}{',' if ':' in spec else ':'}{route}"


async def test_what_passes_is_waited_out_and_what_stays_fails_by_its_name(rig: Rig) -> None:
    await rig.morning("2026-11-20T10:00:00+05:30")
    for number, (fault, spec) in enumerate(RETRIED.items(), 1):
        await rig.trade(Side.BUY, 1)
        await rig.faults(on(spec, "route=trades"))
        rig.pauses.clear()
        result = await rig.tried()
        assert (fault, result.step, result.retries, result.created) == (fault, SyncStep.COMPLETED, 1, 1), result.error
        (pause,) = rig.pauses
        asked = 3 if "retry after" in fault else 60 if fault == "429" else None
        assert pause == asked if asked is not None else 0.8 <= pause <= 1.2, fault
        assert await rig.units() == {("2026-11-20", "BUY"): number}
    before = await rig.units()
    for fault, (spec, kind, words) in NAMED.items():
        await rig.faults(on(spec, "route=trades,count=0"))
        for breaker in rig.service.guard.breakers:
            breaker.succeeded()  # as a minute later
        result = await rig.tried()
        assert (fault, result.step, result.error_class) == (fault, SyncStep.FAILED, kind), result.error
        assert words in result.error
        assert await rig.units() == before
    await rig.faults("end-session:route=positions")
    await rig.trade(Side.BUY, 1)
    result = await rig.tried()
    assert (result.step, result.error_class, rig.dead) == (SyncStep.FAILED, ErrorClass.AUTH, [A]), result.error
    assert await rig.units() == before  # nothing of a sync that was cut short


async def test_whatever_becomes_of_the_second_of_three_pages_no_fill_is_lost_or_doubled(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history of two fills a page, six in all, so that the last page is full."""
    await rig.morning("2026-11-20T10:00:00+05:30")
    for _ in range(6):
        await rig.trade(Side.BUY, 1)
    await rig.morning("2026-11-23T10:00:00+05:30")
    friday = Dates(FRIDAY, FRIDAY)
    monkeypatch.setattr(reports, "PAGE_SIZE", 2)
    for fault, (kind, words) in {
        "html-403": (ErrorClass.ANSWER, "web page"),
        "cut-json": (ErrorClass.ANSWER, "JSON"),
        "bad-gzip": (ErrorClass.ANSWER, "cut off"),
        "repeat-page": (ErrorClass.ANSWER, "page"),
        "status=503": (ErrorClass.SERVER, "could not answer"),
        "status=429:retry-after=9999": (ErrorClass.RATE_LIMIT, "no more requests"),
    }.items():
        await rig.faults(on(fault, "route=history,nth=2,count=0"))
        rig.service.guard._holds.clear()
        for breaker in rig.service.guard.breakers:
            breaker.succeeded()
        result = await rig.tried(friday)
        assert (fault, result.step, result.error_class) == (fault, SyncStep.FAILED, kind), result.error
        assert words in result.error
        assert await rig.units() == {}
    rig.service.guard._holds.clear()
    for fault in ("status=429:retry-after=7", "status=502", "close", "lost-after", "repeat-page", "cut-json"):
        await rig.faults(on(fault, "route=history,nth=2"))
        for breaker in rig.service.guard.breakers:
            breaker.succeeded()
        result = await rig.tried(friday)
        assert (fault, result.step, result.fetched) == (fault, SyncStep.COMPLETED, 6), result.error
        assert await rig.units() == {("2026-11-20", "BUY"): 6}
    assert 7 in rig.pauses
    await rig.faults("end-session:route=history,nth=2")
    result = await rig.tried(friday)
    assert (result.error_class, rig.dead) == (ErrorClass.AUTH, [A])
    assert await rig.units() == {("2026-11-20", "BUY"): 6}


async def test_funds_that_the_broker_tells_by_day_only_are_no_failure_of_the_closing_sync(
    own: Upstox, tmp_path: Path
) -> None:
    store, _ = await open_store(tmp_path, Secret("ef" * 32), StoreKind.BOOK)
    rig = Rig(own, store)
    try:
        await rig.faults("funds_night=closed")
        await rig.morning("2026-11-20T23:50:00")
        await rig.sync()
        before = await rig.book.data_sets.load()
        await own.control("PUT", "/clock", {"now": "2026-11-21T00:10:00"})
        result = await rig.sync()
        assert result.error.startswith("Funds skipped: The broker does not tell funds between midnight")
        after = {state.data_set: state for state in await rig.book.data_sets.load()}
        assert after[DataSet.FUNDS] in before
        assert not any(state.error for state in after.values())
        assert await rig.book.failed_jobs.listed() == []
    finally:
        await rig.close()
        await store.close()


async def test_dates_that_reach_to_today_bring_today_too(own: Upstox, tmp_path: Path) -> None:
    """The broker's history has none of today's trades, whoever asks for them by date."""
    store, _ = await open_store(tmp_path, Secret("ef" * 32), StoreKind.BOOK)
    rig = Rig(own, store)
    try:
        await rig.morning("2026-11-20T10:00:00")
        await rig.trade(Side.BUY, 5)
        await rig.morning("2026-11-23T10:00:00")
        await rig.trade(Side.SELL, 3)
        await rig.sync(Dates(MONDAY, MONDAY))
        assert await rig.units() == {("2026-11-23", "SELL"): 3}
        await rig.sync(Dates(FRIDAY, date(2026, 12, 5)))
        both = {("2026-11-20", "BUY"): 5, ("2026-11-23", "SELL"): 3}
        assert await rig.units() == both
        again = await rig.sync(Dates(FRIDAY, MONDAY))
        assert (again.created, again.updated) == (0, 0)
        await rig.sync()
        today = await rig.book.data_sets.load()
        await rig.sync(Dates(FRIDAY, FRIDAY))
        after = {state.data_set: state for state in await rig.book.data_sets.load()}
        known = {state.data_set: state for state in today}[DataSet.TRADES]
        trades = after[DataSet.TRADES]
        assert (trades.good_at, trades.rows) == (known.good_at, known.rows), "of today it read nothing"
        assert trades.error == ""
        assert await rig.units() == both
    finally:
        await rig.close()
        await store.close()
