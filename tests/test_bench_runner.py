"""The benchmark runner: finds the benchmarks, prints them for people and for machines."""

from __future__ import annotations

import json

import pytest

from tests.bench import __main__ as runner


def test_every_module_with_a_run_is_a_benchmark_and_says_what_it_measures() -> None:
    names = runner.names()
    assert "decode" in names
    assert all(runner.title_of(name) for name in names)


def test_one_benchmark_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(runner, "run_one", lambda name: {"headless": {"p99_ms": 0.25}, "n": 1000})
    assert runner.main(["decode", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"headless": {"p99_ms": 0.25}, "n": 1000}


def test_all_benchmarks_as_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(runner, "run_apart", lambda name: {"ratio": 2.0})
    assert runner.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {name: {"ratio": 2.0} for name in runner.names()}


def test_a_benchmark_that_failed_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "run_apart", lambda name: {"failed": "exit code 1"} if name == "decode" else {})
    assert runner.main([]) == 1
    assert "exit code 1" in capsys.readouterr().out


def test_a_process_that_fails_is_a_failed_benchmark() -> None:
    assert "exit code 2" in runner.run_apart("no_such_benchmark")["failed"]


def test_parts_with_the_same_figures_become_an_aligned_table() -> None:
    told = runner.report(
        "tick", "From tick to order.", {"n": 1000, "a": {"p50": 0.5, "met": True}, "bb": {"p50": 12.25}}
    )
    assert told.splitlines() == [
        "tick: From tick to order.",
        "  n  1,000",
        "        p50  met",
        "  a     0.5  yes",
        "  bb  12.25",
    ]


def test_wide_parts_are_told_line_by_line() -> None:
    part = {f"figure{n}": n for n in range(12)}
    lines = runner.report("x", "t", {"part": part}).splitlines()
    assert len(lines) == 13
    assert lines[-1] == "  part.figure11  11"
