"""Greeks and implied volatility of an option, from its own last price (Black 1976). The paper exchange's own numbers.

The implied volatility is found by halving, so that the greeks always belong to the price that is shown.
"""

from __future__ import annotations

import math
from datetime import datetime, time
from typing import NamedTuple

from app.simulator.clock import IST
from app.simulator.listing import Listing
from app.simulator.market import Market
from app.simulator.pricing import INDEX_KEYS, RATE, SHORTEST, YEAR, black76, forward
from app.simulator.quote import Quote

LOWEST, HIGHEST, STEPS = 0.01, 5.0, 24
"""Halvings find the volatility to a millionth."""
_EXPIRES = time(15, 30)


class Greeks(NamedTuple):
    """Yearly volatility as a fraction; theta a day, vega and rho for one percent. Zeros for what is no option."""

    delta: float = 0.0
    theta: float = 0.0
    gamma: float = 0.0
    vega: float = 0.0
    rho: float = 0.0
    iv: float = 0.0


def of(quote: Quote, market: Market) -> Greeks:
    """Of a quote at the exchange's present."""
    listing = quote.listing
    spot = _spot(listing, market)
    if not listing.is_option or listing.expiry is None or spot <= 0 or quote.last_price <= 0:
        return Greeks()
    end = datetime.combine(listing.expiry, _EXPIRES, IST).timestamp()
    years = max(SHORTEST, (end - market.clock.epoch()) / YEAR)
    return greeks(
        spot, float(listing.strike), years, quote.last_price / listing.price_scale, call=listing.instrument_type == "CE"
    )


def _spot(listing: Listing, market: Market) -> float:
    key = INDEX_KEYS.get(listing.underlying, f"NSE:{listing.underlying}")
    found = market.listings.by_key.get(key)
    return market.quotes[found.token].last_price / found.price_scale if found is not None else 0.0


def greeks(spot: float, strike: float, years: float, price: float, *, call: bool) -> Greeks:
    """Prices in rupees."""
    ahead = forward(spot, years)
    low, high = LOWEST, HIGHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        if black76(ahead, strike, years, middle, call=call) < price:
            low = middle
        else:
            high = middle
    sigma = (low + high) / 2
    root = math.sqrt(years)
    d1 = math.log(ahead / strike) / (sigma * root) + sigma * root / 2
    d2 = d1 - sigma * root
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    discount = math.exp(-RATE * years)
    sign = 1 if call else -1
    decay = -spot * density * sigma / (2 * root) - sign * RATE * strike * discount * _normal(sign * d2)
    return Greeks(
        delta=sign * _normal(sign * d1),
        theta=decay / 365,
        gamma=density / (spot * sigma * root),
        vega=spot * density * root / 100,
        rho=sign * strike * years * discount * _normal(sign * d2) / 100,
        iv=sigma,
    )


def _normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
