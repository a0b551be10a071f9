"""SIGKILL at every point of a stop's life, then a restart: exactly one exit in the exchange's book, position flat.

STOPLINE_KILLS sets how often each point is hit (20), STOPLINE_SEED where the seeds begin. Each kill leaves two guarded
positions behind. All points run at the same time, on two exchanges.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hosts import HostDied, Nursery, RunningHost, in_parallel
from tests.exchange import PaperExchange, closes, eventually

KILLS = int(os.environ.get("STOPLINE_KILLS", "20"))
SEED = int(os.environ.get("STOPLINE_SEED", "1"))
QUANTITY = 10

CLOSES = closes()

PAIRS = {
    "before the arm is acknowledged": ("NSE:INFY", "NSE:SBIN"),
    "after the arm is acknowledged": ("NSE:TCS", "NSE:ITC"),
    "after the breach, before the write": ("NSE:LT", "NSE:NTPC"),
    "after the write, before the reply": ("NSE:WIPRO", "NSE:CIPLA"),
    "after a partial fill": ("NSE:TITAN", "NSE:ONGC"),
    "after the fill, before it is journalled": ("NSE:AXISBANK", "NSE:HCLTECH"),
}


@dataclass
class Stage:
    """One profile at one exchange, killed again and again."""

    nursery: Nursery
    exchange: PaperExchange
    profile: Path
    pair: tuple[str, str]
    account: str = ""
    host: RunningHost | None = None
    base: dict[str, float] = field(default_factory=dict)
    stops: dict[str, str] = field(default_factory=dict)
    """Instrument to stop, of this run."""
    since: int = 0
    """Orders in the exchange's book when this run began."""

    @property
    def running(self) -> RunningHost:
        assert self.host is not None
        return self.host

    def begin(self) -> None:
        """Two fresh positions at the day's first prices."""
        if self.host is None:
            self.host = self.nursery.host(self.profile)
            self.account = self.host.set_up(self.exchange)
            self.base = {name: CLOSES[name] for name in self.pair}
        self.exchange.price(**self.base)
        for name in self.pair:
            self.running.hold(self.account, name, QUANTITY)
            eventually(lambda name=name: abs(self.last(name) / self.base[name] - 1) < 0.005)
        self.stops = {}
        self.since = len(self.exchange.book()["orders"])

    def last(self, name: str) -> float:
        """In rupees, as the desk knows it."""
        paise: int = eventually(lambda: self.running.ask("last", account=self.account, instrument=name))
        return paise / 100

    def trigger(self, name: str) -> int:
        """One percent below, on a tick of any share."""
        return int(self.base[name] * 99) // 100 * 100

    def arm(self, *names: str) -> None:
        for name in names:
            self.stops[name] = self.running.ask(
                "arm", account=self.account, instrument=name, trigger=self.trigger(name)
            )

    def breach(self) -> None:
        """Both prices fall through their stops in one message, too far for the market to come back meanwhile."""
        self.exchange.price(**{name: self.trigger(name) * 98 // 10_000 for name in self.pair})

    def restart(self) -> None:
        self.running.wait()
        self.host = self.nursery.host(self.profile)
        assert self.host.ask("open") == [self.account]
        self.host.ask("recovered", account=self.account)

    def die(self, at: str, after: float = 0.0) -> None:
        self.running.ask("die", at=at, account=self.account, after=after)

    def fault(self, spec: str) -> list[int]:
        """Sets one fault beside the others. The ids of all that are set."""
        answer = self.exchange.call("POST", "/simulator/faults", {"faults": [spec]})
        return [row["id"] for row in answer["faults"] if row["spec"] == spec]

    def release(self, *faults: int) -> None:
        for fault in faults:
            self.exchange.call("DELETE", f"/simulator/faults?id={fault}")

    def orders(self, name: str) -> list[dict[str, Any]]:
        """Exits of this run that filled anything or still may."""
        symbol = name.partition(":")[2]
        return [
            order
            for order in self.exchange.book()["orders"][self.since :]
            if order["tradingsymbol"] == symbol
            and order["transaction_type"] == "SELL"
            and (order["filled_quantity"] or order["status"] not in ("REJECTED", "CANCELLED"))
        ]

    def check(self) -> None:
        """Exactly one exit of each, flat, closed, told."""
        for name in self.pair:
            symbol = name.partition(":")[2]
            eventually(lambda s=symbol: self.exchange.quantity(s) == 0, 25)
            eventually(lambda n=name: self.running.ask("journal")[self.stops[n]] == "closed", 25)
            found = [(order["status"], order["filled_quantity"], order["tag"]) for order in self.orders(name)]
            assert [(status, filled) for status, filled, _ in found] == [("COMPLETE", QUANTITY)], found
            assert found[0][2].startswith(self.stops[name]), (found, self.stops[name])
            held = 0
            for trade in self.exchange.book()["trades"]:
                if trade["tradingsymbol"] == symbol:
                    held += trade["quantity"] if trade["transaction_type"] == "BUY" else -trade["quantity"]
                    assert held >= 0, f"{symbol} was turned round"
        for stop in self.stops.values():
            told = self.running.ask("audit", stop=stop)
            assert told[0] == "armed", told
            assert told[-1] in ("position flat", "closed"), told

    def story(self) -> str:
        """What is known, for a failure's sake."""
        found = [f"{name}: {self.orders(name)}" for name in self.pair]
        try:
            found += [str(self.running.ask("audit", stop=stop)) for stop in self.stops.values()]
            found += [str(self.running.ask("status", account=self.account)), str(self.running.events[-20:])]
        except (HostDied, AssertionError) as failure:
            found.append(f"the host does not answer: {failure}")
        return "\n".join(found)

    def end(self) -> None:
        if self.host is not None:
            self.host.__exit__()


def while_arming(stage: Stage, chance: random.Random) -> None:
    first, second = stage.pair
    stage.arm(first)
    stage.die("arming", chance.choice([0.0, chance.uniform(0.0, 0.012)]))
    with pytest.raises(HostDied):
        stage.arm(second)
    stage.restart()
    armed = [event for event in stage.running.events if event["event"] == "StopChanged" and event["state"] == "armed"]
    found = next((event["stop"] for event in armed if event["instrument"] == second), None)
    if found is None:
        stage.arm(second)
    else:
        stage.stops[second] = found
    stage.breach()


def after_arming(stage: Stage, chance: random.Random) -> None:
    stage.arm(*stage.pair)
    time.sleep(chance.uniform(0.0, 0.05))  # any moment will do
    stage.running.kill()
    beyond = chance.random() < 0.5
    if beyond:
        stage.breach()
    stage.restart()
    if not beyond:
        stage.breach()


def before_the_write(stage: Stage, _: random.Random) -> None:
    stage.arm(*stage.pair)
    stage.die("before write")
    stage.breach()
    stage.restart()


def after_the_write(stage: Stage, chance: random.Random) -> None:
    name = chance.choice(stage.pair)
    late = f"{chance.uniform(0.05, 0.8):.3f}"
    kinds = ["delay=2", f"accept-late={late}", "lost-after", f"late-lost={late}", "lost-before", ""]
    kind = chance.choice(kinds)
    faults = stage.fault(f"{kind}:route=place,instrument={name}") if kind else []
    stage.arm(*stage.pair)
    stage.die("after write", chance.choice([0.0, chance.uniform(0.0, 0.006)]))
    stage.breach()
    stage.restart()
    stage.release(*faults)


def after_a_partial_fill(stage: Stage, chance: random.Random) -> None:
    name = chance.choice(stage.pair)
    stage.arm(*stage.pair)
    faults = stage.fault(f"partial={chance.randint(1, QUANTITY - 1)}:instrument={name}")
    stage.die("partial fill", chance.choice([0.0, chance.uniform(0.0, 0.03)]))
    stage.breach()
    if chance.random() < 0.5:
        stage.running.wait()
        stage.release(*faults)
        stage.restart()
    else:
        stage.restart()
        stage.release(*faults)


def before_the_fill_is_journalled(stage: Stage, chance: random.Random) -> None:
    stage.arm(*stage.pair)
    stage.die(chance.choice(["fill", "closing"]), chance.choice([0.0, chance.uniform(0.0, 0.01)]))
    stage.breach()
    stage.restart()


POINTS: dict[str, Callable[[Stage, random.Random], None]] = {
    "before the arm is acknowledged": while_arming,
    "after the arm is acknowledged": after_arming,
    "after the breach, before the write": before_the_write,
    "after the write, before the reply": after_the_write,
    "after a partial fill": after_a_partial_fill,
    "after the fill, before it is journalled": before_the_fill_is_journalled,
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """What went wrong at each point, by seed; nothing is what every test wants to see."""
    failures: dict[str, list[str]] = {point: [] for point in POINTS}
    exchanges = [PaperExchange(None, "--seed", str(n), "--fault", "limits=off").start() for n in (1, 2)]

    def chain(number: int, point: str) -> None:
        stage = Stage(nursery, exchanges[number % len(exchanges)], tmp_path_factory.mktemp("profile"), PAIRS[point])
        try:
            for seed in range(SEED, SEED + KILLS):
                try:
                    stage.begin()
                    POINTS[point](stage, random.Random(f"{point} {seed}"))
                    stage.check()
                except (AssertionError, HostDied) as failure:
                    failures[point].append(f"seed {seed}: {type(failure).__name__} {failure}\n{stage.story()}")
                    return
        finally:
            stage.end()

    try:
        with Nursery(light=True) as nursery:
            in_parallel([partial(chain, number, point) for number, point in enumerate(POINTS)])
        yield failures
    finally:
        for exchange in exchanges:
            exchange.stop()


@pytest.mark.slow
@pytest.mark.timeout(max(300, 30 * KILLS))
@pytest.mark.parametrize("point", POINTS)
def test_killed(point: str, outcomes: dict[str, list[str]]) -> None:
    """Exactly one exit, position flat, whatever the moment."""
    assert outcomes[point] == []
