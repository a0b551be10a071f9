"""What thinks for a stop that does more than compare the last price with one level. Loop thread only.

Every source but the last price may hold an exit back for `longest_wait` seconds at most, counted from the first last
price at or beyond the level: a guard against freak prices may not hide a real crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.domain.ids import Nanos
from app.domain.market import Tick
from app.domain.money import Price
from app.domain.stop import FiredBy, TriggerSource
from app.engine.distances import Distances, Pair
from app.engine.levels import FAR, Levels
from app.engine.watch import Watch

Moved = Callable[[Watch], None]
"""The level of a watch has moved."""

Fire = Callable[[Watch, FiredBy], None]
"""Leave now by the last price, if the market is open."""

LastPrice = Callable[[], Price | None]


class Following:
    """Levels that move with the last price: trail and break-even."""

    __slots__ = ("_moved", "heard", "watch")

    def __init__(self, watch: Watch, moved: Moved) -> None:
        self.watch = watch
        self._moved = moved
        self.heard = False
        """A price came since somebody reset this."""

    def listen(self) -> None:
        """From now on every price is heard, also one between the levels."""
        self.heard = False
        self.watch.low = FAR

    def hit(self, price: Price, volume: int) -> FiredBy | None:
        """The level test."""
        del volume
        return self.watch.levels.hit(price)

    def think(self, price: Price) -> None:
        """The levels follow."""
        self.heard = True
        if self.watch.levels.think(price):
            self._moved(self.watch)
        self.watch.settle_band()

    def look(self, tick: Tick) -> FiredBy | None:
        """Not asked for."""
        del tick
        return None


class _Patient:
    """Looks at something else, and gives it so many seconds once the last price is at or beyond the level."""

    __slots__ = ("_fire", "_last_price", "_timer", "_wait", "watch")

    def __init__(self, watch: Watch, wait: float, last_price: LastPrice, fire: Fire) -> None:
        self.watch = watch
        self._wait = wait
        self._last_price = last_price
        self._fire = fire
        self._timer: asyncio.TimerHandle | None = None

    def hit(self, price: Price, volume: int) -> FiredBy | None:
        """The last price alone does not decide, yet."""
        del volume
        if self._timer is None and self._levels.hit(price) is not None:
            self._timer = asyncio.get_running_loop().call_later(self._wait, self._decide)
        return None

    def think(self, price: Price) -> None:
        """Levels do not follow the last price here."""

    def look(self, tick: Tick) -> FiredBy | None:
        """Not asked for, unless whole ticks are wanted."""
        del tick
        return None

    def go_on(self, old: _Patient) -> None:
        """In place of another that may be waiting: where the last price is beyond this level too, the wait does not
        begin anew."""
        timer, last = old._timer, self._last_price()
        if timer is not None and last is not None and self._levels.hit(last) is not None:
            due = timer.when() - old._wait + self._wait
            self._timer = asyncio.get_running_loop().call_at(due, self._decide)

    @property
    def _levels(self) -> Levels:
        return self.watch.levels

    def _decide(self) -> None:
        self._timer = None
        last = self._last_price()
        if self.watch.main.fired or last is None:
            return
        why = self._levels.hit(last)
        if why is not None:
            self._fire(self.watch, why)


class TwoTrades(_Patient):
    """Fires, and moves levels, by what two trades in a row agree on. A feed tells about one update a second; two
    updates between which something was traded count as two trades."""

    __slots__ = ("_before", "_moved", "_traded")

    def __init__(self, watch: Watch, wait: float, last_price: LastPrice, fire: Fire, moved: Moved) -> None:
        super().__init__(watch, wait, last_price, fire)
        self._moved = moved
        self._before: Price | None = None
        self._traded: tuple[int | None, Nanos | None] = (None, None)

    def look(self, tick: Tick) -> FiredBy | None:
        """Another trade, or the same one told again."""
        traded = (tick.volume, tick.last_trade_time)
        if traded == self._traded:
            return None
        self._traded = traded
        before, self._before = self._before, tick.last_price
        if before is None:
            return None
        levels = self._levels
        why = levels.hit(tick.last_price)
        if why is not None:
            return why if levels.hit(before) is why else None
        gains = levels.gains
        if levels.hit(before) is None and levels.think(min(before * gains, tick.last_price * gains) * gains):
            self._moved(self.watch)
        self.watch.settle_band()
        return None


class TopOfBook(_Patient):
    """Looks at the best bid (for a SELL) or ask (for a BUY), or half way between them. A side without orders has no
    price; then the wait decides."""

    __slots__ = ("_mid", "_moved", "_sells")

    def __init__(
        self,
        watch: Watch,
        source: TriggerSource,
        wait: float,
        last_price: LastPrice,
        fire: Fire,
        moved: Moved,
    ) -> None:
        super().__init__(watch, wait, last_price, fire)
        self._moved = moved
        self._mid = source is TriggerSource.MID
        self._sells = watch.levels.gains > 0

    def look(self, tick: Tick) -> FiredBy | None:
        """The book now."""
        price = self._price(tick)
        if price is None:
            return None
        why = self._levels.hit(price)
        if why is None:
            if self._levels.think(price):
                self._moved(self.watch)
            self.watch.settle_band()
        return why

    def _price(self, tick: Tick) -> Price | None:
        depth = tick.depth
        if depth is None:
            return None
        # An order at market has no price: nought.
        bid = next((level.price for level in depth.bids if level.price > 0), None)
        ask = next((level.price for level in depth.asks if level.price > 0), None)
        if not self._mid:
            return bid if self._sells else ask
        return None if bid is None or ask is None else (bid + ask) // 2


class Silence(_Patient):
    """The instrument's own last price, for a stop on its underlying: decides alone when the underlying says nothing."""

    __slots__ = ("underlying",)

    def __init__(self, watch: Watch, underlying: Following, wait: float, last_price: LastPrice, fire: Fire) -> None:
        super().__init__(watch, wait, last_price, fire)
        self.underlying = underlying

    def hit(self, price: Price, volume: int) -> FiredBy | None:
        """Beyond its own level: from now on it is noticed whether the underlying speaks."""
        if self._timer is None and self._levels.hit(price) is not None:
            self.underlying.listen()
        return super().hit(price, volume)

    def go_on(self, old: _Patient) -> None:
        """What the underlying has said meanwhile counts."""
        super().go_on(old)
        if self._timer is not None and isinstance(old, Silence):
            self.underlying.listen()
            self.underlying.heard = old.underlying.heard

    def _decide(self) -> None:
        if self.underlying.heard:
            self._timer = None  # it lives, and sees no reason
        else:
            super()._decide()


