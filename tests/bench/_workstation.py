"""The workstation of `tick_to_order`: the desk, with or without the window, armed on demand.

Commands on standard input, answers on standard output, one JSON document a line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Connection

from app.bootstrap import build_desk
from app.domain.account import Endpoints
from app.domain.errors import Denied
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, Nanos
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan
from app.domain.sync import SyncPlan
from app.runtime.loop import SWITCH_INTERVAL, LoopThread
from app.runtime.paths import ProfilePaths
from app.runtime.secret import Secret
from tests.bench._exchange import SHARES, own_core
from tests.bench._probe import LockProbe
from tests.bench._window import LOOK_MS, Stretch, WindowWatch

STOP_AT = 0.96
PASSPHRASE = Secret("a passphrase for the bench")
QUIET_SECONDS = 3.0
FILLS_AT_ONCE = 10_000
WATCHED = 100
"""Rows of the watchlist in the window."""


class Driver:
    """Drives one desk from standard input."""

    def __init__(self, urls: dict[str, Any], profile: str = "") -> None:
        self._urls = urls
        self.loop = LoopThread()
        self.loop.start()
        self._folder = tempfile.TemporaryDirectory(prefix="bench-profile-")
        self.profile = Path(profile or self._folder.name)
        self.desk = self.run(build_desk(ProfilePaths(self.profile), paper=False))
        self.account = self.upstox = AccountId("")
        self.paints: list[float] = []
        self._probe: LockProbe | None = None
        self.window = WindowWatch()
        self.count_paints: Callable[[], None] = lambda: None
        """Begins to count the window's paints: every event of Qt's then makes a detour through Python."""

    def run(self, coroutine: Any) -> Any:
        """A coroutine on the loop thread, awaited from another."""
        return self.loop.submit(coroutine).result(120)

    async def _ticked(self, instruments: list[InstrumentId]) -> None:
        """Until every instrument has a price."""
        while len(await self.desk.market.last_ticks(instruments)) < len(instruments):  # noqa: ASYNC110 - prices have no event
            await asyncio.sleep(0.1)

    async def connect(self) -> None:
        """Vault, account, session; all 3,000 instruments subscribed."""
        urls, desk = self._urls, self.desk
        await desk.session.create_vault(PASSPHRASE, False)
        endpoints = Endpoints(urls["api_url"], urls["login_url"], urls["ws_url"], urls["redirect_url"], urls["ca_file"])
        self.account = await desk.session.add_account("zerodha", urls["api_key"], Secret(urls["api_secret"]), endpoints)
        page = await desk.session.begin_login(self.account)
        state = page.url.rpartition("state%3D")[2]
        redirect = f"{page.redirect_url}?request_token={urls['request_token']}&status=success&state={state}"
        await desk.session.complete_login(self.account, redirect)
        await desk.sync.save_plan(SyncPlan(self.account, on=False))  # what is measured is asked for
        if urls.get("upstox"):
            await self.connect_upstox(urls["upstox"])
        everything = [InstrumentId(f"NSE:BENCH{n:04d}") for n in range(SHARES)]
        await desk.market.subscribe("bench", everything)
        await self._ticked(everything)

    async def connect_upstox(self, line: dict[str, str]) -> None:
        """A second account, of Upstox."""
        desk = self.desk
        where = Endpoints(line["api_url"], line["login_url"], line["ws_url"], line["redirect_url"], line["ca_file"])
        self.upstox = await desk.session.add_account("upstox", line["api_key"], Secret(line["api_secret"]), where)
        page = await desk.session.begin_login(self.upstox)
        state = parse_qs(urlsplit(page.url).query)["state"][0]
        await desk.session.complete_login(self.upstox, f"{page.redirect_url}?code={line['code']}&state={state}")
        await desk.sync.save_plan(SyncPlan(self.upstox, on=False))

    async def arm(self, first: int, count: int) -> dict[str, int]:
        """Stops on so many positions; returns their triggers by symbol."""
        ticks = await self.desk.market.last_ticks([InstrumentId(f"NSE:BENCH{n:04d}") for n in range(SHARES)])
        last = {tick.instrument: tick.last_price for tick in ticks}
        triggers = {}
        for n in range(first, first + count):
            name = InstrumentId(f"NSE:BENCH{n:04d}")
            trigger = int(last[name] * STOP_AT) // 5 * 5
            await self.desk.stops.arm(PositionKey(self.account, name, Product.MIS), StopPlan(trigger))
            triggers[name.partition(":")[2]] = trigger
        return triggers

    async def sync(self, account: AccountId) -> dict[str, Any]:
        """One sync of an account, and the longest time that the loop thread did not come round meanwhile."""
        worst, done = 0.0, asyncio.Event()

        async def watch() -> None:
            nonlocal worst
            while not done.is_set():
                due = time.perf_counter() + 0.001
                await asyncio.sleep(0.001)
                worst = max(worst, time.perf_counter() - due)

        watching = asyncio.ensure_future(watch())
        began = time.perf_counter()
        (run,) = (await self.desk.portfolio.sync(account)).accounts
        took = time.perf_counter() - began
        done.set()
        await watching
        return {
            "seconds": took, "loop_ms": worst * 1000, "step": run.step, "created": run.created, "skipped": run.skipped,
            "error": run.error,
        }  # fmt: skip

    async def probed(self, command: dict[str, Any]) -> dict[str, Any]:
        """One case of `lock_hold`: how long it took, and how long the interpreter lock was waited for meanwhile."""
        probe = self._probe = self._probe or LockProbe(asyncio.get_running_loop())
        self.window.explain()
        case = {
            "quiet": lambda: asyncio.sleep(QUIET_SECONDS),
            "sync": self.desk.portfolio.sync,
            "recompute": self.recompute,
            "import": lambda: self.desk.instruments.sync(None, command["list"]),
            "backup": lambda: self.backed_up(command),
            "rotation": lambda: self.desk.data.rotate_key(PASSPHRASE),
        }[command["case"]]
        await asyncio.sleep(0.5)
        probe.take()
        self.window.take()
        began = time.perf_counter()
        await case()
        took = time.perf_counter() - began
        waits = probe.take()
        for wait in waits.noted:
            shares = f"{wait.lasted:.1f} ms, held {wait.held:.1f} at most, {wait.idle:.1f} without a core"
            sys.stderr.write(f"{command['case']}: {shares}: {wait.words}\n")
        return {"seconds": round(took, 2), **waits.told(), **self.window_told(command["case"])}

    def window_told(self, case: str) -> dict[str, float]:
        """The longest stretch of the window since it was last asked; the words go to standard error."""
        if not self.window.begun:
            return {"window_ms": 0.0}
        longest = self.window.take()
        for stretch in longest:
            sys.stderr.write(f"{case}: window {stretch.told()}\n")
        worst = longest[0] if longest else Stretch()
        return {
            "window_ms": round(worst.lasted, 1), "own_ms": round(worst.own, 1), "no_core_ms": round(worst.core, 1),
            "no_lock_ms": round(worst.lock, 1),
        }  # fmt: skip

    async def everything(self, command: dict[str, Any]) -> dict[str, float]:
        """A sync and every trade anew, an import and a backup, side by side. Nothing looks on that would compete."""

        async def trades() -> None:
            await self.desk.portfolio.sync()
            await self.recompute()

        self.window.take()
        began = time.perf_counter()
        await asyncio.gather(trades(), self.desk.instruments.sync(None, command["list"]), self.backed_up(command))
        worst = max((stretch.lasted for stretch in self.window.take()), default=0.0)
        return {"seconds": round(time.perf_counter() - began, 2), "window_ms": round(worst, 1)}

    async def backed_up(self, command: dict[str, Any]) -> None:
        """A backup; after the one that the program makes by itself, where that is under way."""
        while True:
            try:
                await self.desk.data.backup(command["folder"] + "/bench.backup")
            except Denied:
                await asyncio.sleep(0.2)
            else:
                return

    async def trades(self, count: int) -> None:
        """So many round trips of the last years in the book, each of two fills."""
        fills = self.desk._workspace.book.fills
        now, minute = time.time_ns(), 60_000_000_000
        rows = []
        for n in range(2 * count):
            name = InstrumentId(f"NSE:BENCH{2_000 + n // 2 % 900:04d}")
            side = Side.BUY if n % 2 == 0 else Side.SELL
            at = Nanos(now - (2 * count - n) * minute)
            order = BrokerOrderId(f"{70_000_000_000 + n}")
            day = datetime.fromtimestamp(at / 1e9, UTC).date().isoformat()
            known = FillId("zerodha", self.account, "NSE", Segment.EQUITY, day, order, str(80_000_000 + n), side)
            fill = Fill(
                known, self.account, name, Segment.EQUITY, InstrumentKind.SHARE, Product.MIS, side, 10,
                100_000 + 5 * (n % 400), at, order,
            )  # fmt: skip
            rows.append((fill, "{}"))
        for first in range(0, len(rows), FILLS_AT_ONCE):
            await fills.write(rows[first : first + FILLS_AT_ONCE])
        await self.desk.sync.rebuild()

    async def recompute(self) -> None:
        """Every trade of the book anew."""
        store = self.desk._workspace.book.fills._store

        def mark(connection: Connection) -> None:
            connection.exec_driver_sql(
                "INSERT OR IGNORE INTO stale_groups SELECT DISTINCT account, instrument, product FROM fills"
            )

        await store.run(mark)
        await self.desk.sync.rebuild()

    async def rows(self) -> list[int]:
        """What a sync that writes nothing leaves as it is: how many fills and trades, of which versions."""
        store = self.desk._workspace.book.fills._store

        def read(connection: Connection) -> list[int]:
            words = "SELECT count(*), sum(row_version), max(updated_at) FROM fills"
            trades = "SELECT count(*), max(id) FROM trades"
            return [*connection.exec_driver_sql(words).one(), *connection.exec_driver_sql(trades).one()]

        found: list[int] = await store.run(read)
        return found

    async def figures(self) -> list[int]:
        """Microseconds from socket readable to last byte written, of each exit."""
        return [us for desk in self.desk._workspace.accounts.values() for us in desk.stops.engine_us]

    def answer(self, command: dict[str, Any]) -> object:
        """One command."""
        if command["do"] == "connect":
            self.run(self.connect())
            return "connected"
        if command["do"] == "arm":
            return self.run(self.arm(command["first"], command["count"]))
        if command["do"] == "sync":
            self.window.explain()
            self.window.take()
            account = self.upstox if command.get("broker") == "upstox" else self.account
            return {**self.run(self.sync(account)), **self.window_told(command["do"])}
        if command["do"] == "everything":
            return self.run(self.everything(command))
        if command["do"] == "probe":
            return self.run(self.probed(command))
        if command["do"] == "trades":
            self.run(self.trades(command["count"]))
            return "written"
        if command["do"] == "passphrase":
            return PASSPHRASE.reveal()
        if command["do"] == "rows":
            return self.run(self.rows())
        if command["do"] == "figures":
            paints = list(self.paints)
            span = paints[-1] - paints[0] if len(paints) > 1 else 0.0
            return {"engine_us": self.run(self.figures()), "fps": len(paints) / span if span else 0.0}
        if command["do"] == "count frames":
            self.paints.clear()
            self.count_paints()
            return "counting"
        raise ValueError(command)

    def serve(self) -> None:
        """Until standard input closes."""
        for line in sys.stdin:
            sys.stdout.write(json.dumps(self.answer(json.loads(line))) + "\n")
            sys.stdout.flush()


def with_window(driver: Driver) -> int:
    """The full window on the desk; paints are counted where Qt delivers them."""
    from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
    from PySide6.QtWidgets import QApplication, QMainWindow

    from app.ui.application import WindowOptions, run_window

    class Paints(QObject):
        """One entry a repaint of the main window, once it counts."""

        asked = Signal()

        def begin(self) -> None:
            """On the window's thread."""
            app().installEventFilter(self)

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
            """For Qt."""
            if event.type() is QEvent.Type.UpdateRequest and isinstance(watched, QMainWindow):
                driver.paints.append(time.monotonic())
            return False

    counter = Paints()
    counter.asked.connect(counter.begin, Qt.ConnectionType.QueuedConnection)
    turn = QTimer()
    turn.setTimerType(Qt.TimerType.PreciseTimer)

    def app() -> QApplication:
        there = QApplication.instance()
        if not isinstance(there, QApplication):
            raise TypeError("no application")
        return there

    def begin() -> None:
        driver.count_paints = counter.asked.emit
        threading.Thread(target=finish, daemon=True).start()
        driver.window.begin()
        turn.start(LOOK_MS)

    turn.timeout.connect(driver.window.look)

    def finish() -> None:
        try:
            driver.serve()
        finally:  # a command that failed ends the run, which would wait for its answer
            os.kill(os.getpid(), signal.SIGTERM)  # the program's own way out; this thread has no loop for a timer

    start_timer(begin)
    return run_window(driver.desk, driver.loop.submit, WindowOptions(driver.profile, shutdown=driver.desk.stop))


def start_timer(begin: Any) -> None:
    """Begins once the window's loop runs."""
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication(sys.argv[:1])
    QTimer.singleShot(1_000, app, begin)


def main() -> int:
    """`_workstation window|headless`, the exchange's addresses as the first line of standard input."""
    if "anywhere" not in sys.argv:
        own_core(first=False)
    sys.setswitchinterval(SWITCH_INTERVAL)
    profile = next((word.partition("=")[2] for word in sys.argv if word.startswith("profile=")), "")
    driver = Driver(json.loads(sys.stdin.readline()), profile)
    driver.run(driver.connect())
    watch = [InstrumentId(f"NSE:BENCH{n:04d}") for n in range(WATCHED)]
    from app.desk.messages import WatchlistView

    driver.run(driver.desk.market.save_watchlist(WatchlistView("Bench", tuple(watch))))
    sys.stdout.write(json.dumps("connected") + "\n")
    sys.stdout.flush()
    if sys.argv[1] == "window":
        return with_window(driver)
    gc.collect()
    gc.freeze()
    gc.disable()
    driver.serve()
    driver.run(driver.desk.stop())
    driver.loop.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
