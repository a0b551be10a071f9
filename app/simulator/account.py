"""One client's positions, holdings and cash, from fills. Formulas of A8.1; no clock, no I/O; paise.

Positions are by instrument and product. A day change carries derivatives over, moves CNC into holdings, closes MIS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from app.simulator import margins
from app.simulator.listing import Listing
from app.simulator.refusal import bad_input
from app.simulator.refusals import is_option, price_of, worth

LastPrices = Callable[[int], tuple[int, int]]
"""Token -> (last price, previous close), in the listing's unit."""


@dataclass(slots=True)
class Position:
    """One instrument in one product: what was carried over, and what was done today. Values in paise × units."""

    token: int
    product: str
    overnight_quantity: int = 0
    overnight_value: int = 0
    """Positive: |overnight quantity| × its average price, × multiplier."""
    bought: int = 0
    bought_value: int = 0
    sold: int = 0
    sold_value: int = 0

    @property
    def quantity(self) -> int:
        """Net, signed."""
        return self.overnight_quantity + self.bought - self.sold

    @property
    def buy(self) -> tuple[int, int]:
        """Quantity and value bought, the carried-over part included."""
        carried = self.overnight_quantity > 0
        return (
            self.bought + (self.overnight_quantity if carried else 0),
            self.bought_value + (self.overnight_value if carried else 0),
        )

    @property
    def sell(self) -> tuple[int, int]:
        """Quantity and value sold, the carried-over part included."""
        carried = self.overnight_quantity < 0
        return (
            self.sold + (-self.overnight_quantity if carried else 0),
            self.sold_value + (self.overnight_value if carried else 0),
        )

    def open_value(self) -> int:
        """|net quantity| at its side's average price, × multiplier; rounded down to the paisa."""
        quantity, value = self.buy if self.quantity > 0 else self.sell
        return value * abs(self.quantity) // quantity if self.quantity else 0

    def realised(self) -> int:
        """Of what is closed: all sold less all bought, with the open part taken back at its average."""
        return self.sell[1] - self.buy[1] + (self.open_value() if self.quantity >= 0 else -self.open_value())


@dataclass(slots=True)
class Holding:
    """Shares in the demat account."""

    token: int
    quantity: int = 0
    """Settled."""
    t1_quantity: int = 0
    """Bought yesterday."""
    value: int = 0
    """Cost of quantity + t1_quantity."""
    opening_quantity: int = 0
    """Settled at the day's beginning."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A wish to hold a part of a position in another product."""

    old: str
    new: str
    side: str
    """BUY: of a long position; SELL: of a short one."""
    quantity: int
    overnight: bool
    """Of what was carried over; else of what was done today."""