def go_on(old: Watch, fresh: Watch) -> None:
    """Waits that have begun, of a stop that has a fresh watch."""
    for before, now in zip((old, *old.others), (fresh, *fresh.others), strict=False):
        if isinstance(before.mind, _Patient) and isinstance(now.mind, _Patient):
            now.mind.go_on(before.mind)


class StandIn:
    """The nearest future of an index, while the index stands still in the closing auction: its price less the distance
    that it last had from the index."""

    __slots__ = ("_distances", "_frozen", "_index_price", "_main", "pair")

    def __init__(
        self, main: Following, pair: Pair, distances: Distances, frozen: Callable[[], bool], index_price: LastPrice
    ) -> None:
        self._main = main
        self.pair = pair
        self._distances = distances
        self._frozen = frozen
        self._index_price = index_price

    def hit(self, price: Price, volume: int) -> FiredBy | None:
        """Measures the distance while the index moves, decides while it does not."""
        del volume
        if not self._frozen():
            index = self._index_price()
            if index is not None:
                self._distances.measured(self.pair, price - index)
            return None
        distance = self._distances.of(self.pair)
        if distance is None:
            return None
        self._main.heard = True
        return self._main.watch.levels.hit(price - distance)

    def think(self, price: Price) -> None:
        """The levels follow it meanwhile."""
        distance = self._distances.of(self.pair)
        if distance is not None and self._frozen():
            self._main.think(price - distance)

    def look(self, tick: Tick) -> FiredBy | None:
        """Not asked for."""
        del tick
        return None
