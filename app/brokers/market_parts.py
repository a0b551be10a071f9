"""What only some brokers tell of markets and contracts, and of their own switches. Used as those of `parts` are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol, runtime_checkable

from app.brokers.base import Login, Session
from app.brokers.parts import AddressSource
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval
from app.domain.options import GreekQuote, OptionChain

# -- markets ---------------------------------------------------------------------------------------------------------


class MarketPhase(StrEnum):
    """Where an exchange's day is."""

    PRE_OPEN = "pre-open"
    PRE_OPEN_ENDED = "pre-open ended"
    OPEN = "open"
    CLOSED = "closed"
    CLOSING = "closing session"
    CLOSING_ENDED = "closing session ended"


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """What an exchange is doing."""

    exchange: str
    """The broker's code."""
    phase: MarketPhase
    since: Nanos
    closing_auction: str = ""
    """The state of its closing auction in the broker's word; empty where it has none."""


@runtime_checkable
class MarketStatusSource(Protocol):
    """Whether an exchange trades at this moment."""

    async def market_status(self, exchange: str) -> MarketStatus:
        """By the broker's code. Raises Rejected for one that it does not know."""
        ...


# -- options ---------------------------------------------------------------------------------------------------------


@runtime_checkable
class OptionSource(Protocol):
    """Options of an underlying, with prices and Greeks."""

    async def option_contracts(self, underlying: InstrumentId, expiry: date | None = None) -> Sequence[Instrument]:
        """Those that are listed, of one expiry or of all."""
        ...

    async def option_chain(self, underlying: InstrumentId, expiry: date) -> OptionChain:
        """Every strike of an expiry; empty when there is none."""
        ...

    async def greeks(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, GreekQuote]:
        """Of options. What the broker does not know is missing from the answer."""
        ...


@runtime_checkable
class ExpiredSource(Protocol):
    """Contracts that are listed no more. Raises PlanRefused where that costs extra."""

    async def expiries(self, underlying: InstrumentId) -> Sequence[date]:
        """Past ones that the broker remembers, oldest first."""
        ...

    async def expired_contracts(self, underlying: InstrumentId, expiry: date) -> Sequence[Instrument]:
        """Options and futures of a past expiry, none of them active; `Instrument.key` finds their candles."""
        ...

    async def expired_candles(
        self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos
    ) -> Sequence[Candle]:
        """As `CandleSource.candles`."""
        ...


# -- the account's own switches --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SegmentSwitch:
    """Whether a client's trading in one of the broker's segments is switched off, by the client's own wish."""

    segment: str
    pulled: bool
    status: str = ""
    """Of the segment itself, in the broker's word."""


@runtime_checkable
class KillSwitchBroker(Protocol):
    """The client may switch off trading at the broker itself, for hours."""

    async def kill_switches(self) -> Sequence[SegmentSwitch]:
        """Every segment."""
        ...

    async def set_kill_switches(self, pulled: Mapping[str, bool]) -> Sequence[SegmentSwitch]:
        """Pulls (True) or releases (False), all or none. Sent once; nothing can be sent in a pulled segment, no exit
        either. Raises Rejected while a switch cools (about twelve hours at Upstox)."""
        ...


@dataclass(frozen=True, slots=True)
class RegisteredAddresses:
    """From where orders are taken."""

    primary: str
    secondary: str
    session_ended: bool
    """The change has ended every session: log in again."""


@runtime_checkable
class AddressRegistrar(AddressSource, Protocol):
    """The registered addresses can be changed over the API."""

    async def register_addresses(self, primary: str, secondary: str = "") -> RegisteredAddresses:
        """Sent once. Raises Denied for what is no address, Rejected too soon after the last change (a week)."""
        ...


# -- sessions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A login that the trader approves on the phone."""

    until: Nanos
    """When the request lapses."""
    notified: str
    """The address that the broker sends the token to, as registered there; empty: none is."""


@runtime_checkable
class ApprovalLogin(Login, Protocol):
    """A login without a page: asked for here, approved on the phone, its token sent to a registered address."""

    async def request_approval(self) -> ApprovalRequest:
        """Asks the broker to ask the trader. Raises LoginFailed, RateLimited, Unreachable."""
        ...

    async def approved(self, notice: bytes) -> Session:
        """The session of a notice that arrived at the registered address. It carries no signature: its token is proved
        with a real call. Raises LoginFailed for another app's, another client's or a dead one, BadAnswer."""
        ...
