"""The shipped program in front of a trader's hands: started as a subprocess, typed into, clicked, read.

Read is what a trader could read: table rows through the clipboard, the picture, the exchange's book, the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyotp

from app.desk.remote import call
from app.domain.errors import AppError
from app.runtime.paths import ProfilePaths
from app.ui.theme import DARK
from tests.e2e.screen import Picture, Screen, Shown, matching
from tests.exchange import PaperExchange, eventually
from tests.program import ROOT, program

PASSPHRASE = "granite orchid lantern 47"
SECONDS = 60.0
BUTTON_PIXELS = 200
CHART = (700, 75, 1200, 520)
"""(left, top, right, bottom) within the right half of the chart's prices, in the default layout on this screen."""
BANNERS = (1100, 30, 1276, 110)
"""(left, top, right, bottom) of where the strips above the chart have their buttons."""
ASIDE = (1480, 900)
"""Where the mouse is out of the way."""
PAGE_BUTTON = "#2f6fed"
"""The colour of the button on the paper exchange's login page, hers alone."""

Row = dict[str, str]


def by_symbol(rows: list[Row]) -> dict[str, Row]:
    """The rows of a table; one that is not there yet is an empty row, for who waits until it says something."""
    found: defaultdict[str, Row] = defaultdict(lambda: defaultdict(str))
    found.update((row["Instrument"], row) for row in rows)
    return found


