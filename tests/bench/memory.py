"""Memory: an hour of ticks of 3,000 instruments, ten times as fast as a market's, with the window and 500 stops armed.

The exchange's clock runs at ten times its pace, so everything that depends on time happens as often as in an hour.
`growth_mb` is from the tenth minute on (of the quick form: the fourth): before, tables and caches fill.
"""

from __future__ import annotations

import os
import time

from tests.bench.start import resident
from tests.bench.tick_to_order import ARMED, own_display, pair

PACE = 10
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
MINUTES = 12 if QUICK else 60
EVERY, WARM = (2, 4) if QUICK else (5, 10)
"""Minutes of the exchange between two looks, and after which what was seen counts."""
BUDGET = {"growth_mb": 10.0}


def run() -> dict[str, object]:
    """With the window."""
    with own_display() as display:
        seen, ticks = measure(display)
    warm = [size for minute, size in seen.items() if minute >= WARM]
    return {
        "minutes": MINUTES,
        "ticks": ticks,
        "rss_mb": {f"minute_{minute}": size for minute, size in seen.items()},
        "growth_mb": warm[-1] - warm[0],
        "budget": dict(BUDGET),
    }


def measure(display: str) -> tuple[dict[int, int], int]:
    """Megabytes in use by minute of the exchange, and how many ticks came meanwhile."""
    seen = {}
    with pair(ARMED, "window", display) as (exchange, station):
        station.ask({"do": "arm", "first": 0, "count": ARMED})
        before = exchange.ask({"pace": PACE})
        began = time.monotonic()
        for minute in range(0, MINUTES + 1, EVERY):
            time.sleep(max(0.0, began + minute * 60 / PACE - time.monotonic()))
            seen[minute] = resident(station.pid)
        ticks = exchange.ask({"pace": 1}) - before
    return seen, ticks
