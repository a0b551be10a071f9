"""`make soak`: the kill points and the fault scenes, many times, with seeds that no run had before.

python -m tests.soak [--seeds 10000] [--kills 34] [--rotations 200] [--rounds 3] [--seed N]
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys

from tests.exchange import ROOT

KILLS = "tests/e2e/test_kill_points.py"
GUARD = "tests/e2e/test_guard.py"
WINDOW = "tests/e2e/test_window_kills.py"
SYNC_KILLS = "tests/e2e/test_sync_kills.py"
WEEK = "tests/contract/zerodha/test_sync_week.py"
ROTATIONS = "tests/unit/desk/test_rotation_kills.py"
PROPERTIES = ("tests/unit/analytics", "tests/unit/domain", "tests/unit/engine")
FAULTS = ("tests/e2e/test_engine_faults.py", "tests/e2e/test_blind_stops.py")


def main() -> int:
    """0: no violation."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10_000, help="of the fault harness")
    parser.add_argument(
        "--kills", type=int, default=34, help="of each of six points, each leaving two positions behind"
    )
    parser.add_argument("--guard-kills", type=int, default=100, help="of a desk whose guard takes over")
    parser.add_argument("--window-kills", type=int, default=20, help="of the real window, on a screen")
    parser.add_argument("--rotations", type=int, default=200, help="kills while the profile's keys are changed")
    parser.add_argument("--syncs", type=int, default=200, help="kills in the middle of a sync")
    parser.add_argument("--sync-days", type=int, default=5, help="trading days of syncs that nobody watches")
    parser.add_argument("--rounds", type=int, default=3, help="of all order, feed and session faults")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="where the seeds begin")
    options = parser.parse_args()
    sys.stdout.write(
        f"seed {options.seed}: {options.seeds} seeds of faults, {options.kills} kills of each point, "
        f"{options.guard_kills} with a guard beside, {options.window_kills} of the window, "
        f"{options.rotations} of a change of keys, {options.syncs} of a sync, {options.rounds} rounds of faults\n"
    )
    sys.stdout.flush()
    environment = {**os.environ, "STOPLINE_KILLS": str(options.kills), "STOPLINE_SEED": str(options.seed)}
    environment["STOPLINE_ROTATION_KILLS"] = str(options.rotations)
    harness = [sys.executable, "-m", "tests.harness", "--seeds", f"{options.seed}:{options.seed + options.seeds}"]
    failed = subprocess.run(harness, cwd=ROOT, check=False).returncode if options.seeds else 0
    failed |= _pytest(environment, KILLS) if options.kills else 0
    environment["STOPLINE_GUARD_KILLS"] = str(options.guard_kills)
    failed |= _pytest(environment, GUARD, "-k", "any_moment") if options.guard_kills else 0
    environment["STOPLINE_WINDOW_KILLS"] = str(options.window_kills)
    failed |= _pytest(environment, WINDOW) if options.window_kills else 0
    failed |= _pytest(environment, ROTATIONS) if options.rotations else 0
    environment["STOPLINE_SYNC_KILLS"] = str(options.syncs)
    environment["STOPLINE_SYNC_DAYS"] = str(options.sync_days)
    failed |= _pytest(environment, SYNC_KILLS) if options.syncs else 0
    failed |= _pytest(environment, WEEK) if options.sync_days else 0
    for _ in range(options.rounds):
        failed |= _pytest(environment, *FAULTS)
        failed |= _pytest(environment, "--hypothesis-profile=default", *PROPERTIES)
    return failed


def _pytest(environment: dict[str, str], *files: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
