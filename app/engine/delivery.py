"""Shares of delivery: what is in demat and what the day's orders made of it are one thing to guard.

A broker lists shares that were bought today as a position, and from the next morning as a holding; a sale out of
holdings is a short position of delivery. So on a delivery key the units are those that were held when the day began,
with the day's net on top. Unknown is not flat: while the holdings were never read, nothing is concluded from a position
that is missing. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from app.domain.calendar import ist_date
from app.domain.instrument import Product
from app.domain.portfolio import Holding, Position, PositionKey
from app.runtime.clock import AccountClock

DELIVERED = frozenset({Product.CNC, Product.MTF})
"""Products whose positions become holdings."""
FRESH_SECONDS = 60.0
"""From a reading of the holdings: they are read every half minute."""


@dataclass(frozen=True, slots=True)
class _Opening:
    """Units of a holding when a day began."""

    day: str
    units: int
    holding: Holding | None
    """Its row then; None: there was none."""
    certain: bool = False
    """Nothing of it had been sold when it was read: what is sold beyond it is sold short."""


def opening_units(holding: Holding, guarded: int = 0) -> int:
    """Settled and on the way, before anything was sold today. `guarded`: units that were there for certain.

    Brokers differ in whether `quantity` becomes smaller with a sale. Where the day's opening is told, it decides. Where
    it is not (of shares that are still on their way it never is), a row that shows less than was sold, or than was
    guarded, has become smaller; otherwise the smaller reading is taken.
    """
    left, sold = holding.quantity + holding.t1_quantity, holding.used_quantity
    shrinks = holding.opening_quantity > 0 and holding.quantity < holding.opening_quantity
    return left + sold if shrinks or left < max(sold, guarded) else left


def unreleased(holding: Holding, bought_today: int, quantity: int) -> int:
    """Of so many units to be sold, those that the depository would not let go today: settled and not authorised."""
    settled = quantity - max(0, bought_today) - holding.t1_quantity
    return max(0, settled - max(0, holding.authorised_quantity - holding.used_quantity))


def was_sold(day: Position | None) -> bool:
    """Some of it was sold on the day of this row."""
    return day is not None and (day.sell_quantity > 0 or day.quantity < 0)


def is_sold_holding(position: Position) -> bool:
    """A row of the day that is short because shares were sold out of demat: nothing to buy back."""
    return position.key.product in DELIVERED and position.quantity < 0


@dataclass(frozen=True, slots=True)
class Held:
    """All holdings as they stood at one moment. What is asked of one is worked out when it is asked: a reading of the
    positions must not look through two hundred shares."""

    holdings: Mapping[PositionKey, Holding]
    opening: Mapping[PositionKey, _Opening]
    today: str

    def find(self, key: PositionKey, day: Position | None) -> Position | None:
        """A holding with the day's net of the same shares, as one position; sold out it has quantity 0. None: nothing
        of it was held when the day began."""
        holding, seen = self.holdings.get(key), self.opening.get(key)
        if seen is not None and seen.day != self.today:
            seen = None
        if holding is None and seen is not None and was_sold(day):
            holding = seen.holding  # sold out, some brokers list it no more
        if holding is None:
            return None
        return _with(holding, seen.units if seen is not None else opening_units(holding), day, key)


class Delivery:
    """An account's holdings, as the engine sees them."""

    def __init__(self, clock: AccountClock) -> None:
        self._clock = clock
        self._holdings: dict[PositionKey, Holding] = {}
        self._opening: dict[PositionKey, _Opening] = {}
        self._heard_on = ""
        """The day of the last reading of this session."""
        self._heard_at = 0.0
        """When it came, by the loop."""
        self.guarded: Callable[[PositionKey], int] = _nothing
        """Units of a key that stops guard: they were there when the day began."""

    @property
    def known(self) -> bool:
        """They were read in this session and on this day: shares that were bought yesterday are a holding today."""
        return self._heard_on == self._today()

    def forget(self) -> None:
        """Another session has begun: what was read before says nothing of it."""
        self._heard_on = ""

    def heard(self, holdings: Sequence[Holding], at: float) -> None:
        """A reading has succeeded (loop time)."""
        today = self._today()
        self._holdings = {PositionKey(h.account, h.instrument, h.product): h for h in holdings}
        opening = {key: seen for key, seen in self._opening.items() if seen.day == today}
        for key, holding in self._holdings.items():
            guarded = self.guarded(key)
            if not holding.used_quantity:
                units, before = opening_units(holding), opening.get(key)
                certain = before is not None and before.certain and before.units == units
                opening[key] = _Opening(today, units, holding, certain)
            elif key not in opening and holding.quantity + holding.t1_quantity < guarded:
                # Sold before anybody looked today; by the next reading its stops are as small as what is left.
                opening[key] = _Opening(today, opening_units(holding, guarded), holding)
        self._opening = opening
        self._heard_on, self._heard_at = today, at

    def confirm(self, key: PositionKey, day: Position | None, began: float, guarded: int) -> None:
        """While the instrument trades: the positions, read (loop time) soon after the holdings, show `day` of it. Where
        nothing was sold, and what the list and the day have explains what is `guarded`, the opening is certain. A list
        of before the trading may be one into which yesterday's purchases have not come yet."""
        holding, seen = self._holdings.get(key), self._opening.get(key)
        fresh = self.known and self._heard_at <= began <= self._heard_at + FRESH_SECONDS
        if not fresh or was_sold(day) or (holding is not None and (seen is None or holding.used_quantity)):
            return
        units = 0 if holding is None or seen is None else seen.units
        if units + (0 if day is None else day.quantity) >= guarded:
            self._opening[key] = _Opening(self._today(), units, holding, certain=True)

    def certain(self, key: PositionKey) -> bool:
        """What was held of it when the day began is known for certain: a net that is short was sold short."""
        seen = self._opening.get(key)
        return seen is not None and seen.certain and seen.day == self._today()

    def of(self, key: PositionKey) -> Holding | None:
        """As last read."""
        return self._holdings.get(key)

    def now(self) -> Held:
        """As it stands."""
        return Held(self._holdings, self._opening, self._today())

    def _today(self) -> str:
        return ist_date(self._clock.now()).isoformat()


def _nothing(_key: PositionKey) -> int:
    """Before there are stops."""
    return 0


def _with(holding: Holding, units: int, day: Position | None, key: PositionKey) -> Position:
    worth = holding.average_price * units
    if day is None:
        return Position(
            key, units, holding.average_price, holding.last_price, holding.close_price, units, worth, 0, Decimal(0)
        )
    together = units + day.quantity
    average = holding.average_price
    if day.quantity > 0 and together:
        average = (worth + day.average_price * day.quantity) / together
    return replace(
        day,
        quantity=together,
        average_price=average,
        buy_quantity=day.buy_quantity + units,
        buy_value=day.buy_value + worth,
    )
