"""Option chains, Greeks, and contracts that have expired, as a broker tells them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from app.domain.ids import InstrumentId
from app.domain.money import Price


@dataclass(frozen=True, slots=True)
class Greeks:
    """Slopes of an option's price, by the broker's own model."""

    delta: Decimal
    gamma: Decimal
    theta: Decimal
    """A day."""
    vega: Decimal
    """For one percent of volatility."""
    volatility: Decimal
    """Implied, a year, as a fraction: 0.152 is 15.2 %."""


@dataclass(frozen=True, slots=True)
class GreekQuote:
    """An option's price and what it reacts to."""

    instrument: InstrumentId
    last_price: Price
    close: Price | None
    """The previous session's."""
    volume: int
    open_interest: int
    greeks: Greeks


@dataclass(frozen=True, slots=True)
class ChainOption:
    """One side of a strike."""

    instrument: InstrumentId
    last_price: Price
    close: Price
    volume: int
    open_interest: int
    previous_open_interest: int
    bid: Price
    bid_quantity: int
    """0: nobody bids."""
    ask: Price
    ask_quantity: int
    greeks: Greeks
    in_the_money: Decimal
    """Probability that it ends in the money, as a fraction."""


@dataclass(frozen=True, slots=True)
class ChainStrike:
    """Call and put of one strike; None where that side is not listed."""

    strike: Decimal
    """Rupees."""
    call: ChainOption | None
    put: ChainOption | None
    put_call_ratio: Decimal
    """Of their open interests."""


@dataclass(frozen=True, slots=True)
class OptionChain:
    """All strikes of one expiry, lowest first."""

    underlying: InstrumentId
    expiry: date
    spot: Price
    strikes: tuple[ChainStrike, ...]
