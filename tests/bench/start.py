"""Start: a crash with 500 stops armed and 100,000 trades in the book; the shipped window is opened on it again.

`unlock_window_s`: from the command to a painted unlock window; `asks_s`: until it asks for the passphrase. That is
typed at once, while the desk is being built behind the window; from the return key on, once it is: `window_s` until the
working window is on the screen, `armed_s` until every stop is armed again. `rss_mb` is the window's process ten seconds
later, `helpers_mb` what works beside it (each counted whole, shared pages too).
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app.ui.theme import DARK
from tests.bench.tick_to_order import Process
from tests.e2e.screen import Screen, Shown, matching
from tests.e2e.window import Workstation

STOPS = 500
TRADES = 100_000
SETTLED_SECONDS = 10.0
LOOK_SECONDS = 0.01
PATIENCE = 60.0
MAIN_WIDTH = 1200
BUTTON_PIXELS = 200
TITLE_PIXELS = 50
QUICK = os.environ.get("STOPLINE_BENCH_QUICK") == "1"
BUDGET = {"unlock_window_s": 0.7, "window_s": 2.0, "armed_s": 2.0, "rss_mb": 350}


def run() -> dict[str, object]:
    """Three starts: the first finds no file in memory, and no compiled module either."""
    stops, trades = (STOPS // 5, TRADES // 100) if QUICK else (STOPS, TRADES)
    exchange = Process("tests.bench._exchange", str(stops), "7")
    try:
        with tempfile.TemporaryDirectory(prefix="bench-start-") as folder, Screen() as screen:
            profile = Path(folder) / "profile"
            passphrase = prepare(exchange.hear(), profile, stops, trades)
            starts = {
                f"start_{n}": start(screen, profile, Path(folder) / "pictures", passphrase, stops) for n in (1, 2, 3)
            }
    finally:
        exchange.end()
    return {"stops": stops, "trades": trades, **starts, "budget": dict(BUDGET)}


def prepare(urls: dict[str, str], profile: Path, stops: int, trades: int) -> str:
    """A profile whose program was killed with stops armed. Returns its passphrase."""
    station = Process("tests.bench._workstation", "headless", f"profile={profile}")
    station.tell(urls)
    station.hear()
    station.ask({"do": "arm", "first": 0, "count": stops})
    station.ask({"do": "trades", "count": trades})
    passphrase: str = station.ask({"do": "passphrase"})
    station.kill()
    return passphrase


def start(screen: Screen, profile: Path, pictures: Path, passphrase: str, stops: int) -> dict[str, float]:
    """One start, and a crash at its end."""
    program = Workstation(screen, profile, pictures)
    began = time.perf_counter()
    program.start()
    try:
        unlock = until(lambda: shows(screen, DARK.text, TITLE_PIXELS), began)
        asks = until(lambda: shows(screen, DARK.accent, BUTTON_PIXELS), began)
        program.window("Stopline")
        screen.type(passphrase)
        program.wait_vault("locked")
        pressed = time.perf_counter()
        screen.key("Return")
        window = until(lambda: any(w.width > MAIN_WIDTH for w in named(screen)), pressed)
        armed = until(lambda: program.status().get("armed") == stops, pressed)
        time.sleep(SETTLED_SECONDS)
        return {
            "unlock_window_s": unlock, "asks_s": asks, "window_s": window, "armed_s": armed,
            "rss_mb": resident(program.pid),
            "helpers_mb": sum(resident(child) for child in children(program.pid)),
        }  # fmt: skip
    finally:
        if program.running:
            program.signal(signal.SIGKILL)


def named(screen: Screen) -> list[Shown]:
    """The program's windows."""
    return [window for window in screen.windows() if window.title.startswith("Stopline")]


def shows(screen: Screen, colour: str, pixels: int) -> bool:
    """The first window is there and has more than so many pixels of a colour."""
    return bool(named(screen)) and int(matching(screen.picture(), colour).sum()) > pixels


def until(check: Callable[[], bool], began: float) -> float:
    """Seconds from `began` until it is so."""
    while not check():
        if time.perf_counter() - began > PATIENCE:
            raise RuntimeError("what was waited for did not come")
        time.sleep(LOOK_SECONDS)
    return round(time.perf_counter() - began, 2)


def resident(pid: int) -> int:
    """Megabytes of memory in use."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmRSS"))


def children(pid: int) -> list[int]:
    """Processes that it started, and those that these started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *children(int(child))]
    return found
