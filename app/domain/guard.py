"""Who guards when: the program that waits beside the desk, what the trader chose, and what happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.ids import AccountId, InstrumentId, Nanos


class Farewell(StrEnum):
    """How a desk parts from the guard that waits beside it. A desk that dies says nothing."""

    HAND_OVER = "hand over"
    """Stops stay armed: the guard takes the desk."""
    STAND_DOWN = "stand down"
    """Nothing is left to guard, or the trader said that nobody shall."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A guard that waits beside the desk, with what opens the profile in its hand."""

    pid: int
    key: str
    """What it will open the profile with: `keyring` or `passphrase`."""


@dataclass(frozen=True, slots=True)
class AccountGuarding:
    """What the trader chose for one account for when prices fail. All off unless chosen."""

    account: AccountId
    polled_fires: bool = False
    """While the stream is silent, quotes asked for over REST may fire a stop."""
    tightens: bool = False
    """While the stream is silent, backstops at the exchange move up to a tick behind their stops."""
    missed_fires: bool = False
    """A trade at the level that no packet showed, proven by the day's high or low, fires the stop."""


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What the trader chose about guarding."""

    start_guard: bool = True
    """Start a guard beside the window, where the keyring opens the profile."""
    accounts: tuple[AccountGuarding, ...] = ()
    lock_minutes: int = 0
    """Without keys and mouse after which the screen is locked; 0: never by itself."""

    def of(self, account: AccountId) -> AccountGuarding:
        """An account's; the defaults where nothing was chosen."""
        return next((one for one in self.accounts if one.account == account), AccountGuarding(account))


@dataclass(frozen=True, slots=True)
class GuardView:
    """How things stand."""

    settings: GuardSettings
    companions: tuple[Companion, ...]
    keyring: bool
    """The keyring opens the profile: a guard needs no passphrase."""
    alone: str
    """Why nobody takes over if this program dies, in words; empty when a guard waits."""
    awake: str
    """Why the machine may fall asleep while stops are armed, in words; empty when it will not."""


class AwayKind(StrEnum):
    """Why the window was away."""

    CRASH = "crash"
    CLOSED = "closed"
    SLEEP = "sleep"
    FEED = "feed"


@dataclass(frozen=True, slots=True)
class Absence:
    """A stretch in which the window did not watch. Wall time of this machine, for feeds the exchange's."""

    id: int
    kind: AwayKind
    since: Nanos
    until: Nanos
    account: AccountId | None = None
    """Of a feed; else it concerns all."""
    guarded_since: Nanos | None = None
    """From when on a guard watched instead."""
    audit_since: int = 0
    """The audit trail's last line before."""
    audit_until: int = 0
    """And the last one when the window was back."""
    audit_settled: int = 0
    """And the last one when recovery was done; 0 while it runs."""


class Fate(StrEnum):
    """What an absence meant for one stop."""

    HIT = "hit"
    LEFT = "left"
    """It left by its target, its time, the portfolio stop or the trader's hand: no stop was hit."""
    CLOSED = "closed"
    REARMED = "re-armed"
    RESUMED = "resumed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class AwayLine:
    """One thing that happened, in words."""

    account: AccountId
    instrument: InstrumentId | None
    fate: Fate
    words: str
    """E.g. `sold 75 at 181.20`."""


@dataclass(frozen=True, slots=True)
class AwayReport:
    """An absence and what happened in it."""

    absence: Absence
    headline: str
    """E.g. `1 stop was hit, sold 75 at 181.20` or `nothing happened`."""
    lines: tuple[AwayLine, ...]
