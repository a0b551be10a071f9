"""Tick to order: a breach's bytes leave the exchange, the exit's bytes arrive there; over TLS, with and without window.

3,000 shares tick about once a second, 500 stops are armed at a time, each exit is in another instrument. `outside` is
measured at the exchange's end and holds its own work too; `engine_ms` is from inside: socket readable to last byte
written.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
ARMED = 500
BATCHES = 2
EVERY = 0.2
"""Seconds between two breaches, on average. A broker takes ten orders a second, changes of price among them; a wait for
that is the broker's, and is not what is measured here."""
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
BUDGET: dict[str, dict[str, float]] = {
    "with_window": {"p99_ms": 2.5, "p999_ms": 5.0, "fps": 30},
    "headless": {"p99_ms": 0.3},
}


class Process:
    """A helper process that answers each line with a line."""

    def __init__(self, module: str, *arguments: str, display: str = "") -> None:
        environment = {**os.environ, **({"DISPLAY": display} if display else {})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, question: object) -> Any:
        """One question, one answer."""
        self.tell(question)
        return self.hear()

    def tell(self, question: object) -> None:
        """A question whose answer is heard later."""
        pipe = _pipe(self._process.stdin)
        pipe.write(json.dumps(question) + "\n")
        pipe.flush()

    def hear(self) -> Any:
        """The next answer."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return json.loads(line)

    def kill(self) -> None:
        """As a power cut."""
        self._process.kill()
        self._process.wait()
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()

    def end(self) -> None:
        """Closes its input and waits."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("no pipe")
    return pipe


def run() -> dict[str, object]:
    """Both settings."""
    result: dict[str, object] = {"headless": measure("headless", "")}
    with own_display() as display:
        result["with_window"] = measure("window", display)
    result["budget"] = BUDGET
    result["against_budget"] = {mode: against(BUDGET[mode], result[mode]) for mode in BUDGET}
    return result


def against(budget: Mapping[str, float], measured: Any) -> dict[str, str]:
    """For each budget "met", or by how much it was missed. `engine_ms` is what the budgets are for."""
    told = {}
    for name, limit in budget.items():
        missed = limit - measured["fps"] if name == "fps" else measured["engine_ms"][name] - limit
        told[name] = "met" if missed <= 0 else f"missed by {missed:.3f}"
    return told


def measure(mode: str, display: str) -> dict[str, object]:
    """One setting: percentiles at the exchange's end, and from inside beside them."""
    batches, armed = (1, 100) if QUICK else (BATCHES, ARMED)
    outside: list[int] = []
    missing = doubled = 0
    with pair(batches * armed, mode, display) as (exchange, station):
        for batch in range(batches):
            triggers = station.ask({"do": "arm", "first": batch * armed, "count": armed})
            station.ask({"do": "count frames"})
            taken = exchange.ask({"triggers": triggers, "every": EVERY})
            outside += taken["outside_us"]
            missing += taken["missing"]
            doubled += taken["doubled"]
        figures = station.ask({"do": "figures"})
    told: dict[str, object] = {
        **percentiles(outside),
        "n": len(outside),
        "missing": missing,
        "doubled": doubled,
        "waited_for_the_brokers_second": len(outside) - len(figures["engine_us"]),
        "engine_ms": percentiles(figures["engine_us"]),
    }
    if mode == "window":
        told["fps"] = round(figures["fps"], 1)
    return told


def percentiles(micros: Sequence[int]) -> dict[str, float]:
    """p50, p99, p99.9 and the worst, in milliseconds: the smallest value that so many per cent do not exceed."""
    ordered = sorted(micros)

    def at(part: float) -> float:
        return round(ordered[max(0, ceil(len(ordered) * part) - 1)] / 1000, 3)

    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": round(ordered[-1] / 1000, 3)}


@contextmanager
def pair(positions: int, mode: str, display: str, *options: str) -> Iterator[tuple[Process, Process]]:
    """An exchange with so many positions, and a workstation that is connected to it."""
    exchange = Process("tests.bench._exchange", str(positions), "7")
    station: Process | None = None
    try:
        urls = exchange.hear()
        station = Process("tests.bench._workstation", mode, *options, display=display)
        station.tell(urls)
        station.hear()
        yield exchange, station
    finally:
        if station is not None:
            station.end()
        exchange.end()


@contextmanager
def own_display() -> Iterator[str]:
    """Where a window may be opened, for as long as it is needed."""
    server, display = _display()
    try:
        yield display
    finally:
        if server is not None:
            server.terminate()
            server.wait()


def _display() -> tuple[subprocess.Popen[bytes] | None, str]:
    """The display at hand, else a virtual one of our own."""
    if os.environ.get("DISPLAY") and os.environ.get("STOPLINE_BENCH_DISPLAY") == "own":
        return None, os.environ["DISPLAY"]
    program = shutil.which("Xvfb")
    if program is None:
        raise RuntimeError("Xvfb is needed for the window's figures")
    read, write = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    return server, f":{number}"
