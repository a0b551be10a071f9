"""When an account is synced without being asked (C6). Pure: moments in, moments out.

APScheduler's trigger does the arithmetic; it would read the wall clock by itself, so our own clock decides what is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from apscheduler.triggers.interval import IntervalTrigger

from app.domain.calendar import IST, Calendar, DayKind, Phase, ist_date, midnight_seconds
from app.domain.ids import Nanos
from app.domain.instrument import Segment
from app.domain.sync import SyncPlan

SECOND: Nanos = 1_000_000_000
LIST_LIVES_UNTIL = 6 * 3600
"""Seconds into the next day at which a broker's list of the day is gone at the latest (Kite's dies with the session at
06:00): until then a closing sync can be made up for."""
_PROBE = 300
_FAR = 15
"""Days to look ahead: longer than any run of holidays."""


@dataclass(frozen=True, slots=True)
class Due:
    """The next run of an account."""

    at: Nanos
    closing: bool
    day: str
    """ISO date of the trading day that it belongs to."""


@dataclass(frozen=True, slots=True)
class SyncDay:
    """A trading day of an account."""

    day: date
    begins: Nanos
    ends: Nanos
    """End of its last session."""
    closes: Nanos
    """When the closing sync is due."""
    lost: Nanos
    """When the broker's list of the day is gone."""


def day_of(plan: SyncPlan, calendar: Calendar, day: date) -> SyncDay | None:
    """What the plan makes of a date; None when none of the account's segments trades.

    A date that no published list covers counts as a trading day from Monday to Friday, with the hours of the last
    known one: a sync too many costs nothing, one too few may cost a fill.
    """
    ends = [end for segment in plan.segments if (end := _end(calendar, segment, day)) is not None]
    if not ends:
        return None
    midnight = midnight_seconds(day)
    last = max(ends)
    return SyncDay(
        day,
        (midnight + plan.begins * 60) * SECOND,
        last * SECOND,
        (last + plan.after_close_s) * SECOND,
        (midnight + 86_400 + LIST_LIVES_UNTIL) * SECOND,
    )


def current_day(plan: SyncPlan, calendar: Calendar, now: Nanos) -> SyncDay | None:
    """The trading day whose list the broker shows now: in the small hours still yesterday's."""
    today = ist_date(now)
    for day in (today, today - timedelta(days=1)):
        found = day_of(plan, calendar, day)
        if found is not None and found.begins <= now < found.lost:
            return found
    return None


def next_run(plan: SyncPlan, calendar: Calendar, now: Nanos, last: Nanos | None, closed: Sequence[str]) -> Due | None:
    """The run that is due next; at or before `now` means now, however many were missed.

    `last`: when the last run started. `closed`: days whose closing sync was there. A closing sync that fails is tried
    again every `every_s` seconds, for as long as the broker still lists the day.
    """
    today = ist_date(now)
    for offset in range(-1, _FAR):
        day = day_of(plan, calendar, today + timedelta(days=offset))
        if day is None or day.lost <= now:
            continue
        due = _due_on(plan, day, now, last, day.day.isoformat() in closed)
        if due is not None and (due.at >= day.begins and max(due.at, now) < day.lost):
            return due
    return None


def _due_on(plan: SyncPlan, day: SyncDay, now: Nanos, last: Nanos | None, closed: bool) -> Due | None:
    name = day.day.isoformat()
    after = day.begins if last is None else max(last + SECOND, day.begins)
    regular = _next_fire(plan, day, after) if plan.on and now < day.closes else None
    if regular is not None and regular < day.closes:
        return Due(regular, closing=False, day=name)
    if closed:
        return None
    if last is not None and last >= day.closes:
        return Due(last + plan.every_s * SECOND, closing=True, day=name)
    return Due(day.closes, closing=True, day=name)


def _next_fire(plan: SyncPlan, day: SyncDay, after: Nanos) -> Nanos | None:
    trigger = IntervalTrigger(seconds=plan.every_s, start_date=_moment(day.begins), end_date=_moment(day.closes))
    found = trigger.get_next_fire_time(None, _moment(after))
    return None if found is None else round(found.timestamp()) * SECOND


def _moment(at: Nanos) -> datetime:
    """Whole seconds, rounded up: a run never comes early."""
    return datetime.fromtimestamp(-(-at // SECOND), IST)


def _end(calendar: Calendar, segment: Segment, day: date) -> int | None:
    """When the segment's last session of a date ends, in seconds since 1970; None when it does not trade."""
    kind = calendar.day_kind(day, segment)
    if kind is DayKind.CLOSED or (kind is DayKind.UNKNOWN and day.weekday() >= 5):
        return None
    known = day
    while calendar.candle_window(segment, known) is None:
        known -= timedelta(days=1)
        if (day - known).days > 400:
            return None
    windows = [w for cas in (True, False) if (w := calendar.candle_window(segment, known, cas=cas)) is not None]
    end = max(window[1] for window in windows)
    probe = end
    while probe < midnight_seconds(known) + 86_400:
        if calendar.phase(segment, probe * SECOND, cas=True) is Phase.POST_CLOSE:
            end = probe + _PROBE
        probe += _PROBE
    return end + (day - known).days * 86_400


def trading_days(plan: SyncPlan, calendar: Calendar, since: date, until: date) -> list[str]:
    """The account's trading days between two dates, both included."""
    days = []
    while since <= until:
        if day_of(plan, calendar, since) is not None:
            days.append(since.isoformat())
        since += timedelta(days=1)
    return days
