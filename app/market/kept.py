"""The last prices of what stops look at, with when they came: what the recording of an exit shows. Loop thread only."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from app.domain.market import Tick
from app.domain.money import Price

KEPT_PRICES = 240
"""Of each instrument."""


class Prices(Protocol):
    """Whose prices are kept (`FeedHub`)."""

    on_watched_tick: Callable[[int, Tick], None]


class KeptPrices:
    """Listens where somebody else does already, after every stop of a frame was checked."""

    def __init__(self, prices: Prices) -> None:
        self._kept: defaultdict[int, deque[tuple[int, Price]]] = defaultdict(partial(deque, maxlen=KEPT_PRICES))
        self._others = prices.on_watched_tick
        prices.on_watched_tick = self._look

    def of(self, token: int) -> Sequence[tuple[int, Price]]:
        """(`perf_counter_ns` on arrival, price), oldest first."""
        return tuple(self._kept[token]) if token in self._kept else ()

    def _look(self, token: int, tick: Tick) -> None:
        arrived = time.perf_counter_ns() - (time.time_ns() - tick.received_at)
        self._kept[token].append((arrived, tick.last_price))
        self._others(token, tick)
