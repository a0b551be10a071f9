"""SIGKILL at random points of a sync, then a restart: no fill lost, none doubled, no lease left, the store opens.

STOPLINE_SYNC_KILLS sets how often (10; `make soak` 200), STOPLINE_SEED where the seeds begin.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import PASSPHRASE
from tests.e2e.hosts import Nursery, RunningHost
from tests.exchange import ROOT, PaperExchange

KILLS = int(os.environ.get("STOPLINE_SYNC_KILLS", "10"))
SEED = int(os.environ.get("STOPLINE_SEED", "1"))
FILLS = "fill-before=2:route=trades,instrument=NSE:{name},count=0"
"""Another terminal of the client buys at each read: fills arrive while the sync reads."""


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.fixture
def exchange() -> Iterator[PaperExchange]:
    with PaperExchange(None, "--seed", "3", "--fault", "limits=off") as running:
        yield running


def there(exchange: PaperExchange) -> list[list[Any]]:
    return sorted([row["trade_id"], row["transaction_type"], row["quantity"]] for row in exchange.book()["trades"])


def check(host: RunningHost, exchange: PaperExchange, seed: int) -> None:
    """The book after a restart and one more sync."""
    exchange.faults("limits=off")
    for _ in range(2):  # the first may be the scheduled one that was under way while fills still came
        (result,) = host.ask("sync")
        assert result["step"] == "completed", (seed, result)
    book = host.ask("book")
    assert sorted(book["fills"]) == there(exchange), seed
    assert book["leases"] == [], seed
    assert book["stale"] == 0, seed


@pytest.mark.slow
@pytest.mark.timeout(max(180, 20 * KILLS))
def test_killed_in_the_middle_of_a_sync(nursery: Nursery, exchange: PaperExchange, tmp_path: Path) -> None:
    host = nursery.host(tmp_path)
    account = host.set_up(exchange)
    names = ["INFY", "SBIN", "TCS", "ITC", "WIPRO"]
    exchange.faults("limits=off", *(FILLS.format(name=name) for name in names))
    began = time.monotonic()
    host.ask("sync")
    took = time.monotonic() - began
    cut_short = 0
    for seed in range(SEED, SEED + KILLS):
        chance = random.Random(f"sync {seed}")
        exchange.faults("limits=off", *(FILLS.format(name=name) for name in chance.sample(names, 3)))
        number = host.send("sync")
        time.sleep(chance.uniform(0.0, 1.2 * took))  # any moment will do
        host.kill()
        cut_short += number not in host._answers
        host = nursery.host(tmp_path)
        assert host.ask("open") == [account], seed
        host.ask("recovered", account=account)
        check(host, exchange, seed)
    host.close()
    assert cut_short, "no kill came before its sync had ended"


def test_commands_in_other_processes_never_double_the_work_of_a_running_sync(
    nursery: Nursery, exchange: PaperExchange, tmp_path: Path
) -> None:
    """Two command lines at once on a profile that nobody has open: the second waits for the first, and finds nothing
    left to do."""
    host = nursery.host(tmp_path)
    account = host.set_up(exchange)
    host.hold(account, "NSE:INFY", 5)
    host.hold(account, "NSE:SBIN", 3)
    host.close()
    environment = {**os.environ, "STOPLINE_PASSPHRASE": PASSPHRASE.reveal()}
    command = [sys.executable, str(ROOT / "main.py"), "sync", "--json", "--profile", str(tmp_path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    created = [json.loads(out)["accounts"][0]["created"] for out, _ in told]
    assert sorted(created) == [0, 0] or sum(created) == len(there(exchange)), created
    again = nursery.host(tmp_path)
    assert again.ask("open") == [account]
    check(again, exchange, 0)
    again.close()
