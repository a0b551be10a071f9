"""The exit rule of a position, and the life of a stop."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.ids import BrokerOrderId, Nanos, StopId, Tag
from app.domain.money import Price
from app.domain.order import Side
from app.domain.portfolio import PositionKey

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O, U, so that a tag read aloud is not misheard."""


class StopState(StrEnum):
    """Where a stop is in its life. Only `ARMED` watches prices; only `CLOSED` and `DISARMED` are final."""

    ARMING = "arming"
    """Asked for; its exit is not yet durable in the journal."""
    ARMED = "armed"
    FIRED = "fired"
    """The exit's bytes were written; whether the broker has the order is not known."""
    EXITING = "exiting"
    """The broker knows the exit; it is followed until the position is flat."""
    CLOSED = "closed"
    """The position is proven flat."""
    DISARMED = "disarmed"

    @property
    def is_final(self) -> bool:
        """Nothing is watched or followed any more."""
        return self in (StopState.CLOSED, StopState.DISARMED)


@dataclass(frozen=True, slots=True)
class Stop:
    """A fixed stop on a position.

    Fires by a level test: the first tick that counts at or beyond the trigger, whatever lies between (F2).
    """

    id: StopId
    key: PositionKey
    side: Side
    """Of the exit: SELL guards a long position."""
    trigger: Price
    quantity: int
    """Units the exit closes; follows the position."""
    state: StopState
    armed_at: Nanos
    """In the account's exchange time. Only ticks later than this count."""
    attempt: int = 1
    """Which exit order is prepared or was sent, 1-based."""
    token: int = 0
    """The broker's instrument number when armed."""
    tick_size: Price = 5
    price_scale: int = 100
    exit_order: BrokerOrderId | None = None
    fired_at: Nanos | None = None
    fired_price: Price | None = None
    closed_at: Nanos | None = None
    exit_average: Price | None = None
    note: str = ""
    """Why it stands where it stands, in words for the trader."""

    def is_hit(self, last: Price) -> bool:
        """Whether a last price is at or beyond the trigger."""
        return last <= self.trigger if self.side is Side.SELL else last >= self.trigger

    def tag(self, slice_number: int = 1) -> Tag:
        """The mark of the exit order now prepared: stop, attempt and slice."""
        return exit_tag(self.id, self.attempt, slice_number)

    def moved(self, trigger: Price) -> Stop:
        """The same stop at another trigger."""
        return replace(self, trigger=trigger)


def new_stop_id() -> StopId:
    """A fresh id: 12 letters and digits, 60 random bits."""
    return StopId("".join(secrets.choice(_LETTERS) for _ in range(12)))


def exit_tag(stop: StopId, attempt: int, slice_number: int = 1) -> Tag:
    """The tag of an exit order: 12 characters of stop, 5 of attempt, 2 of slice; 19 of the 20 that Kite allows.

    A broker that refuses all day is asked again every half minute: three digits would not last.
    """
    if not (1 <= attempt <= 99_999 and 1 <= slice_number <= 99):
        raise ValueError(f"attempt was {attempt}, slice was {slice_number}")
    return Tag(f"{stop}{attempt:05d}{slice_number:02d}")


def stop_of_tag(tag: str | None) -> StopId | None:
    """The stop that an order's tag names, None when the tag is not one of ours."""
    if tag is None or len(tag) != 19 or not tag[12:].isdigit() or any(c not in _LETTERS for c in tag[:12]):
        return None
    return StopId(tag[:12])
