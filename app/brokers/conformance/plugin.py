"""The pytest plug-in: `-p app.brokers.conformance.plugin`. Needs pytest and pytest-asyncio.

With `--conform package.module:bench` it runs the cards by itself and prints them at the end; without, it only gives the
fixtures to test modules that import the suite.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from app.brokers.conformance.bench import Bench
    from app.brokers.conformance.rig import Rig

pytest.register_assert_rewrite(
    *(f"app.brokers.conformance.{name}" for name in ("rig", "cards_factory", "cards_reading", "cards_trading")),
    "app.brokers.conformance.cards_stream",
    "app.brokers.conformance.cards_parts",
)

_outcomes: dict[tuple[int, str], set[str]] = {}
"""By number and clause: what became of the card's tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--conform`."""
    parser.getgroup("stopline").addoption(
        "--conform", metavar="MODULE:BENCH", help="run the conformance cards of a broker against this bench"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and the cards as what is to be run."""
    config.addinivalue_line("markers", "card(card): which clause of the broker contract a test proves")
    _outcomes.clear()
    if config.getoption("conform"):
        config.args[:] = [str(Path(__file__).with_name("suite.py"))]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the order of their numbers."""
    if config.getoption("conform"):
        items.sort(key=lambda item: next((mark.args[0].number for mark in item.iter_markers("card")), 0))


@pytest.fixture(scope="session")
def conforming(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The service that `--conform` names, started once."""
    named = request.config.getoption("conform")
    if not named:
        pytest.fail("the cards need a fixture `bench`, or --conform MODULE:BENCH")
    module, _, name = named.partition(":")
    start: AbstractContextManager[Bench] = getattr(importlib.import_module(module), name)()
    with start as bench:
        yield bench


@pytest.fixture
def bench(conforming: Bench) -> Bench:
    """A test module of one's own overrides this."""
    return conforming


@pytest_asyncio.fixture
async def rig(bench: Bench) -> AsyncIterator[Rig]:
    """The bench behind a door."""
    from app.brokers.conformance.door import Door
    from app.brokers.conformance.rig import Rig

    async with Door(bench.endpoints.api_url) as door, AsyncExitStack() as stack:
        made = Rig(bench, door, stack)
        await made.living()
        await bench.prepare()
        door.passed.clear()
        yield made


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps what became of each card."""
    if report.when != "call" and report.outcome == "passed":
        return
    for name, value in report.user_properties:
        if name == "card" and isinstance(value, str):
            number, _, clause = value.partition(" ")
            _outcomes.setdefault((int(number), clause), set()).add(report.outcome)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """So that the report knows the card, also from a worker process."""
    for marker in item.iter_markers("card"):
        found = marker.args[0]
        item.user_properties.append(("card", f"{found.number} {found.clause}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The cards and their clauses."""
    if not config.getoption("conform"):
        return
    terminalreporter.section("conformance")
    for (number, clause), outcomes in sorted(_outcomes.items()):
        word = "FAILED" if "failed" in outcomes else "passed" if "passed" in outcomes else "not there"
        terminalreporter.write_line(f"{number:3} {word:9} {clause}")
