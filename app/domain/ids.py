"""Names of things that trading talks about. Distinct types, so that one cannot stand in for another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

AccountId = NewType("AccountId", str)
"""Ours, made when an account is connected, e.g. `zerodha-AB1234`."""

InstrumentId = NewType("InstrumentId", str)
"""`EXCHANGE:SYMBOL`, e.g. `NSE:INFY`, `NFO:NIFTY26NOVFUT`. Unique among live contracts, unlike the broker's token."""

OrderId = NewType("OrderId", str)
"""Ours, made before the order is sent."""

BrokerOrderId = NewType("BrokerOrderId", str)
"""The broker's. A string: Zerodha's 19 digits do not fit a float's 53 bits."""

GttId = NewType("GttId", str)
"""The broker's number of a resting trigger (GTT). A string, like every id of the broker's."""

AlertId = NewType("AlertId", str)
"""The broker's number of an alert."""

StopId = NewType("StopId", str)
"""Ours: 12 letters and digits, the first part of the tag of every exit order the stop sends."""

StrategyId = NewType("StrategyId", str)
"""Ours: 12 letters and digits."""

Tag = NewType("Tag", str)
"""Our mark on an order at the broker: at most 20 letters and digits (Kite Connect, orders: tag)."""

Nanos = int
"""A moment: nanoseconds since 1970-01-01 UTC."""


def instrument_id(exchange: str, symbol: str) -> InstrumentId:
    """The id of a contract named by the exchange's code and the broker's trading symbol."""
    return InstrumentId(f"{exchange}:{symbol}")


def split_instrument_id(instrument: InstrumentId) -> tuple[str, str]:
    """(exchange, symbol) of an id; a symbol may itself contain a colon."""
    exchange, _, symbol = instrument.partition(":")
    return exchange, symbol


@dataclass(frozen=True, slots=True)
class FillId:
    """Identity of a fill (C2).

    Trade ids restart daily and repeat between exchanges; a self-match has one for both sides.
    """

    broker: str
    account: AccountId
    exchange: str
    segment: str
    trade_date: str
    """ISO date in the exchange's zone."""
    broker_order_id: BrokerOrderId
    trade_id: str
    side: str
