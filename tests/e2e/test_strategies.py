"""Strategies against a real exchange with a clock of its own: the stop comes first, and the program dies anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.hosts import Nursery, RunningHost
from tests.exchange import PaperExchange, closes, eventually

CLOSES = closes()
QUANTITY = 10
STOP = 100
"""Hundredths of a percent."""


@dataclass
class Stage:
    """One profile; `restart` is the same one after a kill."""

    nursery: Nursery
    exchange: PaperExchange
    profile: Path
    account: str = ""

    def begin(self, *names: str) -> None:
        self.host = self.nursery.host(self.profile)
        self.account = self.host.set_up(self.exchange)
        self.exchange.price(**{name: CLOSES[name] for name in names})

    def restart(self) -> RunningHost:
        self.host = self.nursery.host(self.profile)
        assert self.host.ask("open") == [self.account]
        self.host.ask("recovered", account=self.account)
        return self.host

    def start(self, name: str, buy_in: int, sell_in: int, stop: int | None = STOP) -> str:
        asked = {"account": self.account, "instrument": name, "quantity": QUANTITY}
        strategy: str = self.host.ask("strategy", **asked, buy_in=buy_in, sell_in=sell_in, stop=stop)
        return strategy

    def until(self, strategy: str, *states: str, seconds: float = 25) -> str:
        def look() -> str | None:
            found: str = self.host.ask("strategies")[strategy]["state"]
            return found if found in states else None

        found: str = eventually(look, seconds)
        return found

    def guarded(self, strategy: str) -> str:
        """Its stop is armed and watches."""
        stop: str = eventually(lambda: self.host.ask("strategies")[strategy]["stop"])
        eventually(lambda: self.host.ask("status", account=self.account)["stops"].get(stop) == "armed")
        return stop

    def forward(self, seconds: int) -> None:
        """Sets the exchange's clock."""
        now = datetime.fromisoformat(self.exchange.call("GET", "/simulator/clock")["now"])
        later = now + timedelta(seconds=seconds)
        self.exchange.call("PUT", "/simulator/clock", {"now": later.isoformat()})

    def breach(self, name: str) -> None:
        self.exchange.price(**{name: int(CLOSES[name] * 0.95)})

    def filled(self, name: str, side: str) -> list[int]:
        """Units of every order of a side that filled anything or still may."""
        symbol = name.partition(":")[2]
        return [
            order["filled_quantity"]
            for order in self.exchange.book()["orders"]
            if (order["tradingsymbol"], order["transaction_type"]) == (symbol, side)
            and (order["filled_quantity"] or order["status"] not in ("REJECTED", "CANCELLED"))
        ]

    def check_flat(self, name: str) -> None:
        """One entry, one exit, nothing left."""
        eventually(lambda: self.exchange.quantity(name.partition(":")[2]) == 0)
        assert (self.filled(name, "BUY"), self.filled(name, "SELL")) == ([QUANTITY], [QUANTITY])


@pytest.fixture(scope="module")
def street() -> Iterator[tuple[Nursery, PaperExchange]]:
    options = ("--seed", "11", "--clock", "2026-11-25T10:00:00", "--fault", "limits=off")
    with Nursery() as nursery, PaperExchange(None, *options) as exchange:
        yield nursery, exchange


@pytest.fixture
def stage(street: tuple[Nursery, PaperExchange], tmp_path: Path) -> Iterator[Stage]:
    made = Stage(*street, tmp_path)
    yield made
    made.host.close()


def test_the_stop_is_hit_first_both_timers_are_void_while_another_is_sold_by_the_clock(stage: Stage) -> None:
    guarded, bare = "NSE:INFY", "NSE:SBIN"
    stage.begin(guarded, bare)
    first = stage.start(guarded, buy_in=1, sell_in=60)
    second = stage.start(bare, buy_in=1, sell_in=5, stop=None)
    stage.until(first, "bought")
    stop = stage.guarded(first)
    stage.breach(guarded)
    stage.until(first, "exited_by_sl")
    stage.check_flat(guarded)
    stage.until(second, "sold")
    stage.check_flat(bare)
    stage.forward(120)  # over the sell time
    stage.host.ask("sync")  # a round trip to the broker and back, in which a second exit would have gone out
    assert stage.host.ask("strategies")[first]["state"] == "exited_by_sl"
    stage.check_flat(guarded)
    told = stage.host.ask("timeline", strategy=first)
    assert told == ["waiting", "buying", "bought", "selling", "exited_by_sl"]
    assert "fired" in stage.host.ask("audit", stop=stop)


def test_killed_while_buying_while_holding_over_a_sell_time_and_over_a_buy_time(stage: Stage) -> None:
    holding, selling, waiting, buying = names = ("NSE:ITC", "NSE:LT", "NSE:WIPRO", "NSE:TCS")
    stage.begin(*names)
    held = stage.start(holding, buy_in=1, sell_in=900)
    missed_sell = stage.start(selling, buy_in=1, sell_in=300)
    missed_buy = stage.start(waiting, buy_in=200, sell_in=900)
    stops = {}
    for strategy in (held, missed_sell):
        stage.until(strategy, "bought")
        stops[strategy] = stage.guarded(strategy)
    stage.exchange.faults(f"delay=2:route=place,instrument={buying}")
    bought = stage.start(buying, buy_in=1, sell_in=900)
    stage.host.event("StrategyChanged", strategy=bought, state="buying")
    stage.host.kill()
    stage.exchange.faults()
    stage.forward(400)
    host = stage.restart()

    assert stage.guarded(held) == stops[held]
    stage.breach(holding)
    stage.until(held, "exited_by_sl")
    stage.check_flat(holding)

    stage.until(missed_sell, "sold")
    stage.check_flat(selling)
    stage.until(missed_buy, "buy_failed")
    assert stage.filled(waiting, "BUY") == []
    notices = [event["cause"] for event in host.events if event["event"] == "Noticed"]
    assert any("sell time passed while Stopline was away" in words for words in notices), notices
    assert any("missed and is skipped" in words for words in notices), notices

    # The order had reached the exchange or not: never twice, never unguarded, and sold once.
    if stage.until(bought, "bought", "buy_failed") == "bought":
        stage.guarded(bought)
        stage.forward(900)
        stage.until(bought, "sold")
        stage.check_flat(buying)
    else:
        assert stage.filled(buying, "BUY") == []
