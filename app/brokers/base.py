"""The contract between Stopline and a broker. Who wants to add one reads this file first.

In words:

* A failed read raises; it never returns an empty list. Empty means that the broker said "nothing".
* An enum value that the adapter does not know is a `BadAnswer`, never a default.
* `place` sends at most once. When it cannot tell whether the order exists it raises `OutcomeUnknown`; when it can
  prove that nothing was sent, `Unreachable`; when the broker refused, `Rejected`.
* A dead token is `SessionExpired`; a plan, key or internet address that may not do this is `NotPermitted`, because
  logging in again does not help there; too many requests are `RateLimited` with the seconds to wait. No other error
  than those of `domain.errors` leaves an adapter, and none carries a secret.
* Reads have total deadlines and size caps. Prices are integers in the instrument's minor unit, ids of the broker are
  strings. Quantities are units; where a broker counts lots (MCX, NCO, CDS, BCD) they may stay lots, in orders, fills
  and positions alike, and `Position.multiplier` says how many units one is. P&L and charges go by that.
* A position of an earlier day says what was carried over (`carried_quantity`, `carried_cost`): the day's P&L counts
  that from `close_price`, and from the entry where the close is not told (0).
* Everything runs on the loop thread. `ExitLine.fire` and the feed's `marks` callback are the hot path: synchronous,
  no logging, no allocation worth the name, no exception.

A provider may implement reading only: `ReadSession` is the least. One that trades implements `BrokerSession`, the
whole of this file. What only some brokers have is in `parts`; what is known of a broker before a login, with what it
can do, is `domain.broker.BrokerInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

from app.domain.account import Endpoints
from app.domain.broker import BrokerInfo
from app.domain.fill import Charges, Fill
from app.domain.ids import AccountId, BrokerOrderId, InstrumentId, Nanos
from app.domain.instrument import Exchange, Instrument
from app.domain.market import Candle, Interval, Tick
from app.domain.money import Paise, Price
from app.domain.news import BookNews
from app.domain.order import Order, OrderRequest
from app.domain.portfolio import Funds, Holding, Position
from app.runtime.secret import Secret

CONTRACT = 1
"""Version of this contract. A provider names the one that it was written for; another one is refused in words."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the trader got from the broker's developer page."""

    api_key: str
    api_secret: Secret


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in period of one client. `expires_at` in the account's exchange time."""

    account: AccountId
    user_id: str
    user_name: str
    access_token: Secret
    issued_at: Nanos
    expires_at: Nanos
    refresh_token: Secret | None = None
    """Renews the session without the trader, where the broker gives one (`parts.RefreshingLogin`)."""
    read_token: Secret | None = None
    """Only reads, and outlives the day (extended or analytics token)."""
    read_token_expires_at: Nanos | None = None
    scopes: tuple[str, ...] = ()
    """What the token may do, in the broker's words."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who the broker says is logged in."""

    user_id: str
    user_name: str
    exchanges: tuple[str, ...]
    products: tuple[str, ...]
    sells_freely: bool = False
    """The client has signed over the sale of shares for good (POA, DDPI): no day needs an authorisation (TPIN)."""


@dataclass(frozen=True, slots=True)
class OrderCost:
    """What an order will take: margin blocked, and charges by head."""

    margin: Paise
    charges: Charges
    leverage: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class ExchangeClockReading:
    """What the broker's clock shows. A paper exchange may run faster than life, on another day, and never close."""

    now: Nanos
    speed: float = 1.0
    always_open: bool = False


class Login(Protocol):
    """Turns a human login into a session."""

    def login_url(self, state: str) -> str:
        """The broker's login page, carrying our `state` so that it comes back with the redirect (A1)."""
        ...

    async def exchange(self, request_token: str) -> Session:
        """The one-time token of the redirect for a session. Raises LoginFailed, Unreachable, BadAnswer."""
        ...

    async def logout(self, session: Session) -> None:
        """Kills the session at the broker. A session already dead is fine."""
        ...


