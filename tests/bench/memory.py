"""Memory: an hour of ticks of 3,000 instruments, ten times as fast as a market's, with the window and 500 stops armed.

The exchange's clock runs at ten times its pace, so everything that depends on time happens as often as in an hour.
`growth_mb` is from the tenth minute on: before, tables and caches fill.
"""

from __future__ import annotations

import os
import time

from tests.bench.start import resident
from tests.bench.tick_to_order import ARMED, Process, own_display

PACE = 10
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
MINUTES = 12 if QUICK else 60
EVERY = 5
"""Minutes of the exchange between two looks."""
WARM = 10
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
    exchange = Process("tests.bench._exchange", str(ARMED), "7")
    station: Process | None = None
    seen = {}
    try:
        urls = exchange.hear()
        station = Process("tests.bench._workstation", "window", display=display)
        station.tell(urls)
        station.hear()
        station.ask({"do": "arm", "first": 0, "count": ARMED})
        before = exchange.ask({"pace": PACE})
        began = time.monotonic()
        for minute in range(0, MINUTES + 1, EVERY):
            time.sleep(max(0.0, began + minute * 60 / PACE - time.monotonic()))
            seen[minute] = resident(station.pid)
        ticks = exchange.ask({"pace": 1}) - before
    finally:
        if station is not None:
            station.end()
        exchange.end()
    return seen, ticks