@dataclass(slots=True)
class Account:
    """Owned by OrderSystem. Cash is the opening balance of the day."""

    user_id: str
    cash: int
    positions: dict[tuple[int, str], Position] = field(default_factory=dict)
    holdings: dict[int, Holding] = field(default_factory=dict)

    def position(self, token: int, product: str) -> Position:
        """The position, made when there is none."""
        return self.positions.setdefault((token, product), Position(token, product))

    def net_quantity(self, token: int, product: str) -> int:
        """Signed; CNC counts the shares held, which may be sold."""
        position = self.positions.get((token, product))
        quantity = position.quantity if position else 0
        if product == "CNC" and (holding := self.holdings.get(token)):
            quantity += holding.quantity + holding.t1_quantity
        return quantity

    def apply(self, listing: Listing, product: str, side: str, quantity: int, price: int) -> Position:
        """Takes a fill in."""
        position = self.position(listing.token, product)
        value = worth(listing, quantity, price)
        if side == "BUY":
            position.bought += quantity
            position.bought_value += value
        else:
            position.sold += quantity
            position.sold_value += value
        return position

    def convert(self, listing: Listing, move: Conversion) -> None:
        """Moves a part of a position to another product, at its average price. Raises Refused."""
        old = self.positions.get((listing.token, move.old))
        net = old.quantity if old else 0
        if old is None or (net if move.side == "BUY" else -net) < move.quantity:
            raise bad_input(f"Invalid `quantity`: the open {move.side} quantity in {move.old} is {abs(net)}.")
        new = self.positions.get((listing.token, move.new)) or Position(listing.token, move.new)
        sign = 1 if move.side == "BUY" else -1
        if move.overnight:
            self._move_overnight(old, new, sign, move.quantity)
        elif sign > 0:
            value = _part(old.bought_value, move.quantity, old.bought)
            old.bought, old.bought_value = old.bought - move.quantity, old.bought_value - value
            new.bought, new.bought_value = new.bought + move.quantity, new.bought_value + value
        else:
            value = _part(old.sold_value, move.quantity, old.sold)
            old.sold, old.sold_value = old.sold - move.quantity, old.sold_value - value
            new.sold, new.sold_value = new.sold + move.quantity, new.sold_value + value
        self.positions[listing.token, move.new] = new

    @staticmethod
    def _move_overnight(old: Position, new: Position, sign: int, quantity: int) -> None:
        if new.overnight_quantity * sign < 0:
            raise bad_input("An opposite position was carried over in the other product.")
        value = _part(old.overnight_value, quantity, old.overnight_quantity * sign)
        old.overnight_quantity, old.overnight_value = (
            old.overnight_quantity - sign * quantity,
            old.overnight_value - value,
        )
        new.overnight_quantity, new.overnight_value = (
            new.overnight_quantity + sign * quantity,
            new.overnight_value + value,
        )

    def used(self, position: Position, listing: Listing) -> tuple[margins.Margin, int]:
        """What a position ties up, and the cash that its closed part and its premiums have brought (+) or cost (-)."""
        quantity = position.quantity
        today = position.sold_value - position.bought_value
        if not listing.underlying and position.product == "CNC":
            return margins.Margin(), today
        if is_option(listing):
            short = margins.Margin()
            if quantity < 0:
                price = price_of(listing, position.open_value(), -quantity)
                asked = margins.required(listing, "SELL", position.product, -quantity, price)
                short = margins.Margin(span=asked.span, exposure=asked.exposure)
            return short, today
        side = "BUY" if quantity > 0 else "SELL"
        price = price_of(listing, position.open_value(), abs(quantity)) if quantity else 0
        margin = margins.required(listing, side, position.product, abs(quantity), price)
        return margin, position.realised()

    def record(self) -> dict[str, Any]:
        """As it is kept on disk, without positions and holdings, which have records of their own."""
        return {"user_id": self.user_id, "cash": self.cash}


def _part(value: int, quantity: int, whole: int) -> int:
    """Of a value, what belongs to a part of its quantity. Raises Refused when there is not so much."""
    if quantity > whole:
        raise bad_input(f"Invalid `quantity`: {max(0, whole)} can be converted with this `position_type`.")
    return value * quantity // whole


def position_record(position: Position) -> dict[str, Any]:
    """As it is kept on disk."""
    return asdict(position)


def holding_record(holding: Holding) -> dict[str, Any]:
    """As it is kept on disk."""
    return asdict(holding)


def carry_over(
    account: Account, listings: dict[int, Listing], prices: LastPrices, charges: int = 0
) -> Iterable[tuple[int, str]]:
    """The day change: returns the keys of the MIS positions that it squared off at the last price.

    Cash takes the day's realised results, premiums and share payments less charges; CNC becomes holdings (yesterday's
    purchases settle); derivatives are carried at their average price; the rest of the day's figures are forgotten.
    """
    squared: list[tuple[int, str]] = []
    for holding in account.holdings.values():
        holding.quantity += holding.t1_quantity
        holding.t1_quantity = 0
    for key, position in list(account.positions.items()):
        listing = listings.get(position.token)
        if listing is None:
            del account.positions[key]
            continue
        if position.product in margins.INTRADAY and position.quantity:
            squared.append(key)
            side = "SELL" if position.quantity > 0 else "BUY"
            last, _ = prices(position.token)
            account.apply(listing, position.product, side, abs(position.quantity), last)
        account.cash += account.used(position, listing)[1]
        if position.product == "CNC":
            _settle(account, position)
            del account.positions[key]
        elif position.quantity:
            value = position.open_value()
            account.positions[key] = Position(position.token, position.product, position.quantity, value)
        else:
            del account.positions[key]
    for token, holding in list(account.holdings.items()):
        holding.opening_quantity = holding.quantity
        if holding.quantity + holding.t1_quantity == 0:
            del account.holdings[token]
    account.cash -= charges
    return squared


def _settle(account: Account, position: Position) -> None:
    quantity = position.quantity
    if quantity == 0:
        return
    holding = account.holdings.setdefault(position.token, Holding(position.token))
    if quantity > 0:
        holding.t1_quantity += quantity
        holding.value += position.open_value()
        return
    held = holding.quantity + holding.t1_quantity
    left = held + quantity
    holding.value = holding.value * left // held if held else 0
    from_settled = min(holding.quantity, -quantity)
    holding.quantity -= from_settled
    holding.t1_quantity -= -quantity - from_settled
