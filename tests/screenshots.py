"""`make screenshots`: a trader's morning in the shipped program, photographed for the README.

Nothing is staged inside the program: keys and mouse come from outside, the paper exchange is a process of its own.
`python -m tests.screenshots [FOLDER]` writes to FOLDER instead of `resources/pictures`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from PySide6.QtGui import QImage

from tests.e2e.screen import HEIGHT, WIDTH, Screen
from tests.e2e.window import ASIDE, PASSPHRASE, Workstation, code_of, connect
from tests.exchange import PaperExchange, eventually
from tests.program import ROOT

PICTURES = ROOT / "resources" / "pictures"
LARGEST = 320_000
"""Bytes of a picture: they live in the repository."""
MORNING = "2026-11-20T11:20:00"
SEED = "11"
QUICK = 40
"""Times real: the morning's trades take a quarter of an hour, for the day's curve."""
THE_NEXT_DAY = "2026-11-21T06:00:05+05:30"
"""When the broker's session has ended."""
OPENING = {"NSE:RELIANCE": 100, "NSE:SBIN": -200, "NFO:NIFTY26DECFUT": 65}
"""Units held when the day is first seen."""
EARLY_TRADES = (("TCS", 150, 40), ("HDFCBANK", 300, -9), ("INFY", 400, 25))
"""Bought and sold again: units, and how many ticks the price goes in between."""


class Photographer:
    """The program on a screen, and a camera."""

    def __init__(self, work: Workstation, exchange: PaperExchange, folder: Path) -> None:
        self.work = work
        self.screen = work.screen
        self.exchange = exchange
        self._folder = folder

    def take(self, name: str, *, aside: bool = True) -> None:
        """A picture of the whole screen, once what was asked for is painted."""
        if aside:
            self.screen.move(*ASIDE)
        time.sleep(1.0)
        pixels = self.screen.picture()
        image = QImage(pixels.tobytes(), WIDTH, HEIGHT, WIDTH * 3, QImage.Format.Format_RGB888)
        file = self._folder / f"{name}.png"
        if not image.save(str(file), "PNG", 0):  # type: ignore[call-overload]  # PySide's stub takes the format as bytes
            raise OSError(f"{file} could not be written")
        size = file.stat().st_size
        if size > LARGEST:
            raise ValueError(f"{file.name} has {size:,} bytes, more than {LARGEST:,}")
        sys.stderr.write(f"{file.name}: {size // 1000} kB\n")

    # -- the morning -------------------------------------------------------------------------------------------------

    def first_minute(self) -> None:
        """Vault, login page, workstation."""
        work, screen = self.work, self.screen
        work.start()
        work.window("Stopline")
        work.wait_vault("absent")
        time.sleep(1.5)
        for key in ("Tab", "Return"):
            screen.type(PASSPHRASE)
            if key == "Return":
                self.take("vault", aside=False)
            screen.key(key)
        work.wait_main()
        line = self.exchange.urls
        connect(work, line)
        work.login_page()
        screen.type(line["user_id"])
        screen.key("Tab")
        screen.type(line["password"])
        self.take("login", aside=False)
        screen.key("Return")
        time.sleep(1.5)
        work.login_page()
        screen.type(code_of(line["totp_secret"]))
        screen.key("Return")
        screen.gone("Log in to")
        work.wait_account("active")
        work.wait_feed("live")
        eventually(lambda: len(work.positions()) == len(OPENING))

    def trade(self, symbol: str, units: int, ticks: int) -> None:
        """Bought by the ticket, sold by a key."""
        work, screen = self.work, self.screen
        work.search(symbol.lower(), symbol)
        screen.key("b")
        screen.type(str(units))
        time.sleep(1.0)
        screen.key("Return")
        eventually(lambda: self.exchange.quantity(symbol) == units)
        eventually(lambda: work.positions().get(symbol, {}).get("Qty") == str(units), 40)
        self.walk(symbol, ticks)
        work.chart_of(symbol)
        screen.key("ctrl+3")
        screen.key("x")
        eventually(lambda: self.exchange.quantity(symbol) == 0)
        eventually(lambda: work.positions()[symbol]["Qty"] == "0", 40)

    def speed(self, times: int) -> None:
        """Of the exchange's clock."""
        self.exchange.call("PUT", "/simulator/clock", {"speed": times})

    def walk(self, symbol: str, ticks: int, tick: float = 0.1) -> None:
        """The price goes so many ticks, one trade at each."""
        at = self.last(symbol)
        for _ in range(abs(ticks)):
            at += tick if ticks > 0 else -tick
            self.exchange.price(**{f"NSE:{symbol}": round(at, 2)})
            time.sleep(0.05)

    def last(self, symbol: str) -> float:
        """The price of a position, as the exchange has it."""
        return next(float(row["last_price"]) for row in self.exchange.book()["net"] if row["tradingsymbol"] == symbol)

    def power_cut(self, future: str) -> None:
        """The program dies, the stop on a future is hit meanwhile, the program comes back and tells."""
        work, screen = self.work, self.screen
        trigger = work.trigger(future)
        work.kill()
        self.exchange.price(**{f"NFO:{future}": trigger - 25})
        work.start()
        work.unlock()
        work.wait_feed("live")
        eventually(lambda: self.exchange.quantity(future) == 0)
        eventually(lambda: work.stops()[future]["State"] == "closed")
        screen.key("ctrl+Home")  # reading them has selected all
        time.sleep(15.0)  # what the first prices did belongs to the return; and the short messages have gone
        work.chart_of("SBIN")
        screen.key("ctrl+y")
        screen.key("ctrl+Home")
        self.take("recovery")

    def dialog(self, shortcut: str, name: str) -> None:
        """A page over the window, once it has read what it shows."""
        self.work.front()
        self.screen.key(shortcut)
        time.sleep(2.0)
        self.take(name)
        self.screen.key("Escape")

    def strategy(self, symbol: str, units: int, seconds: int) -> None:
        """Made by keys: buys so many seconds from now, and holds."""
        work, screen = self.work, self.screen
        now = datetime.fromisoformat(self.exchange.call("GET", "/simulator/clock")["now"])
        begin, end = (now + timedelta(seconds=s) for s in (seconds, 3600))
        work.front()
        screen.key("ctrl+shift+n")
        time.sleep(1.0)
        screen.type("Morning drive")
        for _ in range(2):
            screen.key("Tab")
        screen.type(symbol.lower())
        time.sleep(1.5)
        screen.key("Return")
        screen.type(str(units))
        for _ in range(2):
            screen.key("Tab")
        screen.type(f"{begin:%H%M%S}")
        for _ in range(2):
            screen.key("Tab")
        screen.type(f"{end:%H%M%S}")
        for _ in range(2):
            screen.key("Tab")
        screen.type("0.5")
        for _ in range(2):
            screen.key("Tab")
        screen.type("1")
        time.sleep(1.0)
        self.take("strategy-editor")
        screen.key("Return")
        eventually(lambda: self.exchange.quantity(symbol) == units, 40)
        screen.key("ctrl+shift+s")

    def one_row(self, shortcut: str) -> None:
        """A table with its first row selected, not all of them."""
        self.work.front()
        self.screen.key(shortcut)
        self.screen.key("Down")
        self.screen.key("ctrl+Home")