@runtime_checkable
class ReadBroker(Protocol):
    """What every broker can tell."""

    async def profile(self) -> Profile: ...
    async def funds(self) -> Funds: ...
    async def orders(self) -> Sequence[Order]:
        """Today's order book. Where rows of it cannot be read, `domain.order_list.PartlyRead` with the others: an exit
        waits for its own order, and must not be blind because of somebody else's."""
        ...

    async def order_history(self, order: BrokerOrderId) -> Sequence[Order]: ...
    async def fills(self) -> Sequence[Fill]:
        """Today's executions. Those of earlier days: `parts.HistoryBroker`."""
        ...

    async def reported_fills(self) -> Sequence[tuple[Fill, str]]:
        """The same, each with the broker's own words (JSON), which the book keeps for later questions (C3)."""
        ...

    async def positions(self) -> Sequence[Position]: ...
    async def holdings(self) -> Sequence[Holding]: ...
    async def exchange_time(self) -> Nanos:
        """The broker's clock now. Paper accounts live by it; for a live account it shows how far ours is off."""
        ...

    async def exchange_clock(self) -> ExchangeClockReading:
        """The same, with what a paper exchange says of its speed and hours."""
        ...


@runtime_checkable
class InstrumentSource(Protocol):
    """What can be traded."""

    async def instruments(self, exchange: Exchange | None = None) -> Sequence[Instrument]:
        """The broker's list of the day, or one exchange's. Raises BadAnswer when it is empty or mostly unreadable."""
        ...


@runtime_checkable
class QuoteSource(Protocol):
    """Prices on request."""

    async def last_prices(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Price]:
        """Last traded prices. What the broker does not know is missing from the answer."""
        ...


@runtime_checkable
class CandleSource(Protocol):
    """Past candles."""

    async def candles(self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos) -> Sequence[Candle]:
        """Oldest first, both ends included, in as many requests as the broker wants.

        Raises Denied for an interval that the broker does not keep.
        """
        ...


@runtime_checkable
class CostSource(Protocol):
    """What an order will take."""

    async def cost(self, request: OrderRequest, at_price: Price) -> OrderCost: ...


