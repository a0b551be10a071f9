"""The price of an exit: far enough to get through, never so far that the exchange refuses it. Pure, integers only.

Three limits meet: the band beyond the last price that the broker would give a protected market order (how far we are
willing to reach), the exchange's limit price protection around its reference price, and the day's circuit limits. A
price is rounded towards a fill, and back inside where that would leave protection or circuit. Exchanges widen circuit
limits during the day where a market reaches them: a last price beyond one that is known says that it stands no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.money import Price, Rounding, to_tick

HUNDREDTHS = 10_000


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a price may be from the last one, for last prices below a threshold."""

    below: Price | None
    """Minor units; None for all that are left."""
    amount: int
    """Basis points with `percent`, else minor units."""
    percent: bool

    def of(self, last: Price) -> Price:
        """Minor units at a last price."""
        return last * self.amount // HUNDREDTHS if self.percent else self.amount


@dataclass(frozen=True, slots=True)
class Bounds:
    """The day's circuit limits, or what a refusal said of them. None: not known."""

    lowest: Price | None = None
    highest: Price | None = None

    def hold(self, price: Price, tick: Price) -> Price:
        """The price on a tick within them next to a price on a tick."""
        if self.lowest is not None:
            price = max(price, to_tick(self.lowest, tick, Rounding.UP))
        return price if self.highest is None else min(price, max(to_tick(self.highest, tick, Rounding.DOWN), tick))

    def tightened(self, other: Bounds) -> Bounds:
        """Both kept: what is known of either wins over not known, the newer over the older."""
        return Bounds(
            self.lowest if other.lowest is None else other.lowest,
            self.highest if other.highest is None else other.highest,
        )


NO_BOUNDS = Bounds()


def reach_at(reaches: tuple[Reach, ...], last: Price) -> Price | None:
    """Minor units; None where no line fits."""
    for reach in reaches:
        if reach.below is None or last < reach.below:
            return reach.of(last)
    return None


def pricer(
    reaches: tuple[Reach, ...],
    tick: Price,
    selling: bool,
    protection: tuple[Reach, ...] = (),
    bounds: Bounds = NO_BOUNDS,
) -> Callable[[Price], Price]:
    """From a last price to the worst price that an exit accepts, always on a tick and at least one tick."""
    lowest = tick if bounds.lowest is None else max(to_tick(bounds.lowest, tick, Rounding.UP), tick)
    highest = None if bounds.highest is None else max(to_tick(bounds.highest, tick, Rounding.DOWN), lowest)

    def price(last: Price) -> Price:
        reach = reach_at(reaches, last)
        wanted = reach or 0
        allowed = reach_at(protection, last)
        if allowed is not None and allowed < wanted:
            wanted = allowed
        if selling:
            # Rounded towards a fill; at the edge of the protection that would be one tick outside of it.
            down = Rounding.UP if wanted == allowed else Rounding.DOWN
            found = to_tick(last - wanted, tick, down)
        else:
            up = Rounding.DOWN if wanted == allowed else Rounding.UP
            found = to_tick(last + wanted, tick, up)
        if found < lowest:
            return lowest if last >= lowest else max(found, tick)
        return highest if highest is not None and last <= highest < found else found

    return price
