"""Everything at once: stops fire while 10,000 fills are synced, all trades worked out, a list imported, a backup made.

Budget for `engine_ms`: p99.9 below 5 ms, with the window. So few exits have no p99.9: it is the worst of them. With
STOPLINE_BENCH_FULL=1 it is 10,000 exits with the window, 500 armed at a time (three quarters of an hour), and all the
work goes on anew as long as exits come: `rounds` is how often.
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
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
FULL = os.environ.get("STOPLINE_BENCH_FULL") == "1"
FULL_BATCHES, FULL_STOPS = 20, 500
BUDGET = {"engine_p999_ms": 5.0}


def run() -> dict[str, object]:
    """Without and with the window; in full with it alone."""
    result: dict[str, object] = {} if FULL else {"headless": measure("headless", "")}
    with own_display() as display:
        result["with_window"] = measure("window", display)
    result["budget"] = dict(BUDGET)
    return result


def measure(mode: str, display: str) -> dict[str, object]:
    """One setting. `seconds` is the longest that the work took beside the stops."""
    stops, fills = (STOPS // 5, FILLS // 10) if QUICK else (FULL_STOPS if FULL else STOPS, FILLS)
    engine_us: list[int] = []
    works: list[dict[str, float]] = []
    missing = doubled = 0
    with tempfile.TemporaryDirectory() as folder:
        path, _ = listed(Path(folder))
        for _ in range(FULL_BATCHES if FULL else 1):
            Path(folder, "bench.backup").unlink(missing_ok=True)
            with pair(stops, mode, display, "anywhere") as (exchange, station):
                triggers = station.ask({"do": "arm", "first": 0, "count": stops})
                exchange.tell({"triggers": triggers, "every": EVERY, "fills": fills})
                until = time.monotonic() + (stops * EVERY if FULL else 0)
                command = {"do": "everything", "list": str(path), "folder": folder}
                works.append(station.ask(command))
                while time.monotonic() < until:
                    Path(folder, "bench.backup").unlink()
                    works.append(station.ask(command))
                taken = exchange.hear()
                engine_us += station.ask({"do": "figures"})["engine_us"]
            missing += taken["missing"]
            doubled += taken["doubled"]
    return {
        "engine_ms": percentiles(engine_us), "exits": len(engine_us), "rounds": len(works),
        "seconds": max(work["seconds"] for work in works), "window_ms": max(work["window_ms"] for work in works),
        "stops_missing": missing, "stops_doubled": doubled,
    }  # fmt: skip
