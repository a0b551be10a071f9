"""Everything at once: stops fire while 10,000 fills are synced, all trades worked out, a list imported, a backup made.

Budget for `engine_ms`: p99.9 below 5 ms, with the window. So few exits have no p99.9: it is the worst of them.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.bench.instruments import listed
from tests.bench.tick_to_order import own_display, pair, percentiles

FILLS = 10_000
STOPS = 100
EVERY = 0.2
"""Seconds between two breaches, on average: a broker takes ten orders a second, and a wait for that is not measured."""
SETTLE = 0.2
"""Seconds until the work is asked for: a backup begins only while no stop is firing, so before the first breach."""
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
BUDGET = {"engine_p999_ms": 5.0}


def run() -> dict[str, object]:
    """Without and with the window."""
    result: dict[str, object] = {"headless": measure("headless", "")}
    with own_display() as display:
        result["with_window"] = measure("window", display)
    result["budget"] = dict(BUDGET)
    return result


def measure(mode: str, display: str) -> dict[str, object]:
    """One setting. `seconds` is how long the work took beside the stops."""
    stops, fills = (STOPS // 5, FILLS // 10) if QUICK else (STOPS, FILLS)
    with tempfile.TemporaryDirectory() as folder:
        path, _ = listed(Path(folder))
        with pair(stops, mode, display, "anywhere") as (exchange, station):
            triggers = station.ask({"do": "arm", "first": 0, "count": stops})
            exchange.tell({"triggers": triggers, "every": EVERY, "fills": fills})
            time.sleep(SETTLE)
            work = station.ask({"do": "probe", "case": "everything", "list": str(path), "folder": folder})
            taken = exchange.hear()
            figures = station.ask({"do": "figures"})
    return {
        "engine_ms": percentiles(figures["engine_us"]), "seconds": work["seconds"], "window_ms": work["window_ms"],
        "stops_missing": taken["missing"], "stops_doubled": taken["doubled"],
    }  # fmt: skip
