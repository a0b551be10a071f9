"""Which ticks count, and whether silence is an alarm: the calendar as the engine and the feed ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from app.domain.calendar import AlwaysOpen, Calendar, DayKind, Window, ist_date, ist_ordinal, midnight_seconds
from app.domain.errors import Denied
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Instrument, Segment
from app.domain.stop import TimeExit
from app.market.lane import QUIET_SECONDS, SILENT_SECONDS

SECOND: Nanos = 1_000_000_000
SLACK = 60
"""Seconds by which our clock and the exchange's may differ, and by which a tick may be late."""
LAST = 60
"""A time exit comes so many seconds before the end of continuous trading at the latest: an order has to fill."""
DAYS_AHEAD = 15
"""Days that are looked through for the next session."""
_CANARIES = ((Segment.EQUITY, True), (Segment.EQUITY, False), (Segment.FUTURES, False), (Segment.OPTIONS, False))
"""While any of these trades, the canaries that every connection carries (indices) change within each second."""


class TradingHours:
    """Continuous trading of one account's instruments, by its exchange's calendar. Loop thread only."""

    def __init__(
        self,
        calendar: Calendar,
        instrument: Callable[[InstrumentId], Instrument | None],
        ends_in_auction: Callable[[Instrument], bool],
    ) -> None:
        self._calendar = self._published = calendar
        self._instrument = instrument
        self._ends_in_auction = ends_in_auction
        self._windows: dict[tuple[Segment, bool, int], tuple[Window, ...]] = {}
        self._sessions: dict[InstrumentId, Window] = {}
        """The one of each instrument that was asked for last."""
        self._kinds: dict[InstrumentId, tuple[Segment, bool]] = {}
        """What the hours of an instrument go by: its segment, and whether its day ends with the closing auction."""

    def ends_in_auction(self, instrument: Instrument) -> bool:
        """Whether its continuous trading ends with the closing auction."""
        return self._ends_in_auction(instrument)

    @property
    def calendar(self) -> Calendar:
        """The one that is followed now."""
        return self._calendar

    def follow(self, calendar: Calendar) -> None:
        """Another calendar from now on; a market that never closes goes on without one."""
        always_open = self._calendar is not self._published
        self._published = calendar
        if not always_open:
            self._calendar = calendar
            self.forget()

    def set_always_open(self, always_open: bool) -> None:
        """Whether a paper exchange closes at all."""
        if always_open is not isinstance(self._calendar, AlwaysOpen):
            self._calendar = AlwaysOpen() if always_open else self._published
            self.forget()

    def forget(self) -> None:
        """The calendar is another one, or what is known of the instruments."""
        self._windows.clear()
        self._sessions.clear()
        self._kinds.clear()

    def counts(self, instrument: InstrumentId, seconds: int, now: Nanos) -> bool:
        """Whether a tick of that exchange second may fire a stop now (F2).

        Its segment traded continuously then, and that session is still on: the snapshot which a feed sends before the
        opening is yesterday's last price, and no reason to sell.
        """
        # Hot path: who was asked before, as at the arming, is answered by four comparisons.
        session = self._sessions.get(instrument)
        if session is None or not session[0] <= seconds < session[1]:
            session = self._session(instrument, seconds)
            if session is None:
                return False
        return session[0] - SLACK <= now // SECOND < session[1] + SLACK

    def session(self, instrument: InstrumentId, now: Nanos) -> Window | None:
        """Its continuous session that is on, in epoch seconds."""
        return self._sessions[instrument] if self.counts(instrument, now // SECOND, now) else None

    def _session(self, instrument: InstrumentId, seconds: int) -> Window | None:
        kind = self._kind(instrument)
        if kind is None:
            return None
        windows = self._windows_of(*kind, ist_ordinal(seconds))
        found = next((window for window in windows if window[0] <= seconds < window[1]), None)
        if found is not None:
            self._sessions[instrument] = found
        return found

    def scheduled(self, instrument: Instrument, now: Nanos) -> bool:
        """Whether it trades continuously now by the published calendar, whatever a paper exchange's feed does."""
        cas = self._ends_in_auction(instrument)
        windows = self._published.continuous_windows(instrument.segment, ist_date(now), cas=cas)
        return any(start <= now // SECOND < end for start, end in windows or ())

    def exit_at(self, instrument: Instrument, plan: TimeExit, after: Nanos) -> Nanos:
        """When a time exit comes: within continuous trading, so before a closing auction, `LAST` seconds before its end
        at the latest. Raises Denied where that is never."""
        cas = self._ends_in_auction(instrument)
        first = plan.day or ist_date(after)
        for ordinal in range(first.toordinal(), first.toordinal() + (1 if plan.day is not None else DAYS_AHEAD)):
            day = date.fromordinal(ordinal)
            windows = self._windows_of(instrument.segment, cas, ordinal)
            if not windows:
                continue
            end = windows[-1][1]
            asked = end - plan.before_end * 60
            if plan.at is not None:
                asked = midnight_seconds(day) + plan.at.hour * 3600 + plan.at.minute * 60 + plan.at.second
            moment = max(windows[0][0], min(asked, end - LAST)) * SECOND
            if moment > after:
                return moment
        raise Denied("The time of the exit is over, or no session has it.", "Choose a later time or another day.")

    def next_day(self, after: date) -> date:
        """The first day later than this one that is not known to be closed."""
        for ordinal in range(after.toordinal() + 1, after.toordinal() + DAYS_AHEAD):
            day = date.fromordinal(ordinal)
            if self._calendar.day_kind(day) is not DayKind.CLOSED:
                return day
        return date.fromordinal(after.toordinal() + 1)

    def session_start(self, instrument: Instrument, at: Nanos) -> Nanos | None:
        """Start of the session in which a moment lies."""
        return self._calendar.session_start(instrument.segment, at, cas=self._ends_in_auction(instrument))

    def of_instrument(self, instrument: Instrument) -> Callable[[int], tuple[int, int] | None]:
        """For midnight IST of a day in epoch seconds: from when to when an instrument's ticks make candles."""
        cas = self._ends_in_auction(instrument)

        def hours(midnight: int) -> tuple[int, int] | None:
            day = ist_date(midnight * SECOND)
            window = self._calendar.candle_window(instrument.segment, day, cas=cas)
            if window is not None or self._calendar.continuous_windows(instrument.segment, day, cas=cas) is not None:
                return window
            usual = self._windows_of(instrument.segment, cas, day.toordinal())
            return (usual[0][0], usual[-1][1]) if usual else None

        return hours

    def trades(self, instrument: InstrumentId, at: Nanos) -> bool:
        """Whether it trades continuously now: then no price of it may be missed."""
        kind = self._kind(instrument)
        return kind is not None and self._continuous(*kind, at // SECOND)

    def patience(self, carried: Iterable[InstrumentId], at: Nanos) -> float | None:
        """Seconds for which a connection that carries these may bring nothing now before it counts as dead; None while
        its silence means nothing, for nothing that it carries trades."""
        seconds = at // SECOND
        if any(self._continuous(segment, cas, seconds) for segment, cas in _CANARIES):
            return SILENT_SECONDS
        kinds = {kind for kind in map(self._kind, carried) if kind is not None}
        return QUIET_SECONDS if any(self._continuous(segment, cas, seconds) for segment, cas in kinds) else None

    def _kind(self, instrument: InstrumentId) -> tuple[Segment, bool] | None:
        kind = self._kinds.get(instrument)
        if kind is None and (known := self._instrument(instrument)) is not None:
            kind = self._kinds[instrument] = known.segment, self._ends_in_auction(known)
        return kind

    def _continuous(self, segment: Segment, cas: bool, seconds: int) -> bool:
        ordinal = ist_ordinal(seconds)
        day = date.fromordinal(ordinal)
        if day.weekday() >= 5 and self._calendar.continuous_windows(segment, day, cas=cas) is None:
            return False  # no list covers that weekend: a tick there would count, but nobody waits for one
        return any(start <= seconds < end for start, end in self._windows_of(segment, cas, ordinal))

    def _windows_of(self, segment: Segment, cas: bool, ordinal: int) -> tuple[Window, ...]:
        key = (segment, cas, ordinal)
        windows = self._windows.get(key)
        if windows is None:
            windows = self._windows[key] = self._day(segment, cas, date.fromordinal(ordinal))
        return windows

    def _day(self, segment: Segment, cas: bool, day: date) -> tuple[Window, ...]:
        windows = self._calendar.continuous_windows(segment, day, cas=cas)
        if windows is not None:
            return windows
        # No published list covers the day. A fresh tick within the usual hours is itself a sign of trading, and a
        # stop that never fires because a list is old, or because there is none (currency), would be the worse mistake.
        return self._calendar.usual_windows(segment, day, cas=cas)