@runtime_checkable
class TradeBroker(Protocol):
    """What a broker does for us. Never retried here."""

    async def place(self, request: OrderRequest) -> BrokerOrderId: ...
    async def modify(
        self,
        order: BrokerOrderId,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None: ...
    async def cancel(self, order: BrokerOrderId) -> None: ...


class Prepared(Protocol):
    """An exit order serialised to its last byte. `tag` finds it at the broker."""

    @property
    def request(self) -> OrderRequest: ...
    def wire(self, price: Price | None) -> bytes:
        """The bytes to write; a LIMIT gets its price here."""
        ...


@dataclass(frozen=True, slots=True)
class ExitReply:
    """What became of a fired exit, from the wire. Exactly one of `order` and `error` is set."""

    tag: str
    order: BrokerOrderId | None
    error: Exception | None
    """Rejected, NotPermitted, SessionExpired, RateLimited: refused for certain. OutcomeUnknown: look it up."""
    written_ns: int
    """`time.perf_counter_ns` when the last byte had been handed to the kernel."""
    replied_ns: int


class ExitLine(Protocol):
    """A small pool of warm connections over which prepared exits leave with one write each."""

    on_ready: Callable[[], None] | None
    """Called when a connection can fire again."""

    def prepare(self, request: OrderRequest, price_scale: int = 100) -> Prepared:
        """Serialise an exit. Done when arming, never when firing. A LIMIT's price may be open: `fire` puts it in."""
        ...

    def fire(self, prepared: Prepared, on_reply: Callable[[ExitReply], None], price: Price | None = None) -> int:
        """Write the prepared bytes now. Returns `perf_counter_ns` after the last byte was written, 0 when no
        connection was ready: then nothing was sent and `on_reply` is not called; the caller falls back to `place`."""
        ...

    @property
    def ready(self) -> int:
        """Warm connections that could fire now."""
        ...

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


@runtime_checkable
class RedialledLine(ExitLine, Protocol):
    """An exit line whose connections can be made anew."""

    def redial(self) -> None:
        """The machine slept. Returns at once; an order that waits for its answer is left alone."""
        ...


Mark = tuple[int, Price, int, int]
"""(token, last price, volume today, exchange time in whole seconds UTC) of one tick: all that a stop needs.

Volume and exchange time are 0 where the feed's mode does not carry them."""


class FeedSink(Protocol):
    """Who hears a feed. `marks` is called first, for every frame, before anything else is done with it."""

    def marks(self, marks: Iterable[Mark], readable_ns: int) -> None:
        """Hot path. `readable_ns`: `perf_counter_ns` when the socket was found readable."""
        ...

    def frame(self, payload: bytes, received_at: Nanos) -> None:
        """The same frame, after the stops were checked. Returns at once: more frames may wait to be checked."""
        ...

    def watched(self, token: int) -> bool:
        """Whether a stop is armed there: news of such an order is told before the next price is checked."""
        ...

    def order_update(self, order: Order) -> None:
        """An order changed, from whatever origin."""
        ...

    def book_news(self, news: BookNews) -> None:
        """A position, a holding or a resting trigger is another one now; only from brokers that tell of them."""
        ...

    def connected(self) -> None:
        """Subscriptions were sent again; events may have been missed: reconcile."""
        ...

    def disconnected(self, cause: Exception) -> None:
        """No prices until `connected`. SessionExpired: not before a new login."""
        ...

    def order_stream(self, cause: Exception | None) -> None:
        """Only from brokers that tell of orders on a socket of its own: that one ended, or could not be opened, while
        prices go on (why), or stands again (None). Nothing is told twice: in between the books must be read."""
        ...

    def malformed(self, reason: str, sample: bytes) -> None:
        """A message that cannot be read was dropped."""
        ...


class Feed(Protocol):
    """One tick stream. Reconnects by itself (every 2 s +-20 % while `urgent`) and resubscribes."""

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def subscribe(self, full: Iterable[int], quote: Iterable[int] = ()) -> None:
        """The whole wanted set of tokens by mode, replacing the one before."""
        ...

    def set_urgent(self, urgent: bool) -> None:
        """Stops are armed: reconnect every 2 s for ever instead of backing off to 60 s (E3)."""
        ...

    def poll(self) -> bool:
        """Reads what has come, before the loop reports it. False: of no use, nothing encrypted is connected."""
        ...

    def marks(self, payload: bytes) -> Iterable[Mark]:
        """The marks of a frame again, for candles."""
        ...

    def packets(self, payload: bytes) -> Sequence[tuple[int, bytes]]:
        """A frame's (token, packet) pairs, undecoded."""
        ...

    def fault(self, payload: bytes) -> str:
        """What of a frame cannot be read, in words; empty when all can."""
        ...

    def decode(self, packet: bytes, instrument: InstrumentId, received_at: Nanos) -> Tick:
        """A packet in full. Not for the hot path. Raises BadAnswer."""
        ...

    async def reconnect(self) -> None:
        """Drops the connection and dials again at once: what a silent feed gets."""
        ...


@runtime_checkable
class StreamBroker(Protocol):
    """Live prices, and exits over warm connections."""

    def feed(self, sink: FeedSink, *, orders: bool = True) -> Feed:
        """One price connection of the account, of which `BrokerInfo.stream` says how many there may be. With `orders`
        (one of them) order updates come to the same sink, also where the broker has a second socket for them: the
        adapter keeps both, and says `connected` when both are up, or when the prices are and the other one has failed
        (`order_stream`)."""
        ...

    def exit_line(self) -> ExitLine: ...


@runtime_checkable
class ReadSession(ReadBroker, Protocol):
    """An adapter bound to one logged-in account, as far as reading goes: the least that a provider implements."""

    @property
    def account(self) -> AccountId: ...
    @property
    def paper(self) -> bool:
        """Derived from its endpoints."""
        ...

    async def close(self) -> None:
        """Closes the connections; the session at the broker lives on."""
        ...


@runtime_checkable
class BrokerSession(
    ReadSession, InstrumentSource, QuoteSource, CandleSource, CostSource, TradeBroker, StreamBroker, Protocol
):
    """An adapter bound to one logged-in account that trades."""


@runtime_checkable
class ReadFactory(Protocol):
    """Builds the parts of a provider that only reads. What an entry point of group `stopline.brokers` leads to is a
    callable that takes the `Helper` (or None) and returns one of these, or a `BrokerFactory`."""

    contract: int
    """The version of this contract that it was written for (`CONTRACT`)."""
    info: BrokerInfo

    def login(self, account: AccountId, credentials: Credentials, endpoints: Endpoints) -> Login: ...
    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> ReadSession: ...


class BrokerFactory(ReadFactory, Protocol):
    """Builds the parts of one broker that trades."""

    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> BrokerSession: ...
