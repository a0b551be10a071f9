"""What a derivative is worth, for the random market and for a listing's starting price.

Black's 1976 formula on the forward with a smile: the paper market's own numbers, good enough to look right. Nothing
outside the simulator may read prices from here.
"""

from __future__ import annotations

import math

RATE = 0.065
"""Yearly carry of a future over its spot."""
YEAR = 365.0 * 86_400.0
SHORTEST = 0.5 / 365.0
"""An option is priced as if it had at least this many years left, so that its last hours do not divide by zero."""

INDEX_KEYS = {"NIFTY": "NSE:NIFTY 50", "BANKNIFTY": "NSE:NIFTY BANK"}
"""Underlying symbol -> key of its spot, where the two differ."""
INDEX_VOLATILITY = {"NIFTY": 0.125, "BANKNIFTY": 0.14}
SHARE_VOLATILITY = 0.24


def volatility(underlying: str) -> float:
    """Yearly volatility that the paper market gives an underlying, by its symbol."""
    return INDEX_VOLATILITY.get(underlying, SHARE_VOLATILITY)


def forward(spot: float, years: float) -> float:
    """The future's fair price."""
    return spot * math.exp(RATE * max(0.0, years))


def black76(forward_price: float, strike: float, years: float, sigma: float, *, call: bool) -> float:
    """Discounted value of a European option on a forward (F. Black, 1976)."""
    spread = sigma * math.sqrt(years)
    d1 = math.log(forward_price / strike) / spread + spread / 2
    d2 = d1 - spread
    worth = forward_price * _normal(d1) - strike * _normal(d2)
    if not call:
        worth += strike - forward_price
    return max(0.0, worth) * math.exp(-RATE * years)


def smile(forward_price: float, strike: float, years: float, base: float) -> float:
    """Volatility at a strike: puts dearer than calls, wings dearer than the middle."""
    distance = math.log(strike / forward_price) / (base * math.sqrt(years))
    distance = min(4.0, max(-4.0, distance))
    return base * (1.0 - 0.05 * distance + 0.025 * distance * distance)


def option(spot: float, strike: float, years: float, base: float, *, call: bool) -> float:
    """An option's fair price from its underlying's spot."""
    years = max(SHORTEST, years)
    ahead = forward(spot, years)
    return black76(ahead, strike, years, smile(ahead, strike, years, base), call=call)


def _normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
