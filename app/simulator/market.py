"""The prices of the paper exchange: one market, one feed, one clock, on one event loop.

It knows nothing of orders or clients: they listen. Every batch reaches the listeners synchronously, in order and once,
at any speed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime

from app.simulator import candles
from app.simulator.clock import IST, ExchangeClock
from app.simulator.feeds import Feed
from app.simulator.listing import Listing, band
from app.simulator.quote import Quote
from app.simulator.starting import SHARE_BAND

__all__ = ["Market", "Quote"]

Listener = Callable[[Sequence[Quote]], None]

SLICE = 0.01
"""Seconds of playing in one go before the loop may do something else."""
BRIDGE = 60.0
"""Real seconds of downtime that the exchange's clock makes up for."""
DUSK, DAWN = 60.0, 10.0
"""Exchange seconds after the last price of a recorded day, and before the first of the next, that the clock does not
leap over."""
LONGEST_CATCH_UP = 600.0
"""Exchange seconds that are played again after a restart; more are skipped."""


class Market:
    """Owns quotes, listings and recorded bars. Lives on the loop thread."""

    def __init__(self, feed: Feed, clock: ExchangeClock) -> None:
        self.feed = feed
        self.clock = clock
        self.listings = feed.listings
        self.quotes = {row.token: Quote(row) for row in self.listings.by_token.values()}
        self.bars = candles.BarBook()
        self._listeners: list[Listener] = []
        self._day_listeners: list[Callable[[date], None]] = []
        self._jumps = clock.jumps
        now = clock.epoch()
        self._day = candles.local_day(now)
        self._last = now
        """Exchange time of the last batch."""
        feed.begin(self, now)

    @property
    def always_open(self) -> bool:
        """It trades whatever the clock says; clients must treat the account as in session."""
        return self.feed.always_open

    @property
    def day(self) -> int:
        """The exchange's day, in days since 1970."""
        return self._day

    @property
    def ended(self) -> bool:
        """The recording is over: prices stand still."""
        return self.feed.next_at() is None

    def add_listener(self, callback: Listener) -> None:
        """Called with the quotes that changed, once per batch, on the loop; must return at once."""
        self._listeners.append(callback)

    def add_day_listener(self, callback: Callable[[date], None]) -> None:
        """Called when a new exchange day has begun, before its first tick."""
        self._day_listeners.append(callback)

    # -- for feeds

    def trade(self, quote: Quote, price: int, quantity: int, at: float) -> None:
        """A trade printed (quantity 0: an index level): quote and minute bar follow."""
        quote.trade(price, quantity, at)
        self.bars.add(quote.listing.token, at, price, quantity, quote.oi)

    # -- playing

    def step(self) -> Sequence[Quote]:
        """Plays the next batch now; the clock jumps ahead to it when it is not there yet."""
        self._notice_jump()
        at = self.feed.next_at()
        if at is None:
            return ()
        if self.clock.epoch() < at:
            self.clock.set_epoch(at)
            self._jumps = self.clock.jumps
        return self._play(at)

    def _play(self, at: float) -> Sequence[Quote]:
        self._last = at
        self._roll(at)
        changed = self.feed.play(self)
        self._tell(changed)
        return changed

    def _tell(self, changed: Sequence[Quote]) -> None:
        if changed:
            for listener in self._listeners:
                listener(changed)

    def _notice_jump(self) -> None:
        if self.clock.jumps != self._jumps:
            self._jumps = self.clock.jumps
            self.feed.jumped(self, self.clock.epoch())

    async def run(self) -> None:
        """Plays the feed by the clock until cancelled. Nothing is skipped however fast the clock runs."""
        while True:
            self._notice_jump()
            at = self.feed.next_at()
            if at is None:
                await self.clock.sleep(3600.0)
                continue
            now = self.clock.epoch()
            if at > now:
                await self._wait_for(at, now)
                continue
            until = time.perf_counter() + SLICE
            while at is not None and at <= now and time.perf_counter() < until:
                self._play(at)
                at = self.feed.next_at()
            await asyncio.sleep(0)

    async def _wait_for(self, at: float, now: float) -> None:
        """Until the next batch is due, or the clock was set. Nobody waits through a recorded night."""
        if self.always_open or candles.local_day(at) == candles.local_day(now):
            await self.clock.sleep_until_epoch(at)
        elif now < self._last + DUSK:
            await self.clock.sleep_until_epoch(self._last + DUSK)
        else:
            self.clock.set_epoch(at - DAWN)
            self._jumps = self.clock.jumps

    def set_price(self, key: str, price: int) -> None:
        """A trade of one lot prints now at `price`; the market goes on from there. Raises KeyError, ValueError."""
        listing = self.listings.by_key[key]
        if price <= 0:
            raise ValueError(f"{key} cannot trade at {price}")
        quote = self.quotes[listing.token]
        now = self.clock.epoch()
        self._roll(now)
        self.trade(quote, price, listing.lot_size if listing.tradable else 0, now)
        self._quote_around(quote, price)
        self.feed.moved(quote)
        self._tell((quote,))

    def _quote_around(self, quote: Quote, price: int) -> None:
        """Moves the book to the new price when it does not contain it any more."""
        listing, tick = quote.listing, quote.listing.tick_size
        if not listing.tradable:
            return
        bids, asks = quote.depth_buy, quote.depth_sell
        if bids and asks and bids[0][0] <= price <= asks[0][0]:
            return
        size = max(listing.lot_size, listing.day_volume // 20_000 // listing.lot_size * listing.lot_size)
        quote.depth_buy = [(price - i * tick, size, 1 + i) for i in range(5) if price - i * tick > 0]
        quote.depth_sell = [(price + (i + 1) * tick, size, 1 + i) for i in range(5)]
        quote.buy_quantity = quote.sell_quantity = size * 20

    # -- days

    def _roll(self, at: float) -> None:
        day = candles.local_day(at)
        if day > self._day:
            self.begin_day(day)

    def begin_day(self, day: int) -> None:
        """A new day: last prices become previous closes, limits follow, nothing has traded yet."""
        self._day = day
        for quote in self.quotes.values():
            listing = _tomorrow(quote.listing, quote.last_price)
            self.listings.replace(listing)
            quote.next_day(listing)
        self.bars.forget_before(candles.day_start(day if self.feed.keeps_past else day - self.bars.KEEP_DAYS))
        begun = datetime.fromtimestamp(candles.day_start(day), IST).date()
        for listener in self._day_listeners:
            listener(begun)

    # -- candles

    def candles(
        self, token: int, interval: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, int, int, int, int, int, int]]:
        """Kite's historical candles: those that open from `start` to `end`, both included, ascending.

        (opening time, open, high, low, close, volume, open interest). The last one may still be running.
        Raises KeyError for an unknown token, ValueError for an unknown interval.
        """
        if token not in self.quotes:
            raise KeyError(token)
        minutes = candles.interval_minutes(interval)
        if minutes is None:
            raise ValueError("invalid interval")
        first, last = int(start.timestamp()), int(end.timestamp())
        if minutes:
            stop = last + minutes * 60
            bars = self.feed.minutes(token, first, stop) + self.bars.between(token, first, stop)
        else:
            lived = self.bars.between(token, candles.day_start(candles.local_day(first)), last + candles.DAY)
            bars = self.feed.days(token, first, last + 1) + lived
        if minutes != 1:
            bars = candles.aggregate(bars, minutes)
        return [(datetime.fromtimestamp(bar[0], IST), *bar[1:]) for bar in bars if first <= bar[0] <= last]

    # -- surviving a crash

    def snapshot(self) -> dict[str, object]:
        """All that must survive the exchange's own death, JSON-able."""
        return {
            "clock": self.clock.epoch(),
            "real": time.time(),
            "day": self._day,
            "listings": {
                str(q.listing.token): [
                    q.listing.key,
                    q.listing.previous_close,
                    q.listing.lower_circuit,
                    q.listing.upper_circuit,
                ]
                for q in self.quotes.values()
            },
            "quotes": {str(token): quote.save() for token, quote in self.quotes.items()},
            "bars": self.bars.save(),
            "feed": self.feed.save(),
        }

    def restore(self, saved: dict[str, object]) -> None:
        """Goes on where `snapshot` was taken. Raises ValueError when that was another feed.

        A restart never turns the exchange's clock back. It is moved on by the time that passed since the snapshot, at
        most `BRIDGE`: after a crash no fill lies in its future, and the prices printed meanwhile are played again.
        When the clock stands later already (the program was started on a later day), the time between is skipped.
        """
        match saved:
            case {
                "clock": float(clock),
                "real": float(real),
                "day": int(day),
                "listings": dict(listings),
                "quotes": dict(quotes),
                "bars": dict(bars),
                "feed": dict(feed),
            }:
                pass
            case _:
                raise ValueError("the market's saved state is damaged")
        self.feed.load(feed)
        for text, (key, close, lower, upper) in listings.items():
            quote = self.quotes.get(int(text))
            if quote is None or quote.listing.key != key:
                continue  # listed no more
            listing = replace(quote.listing, previous_close=close, lower_circuit=lower, upper_circuit=upper)
            self.listings.replace(listing)
            quote.listing = listing
            quote.load(quotes[text])
        self.bars.load(bars)
        self._day = day
        bridge = min(BRIDGE, max(0.0, time.time() - real)) * self.clock.speed
        ahead = self.clock.epoch() > clock + bridge
        if not ahead:
            self.clock.set_epoch(clock + bridge)
        self._jumps = self.clock.jumps
        if ahead or bridge > LONGEST_CATCH_UP:
            self.feed.jumped(self, self.clock.epoch())


def _tomorrow(listing: Listing, close: int) -> Listing:
    if not listing.tradable:
        return replace(listing, previous_close=close)
    if listing.is_option:
        return replace(listing, previous_close=close, upper_circuit=max(listing.upper_circuit, close * 3))
    lower, upper = band(close, listing.tick_size, SHARE_BAND)
    return replace(listing, previous_close=close, lower_circuit=lower, upper_circuit=upper)
