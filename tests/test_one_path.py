"""Every order leaves by one door: only `app/engine/wire.py` (and the hot path's table) calls what changes a broker."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parent.parent / "app"
ABOVE = ("engine", "desk", "sync", "market", "diagnostics", "cli", "ui")
"""Layers that hold a session, or could. Adapters and the paper exchange are below and beside it."""
DOOR = {"engine/wire.py"}
HOT = {"engine/volley.py"}
"""The hot path: its write is counted afterwards (`OrderWire.written`)."""

ONLY_A_BROKER = frozenset({"place_sliced", "place_gtt", "modify_gtt", "delete_gtt", "place_basket", "make_marketable"})
"""Names that nothing but a session has."""
ALSO_OURS = frozenset({"place", "modify", "cancel"})
"""Names that the manager and the desk's verbs have too: forbidden on what is called a session, a broker or a line."""
SESSIONS = frozenset({"session", "_session", "broker", "_broker", "live", "_live", "adapter", "provider"})


WIRES = frozenset({"wire", "_wire"})


def last_name(node: ast.expr) -> str:
    """`desk.broker` -> broker, `self._live()` -> _live."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def trespasses(source: str, where: str) -> Iterator[str]:
    """Calls, and mentions, that only the door may make."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute):
            continue
        whose = last_name(node.value)
        sends = (node.attr in ONLY_A_BROKER and whose not in WIRES) or (node.attr in ALSO_OURS and whose in SESSIONS)
        fires = node.attr == "fire" and "line" in whose
        if (sends and where not in DOOR) or (fires and where not in DOOR | HOT):
            yield f"{where}:{node.lineno}: {ast.unparse(node)}"


def sources() -> Iterator[tuple[str, str]]:
    for layer in ABOVE:
        for path in (APP / layer).rglob("*.py"):
            yield path.relative_to(APP).as_posix(), path.read_text(encoding="utf-8")


def test_nobody_but_the_wire_places_changes_or_cancels_at_a_broker() -> None:
    assert [told for where, source in sources() for told in trespasses(source, where)] == []


@pytest.mark.parametrize(
    "planted",
    [
        "await self._state.session.place(request)",
        "await desk.broker.cancel(order)",
        "act = broker.modify",
        "await session.place_sliced(request)",
        "await self._triggers().place_gtt(request)",
        "line.fire(prepared, replied)",
        "self._line().fire(prepared, replied)",
    ],
)
def test_a_second_path_would_be_found(planted: str) -> None:
    assert list(trespasses(f"async def act(self):\n    {planted}\n", "engine/planted.py"))


def test_the_door_is_really_there() -> None:
    """The names looked for are those that the door uses: a renamed method would make the rule blind."""
    used = {
        node.attr
        for node in ast.walk(ast.parse((APP / "engine/wire.py").read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert {"place", "place_sliced", "modify", "cancel", "place_gtt", "modify_gtt", "delete_gtt", "fire"} <= used
