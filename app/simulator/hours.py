"""When the paper exchange trades a listing, for feeds that are not always in session. Weekends are closed.

Shares 09:15 to 15:30; their derivatives to 15:30, since 2026-08-03 to 15:40 (reference 4.3). Commodities 09:00 to
23:30, to 23:55 while New York keeps winter time; currencies 09:00 to 17:00. A recorded day brings its own ticks; these
hours only say when orders are taken.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from app.simulator.listing import Listing

OPENS = time(9, 15)
SHARES_CLOSE = time(15, 30)
DERIVATIVES_CLOSE = ((date(2026, 8, 3), time(15, 40)), (date.min, time(15, 30)))
COMMODITIES = frozenset({"MCX", "NCO"})
CURRENCIES = frozenset({"CDS", "BCD"})
EARLY = time(9, 0)
COMMODITIES_CLOSE, COMMODITIES_WINTER_CLOSE = time(23, 30), time(23, 55)
CURRENCIES_CLOSE = time(17, 0)
_SATURDAY, _SUNDAY = 5, 6


def is_open(listing: Listing, now: datetime) -> bool:
    """Whether orders are taken at this moment."""
    if now.weekday() >= _SATURDAY:
        return False
    opens, closes = session(listing, now.date())
    return opens <= now.time() < closes


def session(listing: Listing, on: date) -> tuple[time, time]:
    """From when to when a listing trades on a trading day."""
    if listing.exchange in COMMODITIES:
        return EARLY, COMMODITIES_WINTER_CLOSE if is_new_york_winter(on) else COMMODITIES_CLOSE
    if listing.exchange in CURRENCIES:
        return EARLY, CURRENCIES_CLOSE
    if listing.underlying:
        return OPENS, next(until for since, until in DERIVATIVES_CLOSE if on >= since)
    return OPENS, SHARES_CLOSE


def is_new_york_winter(on: date) -> bool:
    """Standard time there: from the first Sunday of November to the second Sunday of March."""
    return not _sunday(date(on.year, 3, 8)) <= on < _sunday(date(on.year, 11, 1))


def _sunday(since: date) -> date:
    """The first one on or after a day."""
    return since + timedelta(days=(_SUNDAY - since.weekday()) % 7)
