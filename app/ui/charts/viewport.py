"""What part of a series is visible, and how mouse and keys change that. Pure numbers, in candles and prices."""

from __future__ import annotations

import math

CANDLE_PIXELS = 8.0
"""Width of a candle when a chart opens."""
LEAST = 12.0
"""Candles at the closest zoom."""
TOP, BOTTOM = 40.0, 24.0
"""Pixels kept free above (readout) and below the prices."""


class Viewport:
    """Range of candle indexes and of prices. `last` may lie beyond the series: room for what comes."""

    def __init__(self) -> None:
        self._width = 800.0
        self.span = 100.0
        self.last = 100.0
        self.low, self.high = 0.0, 1.0
        self.automatic = True
        """Prices scale to what is visible."""
        self._factor = 1.0
        self._began = (100.0, 8.0, 1.0)

    def set_width(self, width: float) -> None:
        """Of the price pane, pixels: candles keep theirs."""
        self.span *= width / self._width
        self._width = width

    def reset(self) -> None:
        """As a chart opens."""
        self.span = self._width / CANDLE_PIXELS
        self.automatic, self._factor = True, 1.0

    @property
    def first(self) -> float:
        """Left edge."""
        return self.last - self.span

    @property
    def gap(self) -> float:
        """Candles kept free at the right of the newest."""
        return max(2.0, self.span * 0.07)

    def follows(self, count: int) -> bool:
        """Whether the newest candle is in view: then it stays so."""
        return self.first <= count - 1 <= self.last

    def range(self, count: int) -> tuple[float, float]:
        """Visible indexes, never beyond sight of the series."""
        if count:
            self.last = min(max(self.last, min(self.span * 0.2, float(count))), count - 1 + self.span * 0.8)
        return self.first, self.last

    def jump_to_end(self, count: int) -> None:
        """The newest candle at the right; the zoom stays."""
        self.last = count - 1 + self.gap
        self.automatic = True
        self._factor = 1.0

    def jump_to_start(self, count: int) -> None:
        """The oldest candle at the left."""
        self.last = min(self.span - 1.0, count - 1 + self.gap)

    def fit_all(self, count: int) -> None:
        """Everything."""
        self.span = max(LEAST, count * 1.04)
        self.last = count - 1 + self.span * 0.03
        self.automatic, self._factor = True, 1.0

    def appended(self, count: int) -> None:
        """One candle more: moves on when the newest was in view, once the room at the right is used up."""
        if self.follows(count - 1) and self.last < count - 1 + self.gap:
            self.last += 1

    def zoom(self, steps: float, about: float, count: int) -> None:
        """Closer (positive) or wider; what is under the mouse stays, and the newest candle stays while followed."""
        span = min(max(self.span * math.pow(0.85, steps), LEAST), max(count * 1.6, self._width / CANDLE_PIXELS))
        if self.follows(count):
            room = (self.last - (count - 1)) / self.span
            self.last = count - 1 + room * span
        else:
            self.last = about + (self.last - about) * span / self.span
        self.span = span

    def pan(self, share: float, count: int) -> None:
        """By a share of the width, positive to later candles."""
        self.last += self.span * share
        self.range(count)

    def begin(self, pixels_per_index: float) -> None:
        """A drag starts."""
        self._began = (self.last, pixels_per_index, self._factor)

    def drag(self, pixels: float, count: int) -> None:
        """The picture follows the mouse."""
        last, pixels_per_index, _ = self._began
        self.last = last - pixels / pixels_per_index
        self.range(count)

    def stretch(self, pixels: float, height: float) -> None:
        """A drag on the price axis: down squeezes, up stretches."""
        self.automatic = False
        self._factor = min(max(self._began[2] * math.exp(pixels / max(height, 1.0) * 2), 0.05), 20.0)

    def fit_prices(self, extent: tuple[int, int] | None, extras: list[float], tick: int) -> None:
        """Lowest and highest price to show: what is visible, and lines that are not too far from it."""
        if extent is None and not extras:
            return
        low, high = extent if extent is not None else (min(extras), max(extras))
        reach = max(high - low, 8.0 * tick) * 0.6
        near = [p for p in extras if low - reach <= p <= high + reach]
        self.low, self.high = float(min([low, *near])), float(max([high, *near]))
        if self.high - self.low < 8 * tick:
            middle = (self.high + self.low) / 2
            self.low, self.high = middle - 4 * tick, middle + 4 * tick

    def prices(self, height: float) -> tuple[float, float]:
        """The pane's lowest and highest price, margins included."""
        inner = max(height - TOP - BOTTOM, 16.0)
        span = self.high - self.low
        low, high = self.low - span * BOTTOM / inner, self.high + span * TOP / inner
        if self.automatic:
            self._factor = 1.0
            return low, high
        middle, half = (low + high) / 2, (high - low) / 2 * self._factor
        return middle - half, middle + half
