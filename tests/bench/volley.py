"""Volley: one frame hits 100 stops; their exits leave over the pool of connections, ten a second as the broker allows.

`engine_ms` is of the first ten, which nothing but the engine can delay. The rest waits for the broker's next seconds:
`all_out_s` is when the last one arrived at the exchange, `most_in_a_second` what the exchange counted at worst.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

from tests.bench.tick_to_order import own_display, pair, percentiles

STOPS = 100
A_SECOND = 10
"""Orders that the broker takes."""
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
BUDGET = {"stops_missing": 0, "stops_doubled": 0, "most_in_a_second": A_SECOND, "engine_ms.max_ms": 5.0}


def run() -> dict[str, object]:
    """Without and with the window."""
    result: dict[str, object] = {"headless": measure("headless", "")}
    with own_display() as display:
        result["with_window"] = measure("window", display)
    result["budget"] = dict(BUDGET)
    return result


def measure(mode: str, display: str) -> dict[str, object]:
    """One setting."""
    stops = STOPS // 4 if QUICK else STOPS
    with pair(stops, mode, display) as (exchange, station):
        triggers = station.ask({"do": "arm", "first": 0, "count": stops})
        taken = exchange.ask({"crash": triggers, "seconds": stops / A_SECOND + 5})
        figures = station.ask({"do": "figures"})
    return told(triggers, taken, figures)


def told(triggers: dict[str, int], taken: dict[str, Any], figures: dict[str, Any]) -> dict[str, object]:
    """The figures of one crash. Every position has the same units, so its trigger says how much money is behind it."""
    arrived = sorted(taken["arrived_us"].items(), key=lambda item: item[1])
    dearest = sorted(triggers, key=triggers.__getitem__, reverse=True)
    times = [at for _, at in arrived]
    return {
        "stops_missing": taken["missing"],
        "stops_doubled": taken["doubled"],
        "all_out_s": round(times[-1] / 1e6, 2),
        "first_ten_us": times[:A_SECOND][-1],
        "dearest_first": {name for name, _ in arrived[:A_SECOND]} == set(dearest[:A_SECOND]),
        "most_in_a_second": busiest(times),
        "longest_pause_ms": round(max(later - earlier for earlier, later in pairwise(times)) / 1000, 1),
        "engine_ms": percentiles(figures["engine_us"]),
    }


def busiest(times: list[int]) -> int:
    """The most arrivals within any 1,000,000 microseconds. `times` ascend."""
    most, first = 0, 0
    for n, at in enumerate(times):
        while times[first] <= at - 1_000_000:
            first += 1
        most = max(most, n - first + 1)
    return most
