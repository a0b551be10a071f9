"""What flattening everything would do, may do, and has done: frozen views for window and command line."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.ids import AccountId
from app.domain.money import Paise
from app.domain.order import Order
from app.domain.portfolio import Position


@dataclass(frozen=True, slots=True)
class FlattenChoice:
    """What the trader wants flat."""

    accounts: tuple[AccountId, ...] = ()
    """Empty: all that are logged in."""
    elsewhere: bool = False
    """Also cancel orders that were placed elsewhere (phone, web site)."""
    holdings: bool = False
    """Also sell what is in the demat account."""
    gtts: bool = False
    """Also delete triggers that wait at the broker."""


@dataclass(frozen=True, slots=True)
class FlattenPlan:
    """What there is, read now."""

    accounts: tuple[AccountId, ...]
    orders: tuple[Order, ...]
    """Ours that work: cancelled."""
    elsewhere: tuple[Order, ...]
    """Placed elsewhere: left alone unless ticked."""
    positions: tuple[Position, ...]
    """Exited."""
    stops: int
    """Armed on those positions: each closes its share itself, so nothing is sold twice."""
    exiting: int
    """Positions whose exit is on its way already: followed, not sent again."""
    holdings: int
    gtts: int
    """Triggers at the broker, without those behind Stopline's own stops."""
    strategies: int
    """Running: paused first, or they would enter again."""
    value: Paise
    """Of the positions at last prices, without sign."""
    unread: tuple[str, ...] = ()
    """Accounts that could not be read, in words. They would not be touched."""
    behind: int = 0
    """Triggers behind stops whose positions are exited: they go with them."""
    kept: int = 0
    """Triggers behind stops on what is not exited (holdings): they stay, ticked or not, unless the shares are sold."""
    out_of_reach: tuple[str, ...] = ()
    """Accounts that may hold something and are not logged in, in words: nothing of theirs is touched."""

    @property
    def empty(self) -> bool:
        """Nothing to cancel, nothing to exit."""
        return not (self.orders or self.positions)


@dataclass(frozen=True, slots=True)
class FlattenReport:
    """What became of it, by a reading of orders and positions afterwards."""

    accounts: tuple[AccountId, ...]
    cancelled: int
    exited: int
    sold: int
    """Holdings."""
    deleted: int
    """Triggers."""
    paused: int
    """Strategies."""
    not_flat: tuple[str, ...]
    """What is left that should not be, in words; empty: verified flat."""
    left_alone: tuple[str, ...]
    """What was not asked for, in words."""
    took_ms: int

    @property
    def verified(self) -> bool:
        """Two readings of the broker's books show it."""
        return not self.not_flat
