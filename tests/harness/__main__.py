"""The seeded fault harness: `python -m tests.harness [--seeds A:B] [--seed N] [--without GUARD] [--processes N]`.

--seeds 0:500      plays the seeds and prints the report; exit code 1 when anything was violated
--seed 53          plays one and tells its story
--without GUARD    with one guard of the engine switched off: the harness must find violations then
--without each     the same for every guard in turn
--without known    the same, with the seed first that is known to miss the guard
--first            stops at the first violation
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

from tests.harness.script import Kind

if TYPE_CHECKING:
    from tests.harness.run import Result


ENOUGH = 500
"""Runs in which each kind of fault must have struck."""


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of names are walked in the order of their hashes
        command = [sys.executable, "-m", "tests.harness", *arguments]
        return subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode
    options = _parser().parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.without)
    first, _, last = options.seeds.partition(":")
    seeds = range(int(first), int(last))
    if options.without in ("each", "known"):
        return _guards(seeds, options.processes, known=options.without == "known")
    report = survey(seeds, options.processes, options.without, first=options.first)
    print(report.words())  # noqa: T201 - the command's answer
    if options.json:
        print(json.dumps(report.document()))  # noqa: T201
    return 1 if report.failed or (report.runs >= ENOUGH and report.never) else 0


def _one(seed: int, without: str) -> int:
    from tests.harness.guards import switched_off
    from tests.harness.run import play, quiet, script_of

    quiet()
    print(script_of(seed).words())  # noqa: T201
    with switched_off(without):
        result = play(seed, story=True)
    print(*result.log, sep="\n")  # noqa: T201
    print(*(f"VIOLATION {words}" for words in result.violations), sep="\n")  # noqa: T201
    return 1 if result.violations else 0


def _guards(seeds: range, processes: int, *, known: bool) -> int:
    from tests.harness.guards import FOUND_BY, GUARDS

    unmissed = 0
    for name, what in GUARDS.items():
        first = survey([FOUND_BY[name]], 1, name).failed if known and name in FOUND_BY else {}
        failed = first or survey(seeds, processes, name, first=True).failed
        unmissed += not failed
        words = "; ".join(f"seed {seed}: {found[0]}" for seed, found in failed.items()) or "NOT MISSED"
        print(f"without {name} ({what.__doc__}): {words}", flush=True)  # noqa: T201
    return 1 if unmissed else 0


class Report:
    """Runs, faults by kind, violations."""

    def __init__(self) -> None:
        self.runs = 0
        self.exits = 0
        self.armed = 0
        self.happened: Counter[str] = Counter()
        self.scenes: Counter[str] = Counter()
        self.failed: dict[int, tuple[str, ...]] = {}

    @property
    def never(self) -> list[str]:
        """Kinds of faults that struck in none of the runs."""
        return [kind.value for kind in Kind if not self.happened[kind.value]]

    def words(self) -> str:
        """As a table."""
        lines = [f"{self.runs} runs, {self.armed} stops armed, {self.exits} positions closed by them"]
        lines += [f"  {count:7,}  {scene}" for scene, count in self.scenes.most_common()]
        lines += [f"  {count:7,}  {kind}" for kind, count in self.happened.most_common()]
        lines.append(f"  {sum(self.happened.values()):7,}  faults in all")
        if self.never:
            lines.append(f"never: {', '.join(self.never)}")
        lines.append(f"violations: {sum(len(words) for words in self.failed.values())}")
        for seed, violations in sorted(self.failed.items()):
            lines.append(f"seed {seed} (python -m tests.harness --seed {seed}):")
            lines += [f"    {words}" for words in violations]
        return "\n".join(lines)

    def document(self) -> dict[str, object]:
        """For machines."""
        return {
            "runs": self.runs,
            "armed": self.armed,
            "exits": self.exits,
            "faults": dict(self.happened),
            "scenes": dict(self.scenes),
            "violations": {str(seed): list(words) for seed, words in self.failed.items()},
        }


def survey(seeds: Iterable[int], processes: int, without: str = "", *, first: bool = False) -> Report:
    """Plays all seeds; with `first` only until one of them violates something."""
    report = Report()
    for result in _results(seeds, processes, without):
        report.runs += 1
        report.exits += result.exits
        report.armed += result.armed
        report.scenes.update(result.scenes)
        report.happened.update({kind.value: count for kind, count in result.happened.items()})
        if result.violations:
            report.failed[result.seed] = result.violations
            if first:
                break
    return report


def _results(seeds: Iterable[int], processes: int, without: str) -> Iterator[Result]:
    from tests.harness.run import quiet

    if processes == 1:
        quiet()
        yield from (_play(without, seed) for seed in seeds)
        return
    context = get_context("fork")  # what is imported is there at once, and no lock is held: nothing runs yet
    with ProcessPoolExecutor(processes, mp_context=context, initializer=quiet) as pool:
        try:
            yield from pool.map(partial(_play, without), seeds, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)


def _play(without: str, seed: int) -> Result:
    from tests.harness.guards import switched_off
    from tests.harness.run import Result, play

    with switched_off(without):
        try:
            return play(seed)
        except Exception:  # noqa: BLE001 - a run that cannot be finished is a violation as any other
            return Result(seed, (f"the run broke: {traceback.format_exc(limit=-6)}",))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.harness", description=__doc__)
    parser.add_argument("--seeds", default="0:500")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--without", default="")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
