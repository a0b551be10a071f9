"""Minutes from ticks, as an open chart makes them. Peer: pandas' resample of the same ticks, all of them at once."""

from __future__ import annotations

import importlib
from time import perf_counter

import numpy as np
import numpy.typing as npt

from app.domain.market import Candle, Interval
from app.market.candles import CandleBuilder

TICKS = 1_000_000
_OPEN = 1_765_770_300
"""09:15 IST on 2025-12-15, in epoch seconds."""


def run() -> dict[str, object]:
    """Ticks a second of ours, one after the other, and of the peer, and whether the candles agree."""
    chance = np.random.default_rng(7)
    prices = 100_000 + np.cumsum(chance.integers(-2, 3, TICKS))
    times = _OPEN + np.arange(TICKS) * 22_500 // TICKS
    volumes = np.cumsum(chance.integers(0, 100, TICKS))
    rows = list(zip(prices.tolist(), times.tolist(), volumes.tolist(), strict=True))
    builder = CandleBuilder(Interval.MINUTE)
    closed: list[Candle] = []
    started = perf_counter()
    for price, at, volume in rows:
        candle = builder.add(price, at, volume)
        if candle is not None:
            closed.append(candle)
    ours = TICKS / (perf_counter() - started)
    peer, agree = _pandas(prices, times, closed)
    return {
        "what": "candles",
        "ticks": TICKS,
        "candles_closed": len(closed),
        "ours_ticks_per_s": round(ours),
        "peer": "pandas resample, of all at once",
        "peer_ticks_per_s": round(peer),
        "agree": agree,
    }


def _pandas(prices: npt.NDArray[np.int64], times: npt.NDArray[np.int64], closed: list[Candle]) -> tuple[float, bool]:
    pd = importlib.import_module("pandas")  # untyped, and only here; exchange_calendars brings it
    series = pd.Series(prices, index=pd.to_datetime(times, unit="s"))
    started = perf_counter()
    theirs = series.resample("1min").ohlc()
    rate = TICKS / (perf_counter() - started)
    rows = theirs.to_numpy().astype(np.int64)[: len(closed)]
    return rate, np.array_equal(rows, np.array([(c.open, c.high, c.low, c.close) for c in closed]))
