"""Candles from ticks, longer candles from shorter ones, and history joined with today. Pure.

A tick belongs to the candle of its *trade* time. Measured on the recorded session of 2025-12-15 against the feed's own
minute candles (nine instruments, 3,160 minutes in common): by trade time the close agrees in 2,997 minutes, the volume
in 2,692, the open in 2,279; by receive time in 701, 231 and 594. The rest differs because the feed sends about one
update a second and not every trade: what traded between the last update of a minute and the first of the next is told
by the latter, so volume shifts to the neighbour and is never lost, and our high and low always lie inside theirs.

Volume is the difference of the day's cumulative volume between two ticks, and belongs to the later tick: what traded
while the feed was away is in the candle in which it is first seen. A cumulative volume that goes backwards is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from app.domain.market import Candle, Interval, Tick
from app.domain.money import Price

NANOS: Final = 1_000_000_000
_DAY: Final = 86_400
_IST: Final = 19_800
SESSION_OPEN: Final = 9 * 3600 + 15 * 60
"""Seconds after midnight IST from which Kite counts intraday candles of shares and equity derivatives; MCX: 09:00."""

TradingHours = Callable[[int], "tuple[int, int] | None"]
"""For midnight IST of a day in epoch seconds: (from, up to and not including) of the ticks that count; None: none do.
Intraday candles are then counted from there, as Kite does it on the odd day too (muhurat of 2025-10-21: from 13:45)."""


def bucket(at: int, interval: int, session_open: int = SESSION_OPEN) -> int:
    """Start of the candle that a moment belongs to, all in epoch seconds: as Kite counts, from the session's start.

    A day starts at midnight IST.
    """
    midnight = (at + _IST) // _DAY * _DAY - _IST
    if interval >= _DAY:
        return midnight
    opening = midnight + session_open
    return opening + (at - opening) // interval * interval


CLOCKS_APART = 60 * NANOS
"""How far the clock that stamps trades may be ahead of the one that stamps ticks."""


def trade_seconds(tick: Tick) -> int:
    """The epoch second by which a tick is counted: last trade, else exchange time, else when it was received.

    No trade is much later than the time of the tick itself: one that says so would end the day's candles.
    """
    traded, told = tick.last_trade_time, tick.exchange_time
    if traded and told and traded > told + CLOCKS_APART:
        traded = None
    return (traded or told or tick.received_at) // NANOS


class CandleBuilder:
    """Candles of one instrument and interval from its ticks, in order of arrival. One owner; holds one candle.

    * A tick of an earlier candle than the running one changes nothing and is counted in `late`; one of the running
      candle that is older than the newest moves high and low, not the close.
    * Ticks outside `hours` make no candle: a pre-open trade only moves the volume that the day began with, as in Kite's
      minute candles. Day candles take every tick.
    * The first tick of a day tells how much had been traded before; it counts as traded within its candle only when
      that is the session's first (nothing can have been missed but the pre-open) or a day candle.
    """

    __slots__ = (
        "_close",
        "_day_end",
        "_day_start",
        "_end",
        "_high",
        "_hours",
        "_interval",
        "_joined",
        "_low",
        "_newest",
        "_open",
        "_opening",
        "_session_open",
        "_since",
        "_start",
        "_until",
        "_volume",
        "_volume_seen",
        "late",
    )

    def __init__(
        self, interval: Interval, *, session_open: int = SESSION_OPEN, hours: TradingHours | None = None
    ) -> None:
        self._interval = int(interval)
        self._session_open = session_open
        self._hours = hours if interval < Interval.DAY else None
        self._start = self._end = 0
        self._open = self._high = self._low = self._close = self._volume = 0
        self._newest = 0
        self._day_start = self._day_end = 0
        self._since = self._until = self._opening = 0
        self._volume_seen: int | None = None
        self._joined: Candle | None = None
        self.late = 0
        """Ticks that came after their candle had closed."""

    def add(self, price: Price, at: int, volume: int | None = None) -> Candle | None:
        """One tick: last price, trade time in epoch seconds, the day's volume so far (None: the feed has none).

        Returns the candle that it closed, if any.
        """
        if not self._since <= at < self._until and not self._counts(at, volume):
            return None
        if at < self._start:
            self.late += 1
            return None
        closed: Candle | None = None
        if at >= self._end:
            closed = self.running
            self._begin(price, at)
        else:
            if price > self._high:
                self._high = price
            elif price < self._low:
                self._low = price
            if at >= self._newest:
                self._newest = at
                self._close = price
        if volume is not None:
            self._add_volume(volume)
        return closed

    def join(self, candle: Candle) -> None:
        """What the broker knows of the running candle: who begins to listen in the middle missed its first half."""
        start = candle.start // 1_000_000_000
        if self._end and start == self._start:
            self._take(candle)
        elif start >= self._start:
            self._joined = candle  # no tick of it came yet

    def _take(self, candle: Candle) -> None:
        self._open = candle.open
        self._high = max(self._high, candle.high)
        self._low = min(self._low, candle.low)
        self._volume = max(self._volume, candle.volume)

    def _begin(self, price: Price, at: int) -> None:
        interval = self._interval
        self._start = start = at - (at - self._opening) % interval if interval < _DAY else self._day_start
        self._end = start + interval
        self._open = self._high = self._low = self._close = price
        self._volume = 0
        self._newest = at
        if self._joined is not None and self._joined.start == start * 1_000_000_000:
            self._take(self._joined)
        self._joined = None

    def _add_volume(self, volume: int) -> None:
        seen = self._volume_seen
        if seen is None:
            if self._start in (self._opening, self._day_start):
                self._volume = volume
            self._volume_seen = volume
        elif volume > seen:
            self._volume += volume - seen
            self._volume_seen = volume

    def _counts(self, at: int, volume: int | None) -> bool:
        """For a tick outside the day's hours as known so far: begins the next day; true when it makes candles."""
        if at < self._day_start:
            self.late += 1
            return False
        if at >= self._day_end:
            self._new_day(at)
            if self._since <= at < self._until:
                return True
        if volume is not None and (self._volume_seen is None or volume > self._volume_seen):
            self._volume_seen = volume
        return False

    def _new_day(self, at: int) -> None:
        midnight = (at + _IST) // _DAY * _DAY - _IST
        self._day_start, self._day_end = midnight, midnight + _DAY
        self._volume_seen = None
        if self._hours is None:
            self._since, self._until = midnight, midnight + _DAY
            self._opening = midnight + self._session_open
        else:
            self._since, self._until = self._hours(midnight) or (midnight, midnight)
            self._opening = self._since

    def flush(self, now: int) -> Candle | None:
        """The running candle when its time is over at epoch second `now`; it is then closed."""
        if not self._end or now < self._end:
            return None
        closed = self.running
        # A later tick of the same interval is late: closed candles are not opened again.
        self._start = self._end
        self._end = 0
        return closed

    @property
    def running(self) -> Candle | None:
        """The candle as it stands."""
        if not self._end:
            return None
        return Candle(self._start * NANOS, self._open, self._high, self._low, self._close, self._volume)


def merge(history: Sequence[Candle], live: Sequence[Candle]) -> list[Candle]:
    """History and live candles, each oldest first, as one series: no candle twice, in order.

    The broker's record wins where both have a candle, except for its newest: that was still running when it was
    fetched, so it keeps the open, takes the wider high and low, the live close and the larger volume.
    """
    if not history:
        return list(live)
    last = history[-1]
    joined = list(history)
    for candle in live:
        if candle.start == last.start:
            joined[-1] = Candle(
                last.start,
                last.open,
                max(last.high, candle.high),
                min(last.low, candle.low),
                candle.close,
                max(last.volume, candle.volume),
            )
        elif candle.start > last.start:
            joined.append(candle)
    return joined
