"""The guard as a command: what its terminal may do to it."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any, cast

import pytest

from app.cli.commands import SOME_FAILED
from app.cli.guard import run_guard, status_line
from app.cli.output import Output
from app.desk.guard import Ended


class Gone(io.StringIO):
    """The other end has hung up."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_guard_to_which_nobody_listens_guards_on() -> None:
    closed = io.StringIO()
    closed.close()
    for out in (Gone(), closed):
        status_line(Output(out, io.StringIO()))("gone", "The workstation went: died.", how="died")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_terminal_that_is_closed_ends_no_guard() -> None:
    class Guard:
        def run(self) -> Ended:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
            return Ended.UNGUARDED

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        assert run_guard(cast("Any", Guard())) == SOME_FAILED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
