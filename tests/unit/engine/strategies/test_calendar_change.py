"""The calendar changes under a running strategy: its day is planned anew, and that is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path

from app.domain.calendar import AlwaysOpen, DayNews, TradingCalendar
from app.domain.instrument import Segment
from app.domain.strategy import Days, DaysKind
from tests.unit.engine.strategies.stage import PLAN, S, Stage, at, play, second

FILES = sorted((Path(__file__).resolve().parents[4] / "resources" / "calendar").glob("*.json"))
PUBLISHED = TradingCalendar.parse(*(file.read_text(encoding="utf-8") for file in FILES))
LATE = replace(PLAN, exit_second=second("15:20"))
SUNDAY = date(2026, 11, 8)
"""A session whose hours were not announced."""


def test_times_follow_the_closing_auction_of_the_instrument() -> None:
    async def script(stage: Stage) -> None:
        stage.hours.calendar, stage.hours.cas = PUBLISHED, True
        waiting = await stage.started(LATE)
        assert waiting.exit_at == at("2026-11-25 15:13")
        assert "leaves at 15:13 instead of 15:20" in waiting.note

    play(script)


def test_the_end_of_the_published_calendar_is_said_once_and_the_next_list_has_it_go_on() -> None:
    async def script(stage: Stage) -> None:
        stage.hours.calendar = PUBLISHED
        stage.clock.jump(at("2026-12-31 09:19"))
        await stage.started()
        await stage.until(S.SOLD)
        before = len(stage.notices)
        stage.clock.jump(at("2027-01-01 09:00"))
        await asyncio.sleep(3 * 86_400)
        assert stage.notices[before:] == [
            "It makes no entries, no day follows. No published calendar covers 01 Jan 2027."
        ]
        stage.hours.calendar = AlwaysOpen()
        await stage.until(S.WAITING)

    play(script)


def test_a_day_that_is_closed_after_all_is_passed_over_and_said() -> None:
    async def script(stage: Stage) -> None:
        stage.hours.calendar = PUBLISHED
        await stage.started()
        stage.clock.jump(at("2026-11-25 16:00"))
        await stage.true(lambda: stage.engine.strategy(PLAN.id).day != date(2026, 11, 25))
        closed = DayNews(date(2026, 11, 26), Segment.EQUITY, "state mourning", ())
        stage.hours.calendar, taken = PUBLISHED.with_news([closed], date(2026, 11, 25))
        assert taken
        found = await stage.true(lambda: (s := stage.engine.strategy(PLAN.id)).day == date(2026, 11, 27) and s)
        assert found.state is S.WAITING
        assert any("26 Nov" in words for words in stage.notices)

    play(script)


def test_hours_that_are_announced_make_a_day_to_buy_on_and_move_its_sell_time() -> None:
    async def script(stage: Stage) -> None:
        stage.hours.calendar = PUBLISHED
        sundays = replace(PLAN, entry_second=second("18:20"), exit_second=second("19:30"), days=Days(
            DaysKind.DATES, dates=(SUNDAY, date(2026, 12, 24)),
        ))  # fmt: skip
        told = stage.engine.outlook(sundays)
        assert told.cycle is None
        assert "hours were not announced" in told.skipped[0]
        evening = DayNews(SUNDAY, Segment.EQUITY, "muhurat", ((second("18:15"), second("19:15")),))
        stage.hours.calendar, _ = PUBLISHED.with_news([evening], date(2026, 11, 6))
        cycle = stage.engine.outlook(sundays).cycle
        assert cycle is not None
        assert (cycle.entry_at, cycle.exit_at) == (at("2026-11-08 18:20"), at("2026-11-08 19:13"))

    play(script, now="2026-11-06 16:00")


def test_an_exchange_that_opens_its_doors_for_good_moves_the_exit_of_what_is_held() -> None:
    async def script(stage: Stage) -> None:
        stage.hours.calendar, stage.hours.cas = PUBLISHED, True
        await stage.bought(LATE)
        assert stage.engine.strategy(LATE.id).exit_at == at("2026-11-25 15:13")
        stage.hours.cas = False
        stage.hours.calendar = TradingCalendar.parse(*(file.read_text(encoding="utf-8") for file in FILES))
        await stage.true(lambda: stage.engine.strategy(LATE.id).exit_at == at("2026-11-25 15:20"))
        assert stage.engine.strategy(LATE.id).state is S.BOUGHT

    play(script)
