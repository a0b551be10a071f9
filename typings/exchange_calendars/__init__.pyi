"""The little of exchange_calendars that the tests use as an oracle."""

from collections.abc import Iterable
from datetime import datetime

class ExchangeCalendar:
    sessions: Iterable[datetime]

def get_calendar(name: str, start: str = ..., end: str = ...) -> ExchangeCalendar: ...
