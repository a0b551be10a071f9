"""The day's circuit limits of what is armed, read from the broker's quotes, so that no exit is priced outside of them.

Nothing waits for them: an exit whose limits are not known is priced without, and a refusal that names them teaches the
same. Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date

from app.brokers.parts import FullQuoteSource
from app.domain.calendar import ist_date
from app.domain.errors import AppError
from app.domain.ids import InstrumentId, StopId
from app.domain.instrument import Instrument
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState
from app.engine.pricing import Bounds
from app.engine.terms import ExitTerms
from app.engine.watching import Watching
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

GATHER_SECONDS = 1.0
"""Stops armed in one go cost one read; brokers take one request for quotes a second."""
AGAIN_SECONDS = 60.0
"""After a read that failed."""


class Circuits:
    """Reader of one account's circuit limits."""

    def __init__(
        self,
        state: AccountState,
        watching: Watching,
        terms: ExitTerms,
        stops: Mapping[StopId, Stop],
        known: Callable[[InstrumentId], Instrument],
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._watching = watching
        self._terms = terms
        self._stops = stops
        self._known = known
        self._tasks = tasks
        self._wanted: set[InstrumentId] = set()
        self._asked: dict[InstrumentId, date] = {}
        """On which day each was read: a contract without limits has none all day."""
        self._reading = False
        self._not_before = 0.0

    def want(self, stop: Stop) -> None:
        """A stop has changed: the limits of what it trades are read once a day."""
        if stop.state is StopState.ARMED:
            self._ask(stop.key.instrument)

    def of(self, instrument: InstrumentId) -> Bounds:
        """As far as they are known now; what is not known is asked for, for who asks again."""
        self._ask(instrument)
        return self._terms.bounds(instrument)

    def _ask(self, instrument: InstrumentId) -> None:
        if not self._state.active or self._asked.get(instrument) == ist_date(self._state.clock.now()):
            return
        self._wanted.add(instrument)
        if not self._reading and asyncio.get_running_loop().time() >= self._not_before:
            self._reading = True
            self._tasks.start(self._read(), f"circuit limits of {self._state.account}")

    async def _read(self) -> None:
        try:
            while self._wanted:
                await asyncio.sleep(GATHER_SECONDS)
                wanted, self._wanted = sorted(self._wanted), set()
                await self._read_these(wanted)
        except AppError as failure:
            self._not_before = asyncio.get_running_loop().time() + AGAIN_SECONDS
            log.info("circuit limits of %s: %s", self._state.account, failure.cause)
        finally:
            self._reading = False

    async def _read_these(self, wanted: list[InstrumentId]) -> None:
        session = self._state.session
        if not isinstance(session, FullQuoteSource):
            return
        today = ist_date(self._state.clock.now())
        quotes = await session.quotes(wanted)
        for instrument in wanted:
            self._asked[instrument] = today
            quote = quotes.get(instrument)
            if quote is not None:
                self._terms.bound(instrument, Bounds(quote.lower_circuit or None, quote.upper_circuit or None))
        for stop in [stop for stop in self._stops.values() if stop.key.instrument in quotes]:
            current = self._stops[stop.id]
            if current.state is StopState.ARMED:
                self._watching.reprice(current, self._known(current.key.instrument))
            await asyncio.sleep(0)  # hundreds of stops may not hold up the next frame
