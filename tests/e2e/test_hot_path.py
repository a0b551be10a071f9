"""Between the socket that is readable and the exit's last byte: what is called there, told by the interpreter itself.

No network call but the one write, no database, no log, no import, no file, no HTTP library.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import pytest

from app.brokers.exit_line import WarmLine
from app.brokers.link import Link
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.portfolio import PositionKey
from app.domain.stop import StopPlan, StopState
from app.engine import firing
from app.engine.volley import Entry, Volley
from app.simulator.exchange import Opening
from tests.exchange import ROOT
from tests.harness.network import End, network
from tests.harness.plans import LISTINGS, plan_of
from tests.harness.script import Guarded, Rule
from tests.harness.station import InlineWorker, Station
from tests.harness.tape import Course
from tests.harness.virtual import forget_the_dead, virtual_machine
from tests.harness.wires import WIRES
from tests.harness.world import World

OURS = ("app/brokers/", "app/engine/", "app/market/", "app/desk/", "app/domain/", "app/runtime/clock.py", "<string>")
"""Where Python code of the way may stand; `<string>` is what dataclasses are made of."""
NATIVE = ("<_struct>", "<builtins>", "<time>", "<_asyncio>", "<_heapq>", "<_contextvars>", "<None>")
"""Modules of the C functions that may be called: numbers, containers (which have none), clocks, the running loop."""
TIMERS = tuple(f"{Path(asyncio.__file__).parent}/{name}.py:" for name in ("base_events", "events"))
"""Of another price than the last one the longest wait begins here: a timer is set, in C where the loop is uvloop."""


@dataclass
class Witness:
    """Writes down every call from a readable socket until an exit has been written."""

    ways: list[list[str]] = field(default_factory=list)
    """Of each exit: the calls before its bytes were with the kernel."""
    sends: int = 0
    """Writes of orders."""
    _way: list[str] | None = None
    _firing: bool = False

    def __call__(self, frame: FrameType, event: str, what: Any) -> None:
        code = frame.f_code
        if event == "call" and code is Link._readable.__code__:
            self._way = []
        if self._way is None:
            return
        if event == "call":
            name = Path(code.co_filename)
            where = str(name.relative_to(ROOT)) if name.is_relative_to(ROOT) else str(name)
            if code is End.send.__code__:
                self._sent()
            elif "tests/harness" not in where:
                self._way.append(f"{where}:{code.co_qualname}")
                self._firing = self._firing or code is WarmLine.fire.__code__
        elif event == "c_call" and "tests/harness" not in code.co_filename:
            self._way.append(f"<{getattr(what, '__module__', None)}>.{what.__qualname__}")
        elif event == "return" and code is Link._readable.__code__:
            self._way = None

    def _sent(self) -> None:
        if self._firing and self._way is not None:
            self.sends += 1
            self.ways.append(self._way)
        self._way, self._firing = None, False


@contextmanager
def witnessed() -> Iterator[Witness]:
    witness = Witness()
    before = sys.getprofile()
    sys.setprofile(witness)
    try:
        yield witness
    finally:
        sys.setprofile(before)


def _fired(folder: Path, rule: Rule) -> Witness:
    guarded = Guarded("NSE:INFY", "MIS", 100, 60, 5.0, returns=False, thin=False, rule=rule)
    row = LISTINGS.by_key[guarded.instrument]
    first = row.previous_close
    courses = {
        row.token: Course([(0.0, first), (4.0, first), (5.0, first * 97 // 100)]),
        LISTINGS.by_key["NSE:NIFTY 50"].token: Course([(0.0, LISTINGS.by_key["NSE:NIFTY 50"].previous_close)]),
    }
    with (
        virtual_machine(1) as loop,
        network(loop, 1) as net,
        mock.patch("app.storage.store.Worker", InlineWorker),
    ):
        world = World(loop, net, 1, folder, LISTINGS, LISTINGS, courses, WIRES["zerodha"])
        world.openings = [Opening(guarded.instrument, guarded.quantity, guarded.product)]
        return loop.run_until_complete(_play(world, guarded, plan_of(guarded)))


async def _play(world: World, guarded: Guarded, plan: StopPlan) -> Witness:
    await world.open_exchange()
    station: Station = await world.start_station()
    key = PositionKey(world.wire.account, InstrumentId(guarded.instrument), Product(guarded.product))
    await station.side.start(station.desk.stops.arm(key, plan))
    await asyncio.sleep(2.0)
    with witnessed() as witness:
        await asyncio.sleep(8.0)
    assert [stop.state for stop in station.stops] == [StopState.CLOSED]
    return witness


@pytest.fixture(autouse=True)
def nothing_of_the_machine() -> Iterator[None]:
    """What its processes leave behind may complain of its end."""
    yield
    forget_the_dead()


@pytest.fixture(autouse=True)
def slow_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profiler slows it down, and the engine would say so."""
    monkeypatch.setattr(firing, "SLOW_US", 10**9)


@pytest.mark.parametrize("rule", [Rule.FIXED, Rule.TRAIL_POINTS, Rule.TARGET, Rule.BID_ASK])
def test_nothing_slow_is_called_between_breach_and_write(tmp_path: Path, rule: Rule) -> None:
    witness = _fired(tmp_path, rule)
    assert witness.sends == 1
    (way,) = witness.ways
    assert any(call.startswith("app/engine/watch.py") for call in way), way  # it is the way that is meant
    timers = TIMERS if rule is Rule.BID_ASK else ()
    assert [call for call in way if not call.startswith(OURS + NATIVE + timers)] == []
    assert [call for call in way if call.startswith(("<builtins>.open", "<builtins>.print", "<time>.sleep"))] == []


def test_the_witness_sees_what_does_not_belong_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fire = Volley.fire

    def chatty(self: Volley, entry: Entry) -> int:
        logging.getLogger("app.engine.volley").debug("fires")
        return fire(self, entry)

    monkeypatch.setattr(Volley, "fire", chatty)
    (way,) = _fired(tmp_path, Rule.FIXED).ways
    assert any("logging" in call for call in way)
