"""The columnar path against lots walked one by one."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.analytics.fifo import fifo

_ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(-30, 30).filter(bool), st.integers(1, 1000)), max_size=60)


def _oracle(rows: list[tuple[int, int, int]]) -> tuple[list[int], dict[int, list[tuple[int, int]]]]:
    queues: dict[int, deque[tuple[int, int]]] = {}
    gains: list[int] = []
    for key, quantity, price in rows:
        queue = queues.setdefault(key, deque())
        gained = 0
        for _ in range(abs(quantity)):
            sign = 1 if quantity > 0 else -1
            if queue and queue[0][0] != sign:
                held, cost = queue.popleft()
                gained += held * (price - cost)
            else:
                queue.append((sign, price))
        gains.append(gained)
    return gains, {key: list(queue) for key, queue in queues.items() if queue}


def _columns(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()


def _units(lots: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(1 if quantity > 0 else -1, price) for quantity, price in lots for _ in range(abs(quantity))]


@given(_ROWS)
def test_columns_equal_unit_by_unit_matching(rows: list[tuple[int, int, int]]) -> None:
    result = fifo(*_columns(rows))
    gains, left = _oracle(rows)
    assert result.realised.tolist() == gains
    assert {key: _units(lots) for key, lots in result.open_lots.items()} == left


def test_sums_too_large_for_64_bits_are_exact_all_the_same() -> None:
    units, price = 10**12, 4 * 10**6
    rows = [(1, units, price), (1, units, price + 1), (1, -2 * units, price + 2)]
    result = fifo(*_columns(rows))
    assert result.realised.tolist() == [0, 0, 3 * units]
    assert result.open_lots == {}
    small = fifo(*_columns([(1, 5, 10), (1, -2, 11), (2, -1, 7)]))
    assert small.open_lots == {1: [(3, 10)], 2: [(-1, 7)]}
