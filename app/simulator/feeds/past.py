"""A made-up past for the random market: the same days and minutes for the same seed, whenever they are asked for.

A day is drawn first (open, high, low, close, volume), its minutes are then drawn to fit it exactly, so that every
interval tells the same story.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from app.simulator import pricing
from app.simulator.candles import DAY, SESSION_OPEN, Bar, day_start, local_day
from app.simulator.listing import Listing

SESSION_MINUTES = 375
"""09:15 to 15:29."""
OPTION_DAILY = 0.06
LISTED_DAYS = 90
"""How long before its expiry a derivative was first listed, in this market."""
FIRST_DAY = 16_436
"""2015-01-01, in days since 1970: there is nothing older."""

DayRow = tuple[int, int, int, int, int, int]
"""(day number, open, high, low, close, volume)."""


def beta(listing: Listing) -> float:
    """How strongly a listing follows the market factor."""
    if listing.tradingsymbol == "INDIA VIX":
        return -4.0
    if not listing.tradable:
        return 1.15 if "BANK" in listing.tradingsymbol else 1.0
    return 0.7 + (listing.token >> 8) % 7 * 0.1


def daily_noise(listing: Listing) -> float:
    """Its own standard deviation of a day, beside the market's."""
    if listing.is_option:
        return OPTION_DAILY
    if not listing.tradable:
        return 0.03 if listing.tradingsymbol == "INDIA VIX" else 0.001
    if listing.underlying:
        return 0.003
    return 0.011


def market_return(seed: int, day: int) -> float:
    """The market factor's log return of a day."""
    return random.Random(f"{seed}:market:{day}").gauss(0.0003, pricing.INDEX_VOLATILITY["NIFTY"] / math.sqrt(252))


def draw_day(rng: random.Random, listing: Listing, last: float, result: float) -> tuple[int, int, int, int]:
    """Open, high, low and close of a day that starts from `last` and returns `result` (log)."""
    close = last * math.exp(result)
    open_price = last * math.exp(result * rng.uniform(0.1, 0.4) + rng.gauss(0.0, 0.001))
    wide = 0.4 * (abs(result) + daily_noise(listing))
    high = max(open_price, close) * math.exp(abs(rng.gauss(0.0, wide)))
    low = min(open_price, close) * math.exp(-abs(rng.gauss(0.0, wide)))
    o, c = listing.on_tick(open_price), listing.on_tick(close)
    return o, max(o, c, listing.on_tick(high)), min(o, c, listing.on_tick(low)), c


def draw_minutes(
    rng: random.Random, listing: Listing, start: int, count: int, day: tuple[int, int, int, int], volume: int, oi: int
) -> list[Bar]:
    """`count` minute bars from `start` whose open, high, low, close and volume are exactly the day's."""
    o, high, low, c = day
    edge = count // 8  # an extreme next to the end would be reached, or left, by a cliff
    top, bottom = (rng.sample(range(edge, count - edge), 2)) if count > 1 else (0, 0)
    fixed = {0: float(o), count: float(c)}
    path = _bridge(rng, count, fixed | {top + rng.randint(0, 1): float(high), bottom + rng.randint(0, 1): float(low)})
    path[0], path[-1] = o, c
    closes = [min(high, max(low, listing.on_tick(_mirrored(price, low, high)))) for price in path]
    step = listing.tick_size or 5
    bars = []
    shares = split(rng, volume, [0.5 + 1.5 * (2.0 * i / count - 1.0) ** 2 for i in range(count)])
    for i in range(count):
        a, b = closes[i], closes[i + 1]
        up = min(high, max(a, b) + step * int(rng.expovariate(0.8)))
        down = max(low, min(a, b) - step * int(rng.expovariate(0.8)))
        if i == top:
            up = high
        if i == bottom:
            down = low
        bars.append((start + 60 * i, a, up, down, b, shares[i], oi))
    return bars


def _mirrored(price: float, low: float, high: float) -> float:
    """A path that leaves the day's range comes back into it; cut off it would stand still at the edge."""
    if price > high:
        return max(low, 2 * high - price)
    return min(high, 2 * low - price) if price < low else price


