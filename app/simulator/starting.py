"""Starting prices and limits for listings whose file has none. Made up, but the same every time."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time

from app.simulator import pricing
from app.simulator.clock import IST
from app.simulator.listing import Listing, band

SHARE_BAND = 10
"""Percent around the previous close: the first band of a share with derivatives, and of its futures."""
EXPIRY_TIME = time(15, 30)


def years_left(expiry: date, epoch: float) -> float:
    """From a moment to the close of the expiry day."""
    end = datetime.combine(expiry, EXPIRY_TIME, IST).timestamp()
    return max(0.0, (end - epoch) / pricing.YEAR)


def fraction(text: str) -> float:
    """A repeatable number in [0, 1) for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2.0**48


def spots(rows: Iterable[Listing]) -> dict[str, float]:
    """Underlying symbol -> its starting spot price, in the unit of its contracts.

    The listed share or index where there is one, else the middle of its options' strikes, else made up.
    """
    by_key = {row.key: row for row in rows}
    strikes: dict[str, list[float]] = {}
    scales: dict[str, int] = {}
    for row in by_key.values():
        if row.underlying:
            found = strikes.setdefault(row.underlying, [])
            scales[row.underlying] = row.price_scale
            if row.strike:
                found.append(float(row.strike) * row.price_scale)
    answer = {}
    for name, known in strikes.items():
        spot = spot_key(name, by_key)
        if spot is not None and by_key[spot].previous_close:
            answer[name] = float(by_key[spot].previous_close)
        elif known:
            answer[name] = statistics.median(known)
        else:
            answer[name] = _made_up(name) * scales[name] / 100
    return answer


def spot_key(underlying: str, by_key: dict[str, Listing]) -> str | None:
    """Key of the underlying's own listing, when it is listed."""
    for key in (pricing.INDEX_KEYS.get(underlying, ""), f"NSE:{underlying}", f"BSE:{underlying}"):
        if key in by_key:
            return key
    return None


def _made_up(name: str) -> float:
    return 10_000.0 * math.pow(30.0, fraction(name))  # between 100 and 3,000 rupees


def fill(rows: list[Listing], on: date | None) -> list[Listing]:
    """Rows with previous close, limits and usual volume, as far as they were absent."""
    moment = (datetime.combine(on, time(9, 15), IST) if on else datetime.now(UTC)).timestamp()
    outright = {row.token: _outright(row) for row in rows if not row.underlying}
    level = spots([outright.get(row.token, row) for row in rows])
    return [outright[row.token] if row.token in outright else _derivative(row, level, moment) for row in rows]


def _outright(row: Listing) -> Listing:
    close = row.previous_close or row.on_tick(_made_up(row.tradingsymbol))
    lower, upper = row.lower_circuit, row.upper_circuit
    if row.tradable and not upper:
        lower, upper = band(close, row.tick_size, SHARE_BAND)
    volume = row.day_volume or (
        int(2_000 * math.pow(2_000.0, fraction("volume " + row.tradingsymbol))) if row.tradable else 0
    )
    return replace(row, previous_close=close, lower_circuit=lower, upper_circuit=upper, day_volume=volume)


def _derivative(row: Listing, level: dict[str, float], moment: float) -> Listing:
    spot = level[row.underlying]
    years = years_left(row.expiry, moment) if row.expiry else 0.0
    if row.is_option:
        strike = float(row.strike) * row.price_scale
        base, call = pricing.volatility(row.underlying), row.instrument_type == "CE"
        fair = pricing.option(spot, strike, years, base, call=call)
        favourable = pricing.option(spot * (1.1 if call else 0.9), strike, years, base * 1.5, call=call)
        close = row.previous_close or row.on_tick(fair)
        limits = (row.tick_size, max(row.on_tick(favourable), close * 2))
    else:
        close = row.previous_close or row.on_tick(pricing.forward(spot, years))
        limits = band(close, row.tick_size, SHARE_BAND)
    lower, upper = (row.lower_circuit, row.upper_circuit) if row.upper_circuit else limits
    volume = row.day_volume or int(row.lot_size * 20 * math.pow(5_000.0, fraction("volume " + row.tradingsymbol)))
    return replace(row, previous_close=close, lower_circuit=lower, upper_circuit=upper, day_volume=volume)
