"""kill -9 of the real window at any moment around a breach, on a real screen: opened again, it has closed the position
exactly once, whether the exit was out when it died or not."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from tests.e2e.window import connect_and_log_in, workplace
from tests.exchange import PaperExchange, eventually

KILLS = int(os.environ.get("STOPLINE_WINDOW_KILLS", "1"))
SEED = int(os.environ.get("STOPLINE_SEED", "1"))
SHARES = ("RELIANCE", "INFY", "TCS", "ITC", "SBIN")
QUANTITY = 10
AROUND = 0.25
"""Seconds in which it is killed, from the moment in which the price is told to go through the stop."""


@pytest.mark.slow
@pytest.mark.timeout(90 + 60 * len(SHARES))
@pytest.mark.parametrize("first", range(0, KILLS, len(SHARES)))
def test_killed_at_any_moment_the_window_leaves_exactly_one_exit(first: int, tmp_path: Path) -> None:
    """STOPLINE_WINDOW_KILLS sets how often (1; `make soak` 20), STOPLINE_SEED the moments."""
    chance = random.Random(SEED + first)
    held = [part for share in SHARES for part in ("--opening-position", f"NSE:{share}={QUANTITY}@MIS")]
    with PaperExchange(None, "--fault", "limits=off", *held) as exchange, workplace(tmp_path) as work:
        work.start()
        work.create_vault()
        connect_and_log_in(work, exchange.urls)
        for share in SHARES[: KILLS - first]:
            eventually(lambda s=share: s in work.positions())
            work.chart_of(share)
            work.arm()
            trigger = eventually(lambda s=share: s in work.stops() and work.trigger(s))
            death = threading.Timer(chance.uniform(0.0, AROUND), work.kill)
            death.start()
            exchange.price(**{f"NSE:{share}": trigger * 0.995 // 0.1 / 10})
            death.join()
            work.start()
            work.unlock()
            work.wait_feed("live")
            eventually(lambda s=share: exchange.quantity(s) == 0, 30)
            work.wait_armed(0)
            filled = [order["filled_quantity"] for order in exchange.exits(share) if order["filled_quantity"]]
            assert filled == [QUANTITY], (share, SEED, filled)
        assert work.quit() == 0
