"""Which units of a position belong to which of its stops (F4), at one moment. Questions alone: nothing changes here.

A stop with a quantity of its own keeps it as long as the position has the units; where the position is smaller than all
of them together, the youngest gives way first. The stop without a quantity owns what the others leave. A stop on its
way out owns what its exit has yet to close. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile

from app.domain.ids import StopId
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState
from app.engine.delivery import DELIVERED
from app.engine.exit_plan import SETTLED_SECONDS
from app.engine.grouped import Grouped
from app.engine.watching import Watching

WAITS = (StopState.ARMING, StopState.ARMED, StopState.SUSPENDED)
"""States of a stop that has not fired."""


def split(held: int, asked: Sequence[int | None]) -> list[int]:
    """The units of each stop, oldest first, of a position of `held` units."""
    left = max(0, held)
    own = []
    for quantity in asked:
        units = 0 if quantity is None else min(quantity, left)
        own.append(units)
        left -= units
    for place, quantity in enumerate(asked):
        if quantity is None:
            own[place], left = left, 0
    return own


class Claims:
    """What the stops of one account own."""

    def __init__(self, state: AccountState, stops: Grouped[StopId, Stop, PositionKey], watching: Watching) -> None:
        self._state = state
        self._stops = stops
        self._watching = watching

    def others(self, stop: Stop) -> int:
        """Units of the position that belong to other stops, those on their way out included."""
        return sum(self._claim(other) for other in self.of(stop.key) if other.id != stop.id and other.side is stop.side)

    def _claim(self, stop: Stop) -> int:
        return stop.quantity if stop.state in WAITS else self._outstanding(stop)

    def free(self, key: PositionKey, held: int, *, yielding: bool = False) -> int:
        """Units that no stop owns. `yielding`: a stop that takes what the others leave gives way."""
        owners = (s for s in self.of(key) if not (yielding and s.plan.quantity is None and s.state in WAITS))
        return max(0, abs(held) - sum(map(self._claim, owners)))

    def leaving(self, key: PositionKey) -> int:
        """Units whose exit is not over, whatever it has filled: the positions may have been read before that."""
        return sum(s.quantity for s in self.of(key) if s.closed_at is None and self.leaves(s))

    def spare(self, key: PositionKey, held: int) -> int:
        """Units that no stop owns, whatever exits have filled: the positions may have been read before that."""
        owners = [s for s in self.of(key) if s.closed_at is None]
        if any(s.plan.quantity is None and self.leaves(s) for s in owners):
            return 0  # it takes all that the others leave
        return min(self.free(key, held), abs(held) - sum(max(s.quantity, self._closed(s)) for s in owners))

    def comes_back(self, key: PositionKey) -> bool:
        """An exit has closed units of others, and takes them back: that they are gone is not the last word."""
        return any(
            s.plan.quantity is not None and self._closed(s) > s.quantity for s in self.of(key) if s.state not in WAITS
        )

    def settling(self, key: PositionKey) -> int:
        """Units that exits have closed so lately that the positions may still have them."""
        return sum(
            order.filled_quantity
            for stop in self._stops.of(key)
            if stop.state is StopState.CLOSED
            for order in self._state.orders.of(stop.id)
            if order.side is stop.side and self._state.quiet_for(order.broker_order_id) < SETTLED_SECONDS
        )

    def of_held(self, stop: Stop, held: int) -> int:
        """Of so many units in its direction, what is this stop's."""
        waiting = [s for s in self.of(stop.key) if s.state in WAITS and s.side is stop.side]
        left = held - sum(self._outstanding(s) for s in self.of(stop.key) if s.state not in WAITS)
        own = split(left, [s.plan.quantity for s in waiting])
        return next((units for s, units in zip(waiting, own, strict=True) if s.id == stop.id), 0)

    def own(self, stop: Stop, position: int, filled: int) -> int | None:
        """Of a signed position, what is a fired stop's to close. Turned round, what its exits may have turned, less
        what an older exit takes back already. None: not to be said yet. Either units of it come back from another
        exit; or a younger exit claims all of it too, and nothing is left to both. The younger gives way; until it has,
        nothing is sent twice, and the older is not over.

        `filled`: units that its exits have closed. Of a stop with a quantity of its own what they closed beyond that
        was others', and goes back. A row of delivery that is short was sold out of a holding: unless it is certain what
        was held when the day began, only what the exits sold beyond their stop was sold twice.
        """
        held, excess = position * -stop.side.sign, max(0, filled - stop.quantity)
        if self._outstanding(stop) > max(0, held - self.others(stop)) and self.comes_back(stop.key):
            return None
        if excess and stop.plan.quantity is not None:
            return excess * stop.side.sign
        if held <= 0 and not self.is_short(stop.key):
            return min(-held, excess) * stop.side.sign
        if held <= 0:
            return max(0, -held - self._turned_before(stop)) * stop.side.sign
        mine = max(0, held - self.others(stop))
        if stop.plan.quantity is not None:
            mine = min(mine, max(0, stop.quantity - filled))
        if not mine and self._outstanding(stop) and held > self.others(stop) - self._claimed_after(stop):
            return None
        return mine * -stop.side.sign

    def is_short(self, key: PositionKey) -> bool:
        """Whether a net below nought is owed: of delivery only where the opening is certain."""
        return key.product not in DELIVERED or self._state.delivery.certain(key)

    def of(self, key: PositionKey) -> list[Stop]:
        """Stops of a position that have not ended, oldest first."""
        return [stop for stop in self._stops.of(key) if not stop.state.is_final]

    def _outstanding(self, stop: Stop) -> int:
        """What its exit has yet to close. One that has ended before only takes back what came late."""
        return 0 if stop.closed_at is not None else max(0, stop.quantity - self._closed(stop))

    def _closed(self, stop: Stop) -> int:
        """Units that its orders have filled, less what was squared off again."""
        return sum(
            order.filled_quantity * (1 if order.side is stop.side else -1) for order in self._state.orders.of(stop.id)
        )

    def _claimed_after(self, stop: Stop) -> int:
        """Units that younger exits of the position claim."""
        rest = list(dropwhile(lambda one: one.id != stop.id, self.of(stop.key)))[1:]
        return sum(self._outstanding(one) for one in rest if one.side is stop.side and one.state not in WAITS)

    def _turned_before(self, stop: Stop) -> int:
        """Units that older exits of the position, still followed, would take back."""
        units = 0
        for other in self.of(stop.key):
            if other.id == stop.id:
                break
            if other.side is stop.side and other.state not in WAITS:
                units += max(0, self._closed(other))
        return units

    def leaves(self, stop: Stop) -> bool:
        """It has fired, on record or in this moment."""
        return stop.state not in WAITS or self.is_leaving(stop)

    def is_leaving(self, stop: Stop) -> bool:
        """It is watched, and has fired."""
        watch = self._watching.of(stop.id)
        return watch is not None and watch.fired
