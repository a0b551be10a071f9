"""A provider that only reads, seen as a broker: what it reads is passed on, what it cannot do is denied in words.

So the desk treats every account alike: no stop is armed where there is no feed and no order goes where none is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import NoReturn

from app.brokers.base import (
    BrokerSession,
    CandleSource,
    CostSource,
    Credentials,
    ExchangeClockReading,
    ExitLine,
    ExitReply,
    Feed,
    FeedSink,
    InstrumentSource,
    Login,
    Mark,
    OrderCost,
    Prepared,
    Profile,
    QuoteSource,
    ReadFactory,
    ReadSession,
    Session,
    StreamBroker,
    TradeBroker,
)
from app.brokers.parts import CalendarSource, FillPage, HistoryBroker, MarketDay, SessionTiming
from app.domain.account import Endpoints
from app.domain.broker import BrokerInfo, Support
from app.domain.errors import Denied, NotPermitted
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument
from app.domain.market import Candle, Interval, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderRequest
from app.domain.portfolio import Funds, Holding, Position

_TRADING: tuple[type, ...] = (
    ReadSession,
    InstrumentSource,
    QuoteSource,
    CandleSource,
    CostSource,
    TradeBroker,
    StreamBroker,
)


class ReadingFactory:
    """A `BrokerFactory` made of a `ReadFactory`."""

    def __init__(self, provider: ReadFactory) -> None:
        self._provider = provider
        self.contract: int = provider.contract
        self.info: BrokerInfo = provider.info

    def login(self, account: AccountId, credentials: Credentials, endpoints: Endpoints) -> Login:
        """The provider's own."""
        return self._provider.login(account, credentials, endpoints)

    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> BrokerSession:
        """The provider's, with the rest denied; a provider that trades is passed on as it is."""
        made = self._provider.session(session, credentials, endpoints)
        if isinstance(made, BrokerSession):
            return made
        if self.info.capabilities.trading is Support.YES:
            # Not taken for one that only reads: its stops would be gone without a word.
            lacks = [part.__name__ for part in _TRADING if not isinstance(made, part)]
            raise Denied(
                f"{self.info.title}'s provider says that it trades and lacks what that needs: {', '.join(lacks)}.",
                "Ask its author.",
            )
        return reading_session(made, self.info.title)


