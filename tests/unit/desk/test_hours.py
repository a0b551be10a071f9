"""Which ticks may fire a stop, by the shipped calendar."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from app.desk.hours import TradingHours
from app.domain.calendar import IST, AlwaysOpen, TradingCalendar
from app.domain.ids import InstrumentId
from tests.fakes.trading import INFY

FOLDER = Path(__file__).resolve().parents[3] / "resources" / "calendar"
CALENDAR = TradingCalendar.parse(*(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))))


def hours() -> TradingHours:
    return TradingHours(CALENDAR, {INFY.id: INFY}.get, lambda _: False)


def at(text: str) -> int:
    """Epoch seconds of a wall time in India."""
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp())


@pytest.mark.parametrize(
    ("tick", "now", "fires"),
    [
        ("2025-12-15T10:00:00", "2025-12-15T10:00:01", True),
        ("2025-12-15T09:15:00", "2025-12-15T09:15:00", True),
        ("2025-12-15T09:14:59", "2025-12-15T09:14:59", False),  # pre-open
        ("2025-12-15T09:07:00", "2025-12-15T09:15:30", False),  # the pre-open's last price, still shown
        ("2025-12-15T15:29:59", "2025-12-15T15:30:05", True),  # the last tick, a little late
        ("2025-12-15T15:30:00", "2025-12-15T15:30:00", False),
        ("2025-12-12T15:29:00", "2025-12-15T08:30:00", False),  # Friday's snapshot on Monday morning
        ("2025-12-12T15:29:00", "2025-12-15T09:20:00", False),
        ("2025-12-14T11:00:00", "2025-12-14T11:00:00", False),  # Sunday
        ("2025-12-15T09:15:01", "2025-12-15T09:14:40", True),  # our clock is behind
    ],
)
def test_only_a_tick_of_the_session_that_is_on_counts(tick: str, now: str, fires: bool) -> None:
    assert hours().counts(INFY.id, at(tick), at(now) * 10**9) is fires


def test_an_instrument_that_is_not_known_has_no_hours() -> None:
    assert not hours().counts(InstrumentId("NSE:GONE"), at("2025-12-15T10:00:00"), at("2025-12-15T10:00:00") * 10**9)


def test_a_market_that_never_closes_counts_always_but_not_yesterday() -> None:
    found = hours()
    found.follow(AlwaysOpen())
    assert found.counts(INFY.id, at("2025-12-14T03:00:00"), at("2025-12-14T03:00:01") * 10**9)
    assert not found.counts(INFY.id, at("2025-12-13T03:00:00"), at("2025-12-14T03:00:01") * 10**9)
