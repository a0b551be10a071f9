"""What the stops of one account ask about charges, candles, hours and holdings. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from app.analytics.average_range import average_true_range
from app.analytics.charge_table import ChargesUnknown
from app.brokers.base import CandleSource
from app.desk.hours import TradingHours
from app.desk.outcome import Outcome
from app.domain.calendar import ist_date
from app.domain.errors import Denied
from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.market import Candle, Interval
from app.domain.money import Price
from app.domain.portfolio import Holding, Position, PositionKey
from app.domain.stop import TimeExit, Trail
from app.engine.account import AccountState
from app.market.underlyings import Underlyings
from app.runtime.clock import SECOND, AccountClock

log = logging.getLogger(__name__)

DAYS_BACK = {
    Interval.MINUTE: 4,
    Interval.MINUTES_3: 6,
    Interval.MINUTES_5: 10,
    Interval.MINUTES_15: 20,
    Interval.MINUTES_30: 40,
    Interval.HOUR: 60,
    Interval.DAY: 400,
}
"""Candles that an average range is worked out of: enough that where it began does not matter."""
HOUR: Nanos = 3600 * SECOND
DAY: Nanos = 24 * HOUR
LOOK_BACK: Nanos = 5 * DAY


class StopSurroundings:
    """Implements `engine.surroundings.Surroundings`."""

    def __init__(
        self,
        state: AccountState,
        clock: AccountClock,
        hours: TradingHours,
        underlyings: Underlyings,
        outcome: Callable[[Position], Outcome],
    ) -> None:
        self._state = state
        self._clock = clock
        self._hours = hours
        self._underlyings = underlyings
        self._outcome = outcome
        self.sells_freely = False
        """The broker may sell the client's shares without an authorisation of the day."""
        self._ranges: dict[tuple[InstrumentId, Interval], tuple[int, tuple[Candle, ...]]] = {}
        """(number of the candle that ran when it was read, candles)."""
        self._reading: dict[tuple[InstrumentId, Interval], asyncio.Lock] = {}

    def break_even(self, key: PositionKey) -> Price | None:
        """By today's charges."""
        reading = self._state.reading
        position = None if reading is None else reading.find(key)
        if position is None or position.quantity == 0:
            return None
        try:
            return self._outcome(position).break_even()
        except (ChargesUnknown, Denied) as failure:
            log.info("no break-even of %s: %s", key.instrument, failure.cause)
            return None

    async def average_range(self, instrument: Instrument, trail: Trail) -> Fraction:
        """Of the candles that are over. Raises AppError; Denied where there are too few."""
        candles = await self._candles(instrument, trail.interval)
        found = average_true_range(candles, trail.period)
        if found is None or found <= 0:
            raise Denied(
                f"{instrument.symbol} has only {len(candles)} candles of this length, the average needs more than"
                f" {trail.period}.",
                "Choose a shorter candle or a shorter average.",
            )
        return found

    async def _candles(self, instrument: Instrument, interval: Interval) -> tuple[Candle, ...]:
        """One reading serves all stops of an instrument until its next candle is over."""
        key = (instrument.id, interval)
        async with self._reading.setdefault(key, asyncio.Lock()):
            now = self._clock.now()
            running = now // SECOND // int(interval)
            read_at, candles = self._ranges.get(key, (-1, ()))
            if read_at != running:
                start = now - DAYS_BACK.get(interval, 10) * DAY
                found = await self._record.candles(instrument, interval, start, now)
                candles = tuple(c for c in found if c.start + int(interval) * SECOND <= now)
                self._ranges[key] = (running, candles)
            return candles

    @property
    def _record(self) -> CandleSource:
        """The broker's record of prices. Raises SessionExpired, Denied."""
        session = self._state.session
        if not isinstance(session, CandleSource):
            raise Denied("This broker keeps no candles.", "Choose a stop that does without.")
        return session

    def exit_at(self, instrument: Instrument, plan: TimeExit, after: Nanos) -> Nanos:
        """By the exchange's calendar."""
        return self._hours.exit_at(instrument, plan, after)

    def continuous(self, instrument: InstrumentId, at: Nanos) -> bool:
        """By the exchange's calendar."""
        return self._hours.counts(instrument, at // SECOND, at)

    def stand_in(self, underlying: Instrument) -> Instrument | None:
        """The nearest future."""
        return self._underlyings.stand_in(underlying, ist_date(self._clock.now()))

    async def distance(self, index: Instrument, future: Instrument) -> Price | None:
        """By the closes of the last minute that both have: of the last hour where it has one, days are many minutes."""
        now = self._clock.now()
        for back in (HOUR, LOOK_BACK):
            of_index, of_future = [
                {one.start: one.close for one in await self._record.candles(each, Interval.MINUTE, now - back, now)}
                for each in (index, future)
            ]
            for minute in sorted(of_index.keys() & of_future.keys(), reverse=True):
                if self.continuous(index.id, minute):
                    return of_future[minute] - of_index[minute]
        return None

    async def price_at(self, instrument: Instrument, at: Nanos) -> Price | None:
        """Close of the minute; None where nothing was traded around it."""
        found = await self._record.candles(instrument, Interval.MINUTE, at - LOOK_BACK, at)
        return found[-1].close if found else None

    def holding(self, key: PositionKey) -> Holding | None:
        """Of delivery only. Who has signed over the sale of shares for good has all of them released."""
        held = self._state.delivery.of(key)
        if held is None or not self.sells_freely:
            return held
        return replace(held, authorised_quantity=held.quantity + held.used_quantity)
