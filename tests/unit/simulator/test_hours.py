"""When the paper exchange takes orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest

from app.simulator.clock import IST
from app.simulator.hours import is_new_york_winter, is_open
from app.simulator.listing import Listing

SHARE = Listing(408065, 1594, "INFY", "INFOSYS", None, Decimal(0), 5, 1, "EQ", "NSE", "NSE")
FUTURE = Listing(2, 1, "NIFTY26DECFUT", "NIFTY", date(2026, 12, 29), Decimal(0), 10, 75, "FUT", "NFO-FUT", "NFO")
METAL = replace(FUTURE, token=7, name="LEADMINI", tradingsymbol="LEADMINI26DECFUT", exchange="MCX", segment="MCX-FUT")
DOLLAR = replace(FUTURE, token=3, name="USDINR", tradingsymbol="USDINR26DECFUT", exchange="CDS", segment="CDS-FUT")


@pytest.mark.parametrize(
    ("listing", "moment", "taken"),
    [
        (SHARE, "2026-11-20T09:14:59", False),
        (SHARE, "2026-11-20T09:15:00", True),
        (SHARE, "2026-11-20T15:30:00", False),
        (FUTURE, "2026-11-20T15:38:00", True),
        (FUTURE, "2026-11-20T15:40:00", False),
        (FUTURE, "2026-07-31T15:38:00", False),
        (METAL, "2026-11-20T09:00:00", True),
        (METAL, "2026-11-20T23:54:59", True),
        (METAL, "2026-10-20T23:20:00", True),
        (METAL, "2026-10-20T23:30:00", False),
        (DOLLAR, "2026-11-20T16:59:00", True),
        (DOLLAR, "2026-11-20T17:00:00", False),
        (METAL, "2026-11-21T12:00:00", False),  # a Saturday
    ],
)
def test_orders_are_taken_in_the_session_of_their_exchange(listing: Listing, moment: str, taken: bool) -> None:
    assert is_open(listing, datetime.fromisoformat(moment).replace(tzinfo=IST)) is taken


@pytest.mark.parametrize(
    ("day", "winter"),
    [("2026-03-07", True), ("2026-03-08", False), ("2026-10-31", False), ("2026-11-01", True), ("2027-01-15", True)],
)
def test_new_york_turns_its_clocks(day: str, winter: bool) -> None:
    assert is_new_york_winter(date.fromisoformat(day)) is winter
