"""Prices, live and past."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from app.domain.ids import InstrumentId, Nanos
from app.domain.money import Price


@dataclass(frozen=True, slots=True)
class DepthLevel:
    """One level of the book."""

    price: Price
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class Depth:
    """The book's best levels, best first. Empty levels are left out."""

    bids: tuple[DepthLevel, ...] = ()
    asks: tuple[DepthLevel, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """One market update, normalised (E2). Prices in minor units; a field that the mode lacks is None."""

    instrument: InstrumentId
    last_price: Price
    received_at: Nanos
    exchange_time: Nanos | None = None
    last_trade_time: Nanos | None = None
    last_quantity: int | None = None
    average_price: Price | None = None
    volume: int | None = None
    """Traded today, in units."""
    buy_quantity: int | None = None
    sell_quantity: int | None = None
    open: Price | None = None
    high: Price | None = None
    low: Price | None = None
    close: Price | None = None
    """The previous session's close."""
    open_interest: int | None = None
    depth: Depth | None = None

    @property
    def change(self) -> Price | None:
        """Against the previous close, in minor units."""
        return None if self.close is None else self.last_price - self.close


@dataclass(frozen=True, slots=True)
class Quote:
    """A tick that was asked for, with what the exchange allows and has seen today."""

    tick: Tick
    lower_circuit: Price | None = None
    """No order below it is taken today."""
    upper_circuit: Price | None = None
    open_interest_high: int | None = None
    open_interest_low: int | None = None


class Interval(IntEnum):
    """Length of a candle in seconds."""

    SECOND = 1
    MINUTE = 60
    MINUTES_3 = 180
    MINUTES_5 = 300
    MINUTES_15 = 900
    MINUTES_30 = 1800
    HOUR = 3600
    DAY = 86400


@dataclass(frozen=True, slots=True)
class Candle:
    """Open, high, low, close and volume over an interval that starts at `start`."""

    start: Nanos
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int
