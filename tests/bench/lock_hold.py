"""The interpreter lock while stops are armed: how long a thread as urgent as the loop's waits for it. Budget: 1 ms.

`lock_ms` is the longest such wait, `over_1_ms` how many were longer. `held_ms` is what of a wait one thread can have
held the lock by its own work, at most: what it computed meanwhile. The rest of a wait is the machine's, which takes the
core from whoever has the lock; `peer_ms` is the longest that a program which does next to nothing waits for its own
lock at the same time, `ratio` the one to the other. `loop_ms` is the longest that the loop thread took to come round,
`core_ms` the longest wait for a core. The window is open, 3,000 instruments tick, 40 stops are armed, and one thing
after the other is done; `quiet` is none of them. Who held it is written to standard error.
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
BUDGET = {"held_ms": 1.0}


def run() -> dict[str, object]:
    """Every case, with the window."""
    fills = FILLS // 10 if QUICK else FILLS
    told: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, own_display() as display:
        path, _ = listed(Path(folder))
        exchange = Process("tests.bench._exchange", str(STOPS), "7")
        peer = Process("tests.bench._peer")
        station: Process | None = None
        try:
            urls = exchange.hear()
            station = Process("tests.bench._workstation", "window", "anywhere", display=display)
            station.tell(urls)
            station.hear()
            station.ask({"do": "arm", "first": 0, "count": STOPS})
            exchange.ask({"fills": fills})
            for case in ("quiet", "sync", "recompute", "import", "backup", "rotation"):
                peer.ask("begin")
                seen = station.ask({"do": "probe", "case": case, "list": str(path), "folder": folder})
                told[case] = {**seen, **beside(seen, peer.ask("end"))}
        finally:
            if station is not None:
                station.end()
            exchange.end()
            peer.end()
    told["budget"] = BUDGET
    return told


def beside(seen: dict[str, float], peer: dict[str, float]) -> dict[str, float]:
    """What the same machine did to a program without work."""
    return {
        "peer_ms": round(peer["lock_ms"], 2), "ratio": round(seen["lock_ms"] / max(peer["lock_ms"], 0.05), 1),
        "peer_core_ms": round(peer["core_ms"], 2),
    }  # fmt: skip
