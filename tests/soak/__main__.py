"""Long fault runs: `make soak`, or `python -m tests.soak [--kills N] [--rounds N] [--seed N]`.

The same tests as in `make test`, with more kills a point and fresh seeds a round. A round that fails is named with the
command that repeats it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/e2e/test_kill_points.py", "tests/e2e/test_engine_faults.py", "tests/unit/simulator")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when no round found a violation, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills at each point in a round (default 200)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with a seed of its own (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round (default 1)")
    asked = parser.parse_args(arguments)
    failed = []
    for seed in range(asked.seed, asked.seed + asked.rounds):
        began = time.monotonic()
        settings = {"STOPLINE_KILLS": str(asked.kills), "STOPLINE_SEED": str(seed)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "0", *TESTS]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False).returncode
        say(f"seed {seed}: {'fine' if code == 0 else 'VIOLATION'}, {time.monotonic() - began:,.0f} s")
        if code:
            failed.append(seed)
            words = " ".join(f"{name}={value}" for name, value in settings.items())
            say(f"  again with: {words} python -m pytest {' '.join(TESTS)}")
    say(f"{asked.rounds - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def say(line: str) -> None:
    """To the terminal at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
