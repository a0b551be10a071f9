"""Candles from ticks, and longer candles from minutes. Peer: pandas' resample of the same minutes."""

from __future__ import annotations

import importlib
from time import perf_counter

import numpy as np

from app.domain.market import Interval
from app.market.candles import CandleBuilder, CandleColumns, resample

TICKS = 1_000_000
DAYS = 2_500
_OPEN = 1_765_770_300
"""09:15 IST on 2025-12-15, in epoch seconds."""


def run() -> dict[str, object]:
    """Ticks a second, minutes resampled a second, the peer's, and whether they agree."""
    chance = np.random.default_rng(7)
    prices = (100_000 + np.cumsum(chance.integers(-2, 3, TICKS))).tolist()
    times = (_OPEN + np.arange(TICKS) * 22_500 // TICKS).tolist()
    volumes = np.cumsum(chance.integers(0, 100, TICKS)).tolist()
    builder = CandleBuilder(Interval.MINUTE)
    started = perf_counter()
    closed = 0
    for price, at, volume in zip(prices, times, volumes, strict=True):
        if builder.add(price, at, volume) is not None:
            closed += 1
    ticks_rate = TICKS / (perf_counter() - started)

    minutes = _minutes(chance)
    started = perf_counter()
    hours = resample(minutes, Interval.HOUR)
    ours = len(minutes) / (perf_counter() - started)
    peer, agree = _pandas(minutes, hours)
    return {
        "what": "candles",
        "ticks": TICKS,
        "ours_ticks_per_s": round(ticks_rate),
        "candles_closed": closed,
        "minutes": len(minutes),
        "ours_resample_per_s": round(ours),
        "peer": "pandas resample",
        "peer_resample_per_s": round(peer),
        "ratio": round(ours / peer, 1),
        "agree": agree,
    }


def _minutes(chance: np.random.Generator) -> CandleColumns:
    """Ten years of minutes."""
    start = (_OPEN + (np.arange(DAYS)[:, None] * 86_400 + np.arange(375)[None, :] * 60).ravel()) * 1_000_000_000
    count = len(start)
    middle = 100_000 + np.cumsum(chance.integers(-20, 21, count))
    wide = chance.integers(0, 50, (2, count))
    return CandleColumns(
        start, middle, middle + wide[0], middle - wide[1], middle + wide[0] - wide[1], chance.integers(0, 9_999, count)
    )


def _pandas(minutes: CandleColumns, hours: CandleColumns) -> tuple[float, bool]:
    pd = importlib.import_module("pandas")  # untyped, and only here; exchange_calendars brings it
    frame = pd.DataFrame(
        {name: getattr(minutes, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(minutes.start),
    )
    started = perf_counter()
    # Kite counts hours from 09:15 IST, which is 03:45 UTC.
    theirs = (
        frame.resample("1h", offset="45min")
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
        .dropna()
    )
    rate = len(minutes) / (perf_counter() - started)
    agree = all(
        np.array_equal(theirs[name].to_numpy().astype(np.int64), getattr(hours, name))
        for name in ("open", "high", "low", "close", "volume")
    )
    return rate, agree
