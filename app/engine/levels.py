"""Where a stop's levels stand and how prices move them: trail, break-even, target. Pure, integers only.

Everything is worked out in *favour*: the price times +1 where the position gains as it rises, -1 where it gains as it
falls. So a level tightens when it grows, a stop is hit at or below it, a target at or above, for long and short alike.
A level is rounded to the looser tick, a break-even level to the tighter one (it may not lose a tick of charges).
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from app.domain.money import Price
from app.domain.stop import BreakEven, FiredBy, StopPlan, Trail, TrailKind, TriggerSource

FAR = 1 << 62
"""Beyond every price."""


class Levels:
    """The levels of one stop. Changed only on the loop thread, after the checks of a frame."""

    __slots__ = (
        "_after",
        "_distance",
        "_even",
        "_ratio",
        "_step",
        "_target",
        "_tick",
        "bare",
        "best",
        "gains",
        "next",
        "stop",
        "trails",
    )

    def __init__(
        self,
        plan: StopPlan,
        gains: int,
        tick_size: Price,
        level: Price,
        best: Price | None = None,
    ) -> None:
        """`gains`: +1 or -1, see above. `level` and `best`: where they stand; after a restart, where they stood."""
        self.gains = gains
        self.bare = plan.source is TriggerSource.NONE
        self.stop = -FAR if self.bare else level * gains
        self.best: int | None = None if best is None else best * gains
        """The best favour since arming."""
        self.trails = plan.trail is not None
        self._tick = tick_size
        self._target = FAR if plan.target is None else plan.target * gains
        self._ratio, self._distance, self._step = _reach(plan.trail, tick_size)
        self._after = FAR
        self._even = -FAR
        self.next = FAR
        """The first favour at which something changes."""
        self._look_ahead()

    # -- what is asked of them ---------------------------------------------------------------------------------------

    @property
    def level(self) -> Price:
        """The stop's price in force; 0 where there is none."""
        return 0 if self.bare else self.stop * self.gains

    @property
    def best_price(self) -> Price | None:
        """The best price since arming, where one was seen."""
        return None if self.best is None else self.best * self.gains

    def quiet(self) -> tuple[Price, Price]:
        """Prices strictly between these two change nothing and fire nothing."""
        above = min(self._target, self.next)
        return (self.stop, above) if self.gains > 0 else (-above, -self.stop)

    def hit(self, price: Price) -> FiredBy | None:
        """Which side a price is at or beyond."""
        favour = price * self.gains
        if favour <= self.stop:
            return FiredBy.STOP
        return FiredBy.TARGET if favour >= self._target else None

    # -- what moves them ---------------------------------------------------------------------------------------------

    def think(self, price: Price) -> bool:
        """A price that did not fire. True: the level moved."""
        favour = price * self.gains
        if self.trails and (self.best is None or favour > self.best):
            self.best = favour
        moved = self._tighten(self._trailed())
        if favour >= self._after:
            self._after = FAR
            moved = self._tighten(self._even) or moved
        self._look_ahead()
        return moved

    def set_range(self, average_range: Fraction, multiple: Decimal) -> bool:
        """A new average true range in minor units. True: the level moved. A wider one never loosens it."""
        self._distance = -int(-average_range * Fraction(multiple) // 1)
        moved = self._tighten(self._trailed())
        self._look_ahead()
        return moved

    def same_range(self, other: Levels) -> None:
        """The average true range that was worked out for other levels of the same plan."""
        self._distance = other._distance
        self._tighten(self._trailed())
        self._look_ahead()

    def set_entry(self, plan: BreakEven, entry: Fraction, even: Price | None) -> None:
        """Where the position was entered, and the price at which closing it nets zero (None: not known, then the
        entry). Before the move only: one that was made stays."""
        towards = entry * self.gains
        self._after = -int(-(towards + plan.after) // 1)
        base = even * self.gains if plan.with_charges and even is not None else towards
        self._even = -int(-(base + plan.offset) // self._tick) * self._tick
        if self._even <= self.stop:
            self._after = FAR  # there already, or beyond
        self._look_ahead()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _trailed(self) -> int:
        """Where the trail would have it now."""
        if self.best is None or not self.trails or (self._distance == 0 and self._ratio == 0):
            return -FAR
        reach = self._distance if self._ratio == 0 else -int(-abs(self.best) * self._ratio // 1)
        wanted = (self.best - reach) // self._tick * self._tick
        return wanted if self._step <= self._tick else self.stop + (wanted - self.stop) // self._step * self._step

    def _tighten(self, level: int) -> bool:
        # At or beyond the target it would fire by itself: the target is the better price.
        if level <= self.stop or level >= self._target:
            return False
        self.stop = level
        return True

    def _look_ahead(self) -> None:
        following = FAR
        if self.trails:
            following = -FAR if self.best is None else self.best + 1
            if self._ratio == 0 and self._distance and self.best is not None:
                following = max(following, self.stop + max(self._step, self._tick) + self._distance)
        self.next = min(following, self._after)


def _reach(trail: Trail | None, tick_size: Price) -> tuple[Fraction, int, Price]:
    """(share of the best price, distance, step) in minor units. An ATR's distance comes later."""
    if trail is None:
        return Fraction(0), 0, tick_size
    step = -(-trail.step // tick_size) * tick_size if trail.step else tick_size
    if trail.kind is TrailKind.PERCENT:
        return Fraction(trail.amount) / 100, 0, step
    return Fraction(0), int(trail.amount) if trail.kind is TrailKind.POINTS else 0, step
