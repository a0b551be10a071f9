"""Sync: 10,000 fills from the paper exchange into the book, stops firing meanwhile; then the same again, twice.

`loop_ms` and `window_ms` are the longest times that the loop thread and the window's thread did not come round; of the
latter `own_ms` was its own work, `no_core_ms` it could have gone on but had no core, and `no_lock_ms` another thread
had the interpreter. Where it was then is written to standard error. `upstox` is an account of Upstox, no stop firing.
`again` finds the same fills, and those of the stops that fired; `unchanged` finds what `again` found, and must leave
every row as it was. `exchange_s` is how long the exchange takes to make its answer, part of `seconds`.
"""

from __future__ import annotations

import os
import time
from typing import Any

from tests.bench.tick_to_order import Process, own_display, pair, percentiles

FILLS = 10_000
STOPS = 40
EVERY = 0.2
"""Seconds between two breaches, on average: a broker takes ten orders a second, and a wait for that is not measured."""
SETTLE = 1.6
"""Seconds that the exchange waits before the first breach: then the sync begins."""
RESTS_AFTER = 8
"""Syncs after which the last exit must have been filled."""
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
BUDGET = {"seconds": 3.0, "window_ms": 50.0, "engine_p999_ms": 5.0}


def run() -> dict[str, object]:
    """Without and with the window."""
    result: dict[str, object] = {"headless": measure("headless", "")}
    with own_display() as display:
        result["with_window"] = measure("window", display)
    result["upstox"] = measure_upstox()
    result["budget"] = dict(BUDGET)
    return result


def measure(mode: str, display: str) -> dict[str, object]:
    """One setting."""
    fills = FILLS // 10 if QUICK else FILLS
    with pair(STOPS, mode, display) as (exchange, station):
        triggers = station.ask({"do": "arm", "first": 0, "count": STOPS})
        exchange.tell({"triggers": triggers, "every": EVERY, "fills": fills})
        time.sleep(SETTLE)
        first = station.ask({"do": "sync"})
        taken = exchange.hear()
        again = station.ask({"do": "sync"})
        unchanged = at_rest(station)
        figures = station.ask({"do": "figures"})
    for told in (first, again, unchanged):
        if told["step"] != "completed":
            raise RuntimeError(f"the sync {told['step']}: {told['error']}")
    if first["created"] < fills or again["skipped"] < fills or unchanged["skipped"] < again["skipped"]:
        raise RuntimeError(f"{first} {again} {unchanged}")
    return {"first": _rounded(first), "again": _rounded(again), "unchanged": _rounded(unchanged),
            "engine_ms": percentiles(figures["engine_us"]), "exchange_s": round(taken["answer_s"], 2),
            "stops_missing": taken["missing"], "stops_doubled": taken["doubled"]}  # fmt: skip


def measure_upstox() -> dict[str, object]:
    """The same fills over the other wire, without a window."""
    fills = FILLS // 10 if QUICK else FILLS
    exchange = Process("tests.bench._exchange", "1", "7", "both")
    station: Process | None = None
    try:
        urls = exchange.hear()
        station = Process("tests.bench._workstation", "headless")
        station.tell(urls)
        station.hear()
        exchange.ask({"fills": fills})
        first = station.ask({"do": "sync", "broker": "upstox"})
        rows = station.ask({"do": "rows"})
        unchanged = station.ask({"do": "sync", "broker": "upstox"})
        after = station.ask({"do": "rows"})
    finally:
        if station is not None:
            station.end()
        exchange.end()
    for told in (first, unchanged):
        if told["step"] != "completed":
            raise RuntimeError(f"the sync {told['step']}: {told['error']}")
    if first["created"] < fills or unchanged["skipped"] != first["created"] or rows != after:
        raise RuntimeError(f"{first} {rows} {unchanged} {after}")
    return {"first": _rounded(first), "unchanged": _rounded(unchanged)}


def at_rest(station: Process) -> Any:
    """A sync after the last exit was filled: it finds what is there, and every row must stay as it was."""
    for _ in range(RESTS_AFTER):
        rows = station.ask({"do": "rows"})
        told = station.ask({"do": "sync"})
        if not told["created"]:
            if rows != station.ask({"do": "rows"}):
                raise RuntimeError(f"a sync of the same fills changed rows: {rows}, {told}")
            return told
    raise RuntimeError("the exchange does not come to rest")


def _rounded(told: dict[str, Any]) -> dict[str, Any]:
    names = ("seconds", "loop_ms", "window_ms", "own_ms", "no_core_ms", "no_lock_ms", "created", "skipped")
    return {name: round(told[name], 2) for name in names if name in told}
