"""Recorded bars as a tape: every bar becomes a handful of ticks that rebuild it exactly.

The first tick of a bar is its open, the last its close; high and low are in between, low first in a rising bar; the
volumes of its ticks sum to its own. A bar without volume has no trades, only levels. Within the bar's own minute all
this is made up, but the same every time.
"""

from __future__ import annotations

import csv
import gzip
import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.simulator.candles import Bar, day_start, local_day
from app.simulator.clock import IST
from app.simulator.feeds.depth import draw_book
from app.simulator.feeds.identity import fitted
from app.simulator.feeds.past import split
from app.simulator.feeds.replay import Event
from app.simulator.listing import Listing
from app.simulator.quote import Quote

if TYPE_CHECKING:
    from app.simulator.market import Market

TIME_COLUMNS = ("date", "ts", "ts_ns", "datetime", "timestamp", "time")
TICKS_PER_BAR = 12
LONGEST = 3600
"""Seconds: a longer bar is no intraday bar."""


def read_bars(path: Path) -> list[Bar]:
    """Bars of a CSV file, plain or gzip by content: a time column, open, high, low, close, volume, perhaps oi.

    Times are ISO texts (naive: IST) or Unix numbers in seconds down to nanoseconds. Raises ValueError, in words.
    """
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return parse_bars(raw.decode("utf-8-sig").splitlines(), path.name)


def parse_bars(lines: Iterable[str], source: str) -> list[Bar]:
    """`read_bars` from lines; `source` names them in errors."""
    rows = csv.reader(lines)
    header = [name.strip().lower() for name in next(rows, [])]
    columns = [header.index(name) for name in ("open", "high", "low", "close") if name in header]
    moments = [header.index(name) for name in TIME_COLUMNS if name in header]
    if len(columns) < 4 or not moments:
        raise ValueError(f"{source} holds no bars: it needs a time column, open, high, low and close")
    moment = moments[0]
    volume = header.index("volume") if "volume" in header else None
    oi = header.index("oi") if "oi" in header else None
    bars: list[Bar] = []
    for number, row in enumerate(rows, start=2):
        try:
            o, h, low, c = (_price(row[i]) for i in columns)
            bar = (_moment(row[moment]), o, h, low, c, _count(row, volume), _count(row, oi))
        except (ValueError, IndexError, InvalidOperation) as error:
            raise ValueError(f"{source}, line {number}: not a bar ({error})") from error
        if not 0 < low <= min(o, c) <= max(o, c) <= h or bar[5] < 0:
            raise ValueError(f"{source}, line {number}: high, low and volume do not fit together")
        if bars and bar[0] <= bars[-1][0]:
            raise ValueError(f"{source}, line {number}: not later than the bar before")
        bars.append(bar)
    if not bars:
        raise ValueError(f"{source} holds no bars")
    return bars


def _price(text: str) -> int:
    return int((Decimal(text) * 100).to_integral_value(ROUND_HALF_UP))


def _count(row: list[str], column: int | None) -> int:
    return int(Decimal(row[column] or 0)) if column is not None else 0


def _moment(text: str) -> int:
    if text.isdigit():
        number = int(text)
        while number > 100_000_000_000:
            number //= 1000
        return number
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=IST)).timestamp())


class BarTick(NamedTuple):
    """One tick of a bar; quantity 0: a level without a trade."""

    price: int
    quantity: int
    oi: int


