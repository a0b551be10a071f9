"""When an account is synced: trading days, hours, the compulsory closing sync, what was missed (C6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendar import IST, AlwaysOpen, TradingCalendar
from app.domain.ids import AccountId, Nanos
from app.domain.instrument import Segment
from app.domain.sync import SyncPlan
from app.runtime.clock import from_datetime, to_datetime
from app.runtime.paths import resource
from app.sync.schedule import Due, current_day, day_of, next_run, trading_days

A = AccountId("zerodha-AB1234")
CALENDAR = TradingCalendar.parse(
    *(path.read_text(encoding="utf-8") for path in sorted(resource("calendar").glob("*.json")))
)
SHARES = SyncPlan(A)
FUTURES = SyncPlan(A, segments=(Segment.FUTURES,))
METALS = SyncPlan(A, segments=(Segment.EQUITY, Segment.COMMODITY))
MINUTE = 60 * 10**9


def at(text: str) -> Nanos:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=IST))


def due(plan: SyncPlan, now: str, last: str | None = None, closed: tuple[str, ...] = ()) -> str:
    found = next_run(plan, CALENDAR, at(now), None if last is None else at(last), closed)
    assert found is not None
    return f"{to_datetime(found.at):%m-%d %H:%M}{' closing' if found.closing else ''}"


def test_every_quarter_of_an_hour_from_nine() -> None:
    assert due(SHARES, "2026-11-20T08:00") == "11-20 09:00"
    assert due(SHARES, "2026-11-20T09:00:05", last="2026-11-20T09:00") == "11-20 09:15"
    assert due(SHARES, "2026-11-20T09:15:01", last="2026-11-20T09:00") == "11-20 09:15"
    assert due(replace(SHARES, every_s=60), "2026-11-20T10:00:20", last="2026-11-20T10:00") == "11-20 10:01"


def test_what_was_missed_is_one_run() -> None:
    """A program that was away since nine has one run to make up for, and the next one is a quarter of an hour on."""
    assert due(SHARES, "2026-11-20T11:52", last="2026-11-20T09:00") == "11-20 09:15"  # now, once
    assert due(SHARES, "2026-11-20T11:53", last="2026-11-20T11:52") == "11-20 12:00"


@pytest.mark.parametrize(
    ("plan", "closing"),
    [
        (FUTURES, "11-20 15:55"),  # F&O ends at 15:40
        (SHARES, "11-20 16:15"),  # shares may still be traded at the closing price until 16:00
        (METALS, "11-21 00:10"),  # commodities trade until 23:55
    ],
)
def test_a_quarter_of_an_hour_after_the_last_session_comes_the_closing_sync(plan: SyncPlan, closing: str) -> None:
    last = at("2026-11-20T09:00")
    runs = []
    now = last
    while True:
        found = next_run(plan, CALENDAR, now, last, ())
        assert found is not None
        runs.append(found)
        if found.closing:
            break
        now = last = found.at
    assert f"{to_datetime(runs[-1].at):%m-%d %H:%M}" == closing
    assert {run.day for run in runs} == {"2026-11-20"}
    steps = {b.at - a.at for a, b in pairwise(runs)}
    assert steps <= {15 * MINUTE, 10 * MINUTE}


def test_the_closing_sync_is_compulsory() -> None:
    """Also where the quarter-hourly ones are off; and once it was there the next run is the next trading day's."""
    off = replace(SHARES, on=False)
    assert due(off, "2026-11-20T09:30") == "11-20 16:15 closing"
    assert due(SHARES, "2026-11-20T20:00", last="2026-11-20T15:30") == "11-20 16:15 closing"  # missed: now
    assert due(SHARES, "2026-11-20T20:00", last="2026-11-20T16:15", closed=("2026-11-20",)) == "11-23 09:00"
    assert due(off, "2026-11-20T20:00", last="2026-11-20T16:15", closed=("2026-11-20",)) == "11-23 16:15 closing"


def test_a_closing_sync_that_failed_is_tried_again_until_the_brokers_list_is_gone() -> None:
    assert due(SHARES, "2026-11-20T16:16", last="2026-11-20T16:15") == "11-20 16:30 closing"
    assert due(SHARES, "2026-11-21T05:40", last="2026-11-21T05:35") == "11-21 05:50 closing"
    assert due(SHARES, "2026-11-21T05:58", last="2026-11-21T05:50") == "11-23 09:00"
    assert due(SHARES, "2026-11-21T06:00", last="2026-11-20T16:15") == "11-23 09:00"


def test_weekends_and_holidays_have_no_syncs() -> None:
    assert due(SHARES, "2026-11-21T10:00", closed=("2026-11-20",)) == "11-23 09:00"  # a Saturday
    assert CALENDAR.why_closed(date(2026, 11, 24)) != ""  # a holiday of shares
    assert due(SHARES, "2026-11-24T10:00", closed=("2026-11-23",)) == "11-25 09:00"
    assert trading_days(SHARES, CALENDAR, date(2026, 11, 20), date(2026, 11, 25)) == [
        "2026-11-20", "2026-11-23", "2026-11-25",
    ]  # fmt: skip


def test_days_beyond_the_published_calendar_count_as_trading_days() -> None:
    """A sync too many costs nothing; a program that stops syncing on New Year's Day would."""
    assert due(SHARES, "2027-06-14T08:00") == "06-14 09:00"
    assert trading_days(SHARES, CALENDAR, date(2027, 6, 11), date(2027, 6, 14)) == ["2027-06-11", "2027-06-14"]


def test_in_the_small_hours_the_list_is_still_yesterdays() -> None:
    day = current_day(METALS, CALENDAR, at("2026-11-21T00:30"))
    assert day is not None
    assert day.day == date(2026, 11, 20)
    assert current_day(METALS, CALENDAR, at("2026-11-21T06:00")) is None
    assert current_day(METALS, CALENDAR, at("2026-11-23T09:00")) is not None


def test_a_market_that_never_closes_has_its_closing_sync_after_midnight() -> None:
    found = next_run(replace(SHARES, on=False), AlwaysOpen(), at("2026-11-20T12:00"), None, ("2026-11-19",))
    assert found == Due(at("2026-11-21T00:15"), closing=True, day="2026-11-20")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 350 * 24 * 60),
    st.integers(60, 14_400),
    st.lists(st.integers(0, 7200), max_size=40),
)
def test_runs_move_on_and_no_trading_day_goes_without_its_closing_sync(
    start: int, every: int, delays: list[int]
) -> None:
    """However late each run comes, the next is later, lies on a trading day, and the day is closed at last."""
    plan = replace(SHARES, every_s=every)
    now = at("2026-01-02") + start * MINUTE
    last: Nanos | None = None
    closed: list[str] = []
    for delay in [*delays, 0, 0]:
        found = next_run(plan, CALENDAR, now, last, closed)
        assert found is not None
        day = day_of(plan, CALENDAR, date.fromisoformat(found.day))
        assert day is not None
        assert day.begins <= found.at < day.lost
        assert last is None or found.at > last
        now = last = max(now, found.at) + delay * 10**9
        here = current_day(plan, CALENDAR, now)
        if here is not None and now >= here.closes:
            closed.append(here.day.isoformat())
        now += 10**9 + 1