class ReadingSession:
    """One account that is only read. Loop thread."""

    def __init__(self, inner: ReadSession, title: str) -> None:
        self._inner = inner
        self._title = title

    @property
    def account(self) -> AccountId:
        """Whose session this is."""
        return self._inner.account

    @property
    def paper(self) -> bool:
        """As the provider says."""
        return self._inner.paper

    async def close(self) -> None:
        """Closes the provider's connections."""
        await self._inner.close()

    # -- passed on ----------------------------------------------------------------------------------------------------

    async def profile(self) -> Profile:
        """Who is logged in."""
        return await self._inner.profile()

    async def funds(self) -> Funds:
        """Cash and margin."""
        return await self._inner.funds()

    async def orders(self) -> Sequence[Order]:
        """Today's orders."""
        return await self._inner.orders()

    async def order_history(self, order: BrokerOrderId) -> Sequence[Order]:
        """One order's states."""
        return await self._inner.order_history(order)

    async def fills(self) -> Sequence[Fill]:
        """Today's fills."""
        return await self._inner.fills()

    async def reported_fills(self) -> Sequence[tuple[Fill, str]]:
        """The same with the provider's words."""
        return await self._inner.reported_fills()

    async def positions(self) -> Sequence[Position]:
        """Open positions."""
        return await self._inner.positions()

    async def holdings(self) -> Sequence[Holding]:
        """Holdings."""
        return await self._inner.holdings()

    async def exchange_time(self) -> Nanos:
        """The provider's clock."""
        return await self._inner.exchange_time()

    async def exchange_clock(self) -> ExchangeClockReading:
        """The provider's clock."""
        return await self._inner.exchange_clock()

    # -- passed on where the provider has it ---------------------------------------------------------------------------

    async def instruments(self, exchange: Exchange | None = None) -> Sequence[Instrument]:
        """The provider's list, if it has one."""
        if isinstance(self._inner, InstrumentSource):
            return await self._inner.instruments(exchange)
        raise self._denied("lists no instruments")

    async def last_prices(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Price]:
        """The provider's prices, if it has them."""
        if isinstance(self._inner, QuoteSource):
            return await self._inner.last_prices(instruments)
        raise self._denied("gives no prices")

    async def candles(self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos) -> Sequence[Candle]:
        """The provider's candles, if it has them."""
        if isinstance(self._inner, CandleSource):
            return await self._inner.candles(instrument, interval, start, end)
        raise self._denied("keeps no candles")

    async def cost(self, request: OrderRequest, at_price: Price) -> OrderCost:
        """The provider's, if it computes it."""
        if isinstance(self._inner, CostSource):
            return await self._inner.cost(request, at_price)
        raise self._denied("computes no margins")

    # -- denied --------------------------------------------------------------------------------------------------------

    async def place(self, request: OrderRequest) -> BrokerOrderId:
        """Never sent."""
        raise self._denied("takes no orders", str(request.instrument))

    async def modify(
        self,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        """Never sent."""
        raise self._denied("takes no orders", f"{order} {quantity} {price} {trigger_price}")

    async def cancel(self, order: BrokerOrderId) -> None:
        """Never sent."""
        raise self._denied("takes no orders", order)

    def feed(self, sink: FeedSink, **_: bool) -> Feed:
        """One that says at once that there are no prices."""
        return NoFeed(sink, self._title)

    def exit_line(self) -> ExitLine:
        """One that is never ready."""
        return NoExitLine(self._title)

    def _denied(self, what: str, detail: str = "") -> Denied:
        return Denied(f"{self._title} {what} over its API.", "The account is only read.", detail=detail)


class _History(ReadingSession):
    """With fills of earlier days."""

    async def fills_between(self, start: date, end: date, page: int = 1) -> FillPage:
        """The provider's."""
        if isinstance(self._inner, HistoryBroker):
            return await self._inner.fills_between(start, end, page)
        raise self._denied("keeps no trades of earlier days")


class _Calendar(ReadingSession):
    """With holidays and session times."""

    async def market_days(self) -> Sequence[MarketDay]:
        """The provider's."""
        if isinstance(self._inner, CalendarSource):
            return await self._inner.market_days()
        raise self._denied("lists no holidays")

    async def market_day(self, on: date) -> MarketDay | None:
        """The provider's."""
        if isinstance(self._inner, CalendarSource):
            return await self._inner.market_day(on)
        raise self._denied("lists no holidays")

    async def session_timings(self, on: date) -> Sequence[SessionTiming]:
        """The provider's."""
        if isinstance(self._inner, CalendarSource):
            return await self._inner.session_timings(on)
        raise self._denied("lists no session times")


_PARTS: tuple[tuple[type, type[ReadingSession]], ...] = ((HistoryBroker, _History), (CalendarSource, _Calendar))


def reading_session(inner: ReadSession, title: str) -> ReadingSession:
    """One with those parts that the provider's session has: who asks for a part is told the truth."""
    parts = tuple(passing for part, passing in _PARTS if isinstance(inner, part))
    made: type[ReadingSession] = type("ReadingSession", parts or (ReadingSession,), {})
    return made(inner, title)


class NoFeed:
    """A stream without prices. Implements `Feed`."""

    def __init__(self, sink: FeedSink, title: str) -> None:
        self._sink = sink
        self._title = title

    def start(self) -> None:
        """Says that there will be no prices."""
        self._sink.disconnected(NotPermitted(f"{self._title} streams no prices.", "No local stop can be armed on it."))

    async def stop(self) -> None:
        """Nothing runs."""

    def subscribe(self, _full: Iterable[int], _quote: Iterable[int] = ()) -> None:
        """Nothing to subscribe to."""

    def set_urgent(self, _urgent: bool) -> None:
        """Nothing to reconnect."""

    def poll(self) -> bool:
        """Nothing comes."""
        return False

    def marks(self, payload: bytes) -> Iterable[Mark]:
        """No frame comes, so there is none to read."""
        self._no_frame(payload)

    def packets(self, payload: bytes) -> Sequence[tuple[int, bytes]]:
        """The same."""
        self._no_frame(payload)

    def fault(self, payload: bytes) -> str:
        """No frame comes that could be read."""
        return f"{self._title} streams no prices, yet {len(payload)} bytes came."

    def decode(self, packet: bytes, _instrument: InstrumentId, _received_at: Nanos) -> Tick:
        """The same."""
        self._no_frame(packet)

    def _no_frame(self, payload: bytes) -> NoReturn:
        raise Denied(f"{self._title} streams no prices.", detail=f"{len(payload)} bytes")

    async def reconnect(self) -> None:
        """Says it again."""
        self.start()


class NoExitLine:
    """A line over which nothing leaves. Implements `ExitLine`."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.on_ready: Callable[[], None] | None = None

    @property
    def ready(self) -> int:
        """Never."""
        return 0

    def prepare(self, request: OrderRequest, price_scale: int = 100) -> Prepared:
        """Denied: no stop is armed on an account that takes no orders."""
        raise Denied(
            f"{self._title} takes no orders over its API.",
            "The account is only read: no stop can be armed on it.",
            detail=f"{request.instrument} at 1/{price_scale}",
        )

    def fire(self, _prepared: Prepared, _on_reply: Callable[[ExitReply], None], _price: Price | None = None) -> int:
        """Nothing was sent."""
        return 0

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""
