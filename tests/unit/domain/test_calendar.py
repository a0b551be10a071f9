"""The shipped calendars against the exchange's own files and against exchange_calendars."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.calendar import (
    IST,
    AlwaysOpen,
    BadCalendar,
    Calendar,
    DayKind,
    Phase,
    TradingCalendar,
    ist_date,
    midnight_seconds,
)
from app.domain.instrument import Segment
from tests.shared_data import shared_data

FOLDER = Path(__file__).resolve().parents[3] / "resources" / "calendar"
EQUITY, INDEX, FUTURES, OPTIONS = Segment.EQUITY, Segment.INDEX, Segment.FUTURES, Segment.OPTIONS
SHIPPED = TradingCalendar.parse(*(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))))

WEEKEND_SESSIONS = {
    date(2019, 10, 27),
    date(2020, 2, 1),
    date(2020, 11, 14),
    date(2023, 11, 12),
    date(2024, 1, 20),
    date(2024, 3, 2),
    date(2024, 5, 18),
    date(2025, 2, 1),
    date(2026, 2, 1),
    date(2026, 11, 8),
}
WEEKDAY_MUHURAT = {date(2021, 11, 4), date(2022, 10, 24), date(2024, 11, 1), date(2025, 10, 21)}


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp()) * 1_000_000_000


def days(since: date, until: date) -> list[date]:
    return [since + timedelta(days=n) for n in range((until - since).days + 1)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pandas on its own behalf, inside exchange_calendars
def test_trading_days_equal_the_oracle_apart_from_sessions_it_lacks() -> None:
    import exchange_calendars

    oracle = exchange_calendars.get_calendar("XBOM", start="2019-01-01", end="2026-12-31")
    theirs = {session.date() for session in oracle.sessions}
    ours = {day for day in days(date(2019, 1, 1), date(2026, 12, 31)) if SHIPPED.is_trading_day(day)}
    assert ours - theirs == WEEKEND_SESSIONS | WEEKDAY_MUHURAT
    assert theirs - ours == set()


def test_trading_days_equal_the_days_with_an_exchange_file() -> None:
    path = shared_data("daily", "raw_nse_bhavdata_TCS.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        traded = {date.fromisoformat(row["Date"]) for row in csv.DictReader(file)}
    whole = days(date(2019, 10, 1), date(2026, 8, 21))
    # the collection lacks two days that did trade: the muhurat of 2021 and 2022-08-08
    traded |= {date(2021, 11, 4), date(2022, 8, 8)}
    assert {day for day in whole if SHIPPED.is_trading_day(day)} == {day for day in traded if day >= whole[0]}


def test_holidays_equal_the_transcribed_circulars() -> None:
    data = json.loads(shared_data("holidays", "nse_trading_holidays_2024_2026.json").read_text(encoding="utf-8"))
    for year, rows in data["weekday_closures"].items():
        closed = {date.fromisoformat(row["date"]) for row in rows}
        weekdays = [day for day in days(date(int(year), 1, 1), date(int(year), 12, 31)) if day.weekday() < 5]
        assert {day for day in weekdays if not SHIPPED.is_trading_day(day)} == closed - WEEKDAY_MUHURAT
    for row in data["special_sessions"]:
        assert SHIPPED.is_trading_day(date.fromisoformat(row["date"])), row


@pytest.mark.parametrize(
    ("segment", "cas", "moment", "phase"),
    [
        (EQUITY, False, "2026-07-31T08:59:59", Phase.CLOSED),
        (EQUITY, False, "2026-07-31T09:00:00", Phase.PRE_OPEN),
        (EQUITY, False, "2026-07-31T09:14:59", Phase.PRE_OPEN),
        (EQUITY, False, "2026-07-31T09:15:00", Phase.CONTINUOUS),
        (EQUITY, True, "2026-07-31T15:29:59", Phase.CONTINUOUS),
        (EQUITY, True, "2026-07-31T15:30:00", Phase.CLOSED),
        (EQUITY, False, "2026-07-31T15:40:00", Phase.POST_CLOSE),
        (EQUITY, True, "2026-08-03T15:14:59", Phase.CONTINUOUS),
        (EQUITY, True, "2026-08-03T15:15:00", Phase.CLOSING_AUCTION),
        (EQUITY, True, "2026-08-03T15:34:59", Phase.CLOSING_AUCTION),
        (EQUITY, True, "2026-08-03T15:35:00", Phase.CLOSED),
        (EQUITY, True, "2026-08-03T15:50:00", Phase.POST_CLOSE),
        (EQUITY, False, "2026-08-03T15:29:59", Phase.CONTINUOUS),
        (EQUITY, False, "2026-08-03T15:30:00", Phase.CLOSED),
        (OPTIONS, False, "2026-07-31T15:30:00", Phase.CLOSED),
        (OPTIONS, True, "2026-08-03T15:39:59", Phase.CONTINUOUS),
        (FUTURES, False, "2026-08-03T15:40:00", Phase.CLOSED),
        (FUTURES, False, "2025-12-05T09:05:00", Phase.CLOSED),
        (FUTURES, False, "2025-12-08T09:05:00", Phase.PRE_OPEN),
        (OPTIONS, False, "2025-12-08T09:05:00", Phase.CLOSED),
        (INDEX, False, "2026-08-03T15:20:00", Phase.CLOSING_AUCTION),
        (EQUITY, False, "2026-08-01T10:00:00", Phase.CLOSED),  # a Saturday
        (EQUITY, False, "2026-11-24T10:00:00", Phase.CLOSED),  # Guru Nanak
        (EQUITY, False, "2025-10-21T10:00:00", Phase.CLOSED),  # muhurat in the afternoon
        (EQUITY, False, "2025-10-21T13:30:00", Phase.PRE_OPEN),
        (OPTIONS, False, "2025-10-21T14:44:59", Phase.CONTINUOUS),
        (EQUITY, False, "2024-03-02T10:30:00", Phase.CLOSED),  # between the halves of a drill
        (EQUITY, False, "2024-03-02T12:00:00", Phase.CONTINUOUS),
        (EQUITY, False, "2026-02-01T15:29:59", Phase.CONTINUOUS),  # Budget Sunday
        (EQUITY, False, "2026-11-08T18:30:00", Phase.UNKNOWN),  # muhurat whose hours nobody published
        (EQUITY, False, "2027-01-04T10:00:00", Phase.UNKNOWN),
        (EQUITY, False, "2027-01-26T10:00:00", Phase.UNKNOWN),
        (EQUITY, False, "2018-12-31T10:00:00", Phase.UNKNOWN),
        (Segment.COMMODITY, False, "2026-03-06T23:50:00", Phase.CONTINUOUS),
        (Segment.COMMODITY, False, "2026-03-09T23:30:00", Phase.CLOSED),
        (Segment.COMMODITY, False, "2026-03-26T16:59:59", Phase.CLOSED),  # morning closed, evening open
        (Segment.COMMODITY, False, "2026-03-26T17:00:00", Phase.CONTINUOUS),
        (Segment.COMMODITY, False, "2026-01-01T18:00:00", Phase.CLOSED),
        (Segment.CURRENCY, False, "2026-03-06T10:00:00", Phase.UNKNOWN),
    ],
)
def test_phases(segment: Segment, cas: bool, moment: str, phase: Phase) -> None:
    assert SHIPPED.phase(segment, at(moment), cas=cas) is phase


@given(st.datetimes(datetime(2018, 1, 1), datetime(2027, 12, 31)), st.sampled_from(list(Segment)), st.booleans())  # noqa: DTZ001
def test_windows_and_phase_say_the_same(moment: datetime, segment: Segment, cas: bool) -> None:
    now = at(moment.isoformat())
    windows = SHIPPED.continuous_windows(segment, ist_date(now), cas=cas)
    phase = SHIPPED.phase(segment, now, cas=cas)
    if windows is None:
        assert phase is Phase.UNKNOWN
    else:
        inside = any(start <= now // 1_000_000_000 < end for start, end in windows)
        assert inside is (phase is Phase.CONTINUOUS)


def test_a_day_in_epoch_seconds() -> None:
    assert midnight_seconds(date(2026, 9, 11)) == 1789065000
    # the excerpt of a real auction day: 15:15 is 1789119900
    assert SHIPPED.continuous_windows(EQUITY, date(2026, 9, 11), cas=True) == ((1789098300, 1789119900),)
    assert SHIPPED.continuous_windows(EQUITY, date(2026, 9, 12)) == ()
    assert SHIPPED.continuous_windows(EQUITY, date(2027, 1, 4)) is None


def test_the_auction_makes_candles_and_post_close_does_not() -> None:
    auction = date(2026, 9, 11)
    assert SHIPPED.candle_window(EQUITY, auction, cas=True) == (1789098300, at("2026-09-11T15:35:00") // 10**9)
    assert SHIPPED.candle_window(EQUITY, auction) == (1789098300, at("2026-09-11T15:30:00") // 10**9)
    assert SHIPPED.candle_window(EQUITY, date(2026, 9, 12)) is None
    assert SHIPPED.candle_window(EQUITY, date(2027, 1, 4)) is None
    assert AlwaysOpen().candle_window(EQUITY, auction) == (1789065000, 1789065000 + 86_400)


def test_session_start_and_end() -> None:
    now = at("2026-08-03T03:00:00")
    assert SHIPPED.session_start(EQUITY, now, cas=True) == at("2026-08-03T09:15:00")
    assert SHIPPED.session_end(EQUITY, now, cas=True) == at("2026-08-03T15:15:00")
    assert SHIPPED.session_end(OPTIONS, now) == at("2026-08-03T15:40:00")
    assert SHIPPED.session_start(EQUITY, at("2026-08-02T10:00:00")) is None
    assert SHIPPED.session_end(EQUITY, at("2027-01-04T10:00:00")) is None


def test_neighbouring_trading_days() -> None:
    assert SHIPPED.next_trading_day(date(2026, 11, 21)) == date(2026, 11, 23)
    assert SHIPPED.next_trading_day(date(2026, 11, 23)) == date(2026, 11, 25)
    assert SHIPPED.next_trading_day(date(2026, 12, 31)) is None, "2027 is not published"


def test_words_for_a_closed_day() -> None:
    assert SHIPPED.why_closed(date(2026, 11, 24)) == "Prakash Gurpurb Sri Guru Nanak Dev"
    assert SHIPPED.why_closed(date(2026, 11, 21)) == "weekend"
    assert SHIPPED.why_closed(date(2026, 11, 23)) == ""
    assert SHIPPED.why_closed(date(2027, 1, 4)) == "no published calendar covers 2027-01-04"
    assert SHIPPED.known_until() == date(2026, 12, 31)
    assert SHIPPED.known_until(Segment.CURRENCY) is None


def test_a_market_without_a_file_is_unknown() -> None:
    empty = TradingCalendar.parse()
    assert empty.day_kind(date(2026, 8, 3)) is DayKind.UNKNOWN
    assert empty.phase(EQUITY, at("2026-08-03T10:00:00")) is Phase.UNKNOWN
    assert empty.known_until() is None


def test_the_market_that_never_closes() -> None:
    calendar: Calendar = AlwaysOpen()
    now = at("2027-01-03T02:00:00")
    assert calendar.phase(EQUITY, now) is Phase.CONTINUOUS
    assert calendar.session_start(EQUITY, now) == at("2027-01-03T00:00:00")
    assert calendar.session_end(EQUITY, now) == at("2027-01-04T00:00:00")
    assert calendar.continuous_windows(EQUITY, date(2027, 1, 3)) == (
        (at("2027-01-03T00:00:00") // 10**9, at("2027-01-04T00:00:00") // 10**9),
    )
    assert calendar.day_kind(date(2027, 1, 3)) is DayKind.TRADING


def _file(**changes: object) -> str:
    good: dict[str, object] = {
        "as_of": "2026-11-21",
        "source": "",
        "segments": ["equity"],
        "known": [["2026-01-01", "2026-12-31"]],
        "holidays": {},
        "special": {},
        "hours": [{"segment": "equity", "from": "2026-06-01", "to": "", "phases": [["09:15", "15:30", "continuous"]]}],
    }
    return json.dumps(good | changes)


def test_hours_that_nobody_wrote_down_are_unknown() -> None:
    calendar = TradingCalendar.parse(_file())
    assert calendar.phase(EQUITY, at("2026-05-29T10:00:00")) is Phase.UNKNOWN
    assert calendar.phase(EQUITY, at("2026-06-01T10:00:00")) is Phase.CONTINUOUS


@pytest.mark.parametrize(
    "texts",
    [
        ["{"],
        ["[]"],
        ["{}"],
        [_file(), _file()],
        [_file(segments=["equity", "index"])],
        [_file(known=[["2026-13-01", "2026-12-31"]])],
        [
            _file(
                hours=[
                    {"segment": "equity", "from": "2026-06-01", "to": "", "phases": [["15:30", "09:15", "continuous"]]}
                ]
            )
        ],
    ],
)
def test_a_broken_file_is_refused(texts: list[str]) -> None:
    with pytest.raises(BadCalendar):
        TradingCalendar.parse(*texts)
