"""When a strategy buys and sells: its times of day against sessions, half days, the closing auction and holidays.

Pure. Unknown is never open: no entry is planned on a day that no published calendar covers. An exit is never held back
by that: it is due at its plain time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from app.domain.calendar import Calendar, DayKind, Window, ist_date, midnight_seconds
from app.domain.ids import Nanos
from app.domain.instrument import Instrument
from app.domain.strategy import StrategyPlan

SECOND: Nanos = 1_000_000_000
LAST_CALL_SECONDS = 120
"""A sell time at or after the end of continuous trading is moved to so long before it: the closing auction takes no
stop, and what is left unfilled needs time to be priced anew."""
HORIZON_DAYS = 370
"""How far ahead a next day is looked for."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One day's entry and the exit that belongs to it."""

    day: date
    entry_at: Nanos
    exit_at: Nanos
    words: str = ""
    """What was moved and why; empty when both are as asked."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next cycle, and the days that were passed over on the way to it."""

    cycle: Cycle | None
    skipped: tuple[str, ...] = ()
    """In words, with the reason; plain weekends are not named."""


def clock_words(second: int) -> str:
    """`09:20` or `09:20:30`."""
    minutes, seconds = divmod(second, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}" + (f":{seconds:02d}" if seconds else "")


def next_cycle(plan: StrategyPlan, instrument: Instrument, calendar: Calendar, after: Nanos, *, cas: bool) -> Outlook:
    """The first entry later than `after`. `cas`: the instrument ends its day in the closing auction."""
    skipped: list[str] = []
    first = ist_date(after)
    for ahead in range(HORIZON_DAYS):
        day = first + timedelta(days=ahead)
        if not plan.days.includes(day):
            continue
        kind = calendar.day_kind(day, instrument.segment)
        if kind is DayKind.UNKNOWN:
            return Outlook(None, (*skipped, f"No published calendar covers {day:%d %b %Y}."))
        if kind is DayKind.CLOSED:
            if day.weekday() < 5:
                skipped.append(f"{day:%a %d %b}: holiday.")
            continue
        found = cycle_on(plan, instrument, calendar, day, cas=cas)
        if isinstance(found, str):
            skipped.append(f"{day:%a %d %b}: {found}")
        elif found.entry_at > after:
            return Outlook(found, tuple(skipped))
    return Outlook(None, tuple(skipped))


def cycle_on(plan: StrategyPlan, instrument: Instrument, calendar: Calendar, day: date, *, cas: bool) -> Cycle | str:
    """Entry and exit of one trading day; in words why there is none."""
    windows = calendar.continuous_windows(instrument.segment, day, cas=cas)
    if windows is None:
        return "its hours were not announced."
    entry = midnight_seconds(day) + plan.entry_second
    if not any(start <= entry < end for start, end in windows):
        return f"it trades {_hours_words(windows, day)}, the entry at {clock_words(plan.entry_second)} lies outside."
    exit_at, words = exit_instant(plan, instrument, calendar, day, cas=cas)
    if exit_at <= entry * SECOND:
        return f"trading ends before the exit could follow the entry at {clock_words(plan.entry_second)}."
    return Cycle(day, entry * SECOND, exit_at, words)


def exit_instant(
    plan: StrategyPlan, instrument: Instrument, calendar: Calendar, entered_on: date, *, cas: bool
) -> tuple[Nanos, str]:
    """When a position that was entered on a day is left, and in words what was moved."""
    day = _exit_day(plan, instrument, calendar, entered_on)
    asked = midnight_seconds(day) + plan.exit_second
    windows = calendar.continuous_windows(instrument.segment, day, cas=cas)
    if not windows:
        return asked * SECOND, ""  # not known: an exit waits for no announcement
    at = _into(asked, windows)
    if at == asked:
        return asked * SECOND, ""
    wanted, moved = clock_words(plan.exit_second), clock_words(at - midnight_seconds(day))
    return at * SECOND, f"{day:%a %d %b} trades {_hours_words(windows, day)}: leaves at {moved} instead of {wanted}."


def _exit_day(plan: StrategyPlan, instrument: Instrument, calendar: Calendar, entered_on: date) -> date:
    day = entered_on
    for _ in range(plan.carry):
        day = _next_day(calendar, instrument, day)
    return day


def _next_day(calendar: Calendar, instrument: Instrument, day: date) -> date:
    """The next one with a session; where no list covers it, the next weekday."""
    for ahead in range(1, HORIZON_DAYS):
        later = day + timedelta(days=ahead)
        kind = calendar.day_kind(later, instrument.segment)
        if kind is DayKind.TRADING or (kind is DayKind.UNKNOWN and later.weekday() < 5):
            return later
    return day + timedelta(days=1)


def _into(asked: int, windows: tuple[Window, ...]) -> int:
    """The asked second, moved into continuous trading."""
    last_start, last_end = windows[-1]
    if asked > last_end - 1:
        return max(last_start, last_end - LAST_CALL_SECONDS)
    for start, end in windows:
        if asked < end:
            return max(asked, start)
    return asked


def _hours_words(windows: tuple[Window, ...], day: date) -> str:
    midnight = midnight_seconds(day)
    if not windows:
        return "not continuously"
    return " and ".join(f"{clock_words(start - midnight)} to {clock_words(end - midnight)}" for start, end in windows)
