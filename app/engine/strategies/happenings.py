"""What may happen to a strategy, and what its table may want done."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.events import Level
from app.domain.ids import Nanos, StopId, Tag
from app.domain.money import Price
from app.domain.strategy import Leaving
from app.domain.strategy_times import Cycle

# -- the trader --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """From the next buy time on."""

    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Pause:
    """No entries."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Entries again."""

    cycle: Cycle | None
    """The next; None where no day is left."""


@dataclass(frozen=True, slots=True)
class End:
    """It rests. `close`: what it holds is closed; else that stays, under its stop, as the trader's own."""

    close: bool
    guarded: bool = True
    """Nothing of what it holds waits for its stop."""


# -- the clock ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntryDue:
    """Its buy time is now."""

    tag: Tag
    at: Nanos


@dataclass(frozen=True, slots=True)
class EntryMissed:
    """Its buy time passed while nobody could act on it."""

    words: str
    next: Cycle | None


@dataclass(frozen=True, slots=True)
class EntryTimeOver:
    """The entry has been open for as long as it may."""


@dataclass(frozen=True, slots=True)
class ExitDue:
    """Its sell time is now, or has passed."""

    missed: bool = False


@dataclass(frozen=True, slots=True)
class Replanned:
    """The calendar says something else of its day than before."""

    entry_at: Nanos
    exit_at: Nanos
    words: str


@dataclass(frozen=True, slots=True)
class NewDay:
    """A later day than that of its last entry has begun."""

    next: Cycle | None


# -- the entry ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntryNews:
    """What the entry order has filled. `over`: it fills no more, whatever its end was."""

    filled: int
    average: Price | None
    over: bool
    words: str = ""
    looked: Price | None = None
    """Where the underlying stands, for a stop that looks at it."""


@dataclass(frozen=True, slots=True)
class EntryRefused:
    """The broker rejected it, for certain."""

    words: str


@dataclass(frozen=True, slots=True)
class EntryDenied:
    """We did not send it."""

    words: str


@dataclass(frozen=True, slots=True)
class EntryAbsent:
    """It was sent, and is proven not to exist."""

    tag: Tag
    """For the next attempt."""
    at: Nanos


@dataclass(frozen=True, slots=True)
class BrokerDown:
    """It provably did not leave: the broker cannot be reached."""

    words: str


@dataclass(frozen=True, slots=True)
class BrokerBack:
    """The broker answers again."""

    next: Cycle | None


@dataclass(frozen=True, slots=True)
class Adopted:
    """The order book says nothing of the entry any more (another day): the broker's position decides."""

    held: int
    average: Price
    words: str


# -- the exit ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Armed:
    """The exit of its share is in the journal and watched."""

    stop: StopId
    quantity: int


@dataclass(frozen=True, slots=True)
class GuardLost:
    """The trader disarmed its exit."""


@dataclass(frozen=True, slots=True)
class ShareChanged:
    """Somebody else's order made the position smaller than its share, or what was missing is there again."""

    quantity: int


@dataclass(frozen=True, slots=True)
class ExitStarted:
    """Its stop, or its target, was reached: the exit is on the wire."""

    why: Leaving


@dataclass(frozen=True, slots=True)
class ExitOver:
    """The exit's share is proven closed."""

    quantity: int
    average: Price | None
    elsewhere: bool
    """Not by an order of ours."""
    words: str = ""
    why: Leaving | None = None
    """What set it off, where the stop engine knows better: a stop may be hit at the very moment of the sell time."""


Happening = (
    Start
    | Pause
    | Resume
    | End
    | EntryDue
    | EntryMissed
    | EntryTimeOver
    | ExitDue
    | Replanned
    | NewDay
    | EntryNews
    | EntryRefused
    | EntryDenied
    | EntryAbsent
    | BrokerDown
    | BrokerBack
    | Adopted
    | Armed
    | GuardLost
    | ShareChanged
    | ExitStarted
    | ExitOver
)

# -- what to do --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaceEntry:
    """A BUY task: sends the entry under the strategy's tag."""


@dataclass(frozen=True, slots=True)
class CancelEntry:
    """The rest of the entry may not fill."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The exit of the share is armed, or made as large as the share."""


@dataclass(frozen=True, slots=True)
class FireExit:
    """A SELL task: the armed exit of the share goes out now."""

    why: Leaving


@dataclass(frozen=True, slots=True)
class Release:
    """The position is the trader's own: a stop stays, an exit without a level is taken away."""

    stop: StopId | None


@dataclass(frozen=True, slots=True)
class Tell:
    """Says it aloud."""

    level: Level
    words: str


Action = PlaceEntry | CancelEntry | Guard | FireExit | Release | Tell
