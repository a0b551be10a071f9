"""The guard beside the window: what a trader sees when the window is killed, and when it comes back."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import host
from tests.e2e.hosts import Nursery, RunningHost
from tests.e2e.window import PASSPHRASE, connect_and_log_in, workplace
from tests.exchange import ROOT, PaperExchange, eventually
from tests.program import program

pytestmark = pytest.mark.slow
HELD = ("--opening-position", "NSE:RELIANCE=75@MIS")


class GuardProcess:
    """`main.py guard --json` on a profile."""

    def __init__(self, profile: Path, lines: Path, passphrase: str = PASSPHRASE, *options: str) -> None:
        self._lines = lines
        gone = ("STOPLINE_PASSPHRASE",)
        kept = {name: value for name, value in os.environ.items() if name not in gone}
        with lines.open("wb") as out:
            self._process = subprocess.Popen(
                program("guard", "--profile", str(profile), "--json", *options),
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**kept, "STOPLINE_PASSPHRASE": passphrase},
            )

    def told(self, event: str) -> list[dict[str, Any]]:
        """Its status lines of one kind."""
        lines = [json.loads(line) for line in self._lines.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def until(self, event: str, count: int = 1, seconds: float = 30.0) -> dict[str, Any]:
        """The last of so many lines of one kind."""
        found: dict[str, Any] = eventually(lambda: len(self.told(event)) >= count and self.told(event)[-1], seconds)
        return found

    def ended(self) -> int:
        """Once it has ended by itself."""
        return self._process.wait(30)

    def end(self) -> int:
        self._process.terminate()
        return self._process.wait(30)


@contextmanager
def guard(profile: Path, lines: Path, passphrase: str = PASSPHRASE) -> Iterator[GuardProcess]:
    started = GuardProcess(profile, lines, passphrase)
    try:
        yield started
    finally:
        started.end()


@pytest.mark.timeout(180)
def test_the_window_is_killed_the_guard_fires_the_stop_and_the_window_tells(tmp_path: Path) -> None:
    with PaperExchange(None, *HELD) as exchange, workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        connect_and_log_in(work, exchange.urls)
        eventually(lambda: "RELIANCE" in work.positions())
        work.chart_of("RELIANCE")
        work.arm()
        trigger = eventually(lambda: "RELIANCE" in work.stops() and work.trigger("RELIANCE"))
        with guard(work.profile, tmp_path / "guard.jsonl") as beside:
            beside.until("waiting")
            work.kill()
            taken = beside.until("guarding")
            assert taken["armed"] == taken["watching"] == 1
            exchange.price(**{"NSE:RELIANCE": trigger - 1})
            beside.until("fired")
            eventually(lambda: exchange.quantity("RELIANCE") == 0)
            beside.until("closed")

            work.start()
            work.window("Stopline")
            work._settled()
            work.screen.type(PASSPHRASE)
            work.screen.key("Return")
            beside.until("handing back")
            work.wait_main()
            beside.until("waiting", 2)
            work.wait_feed("live")
            assert [order["status"] for order in exchange.exits("RELIANCE")] == ["COMPLETE"]
            said = work.words()
            work.shot("back")
            assert "1 stop was hit, sold 75 at" in said
            assert "the guard watched from" in said
            work.front()
            work.screen.key("ctrl+y")
            (away, what) = work.copied()[:2]
            work.shot("recovery page")
            assert away["Why"] == "Stopline ended unexpectedly"
            assert what["What happened"].startswith("RELIANCE: sold 75 at")
            assert work.quit() == 0
            beside.until("gone", 2)
            assert beside.end() == 0


QUANTITY = 10
DEATHS = (("before write", "NSE:INFY", ""), ("after write", "NSE:TCS", "lost-after"), ("fill", "NSE:SBIN", ""))
"""(moment of the desk's death, instrument, what happens to the exit on the wire)."""


@pytest.mark.timeout(180)
def test_whenever_the_desk_dies_the_guard_sees_to_exactly_one_exit(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    with PaperExchange(None, "--fault", "limits=off", "--cash", "100000000") as exchange, Nursery() as nursery:
        desk = nursery.host(profile, owner=True)
        account = desk.set_up(exchange)
        for _, instrument, _ in DEATHS:
            desk.hold(account, instrument, QUANTITY)
        with guard(profile, tmp_path / "guard.jsonl", host.PASSPHRASE.reveal()) as beside:
            for number, (moment, instrument, fault) in enumerate(DEATHS, 1):
                beside.until("waiting", number)
                stop = arm(desk, account, instrument)
                if fault:
                    exchange.faults("limits=off", f"{fault}:route=place,instrument={instrument}")
                desk.send("die", at=moment, account=account)
                exchange.price(**{instrument: trigger_of(desk, stop) * 98 // 10_000})
                desk.wait()
                taken = beside.until("guarding", number)
                assert taken["took_ms"] < 10_000  # two seconds on a machine that does nothing else
                symbol = instrument.partition(":")[2]
                eventually(lambda s=symbol: exchange.quantity(s) == 0, 25)
                eventually(lambda n=number: len({line["stop"] for line in beside.told("closed")}) == n, 25)
                exits = [order["status"] for order in exchange.exits(symbol)]
                assert exits == ["COMPLETE"], (moment, exits)

                desk = nursery.host(profile, owner=True)
                desk.ask("open")
                desk.ask("recovered", account=account)
                assert desk.ask("journal")[stop] == "closed"
            # Killed with a stop armed, and back before it is hit: the desk takes it over from the guard.
            beside.until("waiting", len(DEATHS) + 1)
            desk.hold(account, "NSE:ITC", QUANTITY)
            stop = arm(desk, account, "NSE:ITC")
            trigger = trigger_of(desk, stop)
            desk.kill()
            beside.until("guarding", len(DEATHS) + 1)
            desk = nursery.host(profile, owner=True)
            began = time.monotonic()
            desk.ask("open")
            assert desk.ask("recovered", account=account) == 1
            assert time.monotonic() - began < 10  # two seconds on a machine that does nothing else
            assert beside.until("handing back", len(DEATHS) + 1)["armed"] == 1
            exchange.price(**{"NSE:ITC": trigger * 98 // 10_000})
            desk.event("StopChanged", stop=stop, state="closed")
            assert [order["status"] for order in exchange.exits("ITC")] == ["COMPLETE"]
            # Left in order with nothing armed: nobody takes over.
            beside.until("waiting", len(DEATHS) + 2)
            secret = host.PASSPHRASE.reveal()
            attached = GuardProcess(profile, tmp_path / "attached.jsonl", secret, "--attached")
            attached.until("waiting")
            desk.close()
            assert attached.ended() == 0  # it belonged to that desk
            assert beside.until("gone", len(DEATHS) + 2)["how"] == "stand down"
            assert len(beside.told("guarding")) == len(DEATHS) + 1


KILLS = int(os.environ.get("STOPLINE_GUARD_KILLS", "1"))
SEED = int(os.environ.get("STOPLINE_SEED", "1"))
SHARES = ("NSE:INFY", "NSE:TCS", "NSE:SBIN", "NSE:ITC", "NSE:WIPRO")
AROUND = 0.2
"""Seconds in which it is killed, from just before the price goes through the stop on."""


@pytest.mark.timeout(90 + 40 * KILLS)
def test_killed_at_any_moment_the_desk_leaves_exactly_one_exit_and_the_guard_sees_to_it(tmp_path: Path) -> None:
    """STOPLINE_GUARD_KILLS sets how often (1; `make soak` 100), STOPLINE_SEED the moments."""
    profile, chance = tmp_path / "profile", random.Random(SEED)
    with PaperExchange(None, "--fault", "limits=off", "--cash", "100000000") as exchange, Nursery() as nursery:
        desk = nursery.host(profile, owner=True)
        account = desk.set_up(exchange)
        desk.hold(account, "NSE:PNB", QUANTITY)
        arm(desk, account, "NSE:PNB")  # so that there is something to guard, whenever it dies
        sold, first = Counter[str](), dict[str, int]()
        with guard(profile, tmp_path / "guard.jsonl", host.PASSPHRASE.reveal()) as beside:
            for number in range(1, KILLS + 1):
                instrument = SHARES[number % len(SHARES)]
                symbol = instrument.partition(":")[2]
                beside.until("waiting", number)
                desk.hold(account, instrument, QUANTITY)
                last = eventually(lambda d=desk, i=instrument: d.ask("last", account=account, instrument=i))
                # Back where it began: else one share after the other would fall to its circuit limit.
                high = first.setdefault(instrument, last) // 100
                exchange.price(**{instrument: high})
                eventually(
                    lambda d=desk, i=instrument, h=high: d.ask("last", account=account, instrument=i) > 99 * h
                )  # paise: less than a percent away
                stop = arm(desk, account, instrument)
                price = trigger_of(desk, stop) * 98 // 10_000
                death = threading.Timer(chance.uniform(0.0, AROUND), desk.kill)
                death.start()
                exchange.price(**{instrument: price})
                death.join()
                beside.until("guarding", number)
                eventually(lambda s=symbol: exchange.quantity(s) == 0, 30)
                desk = nursery.host(profile, owner=True)
                desk.ask("open")
                desk.ask("recovered", account=account)
                eventually(lambda s=stop, d=desk: d.ask("journal")[s] == "closed", 30)
                sold[symbol] += QUANTITY
                filled = sum(order["filled_quantity"] for order in exchange.exits(symbol))
                assert (exchange.quantity(symbol), filled) == (0, sold[symbol]), (number, SEED)
        desk.close()


def arm(desk: RunningHost, account: str, instrument: str) -> str:
    """Two percent away."""
    last = eventually(lambda: desk.ask("last", account=account, instrument=instrument))
    found: str = desk.ask("arm", account=account, instrument=instrument, trigger=last * 98 // 10_000 * 100)
    return found


def trigger_of(desk: RunningHost, stop: str) -> int:
    found: int = desk.event("StopChanged", stop=stop, state="armed")["trigger"]
    return found
