"""The interpreter lock while stops are armed: how long a thread as urgent as the loop's waits for it. Budget: 1 ms.

`lock_ms` is the longest such wait, `over_1_ms` how many were longer, `loop_ms` the longest that the loop thread took to
come round, `core_ms` the longest wait for a core of this machine, which no program can help. The window is open, 3,000
instruments tick, 40 stops are armed, and one thing after the other is done; `quiet` is none of them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.bench.instruments import listed
from tests.bench.tick_to_order import Process, own_display

FILLS = 10_000
STOPS = 40
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
BUDGET = {"lock_ms": 1.0}


def run() -> dict[str, object]:
    """Every case, with the window."""
    fills = FILLS // 10 if QUICK else FILLS
    told: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, own_display() as display:
        path, _ = listed(Path(folder))
        exchange = Process("tests.bench._exchange", str(STOPS), "7")
        station: Process | None = None
        try:
            urls = exchange.hear()
            station = Process("tests.bench._workstation", "window", "anywhere", display=display)
            station.tell(urls)
            station.hear()
            station.ask({"do": "arm", "first": 0, "count": STOPS})
            exchange.ask({"fills": fills})
            for case in ("quiet", "sync", "recompute", "import", "backup", "rotation"):
                told[case] = station.ask({"do": "probe", "case": case, "list": str(path), "folder": folder})
        finally:
            if station is not None:
                station.end()
            exchange.end()
    told["budget"] = BUDGET
    return told
