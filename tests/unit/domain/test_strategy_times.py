"""When a strategy buys and sells: sessions, the closing auction, half days, special sessions, holidays."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from app.domain.calendar import IST, AlwaysOpen, TradingCalendar
from app.domain.ids import AccountId, InstrumentId, Nanos, StrategyId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.order import Side
from app.domain.strategy import Days, DaysKind, Level, Measure, StrategyPlan
from app.domain.strategy_times import cycle_on, exit_instant, next_cycle

FILES = sorted((Path(__file__).resolve().parents[3] / "resources" / "calendar").glob("*.json"))
CALENDAR = TradingCalendar.parse(*(file.read_text(encoding="utf-8") for file in FILES))
SHARE = Instrument(InstrumentId("NSE:INFY"), 1, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "INFOSYS", 5, 1)
FUTURE = Instrument(
    InstrumentId("NFO:NIFTY26DECFUT"), 2, Exchange.NFO, Segment.FUTURES, InstrumentKind.FUTURE, "NIFTY", 10, 65
)


def at(day: str, clock: str) -> Nanos:
    return int(datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=IST).timestamp()) * 1_000_000_000


def second(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def plan(entry: str = "09:20", leave: str = "15:00", days: Days = Days(), carry: int = 0) -> StrategyPlan:  # noqa: B008
    return StrategyPlan(
        StrategyId("X"), "", AccountId("zerodha-X"), SHARE.id, Product.MIS, Side.BUY, 1, second(entry), second(leave),
        days, carry,
    )  # fmt: skip


def test_the_next_buy_is_today_until_its_time_has_come_then_the_next_trading_day() -> None:
    for now, day in (("09:19", "2026-11-25"), ("09:20", "2026-11-26")):
        found = next_cycle(plan(), SHARE, CALENDAR, at("2026-11-25", now), cas=False).cycle
        assert found is not None
        assert (found.entry_at, found.exit_at) == (at(day, "09:20"), at(day, "15:00"))


def test_holidays_and_weekends_are_passed_over_and_holidays_are_named() -> None:
    outlook = next_cycle(plan(), SHARE, CALENDAR, at("2026-11-23", "10:00"), cas=False)  # Tuesday is a holiday
    assert outlook.cycle is not None
    assert outlook.cycle.day == date(2026, 11, 25)
    assert outlook.skipped == ("Tue 24 Nov: holiday.",)
    friday = next_cycle(plan(), SHARE, CALENDAR, at("2026-11-27", "10:00"), cas=False)
    assert friday.cycle is not None
    assert (friday.cycle.day, friday.skipped) == (date(2026, 11, 30), ())


def test_weekdays_and_dates_choose_among_trading_days() -> None:
    tuesdays = plan(days=Days(DaysKind.WEEKDAYS, weekdays=(1,)))
    found = next_cycle(tuesdays, SHARE, CALENDAR, at("2026-11-23", "10:00"), cas=False).cycle
    assert found is not None
    assert found.day == date(2026, 12, 1)  # the 24th is a holiday
    dates = plan(days=Days(DaysKind.DATES, dates=(date(2026, 11, 24), date(2026, 12, 3))))
    found = next_cycle(dates, SHARE, CALENDAR, at("2026-11-23", "10:00"), cas=False).cycle
    assert found is not None
    assert found.day == date(2026, 12, 3)
    assert next_cycle(dates, SHARE, CALENDAR, at("2026-12-03", "10:00"), cas=False).cycle is None


def test_a_sell_time_in_the_closing_auction_is_moved_before_it_and_said() -> None:
    late = plan(leave="15:20")
    auction = next_cycle(late, SHARE, CALENDAR, at("2026-11-25", "09:00"), cas=True).cycle
    assert auction is not None
    assert auction.exit_at == at("2026-11-25", "15:13")
    assert auction.words == "Wed 25 Nov trades 09:15 to 15:15: leaves at 15:13 instead of 15:20."
    for instrument in (SHARE, FUTURE):  # these trade on
        found = next_cycle(late, instrument, CALENDAR, at("2026-11-25", "09:00"), cas=False).cycle
        assert found is not None
        assert (found.exit_at, found.words) == (at("2026-11-25", "15:20"), "")


def test_a_special_session_that_does_not_hold_the_buy_time_is_passed_over_in_words() -> None:
    outlook = next_cycle(plan(), SHARE, CALENDAR, at("2025-10-20", "10:00"), cas=False)
    assert outlook.cycle is not None
    assert outlook.cycle.day == date(2025, 10, 23)
    assert outlook.skipped == (
        "Tue 21 Oct: it trades 13:45 to 14:45, the entry at 09:20 lies outside.",
        "Wed 22 Oct: holiday.",
    )
    inside = next_cycle(plan("13:50"), SHARE, CALENDAR, at("2025-10-20", "14:00"), cas=False).cycle
    assert inside is not None
    assert (inside.day, inside.exit_at) == (date(2025, 10, 21), at("2025-10-21", "14:43"))


def test_a_session_whose_hours_were_not_announced_is_no_day_to_buy_on() -> None:
    outlook = next_cycle(plan(), SHARE, CALENDAR, at("2026-11-07", "10:00"), cas=False)
    assert outlook.cycle is not None
    assert outlook.cycle.day == date(2026, 11, 9)
    assert outlook.skipped == ("Sun 08 Nov: its hours were not announced.",)


def test_a_half_day_with_a_break_moves_a_sell_time_to_when_trading_goes_on() -> None:
    day = date(2024, 3, 2)  # 09:15 to 10:00, 11:30 to 12:30
    for asked, leaves in (("09:45", "09:45"), ("10:30", "11:30"), ("12:00", "12:00"), ("15:00", "12:28")):
        found, _ = exit_instant(plan(leave=asked), SHARE, CALENDAR, day, cas=False)
        assert found == at("2024-03-02", leaves), asked


def test_a_day_on_which_the_exit_cannot_follow_the_entry_is_none() -> None:
    told = cycle_on(plan("15:14", "15:20"), SHARE, CALENDAR, date(2026, 11, 25), cas=True)
    assert told == "trading ends before the exit could follow the entry at 15:14."


def test_what_is_carried_leaves_on_the_next_trading_day_whatever_lies_between() -> None:
    carried = plan("15:00", "09:30", carry=1)
    found = next_cycle(carried, SHARE, CALENDAR, at("2026-11-23", "10:00"), cas=False).cycle
    assert found is not None
    assert (found.entry_at, found.exit_at) == (at("2026-11-23", "15:00"), at("2026-11-25", "09:30"))


def test_beyond_the_published_lists_nothing_is_bought_and_what_is_held_is_still_sold() -> None:
    outlook = next_cycle(plan(), SHARE, CALENDAR, at("2026-12-31", "10:00"), cas=False)
    assert outlook.cycle is None
    assert outlook.skipped == ("No published calendar covers 01 Jan 2027.",)
    carried = plan("15:00", "09:30", carry=1)
    assert exit_instant(carried, SHARE, CALENDAR, date(2026, 12, 31), cas=False) == (at("2027-01-01", "09:30"), "")


def test_an_exchange_that_never_closes_has_every_day() -> None:
    found = next_cycle(plan("20:00", "20:05"), SHARE, AlwaysOpen(), at("2026-11-22", "10:00"), cas=False).cycle
    assert found is not None
    assert (found.entry_at, found.exit_at) == (at("2026-11-22", "20:00"), at("2026-11-22", "20:05"))


@pytest.mark.parametrize(
    ("level", "side", "stop", "target"),
    [
        (Level(Measure.PERCENT, 100), Side.BUY, 99_000, 101_000),
        (Level(Measure.PERCENT, 100), Side.SELL, 101_000, 99_000),
        (Level(Measure.POINTS, 333), Side.BUY, 99_670, 100_330),
        (Level(Measure.POINTS, 333), Side.SELL, 100_330, 99_670),
        (Level(Measure.PRICE, 98_000), Side.BUY, 98_000, 98_000),
    ],
)
def test_levels_lie_where_they_were_asked_and_never_risk_more(level: Level, side: Side, stop: int, target: int) -> None:
    asked = replace(plan(), side=side, stop=level, target=level)
    assert (asked.stop_price(100_000, 10), asked.target_price(100_000, 10)) == (stop, target)
