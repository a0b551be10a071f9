"""First in, first out over columns: the fast path for recomputes of a whole book. Pure; numpy integers, exact.

Within one position the n-th unit that leaves is the n-th unit that entered, across all its round trips, once fills that
go through zero are cut in two. So what the units that left had cost is read off the running sum of the entries, without
walking lots one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.analytics.pnl import Lot, Lots

Ints = npt.NDArray[np.int64]

_LARGEST = 2.0**62
"""Sums beyond this go by exact Python integers instead."""


@dataclass(frozen=True, slots=True, eq=False)
class FifoResult:
    """What matching found, in minor units."""

    realised: Ints
    """Gross P&L that each fill realised, in the order given; 0 where it only opened."""
    open_lots: dict[int, list[Lot]]
    """Per position key: what is left open, oldest first. Flat positions are absent."""


def fifo(keys: Ints, quantities: Ints, prices: Ints) -> FifoResult:
    """Match fills first in, first out.

    `keys`: any number per position; `quantities`: signed units, none 0; `prices`: minor units. Fills of one position
    must be in order of time.
    """
    count = len(keys)
    if not count:
        return FifoResult(np.zeros(0, np.int64), {})
    if float(np.sum(np.abs(quantities).astype(np.float64) * np.abs(prices).astype(np.float64))) > _LARGEST:
        return _one_by_one(keys, quantities, prices)
    # Sixteen bits sort by counting, several times faster; that many positions fit nearly always.
    small = int(keys.min()) >= 0 and int(keys.max()) < 1 << 16
    order = np.argsort(keys.astype(np.uint16) if small else keys, kind="stable")
    key, quantity, price = keys[order], quantities[order], prices[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    size = np.diff(np.r_[first, count])
    # What each position held after and before every fill.
    running = np.cumsum(quantity)
    after = running - np.repeat(running[first] - quantity[first], size)
    before = after - quantity
    # A fill closes what stands against it, and opens with its rest.
    against = (before > 0) != (quantity > 0)
    closing = np.where(against, np.minimum(np.abs(before), np.abs(quantity)), 0)
    opening = np.abs(quantity) - closing
    # Units and cost of all entries so far; cost is what was paid for a long, less what was received for a short.
    side = np.sign(quantity)
    entered = np.cumsum(opening)
    cost = np.cumsum(opening * price * side)
    # Units that left so far, counted among the entries: units that a position keeps to its end are passed over.
    kept = np.abs(after[np.r_[first[1:] - 1, count - 1]])
    left = np.cumsum(closing) + np.repeat(np.cumsum(kept) - kept, size)
    reached = np.searchsorted(entered, left)
    cost_left = cost[reached] - (entered[reached] - left) * price[reached] * side[reached]
    gained = -side * closing * price - np.diff(cost_left, prepend=0)
    realised = np.empty(count, np.int64)
    realised[order] = np.where(closing > 0, gained, 0)
    # Of a position's entries the last ones stay open.
    closed = np.add.reduceat(closing, first)
    entered_here = entered - np.repeat(entered[first] - opening[first], size)
    still = np.clip(entered_here - np.repeat(closed, size), 0, opening)
    lots: dict[int, list[Lot]] = {}
    for row in np.flatnonzero(still).tolist():
        lots.setdefault(int(key[row]), []).append((int(still[row] * side[row]), int(price[row])))
    return FifoResult(realised, lots)


def _one_by_one(keys: Ints, quantities: Ints, prices: Ints) -> FifoResult:
    """The same, lot by lot in Python integers of any size."""
    positions: dict[int, Lots] = {}
    realised: list[int] = []
    for key, quantity, price in zip(keys.tolist(), quantities.tolist(), prices.tolist(), strict=True):
        realised.append(positions.setdefault(key, Lots()).apply(quantity, price))
    return FifoResult(
        np.array(realised, np.int64), {key: lots.lots() for key, lots in positions.items() if lots.quantity}
    )
