"""The last prices of what stops look at, with when they came: what the recording of an exit shows. Loop thread only."""

from __future__ import annotations

import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from app.domain.market import Tick
from app.domain.money import Price

KEPT_PRICES = 240
"""Of each instrument."""


class Prices(Protocol):
    """Whose prices are kept (`FeedHub`)."""

    on_watched_tick: Callable[[int, Tick], None]


class _Latest:
    """Of one instrument, in a ring that takes its room at once: prices that come and go as objects would grow for
    minutes, and leave the memory of all others in pieces."""

    __slots__ = ("_count", "_ring")

    def __init__(self) -> None:
        self._ring = array("q", bytes(16 * KEPT_PRICES))
        self._count = 0

    def put(self, arrived: int, price: Price) -> None:
        at = 2 * (self._count % KEPT_PRICES)
        self._ring[at] = arrived
        self._ring[at + 1] = price
        self._count += 1

    def all(self) -> tuple[tuple[int, Price], ...]:
        first = max(0, self._count - KEPT_PRICES)
        places = (2 * (n % KEPT_PRICES) for n in range(first, self._count))
        return tuple((self._ring[at], self._ring[at + 1]) for at in places)


class KeptPrices:
    """Listens where somebody else does already, after every stop of a frame was checked."""

    def __init__(self, prices: Prices) -> None:
        self._kept: defaultdict[int, _Latest] = defaultdict(_Latest)
        self._others = prices.on_watched_tick
        prices.on_watched_tick = self._look

    def of(self, token: int) -> Sequence[tuple[int, Price]]:
        """(`perf_counter_ns` on arrival, price), oldest first."""
        return self._kept[token].all() if token in self._kept else ()

    def _look(self, token: int, tick: Tick) -> None:
        self._kept[token].put(time.perf_counter_ns() - (time.time_ns() - tick.received_at), tick.last_price)
        self._others(token, tick)
