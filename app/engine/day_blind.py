"""Without prices the portfolio stop decides nothing. That is said aloud, or a day with a limit would look guarded. Loop
thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.domain.day_stop import DayStop
from app.domain.events import Event
from app.engine import day_words

BLIND_SECONDS = 10.0
"""Until the trader is called: a stream that is dialled anew is back by then."""


class DayBlind:
    """Of one account's portfolio stop."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self.blind: Callable[[], bool] = _sees
        """Whether something that is open trades, and no price of it comes."""
        self._publish = publish
        self._since: float | None = None
        self._told = False

    def look(self, stop: DayStop) -> None:
        """Often."""
        if not stop.limits.any or stop.halted is not None or not self.blind():
            self._since = None
            if self._told:
                self._told = False
                self._publish(day_words.sees_again(stop))
            return
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if not self._told and now - self._since >= BLIND_SECONDS:
            self._told = True
            self._publish(day_words.blind(stop))


def _sees() -> bool:
    """Until somebody says otherwise."""
    return False
