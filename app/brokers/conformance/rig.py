"""One card at work: the bench, the door, and what the cards ask of both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from app.brokers.base import (
    BrokerSession,
    CandleSource,
    InstrumentSource,
    QuoteSource,
    ReadSession,
    Session,
)
from app.brokers.conformance.bench import Bench
from app.brokers.conformance.door import Door
from app.brokers.parts import AddressSource, AlertBroker, AuctionSource, CalendarSource, GttBroker, HistoryBroker
from app.domain.account import Endpoints
from app.domain.errors import AppError, BadAnswer, Unreachable
from app.domain.ids import BrokerOrderId, InstrumentId, Tag
from app.domain.instrument import Instrument
from app.domain.market import Interval
from app.domain.order import Order, OrderKind, OrderRequest, Side

T = TypeVar("T")

Read = Callable[[], Awaitable[object]]
BROKEN_READ = (Unreachable, BadAnswer)
"""What a read that was not answered properly raises."""
WITHIN_SECONDS = 10.0
HOUR = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Card:
    """A numbered clause of the contract and the test that proves it."""

    number: int
    clause: str


def card(number: int, clause: str) -> pytest.MarkDecorator:
    """Marks a test as the proof of a clause."""
    return pytest.mark.card(Card(number, clause))


class Rig:
    """What a card works with. `door.break_answers` comes after `session`: the login itself is not to be broken."""

    def __init__(self, bench: Bench, door: Door, stack: AsyncExitStack) -> None:
        self.bench = bench
        self.door = door
        self._stack = stack

    @property
    def endpoints(self) -> Endpoints:
        """The service's, by way of the door."""
        return replace(self.bench.endpoints, **dict.fromkeys(self._doors(), self.door.url))

    def _doors(self) -> list[str]:
        """Every address of the same origin as the API's goes through the door; login page and sockets do not."""
        known = self.bench.endpoints
        names = [name for name in Endpoints.__dataclass_fields__ if name not in ("login_url", "ws_url", "redirect_url")]
        return [name for name in names if getattr(known, name) == known.api_url]

    async def log_in(self) -> Session:
        """As a trader would, by way of the door; remembered."""
        bench = self.bench
        login = bench.factory().login(bench.account, bench.credentials, self.endpoints)
        bench.remembered = await login.exchange(await bench.one_time_token(login.login_url("state-of-the-card")))
        return bench.remembered

    async def living(self) -> Session:
        """A session that lives."""
        return self.bench.remembered or await self.log_in()

    async def session(self, session: Session | None = None) -> ReadSession:
        """An adapter of its own for the card; closed after it."""
        living = session or await self.living()
        made = self.bench.factory().session(living, self.bench.credentials, self.endpoints)
        self._stack.push_async_callback(made.close)
        return made

    async def trader(self) -> BrokerSession:
        """The same, trading; a card about trading is skipped where the provider only reads."""
        made = await self.session()
        if not isinstance(made, BrokerSession):
            pytest.skip(f"{self.bench.factory().info.title} only reads")
        return made

    async def historian(self) -> HistoryBroker:
        """The same, as one that tells of earlier days."""
        made = await self.session()
        if not isinstance(made, HistoryBroker):
            pytest.skip(f"{self.bench.factory().info.title} has no history")
        return made

    async def instrument(self, session: ReadSession, instrument: InstrumentId) -> Instrument:
        """From the broker's own list."""
        assert isinstance(session, InstrumentSource)
        listed = {known.id: known for known in await session.instruments()}
        assert instrument in listed, f"the bench names {instrument}, which the broker does not list"
        return listed[instrument]

    async def reads(self, session: ReadSession) -> Mapping[str, Read]:
        """Every read that the session has, ready to be called. What is looked up for them is looked up by another
        adapter, so that the session's own pacing begins with the card."""
        reads: dict[str, Read] = {
            name: getattr(session, name)
            for name in ("profile", "funds", "orders", "fills", "reported_fills", "positions", "holdings")
        }
        share = self.bench.share
        scout = await self.session()
        known = await scout.orders()
        if known:
            number = known[0].broker_order_id
            reads["order_history"] = lambda: session.order_history(number)
        if isinstance(session, InstrumentSource):
            reads["instruments"] = session.instruments
        if isinstance(session, QuoteSource) and share:
            source = session
            reads["last_prices"] = lambda: source.last_prices([share])
        if isinstance(session, CandleSource) and share:
            candles, instrument = session, await self.instrument(scout, share)
            now = await scout.exchange_time()
            reads["candles"] = lambda: candles.candles(instrument, Interval.MINUTE, now - HOUR, now)
        if isinstance(session, GttBroker):
            reads["gtts"] = session.gtts
        if isinstance(session, AlertBroker):
            reads["alerts"] = session.alerts
        if isinstance(session, AuctionSource):
            reads["auctions"] = session.auctions
        if isinstance(session, CalendarSource):
            reads["market_days"] = session.market_days
        if isinstance(session, AddressSource):
            reads["registered_addresses"] = session.registered_addresses
        if isinstance(session, HistoryBroker) and self.bench.history is not None:
            past, days = session, self.bench.history
            reads["fills_between"] = lambda: past.fills_between(*days)
        return reads

    def order(self, tag: str, **changes: Any) -> OrderRequest:
        """One unit of the bench's share, bought at the market."""
        request = OrderRequest(
            self.bench.account,
            self.bench.share,
            Side.BUY,
            1,
            self.bench.product,
            OrderKind.MARKET,
            tag=Tag(tag),
        )
        return replace(request, **changes)

    def check_words(self, error: AppError) -> None:
        """An error has a cause in words and shows no secret."""
        shown = f"{error} {error!r} {error.cause} {error.next_step} {error.detail}"
        assert error.cause.strip().endswith((".", "!", "?")), f"no sentence: {error.cause!r}"
        self.check_hidden(shown)

    def check_hidden(self, shown: str) -> None:
        """No secret of this bench is in a text."""
        session = self.bench.remembered
        secrets = [self.bench.credentials.api_secret]
        if session is not None:
            secrets += [s for s in (session.access_token, session.refresh_token, session.read_token) if s is not None]
        for secret in secrets:
            assert secret.reveal() not in shown, "a secret is shown"


async def raised(read: Read) -> AppError | None:
    """The typed error of a read; None when it answered. Any other exception fails the card."""
    try:
        await read()
    except AppError as failure:
        return failure
    return None


async def until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """The first answer that is there; the card fails when none is in time."""
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            while True:
                found = await look()
                if found is not None:
                    return found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_SECONDS} s: {what}") from None


async def tagged(session: ReadSession, tag: str) -> Order | None:
    """The order that carries a tag."""
    return next((order for order in await session.orders() if order.tag == tag), None)


async def order_of(session: ReadSession, number: BrokerOrderId) -> Order | None:
    """The order of a number, as the book has it."""
    return next((order for order in await session.orders() if order.broker_order_id == number), None)
