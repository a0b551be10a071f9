"""What an account's day has won or lost by live prices, and when that may decide anything. Loop thread only."""

from __future__ import annotations

from collections.abc import Callable

from app.desk.hours import SECOND, TradingHours
from app.desk.outcome import paise
from app.domain.ids import InstrumentId
from app.domain.money import Paise, Price
from app.engine.account import AccountState

EARLY = 3600
"""Positions that were read so many seconds before a session, or later, are of its day: at night brokers still list the
day before."""


class DayFigures:
    """One account's day."""

    def __init__(
        self,
        state: AccountState,
        hours: TradingHours,
        last_price: Callable[[InstrumentId], Price | None],
        charges: Callable[[], Paise],
        live: Callable[[], bool],
    ) -> None:
        self._state = state
        self._hours = hours
        self._last_price = last_price
        self._charges = charges
        """Of today."""
        self._live = live
        """Whether the feed brings prices."""

    def now(self) -> tuple[Paise, Paise] | None:
        """(gross, net) of the day by live prices; None while positions are unknown or there are none."""
        reading = self._state.reading
        if reading is None or not reading.positions:
            return None
        rows = reading.positions.values()
        gross = sum(paise(p.day_pnl_at(self._last_price(p.key.instrument) or p.last_price)) for p in rows)
        return gross, gross - self._charges()

    def decisive(self) -> Paise | None:
        """Net, for the portfolio stop; None: nothing is decided. That is so without live prices, and while nothing that
        the account has traded or holds is traded: at night the figures are of the day before, before the opening they
        are made of prices at which nobody deals."""
        figures = self.now()
        return figures[1] if figures is not None and self._live() and self._trading() else None

    def blind(self) -> bool:
        """Something that is open trades, and the feed brings no prices."""
        reading, now = self._state.reading, self._state.clock.now()
        if reading is None or self._live():
            return False
        open_ = (key.instrument for key, p in reading.positions.items() if p.quantity and not p.sold_shares)
        return any(self._hours.session(instrument, now) is not None for instrument in open_)

    def _trading(self) -> bool:
        reading, now = self._state.reading, self._state.clock.now()
        if reading is None:
            return False
        sessions = (self._hours.session(key.instrument, now) for key in reading.positions)
        return any(session is not None and reading.read_at // SECOND >= session[0] - EARLY for session in sessions)
