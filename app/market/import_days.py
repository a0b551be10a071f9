"""When a list is due (D5). Pure."""

from __future__ import annotations

from datetime import timedelta

from app.domain.ids import Nanos
from app.runtime.clock import to_datetime


def list_day(now: Nanos, hour: int, minute: int) -> str:
    """The day whose list is the newest at a moment: it begins at that time in India, not at midnight. ISO date.

    A list is due when the last one's day is another, earlier or later: a clock that was wrong is put right with it.
    """
    return (to_datetime(now) - timedelta(hours=hour, minutes=minute)).date().isoformat()
