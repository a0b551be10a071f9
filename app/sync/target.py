"""What the sync sees of an account: its session, its clock, its plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from app.brokers.base import ReadBroker
from app.domain.broker import BrokerInfo
from app.domain.calendar import AlwaysOpen, Calendar
from app.domain.ids import AccountId, Nanos
from app.domain.sync import SyncPlan
from app.runtime.clock import Clock

_ALWAYS_OPEN = AlwaysOpen()

HISTORY_SETTLES_DAYS = 2
"""Brokers publish a day's trades in their history in the night after it; one day more for those that are late."""


@dataclass(frozen=True, slots=True)
class SyncTarget:
    """One connected account as the sync sees it."""

    account: AccountId
    broker: ReadBroker | None
    """None: not logged in, which is skipped and not a failure (C6)."""
    clock: Clock
    """The account's exchange time; of a live account, this machine's."""
    info: BrokerInfo | None = None
    """None: nothing is known of the broker, so no limit either."""
    plan: SyncPlan | None = None
    calendar: Calendar = _ALWAYS_OPEN
    paused: bool = False
    """By the trader: not synced by itself."""
    broker_time: Callable[[], Nanos] | None = None
    """The time by the broker's own clock. Ours may be wrong by an hour; which day a list is of is not ours to say."""

    @property
    def schedule(self) -> SyncPlan:
        """Its plan, or the usual one."""
        return self.plan or SyncPlan(self.account)

    @property
    def broker_name(self) -> str:
        """For limits and breaker."""
        return self.info.name if self.info is not None else self.account.partition("-")[0]

    @property
    def broker_title(self) -> str:
        """For words."""
        return self.info.title if self.info is not None else self.broker_name.title()

    def now(self) -> Nanos:
        """By the broker's clock where it is known."""
        return self.clock.now() if self.broker_time is None else self.broker_time()


@dataclass(frozen=True, slots=True)
class Dates:
    """A range of dates, both included."""

    since: date
    until: date

    def settled(self, today: date) -> frozenset[str]:
        """The ISO dates of which a history has all there is: what it lacks then was withdrawn. Of newer ones it may
        not have everything yet."""
        newest = min(self.until, today - timedelta(days=HISTORY_SETTLES_DAYS))
        return frozenset((self.since + timedelta(days=n)).isoformat() for n in range((newest - self.since).days + 1))

    def __str__(self) -> str:
        return f"{self.since.isoformat()}..{self.until.isoformat()}"


TODAY = "today"
"""The operation without a range: what the broker lists now."""


FILE = "file"
"""The operation that takes a tradebook file."""


def dates_of(operation: str) -> Dates | None:
    """The range that an operation's name says; None for today's."""
    since, dots, until = operation.partition("..")
    return Dates(date.fromisoformat(since), date.fromisoformat(until)) if dots else None
