"""A broker's whole instrument list taken over into an encrypted book. Peer: parsed and inserted in one go, in memory.

Budget for 150,000 instruments: 5 s, 100 MB more memory, search within 5 ms; the loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
import resource
import sqlite3
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from app.brokers import instrument_files
from app.market.imports import InstrumentImports
from app.market.instruments import InstrumentMaster
from app.runtime.clock import SystemClock
from app.runtime.garbage import GarbageCollector
from app.runtime.helper import Helper
from app.runtime.loop import SWITCH_INTERVAL, new_event_loop
from app.storage.book import Book
from app.storage.database import StoreKind
from app.storage.store import open_store
from tests.bench.search import QUERIES
from tests.shared_data import ROOT
from tests.unit.storage.samples import KEY

BUDGET_ROWS = 150_000
BEAT = 0.002


def run() -> dict[str, object]:
    """Seconds, memory, search and the loop's worst pause of a first import, and of the same list once more."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    GarbageCollector().take_over()  # as the program does: no collection in the middle of something
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=new_event_loop) as runner:
        path, broker = listed(Path(folder))
        return runner.run(_measured(Path(folder), path, broker))


async def _measured(folder: Path, path: Path, broker: str) -> dict[str, object]:
    store, _ = await open_store(folder / "profile", KEY, StoreKind.BOOK)
    book, helper = Book(store), Helper()
    master = InstrumentMaster(helper)

    async def reload(name: str) -> None:
        await master.reload(book.instruments, name)

    imports = InstrumentImports(
        book.instruments, instrument_files, helper, folder, SystemClock(), lambda _: None, reload
    )
    try:
        await helper.call(os.getpid)
        before = _memory()
        first, first_lag, rows = await _timed(imports, path, broker)
        after = _memory()
        again, again_lag, _ = await _timed(imports, path, broker)
        searches = sorted(_best(lambda query=query: master.search(query)) for query in QUERIES)
    finally:
        await helper.stop()
        await book.close()
    peer = await asyncio.to_thread(_peer, path)
    scale = BUDGET_ROWS / rows
    return {
        "what": "instruments",
        "rows": rows,
        "ours_s": round(first, 2),
        "ours_again_s": round(again, 2),
        "ours_s_per_150k": round(first * scale, 2),
        "budget_s_per_150k": 5,
        "memory_mb": round(after - before),
        "memory_mb_per_150k": round((after - before) * scale),
        "budget_mb_per_150k": 100,
        "search_ms": round(searches[len(searches) // 2] * 1000, 2),
        "search_worst_ms": round(searches[-1] * 1000, 2),
        "budget_search_ms": 5,
        "worst_loop_pause_ms": round(first_lag * 1000, 1),
        "worst_loop_pause_again_ms": round(again_lag * 1000, 1),
        "peer": "csv and sqlite in one go, no key, no search",
        "peer_s": round(peer, 2),
        "ratio": round(peer / first, 2),
    }


async def _timed(imports: InstrumentImports, path: Path, broker: str) -> tuple[float, float, int]:
    """(seconds, the longest that the loop did not turn, rows)."""
    worst = 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            due = perf_counter() + BEAT
            await asyncio.sleep(BEAT)
            worst = max(worst, perf_counter() - due)

    beating = asyncio.ensure_future(beat())
    started = perf_counter()
    report = await imports.run(broker, [imports.picked(path)], "bench")
    took = perf_counter() - started
    beating.cancel()
    if report.counts is None:
        raise RuntimeError(report.error)
    return took, worst, report.counts.read


def _peer(path: Path) -> float:
    """What a script does: every line a tuple, one insert, one thread."""
    started = perf_counter()
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    database = sqlite3.connect(":memory:")
    marks = ",".join("?" * len(rows[0]))
    database.execute(f"CREATE TABLE listed ({','.join(f'c{n}' for n in range(len(rows[0])))})")
    database.executemany(f"INSERT INTO listed VALUES ({marks})", rows[1:])  # noqa: S608 - question marks
    database.execute("CREATE INDEX by_symbol ON listed (c2)")
    database.commit()
    database.close()
    return perf_counter() - started


def _best(call: object, times: int = 5) -> float:
    assert callable(call)
    best = float("inf")
    for _ in range(times):
        started = perf_counter()
        call()
        best = min(best, perf_counter() - started)
    return best


def _memory() -> float:
    """Megabytes that the process holds."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1e6


def listed(folder: Path) -> tuple[Path, str]:
    """A broker's real list where it is beside the repository, else one made up."""
    real = ROOT / "instruments" / "upstox_complete_2026-02-03.csv.gz"
    if real.exists():
        return real, "upstox"
    made = folder / "made.csv.gz"
    head = (
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        "instrument_type,segment,exchange"
    )
    with gzip.open(made, "wt", encoding="utf-8") as file:
        file.write(head + "\n")
        number = 0
        for name in range(600):
            for strike in range(100, 12_600, 100):
                for kind in ("CE", "PE"):
                    number += 1
                    file.write(
                        f"{number * 256 + 2},{number},NAME{name:03d}26DEC{strike}{kind},NAME{name:03d},0,2026-12-29,"
                        f"{strike},0.05,50,{kind},NFO-OPT,NFO\n"
                    )
    return made, "zerodha"
