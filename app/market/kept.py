"""The last prices of what stops look at, with when they came: what the recording of an exit shows. Loop thread only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

from app.domain.ids import Nanos
from app.domain.money import Price

KEPT_PRICES = 240
"""Of each instrument."""


class KeptPrices:
    """Filled after every stop of a frame was checked."""

    def __init__(self) -> None:
        self._kept: dict[int, deque[tuple[int, Price]]] = {}

    def __contains__(self, token: int) -> bool:
        return token in self._kept

    def want(self, tokens: Iterable[int]) -> None:
        """These too from now on; what is kept stays for this run."""
        for token in tokens:
            if token not in self._kept:
                self._kept[token] = deque(maxlen=KEPT_PRICES)

    def saw(self, token: int, price: Price, received_at: Nanos) -> None:
        """A price of a token that is kept."""
        self._kept[token].append((time.perf_counter_ns() - (time.time_ns() - received_at), price))

    def of(self, token: int) -> Sequence[tuple[int, Price]]:
        """(`perf_counter_ns` on arrival, price), oldest first."""
        return tuple(self._kept.get(token, ()))
