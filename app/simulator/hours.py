"""When the paper exchange trades a listing, for feeds that are not always in session. Weekends are closed.

Shares 09:15 to 15:30; derivatives to 15:30, since 2026-08-03 to 15:40 (reference 4.3). A recorded day brings its own
ticks; these hours only say when orders are taken.
"""

from __future__ import annotations

from datetime import date, datetime, time

from app.simulator.listing import Listing

OPENS = time(9, 15)
SHARES_CLOSE = time(15, 30)
DERIVATIVES_CLOSE = ((date(2026, 8, 3), time(15, 40)), (date.min, time(15, 30)))
_SATURDAY = 5


def is_open(listing: Listing, now: datetime) -> bool:
    """Whether orders are taken at this moment."""
    if now.weekday() >= _SATURDAY:
        return False
    closes = SHARES_CLOSE
    if listing.underlying:
        closes = next(until for since, until in DERIVATIVES_CLOSE if now.date() >= since)
    return OPENS <= now.time() < closes
