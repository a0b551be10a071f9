"""Orders against the visible book: which executions follow. Pure; prices in paise, quantities in units.

The paper exchange's own rules, on top of the wire facts of A7.2:
- an order that arrives takes the visible levels of the other side, best first, never worse than its limit;
- when it takes everything that is visible and still wants more, it goes on with the next quote's levels;
- an order that rests trades at its own limit when the other side reaches it (the maker's price, as on NSE).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

# Automatic protection (market_protection -1), percent of the last price: (below this price in paise, percent). A7.2
SHARE_BANDS = ((100_00, Decimal(2)), (500_00, Decimal(1)), (None, Decimal("0.5")))
OPTION_BANDS = ((10_00, Decimal(5)), (100_00, Decimal(3)), (500_00, Decimal(2)), (None, Decimal(1)))


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill-to-be."""

    quantity: int
    price: int


@dataclass(frozen=True, slots=True)
class Match:
    """What a look at the book gives: executions, and whether everything that was visible at our price is gone."""

    executions: tuple[Execution, ...]
    swept: bool

    @property
    def quantity(self) -> int:
        """Units executed."""
        return sum(e.quantity for e in self.executions)


def band_percent(*, option: bool, last_price: int) -> Decimal:
    """The broker's automatic band. `between 100 and 500` includes both ends; above starts after."""
    bands = OPTION_BANDS if option else SHARE_BANDS
    for index, (below, percent) in enumerate(bands):
        if below is None or last_price < below or (index == len(bands) - 2 and last_price == below):
            return percent
    raise AssertionError("the last band is open")


def protected_price(side: str, last_price: int, percent: Decimal, tick: int) -> int:
    """The limit of a protected MARKET order: last price × (1 ± band), on a tick inside the band, never beyond the
    last price's own tick on the wrong side, and at least one tick.
    """
    if side == "BUY":
        raw = Decimal(last_price) * (100 + percent) / 100
        return max(on_tick(raw, tick, ROUND_FLOOR), on_tick(Decimal(last_price), tick, ROUND_CEILING), tick)
    raw = Decimal(last_price) * (100 - percent) / 100
    return max(min(on_tick(raw, tick, ROUND_CEILING), on_tick(Decimal(last_price), tick, ROUND_FLOOR)), tick)


def on_tick(price: Decimal, tick: int, rounding: str) -> int:
    """Rounded to a multiple of the tick."""
    return int((price / tick).quantize(Decimal(1), rounding=rounding)) * tick


def is_triggered(side: str, last_price: int, trigger: int) -> bool:
    """A stop order wakes when a trade prints at its trigger or beyond."""
    return last_price >= trigger if side == "BUY" else last_price <= trigger


def crosses(side: str, limit: int, price: int) -> bool:
    """Whether the other side's price is acceptable."""
    return price <= limit if side == "BUY" else price >= limit


def visible(side: str, depth_buy: Iterable[Sequence[int]], depth_sell: Iterable[Sequence[int]]) -> list[Execution]:
    """The levels that an order of this side can take, best first, empty levels left out."""
    other = depth_sell if side == "BUY" else depth_buy
    levels = [Execution(quantity=level[1], price=level[0]) for level in other if level[1] > 0 and level[0] > 0]
    return sorted(levels, key=lambda level: level.price, reverse=side == "SELL")


def match(side: str, quantity: int, limit: int, levels: Sequence[Execution], *, resting: bool = False) -> Match:
    """Executions of `quantity` units at `limit` or better against the levels (best first)."""
    left = quantity
    executions: list[Execution] = []
    for level in levels:
        if left == 0:
            break
        if not crosses(side, limit, level.price):
            return Match(tuple(executions), swept=False)
        taken = min(left, level.quantity)
        executions.append(Execution(taken, limit if resting else level.price))
        left -= taken
    return Match(tuple(executions), swept=left > 0 and bool(executions))


class Taken:
    """What was already executed against one quote, so that no unit of visible liquidity trades twice."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], int] = {}

    def left(self, side: str, levels: Iterable[Execution]) -> list[Execution]:
        """The levels less what was taken by orders of this side."""
        rest = (Execution(level.quantity - self._taken.get((side, level.price), 0), level.price) for level in levels)
        return [level for level in rest if level.quantity > 0]

    def take(self, side: str, levels: Sequence[Execution], quantity: int) -> None:
        """Marks `quantity` units as gone, best level first."""
        for level in levels:
            taken = min(quantity, level.quantity)
            if taken == 0:
                return
            self._taken[side, level.price] = self._taken.get((side, level.price), 0) + taken
            quantity -= taken
