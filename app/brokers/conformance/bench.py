"""What a provider brings to the suite: a real service on this machine, and the facts that differ between brokers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from app.brokers.base import BrokerFactory, Credentials, ReadFactory, Session
from app.domain.account import Endpoints
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Product
from app.domain.money import Price
from app.domain.order import OrderKind, OrderRequest


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer as the broker gives it, for the door to give in its place."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Bench(ABC):
    """One provider and its service. A fresh one for every card; the service behind it may live on.

    Instruments that it names trade now, orders at the market fill at once, and whatever the cards do is play money.
    """

    account: AccountId
    credentials: Credentials
    endpoints: Endpoints
    """Of the service: every address on loopback."""

    remembered: Session | None = None
    """A session that still lives, so that not every card logs in again. Set it on what outlives the bench."""

    @abstractmethod
    def factory(self) -> ReadFactory | BrokerFactory:
        """A new one: nothing that one card did to it (pacing, say) is felt by the next."""

    @abstractmethod
    async def one_time_token(self, login_url: str) -> str:
        """What the broker's page gives to the redirect when a trader logs in on it; for a provider without a page, what
        the trader would enter."""

    @abstractmethod
    async def expire(self) -> None:
        """Kills every session at the service, as the hour does at which tokens die."""

    @property
    @abstractmethod
    def words(self) -> Mapping[str, Sequence[str]]:
        """For each read, the keys of its answer whose values are words of a closed list: `{"orders": ["side"]}`."""

    @property
    @abstractmethod
    def too_many(self) -> Canned:
        """How the broker says "too many requests", with `Retry-After: 7` where it would send one."""

    @property
    @abstractmethod
    def not_permitted(self) -> Sequence[Canned]:
        """How it refuses a key, plan or internet address while the session lives."""

    async def prepare(self) -> None:
        """Called before each card: there are then at least one fill, one holding and one order to read."""
        return

    # -- a provider that trades ----------------------------------------------------------------------------------------

    share: InstrumentId = InstrumentId("")
    """Trades now in single units."""
    product: Product = Product.MIS
    """In which `share` may be bought."""
    lots: InstrumentId = InstrumentId("")
    """A derivative whose lot is more than one unit; empty: the broker has none."""
    gtt_kind: OrderKind = OrderKind.LIMIT
    """What a resting trigger sends."""
    refused: OrderRequest | None = None
    """An order that the broker refuses."""

    async def set_price(self, instrument: InstrumentId, price: Price) -> None:
        """Trades one unit at this price at the service."""
        raise NotImplementedError(f"{type(self).__name__} does not say how {instrument} trades at {price}")

    # -- a provider with a history -------------------------------------------------------------------------------------

    history: tuple[date, date] | None = None
    """Days with more fills than one page holds, both included."""
