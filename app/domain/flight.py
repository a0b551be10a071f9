"""The flight recorder: what happened around an exit, step by step, and what it cost against the stop's level.

Times are whole microseconds from the moment the socket was found readable with the price that fired; before it they are
negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.domain.events import Event
from app.domain.ids import AccountId, InstrumentId, Nanos, StopId
from app.domain.money import Paise, Price, round_paisa
from app.domain.order import Side

SLOW_US = 5_000
"""An exit that took longer from socket readable to last byte written has its cause named (F2)."""


class FlightStep(StrEnum):
    """What a mark says."""

    TICK = "tick"
    """A price of the instrument, before or after."""
    BREACH = "breach"
    """The price that fired arrived."""
    DECIDED = "decided"
    WRITTEN = "written"
    """The last byte of the exit was with the kernel."""
    ANSWERED = "answered"
    """The broker took an order, or refused it."""
    FILLED = "filled"
    """Units below nought went back: they had been closed twice."""
    FLAT = "flat"
    """The position is proven closed."""


@dataclass(frozen=True, slots=True)
class FlightMark:
    """One moment of an exit."""

    at_us: int
    step: FlightStep
    price: Price | None = None
    quantity: int = 0
    words: str = ""


@dataclass(frozen=True, slots=True)
class Flight:
    """One exit of a stop, from the price that fired it to the proof that it is out."""

    stop: StopId
    account: AccountId
    instrument: InstrumentId
    side: Side
    """Of the exit's orders."""
    fired_at: Nanos
    """Exchange time."""
    level: Price
    """That was in force, and that slippage is measured against, unless it is another instrument's: see `looked`."""
    price: Price
    """That arrived and fired."""
    why: str
    """stop, target, time and so on."""
    marks: tuple[FlightMark, ...]
    """In order of time."""
    sent: tuple[str, ...]
    """What was written, with every secret hidden; one for each order."""
    engine_us: int | None
    """Socket readable to last byte written; None when it did not leave over the exit line."""
    cause: str = ""
    """Why it took longer than five milliseconds; empty when it did not."""
    slippage: Paise | None = None
    """Rupees lost against the level, below nought gained; None while nothing has filled."""
    price_scale: int = 100
    source: str = ""
    """What was compared with the level, in words; empty where it was the last price."""
    looked: InstrumentId | None = None
    """Whose `level` and `price` they are, where it is another instrument: the underlying, or its future."""
    own: Price | None = None
    """With `looked`: the instrument's own last price then, which slippage is measured against."""

    @property
    def answered_us(self) -> int | None:
        """Last byte written to the first answer; None without either."""
        written = next((mark.at_us for mark in self.marks if mark.step is FlightStep.WRITTEN), None)
        answered = next((mark.at_us for mark in self.marks if mark.step is FlightStep.ANSWERED), None)
        return None if written is None or answered is None else answered - written

    @property
    def filled(self) -> int:
        """Units that its orders closed, less what was closed twice and went back."""
        return sum(mark.quantity for mark in self.marks if mark.step is FlightStep.FILLED)

    @property
    def flat(self) -> bool:
        """It was followed to the end."""
        return any(mark.step is FlightStep.FLAT for mark in self.marks)


@dataclass(frozen=True, slots=True)
class FlightRecorded(Event):
    """An exit was recorded, or more of it is known now."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class Latency:
    """How fast the exits of one broker were; microseconds, of those that left over the exit line."""

    broker: str
    exits: int
    engine_p50: int
    engine_p99: int
    engine_worst: int
    answer_p50: int | None
    """Last byte written to the broker's answer; None when none was answered."""
    answer_p99: int | None
    slow: int
    """Above five milliseconds."""


def slippage_of(
    side: Side, level: Price, fills: Sequence[FlightMark], multiplier: int, price_scale: int
) -> Paise | None:
    """What fills lost against a level, in paise; None without fills."""
    known = [(mark.price, mark.quantity) for mark in fills if mark.price is not None]
    if not known:
        return None
    worse = sum((level - price if side is Side.SELL else price - level) * quantity for price, quantity in known)
    return Paise(int(round_paisa(Decimal(worse * multiplier) / price_scale) * 100))


def percentile(values: Sequence[int], percent: int) -> int:
    """The smallest of them that so many percent do not exceed. `values` is not empty."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def latency_of(broker: str, flights: Sequence[Flight]) -> Latency | None:
    """Of one broker's flights; None when none left over the exit line."""
    engine = [one.engine_us for one in flights if one.engine_us is not None]
    if not engine:
        return None
    answers = [one.answered_us for one in flights if one.answered_us is not None]
    return Latency(
        broker,
        len(engine),
        percentile(engine, 50),
        percentile(engine, 99),
        max(engine),
        percentile(answers, 50) if answers else None,
        percentile(answers, 99) if answers else None,
        sum(us > SLOW_US for us in engine),
    )
