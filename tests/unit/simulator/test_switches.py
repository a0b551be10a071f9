"""Every doubtful point of the wires has a switch, and every switch is turned in a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.simulator.switches import CHOICES, Switches

TESTS = Path(__file__).parents[2]


def test_the_first_value_of_each_is_the_default() -> None:
    assert Switches().as_dict() == {name: values[0] for name, values in CHOICES.items()}
    assert all(len(set(values)) == len(values) > 1 for values in CHOICES.values())


@pytest.mark.parametrize("spec", ["nothing=on", "limits=maybe"])
def test_what_is_no_switch_is_refused_in_words(spec: str) -> None:
    with pytest.raises(ValueError, match=r"there is no switch|takes on or off"):
        Switches().turned(*spec.split("="))


def turned_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(switch, value) that a test module sets: written out, by parameters of the test, or as keyword of Switches."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = {
            str(node.value)
            for decorator in function.decorator_list
            for node in ast.walk(decorator)
            if isinstance(node, ast.Constant)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.JoinedStr) and isinstance(first := node.values[0], ast.Constant):
                name = str(first.value).rpartition("=")[0]
                looped = {str(n.value) for n in ast.walk(function) if isinstance(n, ast.Constant)}
                yield from ((name, value) for value in given | looped)
            elif isinstance(node, ast.keyword) and isinstance(node.arg, str):
                if isinstance(node.value, ast.Constant):
                    yield node.arg, str(node.value.value)
                else:
                    yield from ((node.arg, value) for value in given)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count("=") == 1:
            name, _, value = node.value.partition("=")
            yield name, value


def test_every_value_that_is_no_default_is_turned_in_a_test() -> None:
    turned: set[tuple[str, str]] = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if path != Path(__file__) and any(name in text for name in CHOICES):
            turned.update(turned_in(ast.parse(text)))
    missing = [
        f"{name}={value}" for name, values in CHOICES.items() for value in values[1:] if (name, value) not in turned
    ]
    assert missing == []
