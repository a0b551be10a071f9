"""When which market trades. Pure: the dated tables come as text from `resources/calendar/*.json`.

A date outside the published holiday lists is UNKNOWN, and so is a session whose hours were not announced: unknown is
never open. A tick counts for a stop only in the CONTINUOUS phase (F2). Whoever looks at every tick asks once a day for
`continuous_windows` and compares integers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, time, timedelta, timezone
from enum import StrEnum
from typing import Any, Final, Protocol

from app.domain.errors import AppError
from app.domain.ids import Nanos
from app.domain.instrument import Segment

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
"""The zone of all Indian exchanges; no daylight saving."""
IST_SECONDS: Final = 19_800
DAY_SECONDS: Final = 86_400
_NANOS: Final = 1_000_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

Window = tuple[int, int]
"""From, up to and not including; whole seconds since 1970 UTC."""


class Phase(StrEnum):
    """What a market is doing. Stops decide in CONTINUOUS only."""

    CLOSED = "closed"
    PRE_OPEN = "pre-open"
    CONTINUOUS = "continuous"
    CLOSING_AUCTION = "closing auction"
    POST_CLOSE = "post-close"
    UNKNOWN = "unknown"
    """No published list covers the day, or its hours were not announced."""


class DayKind(StrEnum):
    """Whether there is a session on a date."""

    TRADING = "trading"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class BadCalendar(AppError):
    """A calendar file that cannot be read."""

    default_next_step = "Reinstall Stopline, or correct the file that is named."


class Calendar(Protocol):
    """What callers need to know of a market's hours. `cas`: a share that ends its day in the closing auction."""

    def phase(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Phase:
        """What the segment is doing at a moment."""
        ...

    def continuous_windows(self, segment: Segment, on: date, *, cas: bool = False) -> tuple[Window, ...] | None:
        """When it trades continuously on a date; empty when closed, None when that is not known."""
        ...

    def usual_windows(self, segment: Segment, on: date, *, cas: bool = False) -> tuple[Window, ...]:
        """When it would trade continuously on a date, were that a day like any other: for days that are not known."""
        ...

    def candle_window(self, segment: Segment, on: date, *, cas: bool = False) -> Window | None:
        """Whose trades make candles: continuous trading and the closing auction; None without a known session."""
        ...

    def day_kind(self, on: date, segment: Segment = Segment.EQUITY) -> DayKind:
        """Whether there is a session on a date."""
        ...

    def session_start(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Nanos | None:
        """Start of continuous trading on the date of `at`; None without a known session."""
        ...

    def session_end(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Nanos | None:
        """End of continuous trading on the date of `at`; None without a known session."""
        ...


def ist_date(at: Nanos) -> date:
    """The calendar date in India at a moment."""
    return date.fromordinal(ist_ordinal(at // _NANOS))


def ist_ordinal(seconds: int) -> int:
    """The same of epoch seconds, as the number of the day that `date.toordinal` gives."""
    return _EPOCH_ORDINAL + (seconds + IST_SECONDS) // DAY_SECONDS


def ist_day(at: Nanos) -> tuple[Nanos, Nanos]:
    """Midnight IST before a moment, or at it, and the next one."""
    midnight = midnight_seconds(ist_date(at))
    return midnight * _NANOS, (midnight + DAY_SECONDS) * _NANOS


def midnight_seconds(on: date) -> int:
    """00:00 IST of a date, in seconds since 1970 UTC."""
    return (on.toordinal() - _EPOCH_ORDINAL) * DAY_SECONDS - IST_SECONDS


_FULL: Final = "full"

_Phases = tuple[tuple[int, int, Phase], ...]
"""(from, to, phase) in seconds since midnight IST, in order of time."""


@dataclass(frozen=True, slots=True)
class _Hours:
    segment: Segment
    cas: bool | None
    """None: whether or not it has a closing auction."""
    since: date
    until: date
    phases: _Phases


@dataclass(frozen=True, slots=True)
class _Market:
    segments: frozenset[Segment]
    known: tuple[tuple[date, date], ...]
    holidays: dict[date, str]
    special: dict[date, tuple[str, _Phases | None]]
    """A session on a day without one, or out of hours: what it is, and its hours. `full`: the usual ones; otherwise
    None says that they were not announced."""
    hours: tuple[_Hours, ...]
    as_of: str
    source: str


@dataclass(frozen=True, slots=True)
class DayNews:
    """What a broker says of a day that is not like others, in one market."""

    on: date
    segment: Segment
    """Any of the market's."""
    name: str
    windows: tuple[Window, ...]
    """Its sessions, in seconds since midnight IST; empty: closed."""


class TradingCalendar:
    """Sessions and holidays of the Indian exchanges. Immutable after `parse`; answers are remembered."""

    def __init__(self, markets: tuple[_Market, ...], news: tuple[DayNews, ...] = ()) -> None:
        self.news = news
        """What a broker told and was taken over."""
        self._market: dict[Segment, _Market] = {}
        for market in markets:
            for segment in market.segments:
                if segment in self._market:
                    raise BadCalendar(f"Two calendars are on file for {segment}.")
                self._market[segment] = market
        self._days: dict[tuple[Segment, bool, int], _Phases | None] = {}

    @classmethod
    def parse(cls, *texts: str) -> TradingCalendar:
        """The calendar from the text of one file per market. Raises BadCalendar."""
        try:
            return cls(tuple(_market(json.loads(text)) for text in texts))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadCalendar("A calendar file cannot be read.", detail=f"{type(error).__name__}: {error}") from error

    def with_news(self, news: Iterable[DayNews], today: date) -> tuple[TradingCalendar, tuple[DayNews, ...]]:
        """The same calendar with what a broker knows better, and which of it that was.

        Hours that are on file stand; a broker's fill in sessions that were not announced or not known. That a day is
        closed is believed from tomorrow on: no word of a broker blinds a stop today.
        """
        changed = {id(market): market for market in self._market.values()}
        taken: list[DayNews] = []
        for one in news:
            market = self._market.get(one.segment)
            if market is None:
                continue
            market = changed[id(market)]
            told = _with_day(market, one, self.day_kind(one.on, one.segment), today)
            if told is not market:
                changed[id(self._market[one.segment])] = told
                taken.append(one)
        return (TradingCalendar(tuple(changed.values()), tuple(taken)) if taken else self), tuple(taken)

    def phase(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Phase:
        """What the segment is doing at a moment."""
        day, second = divmod(at // _NANOS + IST_SECONDS, DAY_SECONDS)
        phases = self._phases(segment, cas, day)
        if phases is None:
            return Phase.UNKNOWN
        for start, end, phase in phases:
            if start <= second < end:
                return phase
        return Phase.CLOSED

    def continuous_windows(self, segment: Segment, on: date, *, cas: bool = False) -> tuple[Window, ...] | None:
        """When it trades continuously on a date; empty when closed, None when that is not known."""
        phases = self._phases(segment, cas, on.toordinal() - _EPOCH_ORDINAL)
        return None if phases is None else _continuous(phases, on)

    def usual_windows(self, segment: Segment, on: date, *, cas: bool = False) -> tuple[Window, ...]:
        """By the hours on file for the date, or for the nearest one."""
        hours = self._market[segment].hours if segment in self._market else ()
        fitting = [row for row in hours if row.segment is segment and row.cas in (None, cas)]
        nearest = min(fitting, key=lambda row: max(row.since - on, on - row.until, timedelta()), default=None)
        return () if nearest is None else _continuous(nearest.phases, on)

    def candle_window(self, segment: Segment, on: date, *, cas: bool = False) -> Window | None:
        """Whose trades make candles: continuous trading and the closing auction; None without a known session."""
        phases = self._phases(segment, cas, on.toordinal() - _EPOCH_ORDINAL) or ()
        traded = [row for row in phases if row[2] in (Phase.CONTINUOUS, Phase.CLOSING_AUCTION)]
        midnight = midnight_seconds(on)
        return (midnight + traded[0][0], midnight + traded[-1][1]) if traded else None

    def day_kind(self, on: date, segment: Segment = Segment.EQUITY) -> DayKind:
        """Whether there is a session on a date."""
        market = self._market.get(segment)
        if market is None or not any(since <= on <= until for since, until in market.known):
            return DayKind.UNKNOWN
        if on in market.special:
            return DayKind.TRADING
        return DayKind.CLOSED if on.weekday() >= 5 or on in market.holidays else DayKind.TRADING

    def is_trading_day(self, on: date, segment: Segment = Segment.EQUITY) -> bool:
        """Whether there certainly is a session; False also when that is not known (see `day_kind`)."""
        return self.day_kind(on, segment) is DayKind.TRADING

    def next_trading_day(self, after: date, segment: Segment = Segment.EQUITY) -> date | None:
        """The first session's date later than `after`; None when it lies beyond the published lists."""
        day = after
        while True:
            day += timedelta(days=1)
            kind = self.day_kind(day, segment)
            if kind is not DayKind.CLOSED:
                return day if kind is DayKind.TRADING else None

    def session_start(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Nanos | None:
        """Start of continuous trading on the date of `at`; None without a known session."""
        windows = self.continuous_windows(segment, ist_date(at), cas=cas)
        return windows[0][0] * _NANOS if windows else None

    def session_end(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Nanos | None:
        """End of continuous trading on the date of `at`; None without a known session."""
        windows = self.continuous_windows(segment, ist_date(at), cas=cas)
        return windows[-1][1] * _NANOS if windows else None

    def why_closed(self, on: date, segment: Segment = Segment.EQUITY) -> str:
        """In words, for the trader; empty on a trading day."""
        kind = self.day_kind(on, segment)
        if kind is DayKind.TRADING:
            return ""
        if kind is DayKind.UNKNOWN:
            return f"no published calendar covers {on.isoformat()}"
        return self._market[segment].holidays.get(on, "weekend")

    def known_until(self, segment: Segment = Segment.EQUITY) -> date | None:
        """The last date that a published list covers."""
        market = self._market.get(segment)
        return max((until for _, until in market.known), default=None) if market else None

    def _phases(self, segment: Segment, cas: bool, day: int) -> _Phases | None:
        key = (segment, cas, day)
        try:
            return self._days[key]
        except KeyError:
            found = self._days[key] = self._find(segment, cas, date.fromordinal(_EPOCH_ORDINAL + day))
            return found

    def _find(self, segment: Segment, cas: bool, on: date) -> _Phases | None:
        kind = self.day_kind(on, segment)
        if kind is DayKind.UNKNOWN:
            return None
        if kind is DayKind.CLOSED:
            return ()
        market = self._market[segment]
        named, phases = market.special.get(on, (_FULL, None))
        if named != _FULL:
            return phases
        for hours in market.hours:
            if hours.segment is segment and hours.cas in (None, cas) and hours.since <= on <= hours.until:
                return hours.phases
        return None


def _continuous(phases: _Phases, on: date) -> tuple[Window, ...]:
    midnight = midnight_seconds(on)
    return tuple((midnight + start, midnight + end) for start, end, phase in phases if phase is Phase.CONTINUOUS)


def _with_day(market: _Market, news: DayNews, kind: DayKind, today: date) -> _Market:
    """The market with a day of a broker's; the same one where ours says as much or stands."""
    if not news.windows:
        if kind is not DayKind.TRADING or news.on <= today:
            return market
        special = {on: row for on, row in market.special.items() if on != news.on}
        return replace(market, holidays={**market.holidays, news.on: news.name}, special=special)
    named, phases = market.special.get(news.on, (_FULL, None))
    announced = kind is DayKind.TRADING and (named == _FULL or phases is not None)
    if announced or kind is DayKind.UNKNOWN or news.on < today:
        return market
    hours = tuple((start, end, Phase.CONTINUOUS) for start, end in sorted(news.windows))
    return replace(market, special={**market.special, news.on: (news.name, hours)})


class AlwaysOpen:
    """The calendar of a market that never closes, such as the paper exchange's random one."""

    def phase(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Phase:
        """Always CONTINUOUS."""
        del segment, at, cas
        return Phase.CONTINUOUS

    def continuous_windows(self, segment: Segment, on: date, *, cas: bool = False) -> tuple[Window, ...]:
        """Midnight to midnight."""
        del segment, cas
        start = midnight_seconds(on)
        return ((start, start + DAY_SECONDS),)

    def usual_windows(self, segment: Segment, on: date, *, cas: bool = False) -> tuple[Window, ...]:
        """Midnight to midnight."""
        return self.continuous_windows(segment, on, cas=cas)

    def candle_window(self, segment: Segment, on: date, *, cas: bool = False) -> Window | None:
        """Midnight to midnight."""
        del segment, cas
        start = midnight_seconds(on)
        return (start, start + DAY_SECONDS)

    def day_kind(self, on: date, segment: Segment = Segment.EQUITY) -> DayKind:
        """Always TRADING."""
        del on, segment
        return DayKind.TRADING

    def session_start(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Nanos | None:
        """Midnight IST before `at`."""
        del segment, cas
        return ist_day(at)[0]

    def session_end(self, segment: Segment, at: Nanos, *, cas: bool = False) -> Nanos | None:
        """Midnight IST after `at`."""
        del segment, cas
        return ist_day(at)[1]


def _market(data: Any) -> _Market:
    segments = frozenset(Segment(name) for name in data["segments"])
    hours = tuple(
        _Hours(
            Segment(row["segment"]),
            row.get("cas"),
            date.fromisoformat(row["from"]),
            date.fromisoformat(row["to"]) if row["to"] else date.max,
            _phases(row["phases"]),
        )
        for row in data["hours"]
    )
    if {row.segment for row in hours} != segments:
        raise ValueError("hours and segments differ")
    special = {
        date.fromisoformat(text): (str(row["kind"]), None if row["phases"] is None else _phases(row["phases"]))
        for text, row in data["special"].items()
    }
    return _Market(
        segments=segments,
        known=tuple((date.fromisoformat(since), date.fromisoformat(until)) for since, until in data["known"]),
        holidays={date.fromisoformat(text): str(name) for text, name in data["holidays"].items()},
        special=special,
        hours=hours,
        as_of=str(data["as_of"]),
        source=str(data["source"]),
    )


def _phases(rows: Any) -> _Phases:
    phases: list[tuple[int, int, Phase]] = []
    for start, end, name in rows:
        phases.append((_second(start), _second(end), Phase(name)))
        if phases[-1][0] >= phases[-1][1] or (len(phases) > 1 and phases[-2][1] > phases[-1][0]):
            raise ValueError(f"{start} to {end} is out of order")
    return tuple(phases)


def _second(text: str) -> int:
    clock = time.fromisoformat(text)
    return clock.hour * 3600 + clock.minute * 60 + clock.second
