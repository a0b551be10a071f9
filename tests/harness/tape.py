"""Prices that a run decides: each instrument follows a course of its own, one trade every half second."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.simulator.candles import Bar
from app.simulator.listing import Listing, Listings
from app.simulator.market import Market
from app.simulator.quote import Quote
from tests.harness.script import TRADES

STEP = TRADES
"""Seconds between two batches."""
DEEP = 100_000
"""Lots on each level of the book: whatever is sold is bought."""


@dataclass(slots=True)
class Course:
    """Straight from corner to corner; before the first and after the last the price stands."""

    corners: list[tuple[float, int]]
    """(seconds since the beginning, price in wire units), ascending."""
    mute: bool = False
    """No trade prints: the instrument is quiet."""

    def at(self, seconds: float) -> int:
        before = self.corners[0]
        for corner in self.corners:
            if corner[0] > seconds:
                span = corner[0] - before[0]
                part = (seconds - before[0]) / span if span > 0 else 1.0
                return round(before[1] + (corner[1] - before[1]) * max(0.0, part))
            before = corner
        return before[1]


@dataclass(slots=True)
class Tape:
    """A feed of the paper exchange (`app.simulator.feeds.Feed`)."""

    listings: Listings
    courses: dict[int, Course]
    """By token; the others stand at their close and print nothing."""
    always_open: bool = True
    keeps_past: bool = False
    start_at: float | None = None
    thin: dict[int, int] = field(default_factory=dict)
    """Lots on the best level of an instrument whose book is thin."""
    closed_until: float = 0.0
    """Exchange time (Unix seconds) before which nothing trades: a night."""
    _begun: float = 0.0
    _next: float = 0.0

    def begin(self, market: Market, at: float) -> None:
        self._begun = at
        self._next = at + STEP
        for token in self.courses:
            self._print(market, market.quotes[token], at)

    def since(self, at: float) -> float:
        """Seconds since the beginning."""
        return at - self._begun

    def next_at(self) -> float | None:
        return self._next

    def play(self, market: Market) -> list[Quote]:
        at, self._next = self._next, self._next + STEP
        changed: list[Quote] = []
        if at < self.closed_until:
            return changed
        for token, course in self.courses.items():
            if not course.mute:
                quote = market.quotes[token]
                self._print(market, quote, at)
                changed.append(quote)
        return changed

    def _print(self, market: Market, quote: Quote, at: float) -> None:
        listing = quote.listing
        tick = listing.tick_size or 5
        price = max(tick, self.courses[listing.token].at(at - self._begun) // tick * tick)
        if listing.tradable:
            self._book(quote, listing, price, tick)
        market.trade(quote, price, listing.lot_size if listing.tradable else 0, at)

    def _book(self, quote: Quote, listing: Listing, price: int, tick: int) -> None:
        size = self.thin.get(listing.token, DEEP) * listing.lot_size
        levels = 1 if listing.token in self.thin else 5
        quote.depth_buy = [(price - i * tick, size, 1 + i) for i in range(levels) if price > i * tick]
        quote.depth_sell = [(price + (i + 1) * tick, size, 1 + i) for i in range(levels)]
        quote.buy_quantity = quote.sell_quantity = size * levels

    def jumped(self, market: Market, at: float) -> None:
        """The clock was set: the course goes on from where it was."""
        self._begun += at - (self._next - STEP)
        self._next = at + STEP

    def moved(self, quote: Quote) -> None:
        """Set by hand: only until the next trade."""

    def minutes(self, token: int, start: int, end: int) -> list[Bar]:
        return []

    def days(self, token: int, start: int, end: int) -> list[Bar]:
        return []

    def save(self) -> dict[str, object]:
        return {"begun": self._begun, "next": self._next}

    def load(self, saved: dict[str, object]) -> None:
        match saved:
            case {"begun": float(begun), "next": float(following)}:
                self._begun, self._next = begun, following
            case _:
                raise ValueError("the tape's position is damaged")
