from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.simulator.clock import IST, ExchangeClock, session_start


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        ("2026-11-22T19:30:00+05:30", "2026-11-20T10:00:00+05:30"),  # a Sunday evening
        ("2026-11-21T02:00:00+05:30", "2026-11-20T10:00:00+05:30"),  # Saturday before dawn
        ("2026-11-20T23:59:00+05:30", "2026-11-20T10:00:00+05:30"),
        ("2026-11-23T00:30:00+05:30", "2026-11-23T10:00:00+05:30"),  # Monday, though still Sunday in UTC
        ("2026-11-22T18:45:00+00:00", "2026-11-23T10:00:00+05:30"),  # the same instant's day in India
    ],
)
def test_unset_clock_starts_in_session_on_the_latest_weekday(real: str, expected: str) -> None:
    assert session_start(datetime.fromisoformat(real)) == datetime.fromisoformat(expected)


def test_runs_from_its_start_and_reports_ist() -> None:
    clock = ExchangeClock(datetime(2026, 11, 20, 4, 30, tzinfo=UTC), speed=0)
    assert clock.now().isoformat() == "2026-11-20T10:00:00+05:30"
    assert clock.epoch() == 1795149000.0


def test_naive_start_is_indian_time() -> None:
    assert ExchangeClock(datetime(2026, 11, 20, 10, 0), speed=0).now().isoformat() == "2026-11-20T10:00:00+05:30"  # noqa: DTZ001 - the case under test


def test_without_start_it_shows_the_real_present() -> None:
    assert abs(ExchangeClock(speed=0).now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_changing_the_speed_does_not_move_the_present() -> None:
    clock = ExchangeClock(datetime(2026, 11, 20, 10, 0, tzinfo=IST), speed=0)
    clock.speed = 100.0
    clock.speed = 0.0
    ahead = clock.epoch() - datetime(2026, 11, 20, 10, 0, tzinfo=IST).timestamp()
    assert 0 <= ahead < 60


@pytest.mark.parametrize("speed", [-1.0, 10_001.0, float("nan")])
def test_refuses_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must lie"):
        ExchangeClock(speed=speed)


async def test_a_jump_over_the_end_wakes_a_sleeper() -> None:
    clock = ExchangeClock(datetime(2026, 11, 20, 10, 0, tzinfo=IST), speed=0)
    sleeper = asyncio.create_task(clock.sleep(3600))
    for _ in range(3):
        await asyncio.sleep(0)
    clock.set(datetime(2026, 11, 20, 10, 59, 59, tzinfo=IST))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not sleeper.done()
    clock.set(datetime(2026, 11, 20, 11, 0, tzinfo=IST))
    await asyncio.wait_for(sleeper, 5)
    assert clock.jumps == 2


async def test_a_fast_clock_sleeps_short() -> None:
    clock = ExchangeClock(datetime(2026, 11, 20, 10, 0, tzinfo=IST), speed=10_000)
    at = datetime(2026, 11, 20, 10, 5, tzinfo=IST)
    await asyncio.wait_for(clock.sleep_until(at), 5)
    assert clock.now() >= at


async def test_speeding_up_shortens_a_sleep_that_has_begun() -> None:
    clock = ExchangeClock(datetime(2026, 11, 20, 10, 0, tzinfo=IST), speed=1)
    sleeper = asyncio.create_task(clock.sleep(600))
    await asyncio.sleep(0)
    clock.speed = 10_000
    await asyncio.wait_for(sleeper, 5)
