"""The shape of the code base: who imports whom, how long a module is, what may cross a thread."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import pkgutil
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import app.desk.data_messages
import app.desk.flatten_messages
import app.desk.messages
import app.domain
from app.desk.messages import PaperLogin
from app.runtime.secret import Secret
from tests.messages import MessageCodec

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 400


def lint_imports(where: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([tool, "--no-cache"], cwd=where, capture_output=True, text=True, check=False, timeout=120)


def test_every_import_follows_the_contracts() -> None:
    told = lint_imports(ROOT)
    assert told.returncode == 0, told.stdout


PLANTED = {
    "app/ui/planted.py": ("import app.storage\n", "app.ui.planted -> app.storage"),
    "app/engine/planted.py": ("import app.brokers.zerodha\n", "app.engine.planted -> app.brokers.zerodha"),
    "app/domain/planted.py": ("import asyncio\n", "app.domain.planted -> asyncio"),
    "app/desk/planted.py": ("import PySide6.QtCore\n", "app.desk.planted -> PySide6"),
    "app/sync/planted.py": ("import sqlalchemy\n", "app.sync.planted -> sqlalchemy"),
    "app/simulator/planted.py": ("import app.domain.money\n", "app.simulator.planted -> app.domain.money"),
    "app/brokers/upstox/planted.py": (
        "import app.brokers.zerodha.rest\n",
        "app.brokers.upstox.planted -> app.brokers.zerodha.rest",
    ),
    "app/brokers/planted.py": ("import app.brokers.conformance\n", "app.brokers.planted -> app.brokers.conformance"),
    "app/misc/__init__.py": ("", "app.misc"),
}


def test_a_planted_violation_of_each_contract_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, (source, _) in PLANTED.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    told = lint_imports(tmp_path)
    assert told.returncode == 1
    assert [named for _, named in PLANTED.values() if named not in told.stdout] == []


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "app").rglob("*.py")}
    too_long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > LONGEST_MODULE}
    assert lengths
    assert too_long == {}


def message_modules() -> list[ModuleType]:
    names = [f"app.domain.{info.name}" for info in pkgutil.iter_modules(app.domain.__path__)]
    return [importlib.import_module(name) for name in names] + [
        app.desk.messages,
        app.desk.data_messages,
        app.desk.flatten_messages,
    ]


def message_types() -> list[type]:
    """Every dataclass of the modules whose objects cross threads; a new one is found by itself."""
    return [
        thing
        for module in message_modules()
        for thing in vars(module).values()
        if isinstance(thing, type) and dataclasses.is_dataclass(thing) and thing.__module__ == module.__name__
    ]


TYPES = message_types()

# JSON knows neither NaN nor infinity, and msgspec's integers are 64 bits wide: the widest that nanoseconds need.
ANY: dict[type, st.SearchStrategy[object]] = {
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(-(2**63), 2**63 - 1),
}
for kind, strategy in ANY.items():
    st.register_type_strategy(kind, strategy)


def test_messages_are_found() -> None:
    names = {cls.__name__ for cls in TYPES}
    assert {"Tick", "Order", "Stop", "Fill", "StopFired", "TradePage", "SyncSummary", "AccountView"} <= names


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_what_crosses_a_thread_is_frozen(cls: type) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_message_survives_serialisation(cls: type, data: st.DataObject) -> None:
    message = data.draw(st.from_type(cls))
    codec = MessageCodec(TYPES)
    again = codec.decode(codec.encode(message))
    assert type(again) is cls
    assert again == message
    assert shape(again) == shape(message)


def shape(value: object) -> object:
    """The types inside a message: `1 == Decimal(1)` and `"BUY" == Side.BUY`, but they are not the same message."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (type(value), {f.name: shape(getattr(value, f.name)) for f in dataclasses.fields(value)})
    if isinstance(value, tuple | list):
        return (type(value), [shape(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(shape(key), shape(item)) for key, item in value.items()])
    return value if isinstance(value, enum.Enum) else type(value)


def test_a_secret_and_the_paper_login_do_not_print() -> None:
    secret = Secret("canary-4711")
    login = PaperLogin(user_id="canary-u", password="canary-p", totp="canary-t", seconds_left=9)
    shown = [f"{thing} {thing!r} {[thing]}" for thing in (secret, login)]
    assert not any("canary" in text for text in shown)
