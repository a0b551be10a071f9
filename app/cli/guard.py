"""`guard`: the desk without a window, as a command. Status lines go to stdout, one a line."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.commands import FINE, SOME_FAILED, Guard
from app.cli.output import Output

if TYPE_CHECKING:
    from app.desk import guard as desk

NAME = "guard"

_DESCRIPTION = """\
Waits beside the workstation and takes over its armed stops when it dies. It never takes the desk of a window that was
closed in order with nothing armed, and gives the desk back when the window is opened again.

The profile is opened by the keyring; else by STOPLINE_PASSPHRASE or a question on the terminal, asked at the start.
Exit codes: 0 nothing was left to guard, or asked to end with nothing armed; 1 asked to end while stops were armed
(nobody watches them now); 2 could not start.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Declares it."""
    parser = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="watch on without a window when the workstation dies",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per status line")
    parser.add_argument("--attached", action="store_true", help="end with the window when there is nothing to guard")
    parser.add_argument(
        "--paper", action="store_true", default=argparse.SUPPRESS, help="the paper exchange belongs to the desk"
    )


def parsed(asked: argparse.Namespace, profile: Path) -> Guard:
    """The command asked for."""
    return Guard(profile, asked.json, asked.attached, bool(getattr(asked, "paper", False)))


def status_line(out: Output) -> desk.Told:
    """How a guard says what happens."""

    def told(what: str, words: str, /, **facts: object) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        # Whoever read may be gone, a terminal or the other end of a pipe: that is no reason to stop guarding.
        with contextlib.suppress(OSError, ValueError):
            out.result({"at": at, "event": what, "words": words, **facts}, f"{at[11:23]} {words}")

    return told


def run_guard(guard: desk.Guard) -> int:
    """Until it ends; SIGINT and SIGTERM end it in order. A terminal that is closed does not: stops may be armed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: guard.stop())
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return SOME_FAILED if guard.run().unguarded else FINE