class Workstation:
    """`python main.py --profile DIR` on a screen."""

    def __init__(self, screen: Screen, profile: Path, pictures: Path, *options: str) -> None:
        self.screen = screen
        self.profile = profile
        self.paths = ProfilePaths(profile)
        self._pictures = pictures
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._shots = 0
        self.prefix: list[str] = []
        """What stands before the command, e.g. a shell that sets limits."""
        self.folder = ROOT
        """Where it is started."""

    # -- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns at once; `create_vault` or `unlock` wait for the first window."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        with (self._pictures / "stderr.log").open("ab") as log:
            command = [*self.prefix, *self.command()]
            self._process = subprocess.Popen(command, stderr=log, cwd=self.folder, env=environment(self.screen))

    def command(self) -> list[str]:
        return program("--profile", str(self.profile), *self._options)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _await(self, check: Callable[[], Any], seconds: float = SECONDS, every: float = 0.05) -> Any:
        """As `eventually`, and at once in words when the program has ended."""

        def look() -> Any:
            assert self.running, f"the program ended:\n{(self._pictures / 'stderr.log').read_text()[-3000:]}"
            return check()

        return eventually(look, seconds, every)

    def window(self, title: str, seconds: float = SECONDS) -> Shown:
        """A window of the program's, with the keyboard."""
        self._await(lambda: self.screen.has_window(title), seconds)
        return self.screen.window(title)

    def signal(self, number: signal.Signals) -> int:
        """As the system would; its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(30)

    def kill(self) -> None:
        """As a power cut. Its browser processes notice and end by themselves."""
        self.signal(signal.SIGKILL)

    def quit(self) -> int:
        """Ctrl+Q, and yes where stops are armed. Returns the exit code."""
        process, self._process = self._process, None
        assert process is not None
        self.front()
        self.screen.key("ctrl+q")
        asked = "Close Stopline?"
        eventually(lambda: process.poll() is not None or self.screen.has_window(asked), 30)
        if process.poll() is None:
            self.screen.window(asked)  # with the keyboard in it
            self.screen.key("alt+c")
        return process.wait(30)

    def end(self) -> None:
        """Whatever state it is in; a paper exchange that it left behind too."""
        self._end_process()
        for pid in self.exchange_pids():
            os.kill(pid, signal.SIGKILL)

    def exchange_pids(self) -> list[int]:
        """The paper exchanges that keep their book in this profile."""
        state = str(self.paths.exchange)
        return [pid for pid, words in processes().items() if "simulate" in words and state in words]

    def exchange(self) -> PaperExchange:
        """The one that the program started, by its own door."""
        (pid,) = eventually(self.exchange_pids)
        found = PaperExchange()
        found.urls = {"api_url": f"http://127.0.0.1:{eventually(lambda: listening_port(pid))}"}
        return found

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    # -- the vault ---------------------------------------------------------------------------------------------------

    def create_vault(self, passphrase: str = PASSPHRASE) -> None:
        """The passphrase is typed twice."""
        self.window("Stopline")
        self.wait_vault("absent")
        self._settled()
        self.screen.type(passphrase)
        self.screen.key("Tab")
        self.screen.type(passphrase)
        self.shot("create vault")
        self.screen.key("Return")
        self.wait_main()

    def unlock(self, passphrase: str = PASSPHRASE) -> None:
        self.type_passphrase(passphrase)
        self.wait_main()

    def type_passphrase(self, passphrase: str) -> None:
        """At once: the desk may still be being built behind the page that asks."""
        self.window("Stopline")
        self._settled()
        self.screen.type(passphrase)
        self.shot("unlock")
        self.screen.key("Return")

    def unlock_again(self, passphrase: str = PASSPHRASE) -> None:
        """After a wrong one: the field's own key marks what stands in it, to be typed over."""
        self.window("Stopline")
        self.screen.key("alt+p")
        self.screen.type(passphrase)
        self.screen.key("Return")
        self.wait_main()

    def _settled(self) -> None:
        """The page of the unlock window has its button and stands still: its fields take keys."""
        before = self.screen.picture()
        deadline = time.monotonic() + SECONDS
        while True:
            time.sleep(0.25)  # two pictures apart in time
            now = self.screen.picture()
            if matching(now, DARK.accent).sum() > BUTTON_PIXELS and (now == before).all():
                return
            before = now
            assert time.monotonic() < deadline, "the unlock window does not settle"

    def wait_main(self) -> None:
        """The main window fills the screen and has the keyboard."""

        def big() -> Shown | None:
            return next((w for w in self.screen.windows() if w.title.startswith("Stopline") and w.width > 1200), None)

        self.screen.focus(self._await(big, SECONDS))
        self.wait_vault("open")

    def front(self) -> None:
        """The keyboard goes to the main window."""
        window = next(w for w in self.screen.windows() if w.title.startswith("Stopline") and w.width > 1200)
        self.screen.focus(window)

    def in_front(self) -> bool:
        """Nothing covers the main window."""
        return self.screen.windows()[-1].title.startswith("Stopline")

    # -- what the program tells --------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """By the local socket of the profile; what `accounts` and `armed` say."""
        answer: dict[str, Any] = call(self.paths, "status", timeout=20.0)
        return answer

    def wait_vault(self, state: str) -> None:
        self._await(lambda: self.status()["vault"] == state, SECONDS)

    def wait_account(self, state: str, seconds: float = 40.0) -> dict[str, Any]:
        """Until the only account has this state."""

        def look() -> dict[str, Any] | None:
            accounts: list[dict[str, Any]] = self.status().get("accounts", [])
            return accounts[0] if len(accounts) == 1 and accounts[0]["state"] == state else None

        found: dict[str, Any] = self._await(look, seconds)
        return found

    def wait_feed(self, state: str, seconds: float = 40.0) -> None:
        """Until the only account's feed has this state."""
        self._await(lambda: [a["feed"] for a in self.status()["accounts"]] == [state], seconds)

    def wait_armed(self, count: int, seconds: float = 40.0) -> None:
        self._await(lambda: self.status().get("armed") == count, seconds)

    def cli(self, *arguments: str, code: int = 0) -> Any:
        """A command beside the running window, its JSON."""
        command = program(*arguments, "--profile", str(self.profile), "--json")
        there = environment(self.screen)
        done = subprocess.run(command, capture_output=True, timeout=60, cwd=ROOT, env=there, check=False)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def answers(self) -> bool:
        """Whether it takes a question: nothing hangs."""
        try:
            return "pid" in call(self.paths, "ping", timeout=5.0)
        except AppError:
            return False

    # -- what a trader does ------------------------------------------------------------------------------------------

    def table(self, shortcut: str, *, focus: bool = True) -> list[Row]:
        """All rows of a dock's table, as copied into a spreadsheet."""
        if focus:
            self.front()
        self.screen.key(shortcut)
        return self.copied()

    def copied(self) -> list[Row]:
        """All rows of the table that has the focus."""
        self.screen.key("ctrl+a")
        return self.selected()

    def selected(self) -> list[Row]:
        """The selected rows of the table that has the focus."""
        return rows_of(self.screen.copied(lambda: self.screen.key("ctrl+c")))

    def positions(self) -> dict[str, Row]:
        """By symbol."""
        return by_symbol(self.table("ctrl+3"))

    def notices(self) -> str:
        """Everything that the program told the trader in this run, in one text."""
        return "\n".join(" ".join(row.values()) for row in self.table("ctrl+9"))

    def search(self, text: str, symbol: str) -> None:
        """Adds an instrument to the watchlist by its search line; its chart opens."""
        self.front()
        self.screen.key("ctrl+f")
        self.screen.type(text)
        self._await(lambda: any(w.popup and w.width > 100 for w in self.screen.windows()), SECONDS)
        self.shot(f"search {text}")
        self.screen.key("Return")
        self._await(lambda: symbol in [r["Instrument"] for r in self.table("ctrl+1")])

    def chart_of(self, symbol: str) -> None:
        """Puts the chart on a position: its row is selected by keys, from the top again where rows move meanwhile."""
        self.front()
        self.screen.key("ctrl+3")
        self.screen.key("Down")  # one row is selected from here on, not all
        for _ in range(3):
            for _ in range(20):
                self.screen.key("Up")
            for _ in range(20):
                if [row["Instrument"] for row in self.selected()] == [symbol]:
                    self.screen.key("Return")
                    return
                self.screen.key("Down")
        raise AssertionError(f"{symbol} is not among the positions: {self.positions()}")

    def log_in(self, user_id: str, password: str, totp_secret: str) -> None:
        """Types into the broker's page in the window until it is gone."""
        self.type_login(user_id, password, lambda: code_of(totp_secret))
        self.screen.gone("Log in to")
        self.front()

    def login_page(self) -> Shown:
        """The login window, once its page can be typed into."""
        window = self.window("Log in to")
        self._page_button(other_than=-1)
        return window

    def type_login(self, user_id: str, password: str, code: Callable[[], str]) -> None:
        self.login_page()
        first = self._page_button(other_than=-1)
        self.screen.type(user_id)
        self.screen.key("Tab")
        self.screen.type(password)
        self.shot("login page")
        self.screen.key("Return")
        self._page_button(other_than=first)
        self.screen.type(code())
        self.shot("login code")
        self.screen.key("Return")

    def cancel_on_page(self) -> None:
        """The page's own Cancel, by keys: user id, password, Log in, Cancel."""
        self.login_page()
        for _ in range(3):
            self.screen.key("Tab")
        self.screen.key("Return")

    def paper_strip(self) -> tuple[str, str, str]:
        """User id, password and code that stand beside the paper exchange's page, by their copy buttons."""
        window = self.login_page()
        left, top = window.x + window.width - 50, window.y + 110
        strip = self.screen.picture()[top : top + 300, left : left + 40]
        lit = np.flatnonzero((strip.max(axis=2) > 110).any(axis=1))
        icons = [int(rows.mean()) for rows in np.split(lit, np.flatnonzero(np.diff(lit) > 20) + 1)]
        assert len(icons) == 3, icons
        shown = [self.screen.copied(partial(self.screen.click, left + 20, top + y)) for y in icons]
        self.screen.click(window.x + 60, window.y + 90)  # back to the page,
        self.screen.key("Tab")  # and to its first field
        return shown[0], shown[1], shown[2]

    def _page_button(self, *, other_than: int) -> int:
        """Where the page's own button stands, in pixels from the top, once it is painted at another place."""

        def look() -> int | None:
            rows = np.flatnonzero(matching(self.screen.picture(), PAGE_BUTTON).sum(axis=1) > 60)
            return int(rows[0]) if len(rows) > 20 and rows[0] != other_than else None

        at = self._await(look, SECONDS, 0.1)
        time.sleep(0.3)  # painted is not yet focused
        found: int = self._await(look, SECONDS, 0.1)
        return found if found == at else self._page_button(other_than=other_than)

    def words(self, *, grave: bool = True, seconds: float = SECONDS) -> str:
        """What the topmost strip says: a red one, or an amber one. Clicked, marked and copied."""
        colour = DARK.danger_fill if grave else DARK.warning_fill

        def look() -> tuple[int, int] | None:
            found = matching(self.screen.picture(), colour, 3)
            rows = np.flatnonzero(found.sum(axis=1) >= 100)
            if not len(rows):
                return None
            strip = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)[0]
            return int(np.flatnonzero(found[strip].all(axis=0))[0]) + 30, int(strip[0] + strip[-1]) // 2

        x, y = self._still(look, seconds)

        def mark_and_copy() -> None:
            self.screen.click(x, y)
            self.screen.key("ctrl+a")
            self.screen.key("ctrl+c")

        return self.screen.copied(mark_and_copy)

    def press_banner(self) -> None:
        """The button of the first strip that has one: the grey field in the amber or red."""
        self.front()
        left, top, right, bottom = BANNERS

        def look() -> tuple[int, int] | None:
            picture = self.screen.picture()[top:bottom, left:right]
            button = np.flatnonzero(matching(picture, DARK.raised, 2).sum(axis=1) >= 40)
            if not len(button):
                return None
            row = int(np.split(button, np.flatnonzero(np.diff(button) > 1) + 1)[0].mean())
            columns = np.flatnonzero(matching(picture, DARK.raised, 2)[row])
            return left + int(columns[len(columns) // 2]), top + row

        self.screen.click(*self._still(look))

    # -- the chart ---------------------------------------------------------------------------------------------------

    def offered_line(self) -> tuple[int, int]:
        """Where `Drag to set a stop` can be taken hold of: the middle of its label."""
        return self._label(lambda picture: matching(picture, DARK.overlay, 2), 90)

    def armed_line(self) -> tuple[int, int]:
        """Where an armed stop can be taken hold of: the line itself, left of its label."""
        return self._label(lambda picture: matching(picture, DARK.stop, 4), 150)

    def _label(self, mask: Callable[[Picture], npt.NDArray[np.bool_]], least: int) -> tuple[int, int]:
        self.screen.move(*ASIDE)  # its cross is out of the picture

        def look() -> tuple[int, int] | None:
            found = mask(self.screen.picture())
            left, top, right, bottom = CHART
            rows = np.flatnonzero(found[top:bottom, left:right].sum(axis=1) >= least)
            if not len(rows):
                return None
            row = top + int(rows[len(rows) // 2])
            return left + int(np.median(np.flatnonzero(found[row, left:right]))), row

        return self._still(look)

    def _still(self, look: Callable[[], tuple[int, int] | None], seconds: float = SECONDS) -> tuple[int, int]:
        """Where it stays: what was just shown is still finding its place."""

        def settled() -> tuple[int, int] | None:
            first = look()
            time.sleep(0.3)
            return first if look() == first else None

        at: tuple[int, int] = self._await(settled, seconds)
        return at

    def stops(self) -> dict[str, Row]:
        """The stops table, by symbol."""
        return by_symbol(self.table("ctrl+5"))

    def trigger(self, symbol: str) -> float:
        """Of the stop on a symbol, once its row is written."""
        return price(eventually(lambda: self.stops().get(symbol, {}).get("Trigger")))

    def drag_stop(self, start: tuple[int, int], by: int) -> None:
        """Drags a stop line up or down by so many pixels."""
        self.front()
        self.screen.drag(start, (start[0], start[1] + by))
        self.screen.move(*ASIDE)

    def arm(self, armed: int = 1, by: int = 20) -> None:
        """Sets a stop by dragging the offered line, until so many are armed in all. A chart that moves under the
        mouse, as when a price stretches its scale, is taken hold of again."""
        for _ in range(2):
            self.drag_stop(self.offered_line(), by)
            with contextlib.suppress(AssertionError):
                self.wait_armed(armed, 8.0)
                return
        self.drag_stop(self.offered_line(), by)
        self.wait_armed(armed)

    def shot(self, name: str) -> Path:
        """A picture for people."""
        self._shots += 1
        return self.screen.save(self._pictures / f"{self._shots:02d}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}.png")


def environment(screen: Screen) -> dict[str, str]:
    """Of a desktop session on that screen. No keyring, no passphrase."""
    gone = ("STOPLINE_PASSPHRASE", "QT_QPA_PLATFORM", "WAYLAND_DISPLAY")
    kept = {name: value for name, value in os.environ.items() if name not in gone}
    return {**kept, "DISPLAY": screen.name, "QT_QPA_PLATFORM": "xcb"}


def processes() -> dict[int, list[str]]:
    """Every process's command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # ended meanwhile
            found[int(entry.name)] = words
    return found


def listening_port(pid: int) -> int | None:
    """The TCP port on which a process listens."""
    listening = "0A"
    sockets = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == listening and f"socket:[{fields[9]}]" in sockets:
            return int(fields[1].partition(":")[2], 16)
    return None


def price(text: str) -> float:
    """As the window writes it: `1,284.40`."""
    return float(text.replace(",", ""))


def rows_of(text: str) -> list[Row]:
    """A copied table."""
    lines = [line.split("\t") for line in text.split("\n")]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def code_of(totp_secret: str) -> str:
    """The six digits of this half minute, with enough of it left to type them."""
    if time.time() % 30 > 26:
        time.sleep(30 - time.time() % 30)
    return pyotp.TOTP(totp_secret).now()


@contextmanager
def workplace(folder: Path, *options: str) -> Iterator[Workstation]:
    """A screen with the program on a profile in `folder`, not yet started. Whatever happens, nothing stays running."""
    with Screen() as screen:
        work = Workstation(screen, folder / "profile", folder / "pictures", *options)
        try:
            yield work
        except BaseException:
            work.shot("failed")
            raise
        finally:
            work.end()


def connect(work: Workstation, line: dict[str, str]) -> None:
    """Connects the account of an exchange by the dialog, up to its login page. `line` is what `simulate` printed."""
    screen = work.screen
    work.front()
    screen.key("ctrl+shift+a")
    screen.window("Connect an account")
    screen.type(line["api_key"])
    screen.key("Tab")
    screen.type(line["api_secret"])
    screen.key("Tab")  # the access token, which nobody has here
    screen.key("Tab")
    screen.type(line["redirect_url"])
    screen.key("Tab")
    screen.key("space")
    for name in ("api_url", "login_url", "ws_url"):
        screen.key("Tab")
        screen.type(line[name])
    work.shot("connect")
    screen.key("Return")
    screen.gone("Connect an account")


def connect_and_log_in(work: Workstation, line: dict[str, str]) -> None:
    """The whole way to a live account."""
    connect(work, line)
    work.log_in(line["user_id"], line["password"], line["totp_secret"])
    work.wait_account("active")
    work.wait_feed("live")
