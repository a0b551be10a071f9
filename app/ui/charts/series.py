"""Candles as columns of numbers, and what of them a screen can show. Pure numpy; owned by one chart, GUI thread.

A chart never draws more candles than it has pixel columns. `window` merges neighbours by powers of two, aligned to the
candle's index so that a panned picture does not shimmer, and starts from summaries kept at every 16th, 256th, ...
candle: the cost of a frame depends on the width of the window, not on the length of history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.ids import Nanos
from app.domain.market import Candle

Ints = npt.NDArray[np.int64]

_FACTOR = 16
"""Each level of summaries is this much coarser than the one below."""


class Put(Enum):
    """What became of a candle that was put into a series."""

    APPENDED = "appended"
    REPLACED = "replaced"
    REFUSED = "refused"
    """Older than the series' end and not in it: history has no room for it any more."""


class _Block(NamedTuple):
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints


@dataclass(frozen=True, slots=True)
class Columns:
    """What to draw: each column stands for `stride` candles from index `first` on. Prices in minor units."""

    first: Ints
    stride: int
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def __len__(self) -> int:
        return len(self.first)


class CandleSeries:
    """A growing run of candles, oldest first, with summaries."""

    def __init__(self) -> None:
        self._count = 0
        self._start: Ints = np.empty(0, np.int64)
        self._levels: list[_Block] = [_empty(0)]

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        """Forgets everything."""
        self._count = 0
        self._start = np.empty(0, np.int64)
        self._levels = [_empty(0)]

    def load(self, candles: Sequence[Candle]) -> None:
        """Appends candles that are later than all here. Called with slices, so that no call holds the window up."""
        more = len(candles)
        if not more:
            return
        columns = np.array(
            [(c.start, c.open, c.high, c.low, c.close, c.volume) for c in candles], dtype=np.int64
        ).reshape(more, 6)
        self.load_columns(*(columns[:, i] for i in range(6)))

    def load_columns(self, start: Ints, open_: Ints, high: Ints, low: Ints, close: Ints, volume: Ints) -> None:
        """The same from arrays. Raises ValueError when they are not in order."""
        if self._count and len(start) and start[0] <= self._start[self._count - 1]:
            raise ValueError("candles must come in order")
        if np.any(np.diff(start) <= 0):
            raise ValueError("candles must come in order")
        first, end = self._count, self._count + len(start)
        self._reserve(end)
        self._start[first:end] = start
        base = self._levels[0]
        for column, values in zip(base, (open_, high, low, close, volume), strict=True):
            column[first:end] = values
        self._count = end
        self._summarise(first)

    def put(self, candle: Candle) -> Put:
        """The running candle, again and again, or the next one; or a correction of one that is here."""
        index = self._count
        outcome = Put.APPENDED
        if self._count and candle.start <= self._start[self._count - 1]:
            index = int(np.searchsorted(self._start[: self._count], candle.start))
            if self._start[index] != candle.start:
                return Put.REFUSED
            outcome = Put.REPLACED
        else:
            self._reserve(index + 1)
            self._start[index] = candle.start
            self._count = index + 1
        base = self._levels[0]
        base.open[index] = candle.open
        base.high[index] = candle.high
        base.low[index] = candle.low
        base.close[index] = candle.close
        base.volume[index] = candle.volume
        self._summarise(index, index + 1)
        return outcome

    def start(self, index: int) -> Nanos:
        """When a candle starts."""
        return int(self._start[index])

    def candle(self, index: int) -> Candle:
        """One candle again. Raises IndexError outside the series."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        base = self._levels[0]
        return Candle(self.start(index), *(int(column[index]) for column in base))

    def starts(self, first: int, last: int, stride: int = 1) -> Ints:
        """Start times of every `stride`-th candle of [first, last)."""
        return self._start[max(first, 0) : min(last, self._count) : stride]

    def index_at(self, at: Nanos) -> int:
        """The candle that a moment falls into: the last one that starts at or before it, -1 before all."""
        return int(np.searchsorted(self._start[: self._count], at, side="right")) - 1

    def gaps(self, first: int, last: int, length: Nanos) -> list[int]:
        """Indexes of candles before which candles are missing within the same Indian day (E3: a gap is visible)."""
        starts = self.starts(first, last)
        if len(starts) < 2:
            return []
        missing = np.diff(starts) > length
        day = (starts + _IST_OFFSET) // _DAY
        found = np.flatnonzero(missing & (day[1:] == day[:-1])) + 1
        return [int(i) + max(first, 0) for i in found]

    def window(self, first: int, last: int, columns: int) -> Columns:
        """Candles [first, last) in at most about `columns` columns."""
        first, last = max(first, 0), min(last, self._count)
        if last <= first:
            return Columns(np.empty(0, np.int64), 1, *_empty(0))
        stride = 1
        while (last - first) > columns * stride:
            stride *= 2
        level, step = 0, 1
        while step * _FACTOR <= stride and level + 1 < len(self._levels):
            level, step = level + 1, step * _FACTOR
        begin = first // stride * stride
        block = self._levels[level]
        end = min(-(-last // stride) * stride, self._count)
        a, b = begin // step, -(-end // step)
        group = stride // step
        if group == 1:
            return Columns(np.arange(a, b, dtype=np.int64) * step, stride, *(column[a:b] for column in block))
        merged = _merge(_Block(*(column[a:b] for column in block)), group)
        firsts = np.arange(len(merged.open), dtype=np.int64) * stride + begin
        return Columns(firsts, stride, *merged)

    def extent(self, first: int, last: int) -> tuple[int, int] | None:
        """(lowest low, highest high) of [first, last), None when nothing is there; at most a column's width wider."""
        shown = self.window(first, last, 512)
        return (int(shown.low.min()), int(shown.high.max())) if len(shown) else None

    def _reserve(self, count: int) -> None:
        """Room for `count` candles; doubles, so that appending stays cheap."""
        capacity = len(self._start)
        if count > capacity:
            capacity = max(count, capacity * 2, 1024)
            self._start = _grown(self._start, capacity)
        size, level = capacity, 0
        while level < len(self._levels) or size > 1:
            if level == len(self._levels):
                self._levels.append(_empty(0))
            block = self._levels[level]
            if len(block.open) < size:
                self._levels[level] = _Block(*(_grown(column, size) for column in block))
            size, level = -(-size // _FACTOR), level + 1

    def _summarise(self, first: int, last: int | None = None) -> None:
        """Brings the summaries of candles [first, last) up to date; None: to the end."""
        end = self._count
        for level in range(1, len(self._levels)):
            below, block = self._levels[level - 1], self._levels[level]
            a = first // _FACTOR
            b = -(-end // _FACTOR) if last is None else min(-(-last // _FACTOR), -(-end // _FACTOR))
            merged = _merge(_Block(*(column[a * _FACTOR : min(b * _FACTOR, end)] for column in below)), _FACTOR)
            for column, values in zip(block, merged, strict=True):
                column[a:b] = values
            first, last, end = a, (None if last is None else b), -(-end // _FACTOR)


_DAY = 86_400_000_000_000
_IST_OFFSET = 19_800_000_000_000


def _empty(size: int) -> _Block:
    return _Block(*(np.zeros(size, np.int64) for _ in range(5)))


def _grown(column: Ints, size: int) -> Ints:
    larger = np.zeros(size, np.int64)
    larger[: len(column)] = column
    return larger


def _merge(block: _Block, group: int) -> _Block:
    """Every `group` neighbours as one; the last may be fewer."""
    count = len(block.open)
    if not count:
        return block
    starts = np.arange(0, count, group)
    ends = np.minimum(starts + group, count) - 1
    return _Block(
        block.open[starts],
        np.maximum.reduceat(block.high, starts),
        np.minimum.reduceat(block.low, starts),
        block.close[ends],
        np.add.reduceat(block.volume, starts),
    )
