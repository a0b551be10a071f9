"""Whether a price is of now: by the exchange's own time in the packets, never by our clock alone.

After every (re)connect a feed first sends what it last knew of each instrument. That price may be from long ago; it is
judged by its exchange time against the newest that the feed has shown. From the second packet on an instrument speaks
for itself. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.domain.ids import Nanos

SECOND: Nanos = 1_000_000_000
FRESH_SECONDS = 5
"""A first packet that lags the feed by more is not of now. Packets carry whole seconds."""
UNKNOWN_SLACK_SECONDS = 60
"""The same before the feed has shown any time: then our clock judges, which may be off."""


class Freshness:
    """Of one account's guarding connection."""

    def __init__(self, now: Callable[[], Nanos]) -> None:
        self._now = now
        self._newest = 0
        """Exchange seconds."""
        self._lag: Nanos = 0
        """Our clock less the exchange's time when that was shown."""
        self.awaiting: set[int] = set()
        """Instruments of which nothing came since the connection was made."""

    def connected(self, tokens: Collection[int]) -> None:
        """A connection was made: the next packet of each is what the feed last knew."""
        self.awaiting.update(tokens)

    def saw(self, seconds: int) -> None:
        """The newest exchange time of a frame."""
        if seconds > self._newest:
            self._newest = seconds
            self._lag = self._now() - seconds * SECOND

    def counts(self, token: int, seconds: int) -> bool:
        """Whether a packet may decide a stop. Hot path, and only for a price beyond a level."""
        return token not in self.awaiting or self.is_now(seconds)

    def is_now(self, seconds: int) -> bool:
        """Whether that exchange time is of now."""
        if not self._newest:
            return seconds >= self._now() // SECOND - UNKNOWN_SLACK_SECONDS
        return seconds >= (self._now() - self._lag) // SECOND - FRESH_SECONDS
