"""Seeded faults against the real engine, adapter, journal and exchange (`tests.harness`), in a process of their own.

`make soak` plays 10,000 seeds; a seed that fails is told with the command that plays it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.exchange import ROOT
from tests.harness.__main__ import ENOUGH
from tests.harness.guards import GUARDS, switched_off
from tests.harness.script import Kind

SEEDS = int(os.environ.get("STOPLINE_HARNESS_SEEDS", "500"))
FIRST = int(os.environ.get("STOPLINE_SEED", "0"))
PIECES = 4
SCENES = (
    "over zerodha",
    "over upstox",
    "with a strategy",
    "with a portfolio stop",
    "with a holding",
    "with a position above the freeze quantity",
    "over a night with triggers at the broker",
)
SEARCHED = 400


def _harness(*options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.harness", "--processes", "1", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr[-4_000:]
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("piece", range(PIECES))
def test_no_stop_is_lost_or_doubled(piece: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    size = -(-SEEDS // PIECES)
    first = FIRST + piece * size
    code, told = _harness("--seeds", f"{first}:{first + size}", "--json")
    report: dict[str, Any] = json.loads(told.splitlines()[-1])
    assert code == 0, told
    assert report["runs"] == size
    assert report["exits"] > 0
    reports = _of_all_pieces(tmp_path_factory.getbasetemp(), piece, report)
    if len(reports) == PIECES and PIECES * size >= ENOUGH:  # whichever piece is last
        for what, wanted in (("faults", [kind.value for kind in Kind]), ("scenes", SCENES)):
            found = {name for one in reports for name in one[what]}
            assert not set(wanted) - found, f"in no run: {set(wanted) - found}"


def _of_all_pieces(base: Path, piece: int, report: dict[str, Any]) -> list[dict[str, Any]]:
    """The reports so far, this one among them."""
    place = base / "fault-harness"
    place.mkdir(exist_ok=True)
    (place / f"{piece}.json").write_text(json.dumps(report), "utf-8")
    return [json.loads(path.read_text("utf-8")) for path in sorted(place.glob("*.json"))]


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_has_a_switch(guard: str) -> None:
    """At once and without a run: the engine may be written anew under the names that the switches reach for."""
    with switched_off(guard):
        pass


@pytest.fixture(scope="module")
def missed() -> dict[str, str]:
    """Guard to what was found without it."""
    _, told = _harness("--without", "known", "--seeds", f"0:{SEARCHED}")
    return {line.split()[1]: line for line in told.splitlines() if line.startswith("without ")}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_that_is_switched_off_is_missed(guard: str, missed: dict[str, str]) -> None:
    assert "): seed " in missed[guard]


@pytest.mark.slow
def test_the_exit_of_shares_that_a_trigger_left_resting_over_the_night_is_priced_by_todays_prices() -> None:
    code, told = _harness("--seed", "5002171")
    assert code == 0, told[-500:]
    assert "SELL 1/1 filled" in told


def test_a_seed_always_takes_the_same_course() -> None:
    assert _harness("--seed", "89") == _harness("--seed", "89")
