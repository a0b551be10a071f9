"""Which ticks may fire a stop, by the shipped calendar."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path

import pytest

from app.desk.hours import TradingHours
from app.domain.calendar import IST, AlwaysOpen, TradingCalendar
from app.domain.errors import Denied
from app.domain.ids import InstrumentId
from app.domain.instrument import Exchange, Instrument, Segment
from app.domain.stop import TimeExit
from app.market.lane import QUIET_SECONDS, SILENT_SECONDS
from tests.fakes.trading import INFY, OPTION

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


def test_what_was_answered_is_asked_anew_when_the_calendar_or_the_instruments_change() -> None:
    auctions = False
    found = TradingHours(CALENDAR, {INFY.id: INFY}.get, lambda _: auctions)
    late, day = at("2026-11-25T15:20:00"), at("2026-11-25T10:00:00")
    assert found.counts(INFY.id, late, late * 10**9)
    auctions = True  # its futures are known now: its day ends with the closing auction
    found.forget()
    assert not found.counts(INFY.id, late, late * 10**9)
    assert found.counts(INFY.id, day, day * 10**9)
    found.follow(AlwaysOpen())
    assert found.counts(INFY.id, late, late * 10**9)


CRUDE = replace(OPTION, id=InstrumentId("MCX:CRUDEOIL26DECFUT"), exchange=Exchange.MCX, segment=Segment.COMMODITY)
DOLLAR = replace(OPTION, id=InstrumentId("CDS:USDINR26DECFUT"), exchange=Exchange.CDS, segment=Segment.CURRENCY)


def all_markets() -> TradingHours:
    return TradingHours(CALENDAR, {one.id: one for one in (INFY, CRUDE, DOLLAR)}.get, lambda _: False)


@pytest.mark.parametrize(
    ("moment", "fires"),
    [
        ("2026-11-26T08:59:00", False),
        ("2026-11-26T11:00:00", True),
        ("2026-11-26T16:59:00", True),
        ("2026-11-26T17:00:00", False),
    ],
)
def test_a_stop_on_a_currency_fires_in_its_hours_though_no_list_of_its_days_is_there(moment: str, fires: bool) -> None:
    assert all_markets().counts(DOLLAR.id, at(moment), at(moment) * 10**9) is fires


@pytest.mark.parametrize(
    ("moment", "carried", "patience"),
    [
        ("2026-11-26T11:00:00", INFY, SILENT_SECONDS),
        ("2026-11-26T11:00:00", CRUDE, SILENT_SECONDS),  # an index on the same connection moves
        ("2026-11-26T20:00:00", INFY, None),
        ("2026-11-26T20:00:00", CRUDE, QUIET_SECONDS),
        ("2026-11-26T23:54:59", CRUDE, QUIET_SECONDS),
        ("2026-11-26T23:55:00", CRUDE, None),
        ("2026-11-24T20:00:00", CRUDE, QUIET_SECONDS),  # a holiday of shares, the evening session of MCX
        ("2026-11-26T09:05:00", DOLLAR, QUIET_SECONDS),
        ("2026-11-28T11:00:00", DOLLAR, None),  # Saturday
        ("2027-01-02T11:00:00", INFY, None),  # Saturday, and no list covers it
        ("2027-01-04T11:00:00", INFY, SILENT_SECONDS),
        ("2027-01-04T20:00:00", CRUDE, QUIET_SECONDS),
    ],
)
def test_silence_means_something_while_anything_that_is_carried_trades(
    moment: str, carried: Instrument, patience: float | None
) -> None:
    assert all_markets().patience([carried.id], at(moment) * 10**9) == patience
    if carried is not INFY:
        assert all_markets().trades(carried.id, at(moment) * 10**9) is (patience is not None)


OPTION_OF_INDEX = replace(OPTION, name="NIFTY")


@pytest.mark.parametrize(
    ("instrument", "auction", "plan", "armed", "leaves"),
    [
        (INFY, False, TimeExit(time(15, 10)), "2026-11-25T10:00:00", "2026-11-25T15:10:00"),
        (INFY, False, TimeExit(time(15, 10)), "2026-11-25T15:10:00", "2026-11-26T15:10:00"),
        (INFY, False, TimeExit(time(15, 10)), "2026-11-27T16:00:00", "2026-11-30T15:10:00"),  # over the weekend
        (INFY, True, TimeExit(time(15, 25)), "2026-11-25T10:00:00", "2026-11-25T15:14:00"),  # before the auction
        (INFY, True, TimeExit(before_end=5), "2026-11-25T10:00:00", "2026-11-25T15:10:00"),
        (OPTION_OF_INDEX, False, TimeExit(before_end=5), "2026-11-25T10:00:00", "2026-11-25T15:35:00"),
        (INFY, False, TimeExit(time(3, 0)), "2026-11-25T16:00:00", "2026-11-26T09:15:00"),
        (INFY, False, TimeExit(time(9, 20), day=date(2026, 11, 26)), "2026-11-25T10:00:00", "2026-11-26T09:20:00"),
    ],
)
def test_a_time_exit_comes_within_continuous_trading(
    instrument: Instrument, auction: bool, plan: TimeExit, armed: str, leaves: str
) -> None:
    found = TradingHours(CALENDAR, {instrument.id: instrument}.get, lambda _: auction)
    assert found.exit_at(instrument, plan, at(armed) * 10**9) == at(leaves) * 10**9


@pytest.mark.parametrize("day", [date(2026, 11, 24), date(2026, 11, 28)], ids=["over", "a Saturday"])
def test_a_time_exit_that_cannot_come_is_denied(day: date) -> None:
    with pytest.raises(Denied, match="time of the exit"):
        hours().exit_at(INFY, TimeExit(time(10, 0), day=day), at("2026-11-25T10:00:00") * 10**9)
