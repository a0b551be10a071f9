"""`make test`: all tests, in parts, each in a process of its own.

python -m tests [OPTIONS OF PYTEST]

A browser engine in a shared process would outlive its tests. Two parts run at a time, at first one that waits for
exchanges and windows and one that only reckons, with what the other leaves of two cores. Tests with real windows and
real kills share the machine with all the others: what failed is tried once more, alone, and must then pass. A defect
fails again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOGETHER = 2
"""Parts that run at the same time: the tests are written for two cores."""
STEP_BACK = 10
"""By so much a part that reckons is nicer than one that waits."""
FAILED, NOTHING = 1, 5
"""What pytest says by its exit code."""
HARNESS = "tests/e2e/test_fault_harness.py"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the tests."""

    name: str
    paths: tuple[str, ...]
    without: tuple[str, ...] = ()
    reckons: bool = False
    """It waits for nothing that has a time of its own, so it may step back behind what does."""

    def command(self, *options: str) -> list[str]:
        """Of pytest; each part remembers what failed in a place of its own."""
        ignored = [f"--ignore={path}" for path in self.without]
        memory = f"cache_dir=.pytest_cache/{self.name}"
        back = ["nice", "-n", str(STEP_BACK)] if self.reckons and os.name == "posix" else []
        return [*back, sys.executable, "-m", "pytest", "-q", "-o", memory, *self.paths, *ignored, *options]


_WINDOWS = tuple(
    f"tests/e2e/test_{name}.py"
    for name in ("blind_stops", "guard", "replay", "secrets", "whole_path", "window_faults", "window_kills")
)
"""Where the shipped window is started on a screen."""
_APART = (
    Part("screens", _WINDOWS),
    Part("contract", ("tests/contract",)),
    Part("brokers", ("tests/unit/brokers", "tests/unit/simulator")),
    Part("end-to-end", ("tests/e2e",), (HARNESS, *_WINDOWS)),
    Part("window", ("tests/ui",)),
    Part("faults", (HARNESS,), reckons=True),
    Part("desk", ("tests/unit/desk", "tests/unit/engine"), reckons=True),
)
_REST = Part("rest", ("tests",), tuple(path for part in _APART for path in part.paths), reckons=True)
PARTS = (*_APART, _REST)
"""Those that wait and those that reckon, the longest of each first."""


class Queue:
    """Whose turn it is. Any thread."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._lock = threading.Lock()
        self._waiting = [part for part in parts if not part.reckons]
        self._reckoning = [part for part in parts if part.reckons]

    def next(self, *, reckons: bool) -> Part | None:
        """One that reckons or one that waits, as asked; when none is left, one of the others."""
        with self._lock:
            for parts in (self._reckoning, self._waiting) if reckons else (self._waiting, self._reckoning):
                if parts:
                    return parts.pop(0)
            return None

    def clear(self) -> None:
        """Nobody's turn comes any more."""
        with self._lock:
            self._waiting, self._reckoning = [], []


def main(options: Sequence[str]) -> int:
    """0: every test passed, if need be when it had the machine for itself."""
    began = time.monotonic()
    printing = threading.Lock()
    told: list[str] = []

    def run(part: Part) -> int:
        print(f"-- {part.name}: begun", flush=True)  # noqa: T201 - it says nothing more until it is through
        code, output = _run(part.command(*options))
        with printing:
            told.append(output)
            print(f"-- {part.name}", output, sep="\n", flush=True)  # noqa: T201 - the command's answer
        return code

    queue, codes = Queue(PARTS), dict[Part, int]()

    def work(reckons: bool) -> None:
        while (part := queue.next(reckons=reckons)) is not None:
            codes[part] = run(part)

    with ThreadPoolExecutor(TOGETHER) as pool:
        places = [pool.submit(work, place > 0) for place in range(TOGETHER)]
        try:
            for place in places:
                place.result()
        except KeyboardInterrupt:
            queue.clear()
            raise
    again: list[str] = []
    for part in [part for part in PARTS if codes[part] == FAILED]:
        print(f"-- {part.name}: again, alone, what failed above", flush=True)  # noqa: T201
        codes[part], output = _run(part.command("--last-failed", "--last-failed-no-failures=none"))
        again.append(output)
        print(output, flush=True)  # noqa: T201
    ran = {code for code in codes.values() if code != NOTHING}
    print(closing_line(told, again, time.monotonic() - began), flush=True)  # noqa: T201
    return max(ran) if ran else NOTHING


def closing_line(first: Sequence[str], again: Sequence[str], seconds: float) -> str:
    """What came of all tests, as pytest would say it: of one that was tried again its second try counts."""
    total, second = _counted(first), _counted(again)
    if again:
        total["passed"] += total["failed"] - second["failed"]
        for what in ("failed", "error", "errors"):
            total[what] = second[what]
    told = ", ".join(f"{count} {what}" for what, count in sorted(total.items()) if count)
    return f"{told or 'no tests ran'} in {seconds:.2f}s"


def _counted(outputs: Sequence[str]) -> Counter[str]:
    total: Counter[str] = Counter()
    for output in outputs:
        lines = [line for line in output.splitlines() if re.search(r"\d+ \w+.* in [0-9.]+", line)]
        for count, what in re.findall(r"(\d+) ([a-z]+)", lines[-1] if lines else ""):
            total[what] += int(count) if what in WORDS else 0
    return total


WORDS = ("passed", "failed", "error", "errors", "skipped", "xfailed", "xpassed")


def _run(command: list[str]) -> tuple[int, str]:
    # To a file: whatever a crashed test leaves running would keep a pipe open.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        output.seek(0)
        return code, output.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
