"""What the sync knows of its own work: schedules, leases, data sets, failures, conflicts. Frozen facts (C1 to C12)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.fill import Fill
from app.domain.ids import AccountId, Nanos
from app.domain.instrument import Segment


class DataSet(StrEnum):
    """What one sync fetches, each by a request of its own."""

    TRADES = "trades"
    POSITIONS = "positions"
    HOLDINGS = "holdings"
    FUNDS = "funds"


class ErrorClass(StrEnum):
    """Failures by what is done about them (C8)."""

    NONE = ""
    AUTH = "auth"
    """The session is dead: the account expires, a login is asked for."""
    RATE_LIMIT = "rate limit"
    """Waited for as long as the broker says, else 60 s."""
    SERVER = "server"
    NETWORK = "network"
    """Tried three times."""
    CLIENT = "client"
    """Refused: logged and skipped, it would be refused again."""
    ANSWER = "answer"
    """Something else than the broker's data came back."""
    PAUSED = "paused"
    """The circuit breaker is open."""
    STORAGE = "storage"
    OTHER = "other"


class Conflicts(StrEnum):
    """Who settles a fill that the broker now tells differently (C5)."""

    ASK = "ask"
    BROKER = "broker"
    """What the broker says now is taken."""
    BOOK = "book"
    """What the book has is kept."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """When one account is synced without being asked (C6). Times are the exchange's, in India."""

    account: AccountId
    on: bool = True
    every_s: int = 900
    begins: int = 9 * 60
    """Minutes after midnight."""
    after_close_s: int = 900
    """Seconds after the last session until the closing sync."""
    segments: tuple[Segment, ...] = (Segment.EQUITY, Segment.FUTURES, Segment.OPTIONS)
    """What the account trades: its last session ends the day."""
    conflicts: Conflicts = Conflicts.ASK


@dataclass(frozen=True, slots=True)
class DataSetState:
    """How one account's data set fared last."""

    account: AccountId
    data_set: DataSet
    tried_at: Nanos
    good_at: Nanos | None
    """The last time it was read and saved whole."""
    rows: int
    """Of the last good read."""
    took_ms: int
    retries: int
    error_class: ErrorClass
    error: str
    """Of the last try; empty when it was good."""


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed more than three times in a row (C11)."""

    id: int
    account: AccountId
    job: str
    """`today`, a range of dates `2026-11-01..2026-11-20`, or the data set that the broker refuses."""
    tries: int
    first_failed_at: Nanos
    last_failed_at: Nanos
    error_class: ErrorClass
    error: str


@dataclass(frozen=True, slots=True)
class FillConflict:
    """One fill, two stories: what the book has, and what the broker says now."""

    id: int
    found_at: Nanos
    ours: Fill
    theirs: Fill


@dataclass(frozen=True, slots=True)
class OpenDay:
    """A trading day whose closing sync is missing: fills of it may be missing too."""

    account: AccountId
    day: str
    """ISO date."""
    last_sync: Nanos | None
    """The last sync on that day; None when there was none."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """The past of an account being fetched day by day, newest first; it goes on after a restart."""

    account: AccountId
    since: str
    until: str
    next_day: str
    """The day that is fetched next; before `since` when all are done."""
    fills: int
    error: str = ""

    @property
    def done(self) -> bool:
        """Every day was fetched."""
        return self.next_day < self.since


@dataclass(frozen=True, slots=True)
class LimitGauge:
    """How much of a request limit is used. `account` is empty for the limit of the whole broker."""

    broker: str
    account: str
    seconds: int
    used: int
    limit: int
    """80 % of what the broker allows."""
    reset_s: float
    """Until the oldest request leaves the window."""


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A broker's circuit breaker (C9), or that of one kind of its reads."""

    broker: str
    state: str
    """closed, open or half-open."""
    failures: int
    """In a row."""
    retry_s: float
    """Until it is tried again; 0 unless open."""
    reads: str = ""
    """Which of its reads alone; empty: all."""


@dataclass(frozen=True, slots=True)
class SyncPause:
    """A sync that waits because the broker asked it to."""

    account: AccountId
    data_set: DataSet
    cause: str
    seconds_left: float


@dataclass(frozen=True, slots=True)
class SyncFigures:
    """What the syncs of some hours came to (C12)."""

    runs: int = 0
    """Accounts processed, skipped ones aside."""
    failed: int = 0
    fills: int = 0
    """New and changed."""
    retries: int = 0
    rate_limited: int = 0
    refreshes: int = 0
    """Sessions begun anew."""
    refreshes_failed: int = 0
    """Logins and renewals that came to nothing; not among `refreshes`."""
    took_ms: int = 0
    """All runs together."""
    slowest_ms: int = 0

    @property
    def success_percent(self) -> float:
        """Of the runs; 100 when there were none."""
        return 100.0 if not self.runs else 100.0 * (self.runs - self.failed) / self.runs

    @property
    def retry_percent(self) -> float:
        """Tries over again for each run, in percent."""
        return 0.0 if not self.runs else 100.0 * self.retries / self.runs


def identified(fills: Iterable[Fill]) -> list[Fill]:
    """The fills, those without a trade id named by a SHA-256 of what they are (C2).

    Brokers that number no executions may report several that are alike in everything: the n-th of them is told apart
    by n. So the same list in whatever order gives the same names, and two fills of one order stay two.
    """
    seen: Counter[str] = Counter()
    named = []
    for fill in fills:
        if fill.id.trade_id:
            named.append(fill)
            continue
        facts = "|".join(
            (
                fill.id.broker,
                fill.id.broker_order_id,
                fill.id.exchange,
                fill.instrument,
                fill.side.value,
                str(fill.quantity),
                f"{fill.price}/{fill.price_scale}",
                str(fill.filled_at),
            )
        )
        seen[facts] += 1
        digest = hashlib.sha256(f"{facts}|{seen[facts]}".encode()).hexdigest()
        named.append(replace(fill, id=replace(fill.id, trade_id=digest)))
    return named