class BarTape:
    """The bars of one instrument; a chosen `day` plays alone, what is before it is its history."""

    def __init__(self, listing: Listing, bars: list[Bar], day: date | None = None) -> None:
        starts = [bar[0] for bar in bars]
        begin, end = 0, len(bars)
        if day is not None:
            number = day.toordinal() - 719_163
            begin, end = bisect_left(starts, day_start(number)), bisect_left(starts, day_start(number + 1))
            if begin == end:
                raise ValueError(f"the recording of {listing.tradingsymbol} has no bar of {day}")
        self.past = bars[:end]
        if not listing.tradable:
            self.past = [(*bar[:5], 0, 0) for bar in self.past]
        self._starts = starts[:end]
        self._begin = begin
        steps = [b - a for a, b in pairwise(starts)]
        self._length = min((step for step in steps if step % 60 == 0 and step <= LONGEST), default=60)
        close = bars[begin - 1][4] if begin else bars[0][1]
        days = {local_day(start) for start in starts[begin:end]}
        traded = sum(bar[5] for bar in self.past[begin:]) // len(days)
        prices = (price for bar in self.past[begin:] for price in bar[1:5])
        self.listing = fitted(listing, close, prices, traded)
        self.first = float(self._starts[begin])
        self.last = float(self._starts[-1] + self._length)
        self._usual = max(1.0, traded / self.listing.lot_size / 4_000) if listing.tradable else 1.0

    def events(self, since: float) -> Iterator[Event]:
        """Ticks at or after a moment."""
        place = max(self._begin, bisect_left(self._starts, since - self._length))
        for bar in self.past[place:]:
            for offset, price, quantity in self.ticks(bar):
                at = bar[0] + offset
                if at >= since:
                    yield Event(at, self.listing.token, BarTick(price, quantity, bar[6]))

    def ticks(self, bar: Bar) -> list[tuple[float, int, int]]:
        """(seconds into the bar, price, quantity) of a bar's ticks; quantity 0: a level without a trade."""
        start, o, high, low, c, volume, _ = bar
        rng = random.Random(f"{self.listing.token}:{start}")
        lot = max(1, self.listing.lot_size)
        lot = lot if volume % lot == 0 else 1
        turns = [low, high] if c >= o else [high, low]
        flat = high == low
        needed = [o] if flat else [o, *(price for price in turns if price not in (o, c)), c]
        lots = volume // lot
        room = min(TICKS_PER_BAR, lots) if self.listing.tradable else TICKS_PER_BAR
        if flat:
            path = [o] * max(1, min(4, lots))
        else:
            path = _between(rng, needed, room, self.listing) if room > len(needed) else needed
        quantities = [0] * len(path)
        if lots >= len(path):
            quantities = [1 + more for more in split(rng, lots - len(path), [1.0] * len(path))]
        elif lots:
            quantities[: lots - 1] = [1] * (lots - 1)
            quantities[-1] = 1
        slot = self._length / max(len(path), 4)
        phase = rng.random() * 0.8 * slot
        return [
            (round(i * slot + phase, 3), price, quantity * lot)
            for i, (price, quantity) in enumerate(zip(path, quantities, strict=True))
        ]

    def play(self, market: Market, quote: Quote, event: Event) -> None:
        """One tick. The bar book holds the recorded bar when its last tick has come."""
        tick = event.what
        assert isinstance(tick, BarTick)  # noqa: S101 - events of this tape
        if tick.oi:
            quote.set_oi(tick.oi)
        price = tick.price
        market.trade(quote, price, tick.quantity, event.at)
        if self.listing.tradable:
            rng = random.Random(self.listing.token * 1_000_003 + int(event.at * 1000))
            bid = price if rng.random() < 0.5 else max(1, price - self.listing.tick_size)
            draw_book(rng, quote, bid, bid + self.listing.tick_size, self._usual)


def _between(rng: random.Random, needed: list[int], count: int, listing: Listing) -> list[int]:
    """The needed prices in their order, with others between them that stay inside their range."""
    spare = count - len(needed)
    gaps = [0] * (len(needed) - 1)
    for _ in range(spare):
        gaps[rng.randrange(len(gaps))] += 1
    low, high = min(needed), max(needed)
    path = [needed[0]]
    for i, extra in enumerate(gaps):
        a, b = needed[i], needed[i + 1]
        for k in range(extra):
            line = a + (b - a) * (k + 1) / (extra + 1) + rng.gauss(0.0, (high - low) / 8)
            path.append(min(high, max(low, listing.on_tick(line))))
        path.append(b)
    return path
