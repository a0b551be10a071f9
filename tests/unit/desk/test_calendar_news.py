"""What a broker's holidays change in the calendar, and what they may never change."""

from __future__ import annotations

from datetime import date, datetime, time

from app.brokers.parts import HolidayKind, MarketDay, SessionTiming
from app.desk.calendar_news import news_of
from app.domain.calendar import IST, DayKind, DayNews, TradingCalendar, midnight_seconds
from app.domain.instrument import Segment
from app.runtime.clock import from_datetime
from app.runtime.paths import resource

SHIPPED = TradingCalendar.parse(*(f.read_text("utf-8") for f in sorted(resource("calendar").glob("*.json"))))
TODAY = date(2026, 11, 25)
THURSDAY, CHRISTMAS, MUHURAT = date(2026, 11, 26), date(2026, 12, 25), date(2026, 11, 8)


def session(on: date, code: str, start: time, end: time) -> SessionTiming:
    moments = (from_datetime(datetime.combine(on, at, tzinfo=IST)) for at in (start, end))
    return SessionTiming(code, *moments)


def day(on: date, *closed: str, opened: tuple[SessionTiming, ...] = (), kind: HolidayKind | None = None) -> MarketDay:
    return MarketDay(on, "as told", kind or HolidayKind.TRADING_HOLIDAY, closed, opened)


def test_a_new_holiday_closes_its_market_and_no_other() -> None:
    told = news_of([day(THURSDAY, "NSE", "BSE", "NFO")])
    calendar, taken = SHIPPED.with_news(told, TODAY)
    assert taken == (DayNews(THURSDAY, Segment.EQUITY, "as told", ()),) == calendar.news
    assert calendar.day_kind(THURSDAY, Segment.EQUITY) is DayKind.CLOSED
    assert calendar.day_kind(THURSDAY, Segment.OPTIONS) is DayKind.CLOSED
    assert calendar.day_kind(THURSDAY, Segment.COMMODITY) is DayKind.TRADING
    assert calendar.why_closed(THURSDAY) == "as told"
    assert SHIPPED.day_kind(THURSDAY, Segment.EQUITY) is DayKind.TRADING


def test_no_word_of_a_broker_closes_the_market_today_or_changes_the_past() -> None:
    told = news_of([day(TODAY, "NSE"), day(date(2026, 11, 23), "NSE")])
    calendar, taken = SHIPPED.with_news(told, TODAY)
    assert (calendar, taken) == (SHIPPED, ())


def test_hours_that_were_not_announced_are_filled_in() -> None:
    assert SHIPPED.continuous_windows(Segment.EQUITY, MUHURAT) is None
    evening = session(MUHURAT, "NSE", time(18, 0), time(19, 0))
    told = news_of([day(MUHURAT, opened=(evening,), kind=HolidayKind.SPECIAL_TIMING)])
    calendar, taken = SHIPPED.with_news(told, date(2026, 11, 6))
    midnight = midnight_seconds(MUHURAT)
    assert len(taken) == 1
    assert calendar.continuous_windows(Segment.EQUITY, MUHURAT) == ((midnight + 64_800, midnight + 68_400),)


def test_a_session_on_a_holiday_that_we_did_not_know_of_is_taken_also_today() -> None:
    saturday = date(2026, 11, 28)
    told = news_of([day(saturday, opened=(session(saturday, "NSE", time(9, 15), time(12, 30)),))])
    calendar, _ = SHIPPED.with_news(told, saturday)
    assert calendar.day_kind(saturday) is DayKind.TRADING


def test_hours_on_file_stand_and_settlement_holidays_are_trading_days() -> None:
    short = session(THURSDAY, "NSE", time(9, 15), time(10, 0))
    told = news_of(
        [
            day(THURSDAY, opened=(short,), kind=HolidayKind.SPECIAL_TIMING),
            day(date(2026, 11, 27), "NSE", kind=HolidayKind.SETTLEMENT_HOLIDAY),
            day(CHRISTMAS, "NSE", "MCX"),
        ]
    )
    assert [one.on for one in told] == [THURSDAY, CHRISTMAS, CHRISTMAS]
    calendar, taken = SHIPPED.with_news(told, TODAY)
    assert (calendar, taken) == (SHIPPED, ())