@contextmanager
def morning(folder: Path) -> Iterator[Photographer]:
    """Everything running; whatever happens, nothing stays."""
    options = ["--clock", MORNING, "--seed", SEED]
    for key, units in OPENING.items():
        options += ["--opening-position", f"{key}={units}@{'NRML' if key.startswith('NFO') else 'MIS'}"]
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home  # the profile is shown as ~/Trader
        with PaperExchange(None, *options) as exchange, Screen() as screen:
            work = Workstation(screen, Path(home) / "Trader", Path(home) / "log")
            try:
                yield Photographer(work, exchange, folder)
            except BaseException:
                screen.save(Path(tempfile.gettempdir()) / "screenshots-failed.png")
                raise
            finally:
                work.end()


def main(arguments: Sequence[str]) -> int:
    """Every picture, or an exception."""
    folder = Path(arguments[0]) if arguments else PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    with morning(folder) as day:
        day.first_minute()
        work, screen = day.work, day.screen
        day.speed(QUICK)
        for symbol, units, ticks in EARLY_TRADES:
            day.trade(symbol, units, ticks)
        time.sleep(25)
        day.speed(1)

        day.one_row("ctrl+1")
        work.chart_of("RELIANCE")
        time.sleep(2)
        start = work.offered_line()
        with screen.held(start, (start[0], start[1] - 24)):
            day.take("stop-dragged", aside=False)
        work.wait_armed(1)
        work.chart_of("SBIN")
        work.arm(2)
        day.take("coverage")
        work.chart_of("NIFTY26DECFUT")
        work.arm(3, -10)
        work.chart_of("RELIANCE")
        work.armed_line()
        day.take("workstation")

        day.strategy("INFY", 150, 15)
        day.walk("INFY", 12)
        day.take("strategies")

        work.front()
        screen.key("ctrl+f")
        screen.type("nifty 24500")
        time.sleep(1.0)
        day.take("search")
        screen.key("Escape")
        screen.key("Escape")
        work.chart_of("RELIANCE")
        screen.key("ctrl+3")
        screen.key("b")
        screen.type("50")
        time.sleep(1.0)
        day.take("ticket")
        screen.key("Escape")

        trigger = work.trigger("RELIANCE")
        day.walk("RELIANCE", -round((day.last("RELIANCE") - trigger) / 0.1))
        eventually(lambda: day.exchange.quantity("RELIANCE") == 0)
        eventually(lambda: work.stops()["RELIANCE"]["State"] == "closed")
        work.chart_of("RELIANCE")
        screen.key("ctrl+u")
        day.one_row("ctrl+5")
        screen.key("ctrl+u")
        time.sleep(2)
        day.take("stop-fired")
        work.front()
        screen.key("ctrl+e")
        time.sleep(1)
        day.take("flight-recorder")
        screen.key("ctrl+4")
        day.take("orders")
        work.front()
        screen.key("ctrl+r")
        time.sleep(3)
        day.take("sync")
        screen.key("ctrl+alt+a")
        time.sleep(1)
        day.take("accounts")
        screen.key("ctrl+6")
        day.take("trade-book")
        screen.key("ctrl+0")
        day.take("day")
        screen.key("ctrl+7")
        day.take("holdings")
        day.dialog("ctrl+shift+f", "pre-flight")
        day.dialog("ctrl+shift+a", "connect")
        day.dialog("ctrl+shift+d", "data")
        day.dialog("ctrl+shift+i", "instruments")

        day.power_cut("NIFTY26DECFUT")
        work.chart_of("SBIN")
        time.sleep(2)
        day.exchange.call("PUT", "/simulator/clock", {"now": THE_NEXT_DAY})
        work.wait_account("expired", 90)
        eventually(lambda: "blind" in work.stops()["SBIN"]["State"])
        work.front()
        screen.key("ctrl+9")
        day.take("blind")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