def _bridge(rng: random.Random, count: int, fixed: Mapping[int, float]) -> list[float]:
    """A noisy path over 0..count that passes through the fixed points."""
    path = [0.0] * (count + 1)
    places = sorted(fixed)
    spread = (max(fixed.values()) - min(fixed.values())) / math.sqrt(count + 1.0) * 0.7
    for left, right in pairwise(places):
        length = right - left
        walk = [0.0]
        for _ in range(length):
            walk.append(walk[-1] + rng.gauss(0.0, spread))
        for i in range(length + 1):
            line = fixed[left] + (fixed[right] - fixed[left]) * i / length
            path[left + i] = line + walk[i] - walk[length] * i / length
    return path


def split(rng: random.Random, total: int, weights: list[float]) -> list[int]:
    """Whole numbers that sum to `total`, about by weight."""
    weights = [weight * rng.uniform(0.5, 1.5) for weight in weights]
    whole = sum(weights)
    parts, given, running = [], 0, 0.0
    for weight in weights:
        running += weight
        upto = round(total * (running / whole))
        parts.append(upto - given)
        given = upto
    if parts:
        parts[-1] += total - given
    return parts


class Past:
    """Sessions before the exchange's first day. Weekdays only; a derivative has no past before it was listed."""

    def __init__(self, seed: int, anchor_day: int, closes: Mapping[int, int], listings: Mapping[int, Listing]) -> None:
        self.seed = seed
        self.anchor_day = anchor_day
        """The first day of this exchange: the past ends the day before."""
        self.closes = closes
        """Token -> close of the last past day."""
        self._listings = listings
        self._days: dict[int, list[DayRow]] = {}
        self._minutes = lru_cache(maxsize=512)(self._draw_minutes)

    def days(self, token: int, first: int, last: int) -> list[DayRow]:
        """Day rows with first <= day <= last, ascending."""
        first = max(first, FIRST_DAY)
        listing = self._listings[token]
        if listing.expiry is not None:
            first = max(first, listing.expiry.toordinal() - 719_163 - LISTED_DAYS)
        rows = self._days.setdefault(token, [])  # newest first, grown backwards on demand
        day = rows[-1][0] - 1 if rows else self.anchor_day - 1
        close = self._opening_close(rows, token)
        while day >= first:
            if (day + 3) % 7 < 5:  # day 0 was a Thursday
                row, close = self._draw_day(listing, day, close)
                rows.append(row)
            day -= 1
        return [row for row in reversed(rows) if first <= row[0] <= last]

    def _opening_close(self, rows: list[DayRow], token: int) -> float:
        if not rows:
            return float(self.closes[token])
        return self._before(self._listings[token], rows[-1])

    def _result(self, listing: Listing, day: int) -> float:
        own = random.Random(f"{self.seed}:{listing.token}:{day}")
        return beta(listing) * market_return(self.seed, day) + own.gauss(0.0, daily_noise(listing))

    def _before(self, listing: Listing, row: DayRow) -> float:
        """The close of the day before a drawn one."""
        return max(listing.tick_size or 5, row[4] * math.exp(-self._result(listing, row[0])))

    def _draw_day(self, listing: Listing, day: int, close: float) -> tuple[DayRow, float]:
        result = self._result(listing, day)
        before = listing.on_tick(close * math.exp(-result))
        rng = random.Random(f"{self.seed}:{listing.token}:{day}:shape")
        o, high, low, _ = draw_day(rng, listing, before, result)
        c = listing.on_tick(close)
        volume = int(listing.day_volume * math.exp(rng.gauss(0.0, 0.3))) // max(1, listing.lot_size)
        row = (day, o, max(high, c), min(low, c), c, volume * listing.lot_size)
        return row, float(before)

    def minutes(self, token: int, start: int, end: int) -> list[Bar]:
        """Minute bars with start <= time < end."""
        first, last = local_day(start), min(local_day(end - 1), self.anchor_day - 1)
        out: list[Bar] = []
        for row in self.days(token, first, last):
            out += [bar for bar in self._minutes(token, row) if start <= bar[0] < end]
        return out

    def _draw_minutes(self, token: int, row: DayRow) -> list[Bar]:
        day, o, high, low, c, volume = row
        listing = self._listings[token]
        rng = random.Random(f"{self.seed}:{token}:{day}:minutes")
        start = day_start(day) + SESSION_OPEN * 60
        return draw_minutes(rng, listing, start, SESSION_MINUTES, (o, high, low, c), volume, 0)

    def day_bars(self, token: int, start: int, end: int) -> list[Bar]:
        """Day bars that begin at start <= time < end."""
        first = local_day(start + DAY - 1)
        last = min(local_day(end - 1), self.anchor_day - 1)
        return [(day_start(row[0]), *row[1:], 0) for row in self.days(token, first, last)]
