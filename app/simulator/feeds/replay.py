"""Recorded days, played again by the exchange's clock: every recorded price at its time, none left out.

One tape per instrument; the tapes of one replay are merged by time. Several days are played in order, the clock leaps
over the nights between them. When the tapes end, prices stand still.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from app.simulator import candles
from app.simulator.candles import Bar, day_start, local_day
from app.simulator.listing import Listing, Listings
from app.simulator.quote import Quote

if TYPE_CHECKING:
    from app.simulator.market import Market

LEAD_IN = 10.0
"""Exchange seconds between the clock's start and the first price."""


class Event(NamedTuple):
    """One recorded change of one instrument."""

    at: float
    token: int
    what: object
    """Known to its tape."""


class Tape(Protocol):
    """The recording of one instrument."""

    listing: Listing
    """As on the recording's first day; `previous_close` is where its first quote stands."""

    @property
    def past(self) -> Sequence[Bar]:
        """All bars it knows, ascending, those that it plays included."""
        ...

    @property
    def first(self) -> float:
        """Time of the first event."""
        ...

    @property
    def last(self) -> float:
        """Time of the last one, or later."""
        ...

    def events(self, since: float) -> Iterator[Event]:
        """Those at or after a moment, ascending."""
        ...

    def play(self, market: Market, quote: Quote, event: Event) -> None:
        """Applies one to quote and bars."""
        ...


class Replay:
    """A feed of tapes."""

    always_open = False
    keeps_past = True

    def __init__(self, tapes: Sequence[Tape]) -> None:
        if not tapes:
            raise ValueError("nothing to replay: no recording was found")
        self._tapes = {tape.listing.token: tape for tape in tapes}
        if len(self._tapes) < len(tapes):
            raise ValueError("two files of the replay are recordings of the same instrument")
        self.listings = Listings(tape.listing for tape in tapes)
        self.start_at: float | None = min(tape.first for tape in tapes) - LEAD_IN
        self._end = max(tape.last for tape in tapes)
        self._events: Iterator[Event] = iter(())
        self._next: Event | None = None
        self._played = 0.0
        """Time of the last batch."""
        self._day = 0

    # -- set-up

    def begin(self, market: Market, at: float) -> None:
        """What the recording has of the clock's day up to now has happened already; earlier days are history."""
        if at > self._end:
            raise ValueError("the clock starts after the end of the recording: leave --clock out, or set it earlier")
        self._day = local_day(at)
        for token, tape in self._tapes.items():
            before = bisect_left(tape.past, (day_start(self._day),))
            if before:
                quote = market.quotes[token]
                quote.close = quote.last_price = tape.past[before - 1][4]
        self._rewind(day_start(self._day))
        while self._next is not None and self._next.at <= at:
            self._play_one(market)
        self._played = at

    def _rewind(self, since: float) -> None:
        self._events = heapq.merge(*(tape.events(since) for tape in self._tapes.values()), key=_when)
        self._next = next(self._events, None)

    # -- playing

    def next_at(self) -> float | None:
        """The next recorded moment."""
        return None if self._next is None else self._next.at

    def play(self, market: Market) -> list[Quote]:
        """All that happened at the next moment; a second event of the same instrument waits for the next batch."""
        changed: dict[int, Quote] = {}
        while self._next is not None:
            if changed and (self._next.at > self._played or self._next.token in changed):
                break
            self._played = self._next.at
            quote = self._play_one(market)
            changed[quote.listing.token] = quote
        self._day = local_day(self._played)
        return list(changed.values())

    def _play_one(self, market: Market) -> Quote:
        event = self._next
        assert event is not None  # noqa: S101 - both callers looked
        quote = market.quotes[event.token]
        self._tapes[event.token].play(market, quote, event)
        self._next = next(self._events, None)
        return quote

    def jumped(self, market: Market, at: float) -> None:
        """Forwards: what was leapt over is played at once, in order. Backwards: prices wait for the clock."""

    def moved(self, quote: Quote) -> None:
        """The next recorded price follows whatever was set by hand."""

    # -- past and position

    def minutes(self, token: int, start: int, end: int) -> list[Bar]:
        """The recorded bars of days before the present one."""
        past = self._tapes[token].past
        return list(past[bisect_left(past, (start,)) : bisect_left(past, (min(end, day_start(self._day)),))])

    def days(self, token: int, start: int, end: int) -> list[Bar]:
        """The same, by days."""
        first = day_start(local_day(start + candles.DAY - 1))
        last = day_start(local_day(end - 1) + 1)
        return candles.aggregate(self.minutes(token, first, last), 0)

    def save(self) -> dict[str, object]:
        """The moment up to which it has played."""
        return {"kind": "replay", "played": self._played, "end": self._end, "tokens": sorted(self._tapes)}

    def load(self, saved: dict[str, object]) -> None:
        """Goes on after the saved moment. Raises ValueError when the recording is another one."""
        played = saved.get("played")
        if saved.get("kind") != "replay" or not isinstance(played, float):
            raise ValueError(
                "the saved market was not a replay: start with the feed it had, or with another folder of state"
            )
        if saved.get("tokens") != sorted(self._tapes) or saved.get("end") != self._end:
            raise ValueError(
                "the saved market belongs to another recording: start with that one, or with another folder of state"
            )
        self._played = played
        self._day = local_day(played)
        self._rewind(played)
        while self._next is not None and self._next.at <= played:
            self._next = next(self._events, None)


def _when(event: Event) -> float:
    return event.at
