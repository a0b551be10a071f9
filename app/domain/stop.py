"""The exit rule of a position, and the life of a stop."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from enum import StrEnum

from app.domain.ids import BrokerOrderId, InstrumentId, Nanos, StopId, Tag
from app.domain.market import Interval
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
    SUSPENDED = "suspended"
    """Not watched until the trader has answered: the instrument's price seems to have been restated (split, bonus)."""
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


class FiredBy(StrEnum):
    """Why a stop left the position."""

    STOP = "stop"
    """The level, wherever it had moved to."""
    TARGET = "target"
    TIME = "time exit"
    PORTFOLIO = "portfolio stop"
    TRADER = "trader"


class TriggerSource(StrEnum):
    """Which price is compared with the levels."""

    LAST = "last price"
    DOUBLE_LAST = "two trades"
    """Two trades in a row at or beyond the level: a single freak trade does not fire."""
    BID_ASK = "bid or ask"
    """What an exit would get: a SELL looks at the bid, a BUY at the ask."""
    MID = "mid"
    """Half way between bid and ask."""
    UNDERLYING = "underlying"
    """The price of what an option or future is written on. Where an index stands still in the closing auction, its
    nearest future stands in for it."""
    NONE = "no price"
    """No level at all: the exit is ready, and time or the trader fires it."""


class TrailKind(StrEnum):
    """How far behind the best price a trailing stop stays."""

    POINTS = "points"
    PERCENT = "percent"
    ATR = "ATR"
    """Multiples of Wilder's average true range."""


@dataclass(frozen=True, slots=True)
class Trail:
    """A trigger that follows the best price since arming, and never goes back."""

    kind: TrailKind
    amount: Decimal
    """POINTS: minor units; PERCENT: of the best price; ATR: multiples of the range."""
    step: Price = 0
    """The level moves by so much at least, in minor units; 0: tick by tick."""
    period: int = 14
    """ATR: candles that the average spans."""
    interval: Interval = Interval.MINUTES_5
    """ATR: of these candles."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Once the position is so far in profit, its stop goes to where it was entered."""

    after: Price
    """Profit per unit, in minor units, that moves the stop."""
    offset: Price = 0
    """Beyond the entry, in the position's favour."""
    with_charges: bool = True
    """The entry is the price at which closing nets zero after all charges, not the average price paid."""


@dataclass(frozen=True, slots=True)
class TimeExit:
    """The position is closed at a time of the exchange's day, whatever the price.

    One of `at` and `before_end`. A time after continuous trading has ended means its last minute.
    """

    at: time | None = None
    """India Standard Time."""
    before_end: int = 0
    """Minutes before continuous trading in the instrument ends (so before a closing auction)."""
    day: date | None = None
    """None: the first time that it comes after arming."""


@dataclass(frozen=True, slots=True)
class StopPlan:
    """What the trader asks of a stop. All prices in the instrument's minor units.

    With `UNDERLYING`, `trigger` and `target` are prices of the underlying.
    """

    trigger: Price
    """Where it begins; a trail or a break-even move tightens it from there."""
    target: Price | None = None
    """Fires as well, on the other side; one cancels the other, for there is one exit only."""
    trail: Trail | None = None
    break_even: BreakEven | None = None
    time_exit: TimeExit | None = None
    source: TriggerSource = TriggerSource.LAST
    underlying: InstrumentId | None = None
    """For `UNDERLYING`: whose price."""
    longest_wait: int = 5
    """Seconds that another source than the last price may hold an exit back; then the last price alone decides."""
    last_trigger: Price | None = None
    """For `UNDERLYING`: the instrument's own last price that decides when the underlying is silent for too long."""
    quantity: int | None = None
    """Units of the position that this stop owns; None: all that no other stop owns."""
    strategy: str | None = None
    """Whose share it is; None: the trader's."""
    backstop: Price | None = None
    """How far behind the level in force a stop order rests at the exchange, in minor units; None: there is none."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop on a position, or on a share of it.

    Fires by a level test: the first tick that counts at or beyond the trigger, whatever lies between (F2).
    """

    id: StopId
    key: PositionKey
    side: Side
    """Of the exit: SELL guards a long position."""
    trigger: Price
    """The level in force now; `plan.trigger` is where it began."""
    quantity: int
    """Units the exit closes; follows the position."""
    state: StopState
    armed_at: Nanos
    """In the account's exchange time. Only ticks later than this count."""
    plan: StopPlan
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
    best: Price | None = None
    """The best price since arming that a trail has seen."""
    exit_at: Nanos | None = None
    """When the time exit comes, in the account's exchange time."""
    seen_price: Price | None = None
    """The last price known while it was armed, of `seen_at`; tells a split from a fall on the next day."""
    seen_at: Nanos | None = None
    fired_by: FiredBy | None = None
    closed_before: int = 0
    """Of a stop with units of its own: what its exits and triggers had closed when it was last made smaller by that."""

    def is_hit(self, last: Price) -> bool:
        """Whether a last price is at or beyond the trigger."""
        return last <= self.trigger if self.side is Side.SELL else last >= self.trigger

    @property
    def has_level(self) -> bool:
        """Some price fires it. Without one it is a prepared exit and protects nothing."""
        return self.plan.source is not TriggerSource.NONE

    @property
    def strategy(self) -> str | None:
        """Whose share of the position it guards; None: the trader's."""
        return self.plan.strategy

    def tag(self, slice_number: int = 1) -> Tag:
        """The mark of the exit order now prepared: stop, attempt and slice."""
        return exit_tag(self.id, self.attempt, slice_number)

    def moved(self, trigger: Price) -> Stop:
        """The same stop at another trigger."""
        return replace(self, trigger=trigger)


def as_it_stands(stop: Stop) -> StopPlan:
    """The plan that arms it again where it is now."""
    return replace(stop.plan, trigger=stop.trigger)


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


def attempt_of(tag: Tag) -> int:
    """The attempt that an exit's tag names. Only of tags that `stop_of_tag` knows."""
    return int(tag[12:17])


FIRST_TRIGGERED = 21
"""Slice numbers from here on name orders that a trigger (GTT) behind a stop has sent."""
FIRST_BACKSTOP = 51
"""Slice numbers from here on name orders that rest at the exchange behind a stop."""
LAST_SLICE = 99


def is_backstop(tag: str | None) -> bool:
    """Whether a tag names an order that rests behind a stop."""
    return stop_of_tag(tag) is not None and tag is not None and int(tag[17:]) >= FIRST_BACKSTOP


def is_triggered(tag: str | None) -> bool:
    """Whether a tag names the order of a trigger (GTT) that rested behind a stop. It acts from its first moment."""
    return stop_of_tag(tag) is not None and tag is not None and FIRST_TRIGGERED <= int(tag[17:]) < FIRST_BACKSTOP


def stop_of_tag(tag: str | None) -> StopId | None:
    """The stop that an order's tag names, None when the tag is not one of ours."""
    if tag is None or len(tag) != 19 or not tag[12:].isdigit() or any(c not in _LETTERS for c in tag[:12]):
        return None
    return StopId(tag[:12])
