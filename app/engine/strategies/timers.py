"""What is due by the clock: a pure look at one strategy, and when to look next.

A buy is made within moments of its time or not at all; a sell is made whenever it is found to be due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.domain.calendar import Calendar, ist_date
from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.strategy import Strategy, StrategyState
from app.domain.strategy_times import Cycle, clock_words, cycle_on, exit_instant
from app.engine.strategies.happenings import EntryMissed, ExitDue, Happening, Replanned
from app.runtime.clock import SECOND

GRACE_SECONDS = 30
"""How late an entry may be, in real seconds: later it is a missed one (the computer slept, the clock was set)."""
LONGEST_SLEEP = 1.0
"""Real seconds. A paper exchange's clock may be set at any moment, and a calendar may change."""


class MarketTimes(Protocol):
    """When an account's market trades."""

    @property
    def calendar(self) -> Calendar:
        """The one that is followed now."""
        ...

    def ends_in_auction(self, instrument: Instrument) -> bool:
        """Whether its continuous trading ends with the closing auction."""
        ...


def entry_is_due(strategy: Strategy, now: Nanos) -> bool:
    """Its buy time has come, or is over."""
    return strategy.entry_at is not None and strategy.entry_at <= now


def entry_is_missed(strategy: Strategy, now: Nanos, since: Nanos, speed: float) -> bool:
    """Of one that is due: it is too late for it. `since`: from when on somebody was there to act."""
    at = strategy.entry_at or 0
    return at <= since or now - at > int(GRACE_SECONDS * SECOND * max(1.0, speed))


def missed_words(strategy: Strategy) -> str:
    """What is said of its entry then."""
    day = "" if strategy.day is None else f" of {strategy.day:%d %b}"
    return f"the entry{day} at {clock_words(strategy.plan.entry_second)} was missed and is skipped"


def exit_due(strategy: Strategy, now: Nanos, since: Nanos) -> ExitDue | None:
    """Its sell time has come; missed where nobody was there."""
    if strategy.state not in (StrategyState.BUYING, StrategyState.BOUGHT) or strategy.exit_at is None:
        return None
    if strategy.exit_at > now or (strategy.state is StrategyState.BUYING and strategy.leaving is not None):
        return None
    if strategy.hands_over:
        return None
    return ExitDue(missed=strategy.exit_at <= since)


def is_new_day(strategy: Strategy, now: Nanos) -> bool:
    """A later day than that of its last entry, for one whose day is done."""
    return strategy.state.is_over and strategy.day is not None and ist_date(now) > strategy.day


def sleep_seconds(strategies: list[Strategy], now: Nanos, speed: float) -> float:
    """Real seconds until something may be due; a moment at most."""
    ahead = [
        at - now
        for strategy in strategies
        for at in (
            strategy.entry_at if strategy.state is StrategyState.WAITING else None,
            strategy.exit_at if strategy.state.is_open else None,
        )
        if at is not None and at > now
    ]
    nearest = min(ahead, default=None)
    if nearest is None or speed <= 0:
        return LONGEST_SLEEP
    return min(LONGEST_SLEEP, nearest / SECOND / speed + 0.001)


def replanned(
    strategy: Strategy,
    instrument: Instrument,
    calendar: Calendar,
    now: Nanos,
    following: Callable[[Strategy], Cycle | None],
    *,
    cas: bool,
) -> Happening | None:
    """What another calendar makes of the day of a strategy that runs. `following`: its next cycle."""
    if strategy.day is None:
        return None
    if strategy.state.is_open:
        exit_at, words = exit_instant(strategy.plan, instrument, calendar, strategy.day, cas=cas)
        return None if exit_at == strategy.exit_at else Replanned(strategy.entry_at or 0, exit_at, words)
    if entry_is_due(strategy, now):
        return None
    found = cycle_on(strategy.plan, instrument, calendar, strategy.day, cas=cas)
    if isinstance(found, str):
        return EntryMissed(f"{strategy.day:%d %b}: {found}", following(strategy))
    same = (found.entry_at, found.exit_at) == (strategy.entry_at, strategy.exit_at)
    return None if same else Replanned(found.entry_at, found.exit_at, found.words)
