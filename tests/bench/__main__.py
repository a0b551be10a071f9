"""Runs the benchmarks: `python -m tests.bench [NAME] [--json]`.

A benchmark is a module beside this one with `run() -> dict`; its docstring's first line says what it measures. Each
runs in a process of its own, so that none pays for another's imports and memory.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tests.bench

ROOT = Path(__file__).resolve().parents[2]


def names() -> list[str]:
    """Every module here that has a `run`."""
    found = [info.name for info in pkgutil.iter_modules(tests.bench.__path__) if not info.name.startswith("_")]
    return [name for name in found if hasattr(importlib.import_module(f"tests.bench.{name}"), "run")]


def run_one(name: str) -> dict[str, Any]:
    """One benchmark, in this process."""
    result: dict[str, Any] = importlib.import_module(f"tests.bench.{name}").run()
    return result


def run_apart(name: str) -> dict[str, Any]:
    """One benchmark, in a process of its own; its figures, or what went wrong."""
    command = [sys.executable, "-m", "tests.bench", name, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"failed": f"exit code {done.returncode}; its words are above"}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested figures under dotted names."""
    told: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            told.update(flat(item, f"{prefix}{key}."))
        else:
            told[f"{prefix}{key}"] = item
    return told


def shown(value: object) -> str:
    """A figure as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def report(name: str, title: str, result: Mapping[str, Any]) -> str:
    """One benchmark's figures: parts that measure the same things as a table, the rest line by line."""
    parts = {key: flat(item) for key, item in result.items() if isinstance(item, Mapping)}
    single = {key: item for key, item in result.items() if not isinstance(item, Mapping)}
    lines = [f"{name}: {title}"]
    if single:
        lines.append(table([[key, shown(item)] for key, item in single.items()]))
    columns = list(dict.fromkeys(key for part in parts.values() for key in part))
    if columns and len(columns) <= 10:
        body = [[key, *(shown(part[c]) if c in part else "" for c in columns)] for key, part in parts.items()]
        lines.append(table([["", *columns], *body]))
    else:
        lines += [table([[f"{key}.{c}", shown(v)] for c, v in part.items()]) for key, part in parts.items()]
    return "\n".join(lines)


def title_of(name: str) -> str:
    """The first line of the benchmark's docstring."""
    return (importlib.import_module(f"tests.bench.{name}").__doc__ or "").strip().splitlines()[0]


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every benchmark asked for gave figures."""
    known = names()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures Stopline.")
    parser.add_argument("name", nargs="?", choices=known, help="one of them; without it all are run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    if asked.name:
        result = run_one(asked.name)
        text = json.dumps(result) if asked.json else report(asked.name, title_of(asked.name), result)
        sys.stdout.write(text + "\n")
        return 0
    results: dict[str, dict[str, Any]] = {}
    for name in known:
        began = time.monotonic()
        results[name] = run_apart(name)
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
        if not asked.json:
            sys.stdout.write(report(name, title_of(name), results[name]) + "\n\n")
            sys.stdout.flush()
    if asked.json:
        sys.stdout.write(json.dumps(results) + "\n")
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
