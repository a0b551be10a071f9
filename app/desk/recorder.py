"""Records the ticks of open positions, and of what the trader named besides (B6). Loop thread only.

It hears what the window hears, after the stops were checked: a bus event of conflated ticks. A minute's ticks go to
the book as one compressed block an instrument.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from app.desk.data_messages import UpkeepSettings
from app.desk.workspace import Workspace
from app.domain.errors import AppError
from app.domain.events import Level, Noticed, TicksConflated
from app.domain.ids import InstrumentId
from app.domain.market import Tick
from app.runtime.clock import SystemClock
from app.storage.ticks import TickBlock, packed

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
FLUSH_LOOKS = 12
"""A block a minute."""
FULL = 256 * 1024
"""Bytes of one instrument that are written before the minute is over."""


class TickRecorder:
    """`subscribe` asks the feed for instruments that nobody holds."""

    def __init__(
        self, workspace: Workspace, subscribe: Callable[[str, Sequence[InstrumentId]], Awaitable[None]]
    ) -> None:
        self._workspace = workspace
        self._subscribe = subscribe
        self._wanted: frozenset[InstrumentId] = frozenset()
        self._also: tuple[InstrumentId, ...] = ()
        self._on = True
        self._rows: dict[InstrumentId, bytearray] = {}
        self._last: dict[InstrumentId, tuple[int | None, int, int | None]] = {}

    def heard(self, event: TicksConflated) -> None:
        """A handler of the bus."""
        for tick in event.ticks:
            if tick.instrument in self._wanted:
                self._keep(tick)

    async def follow(self, settings: UpkeepSettings) -> None:
        """What the trader set."""
        self._on = settings.record_ticks
        also = tuple(InstrumentId(name) for name in settings.record_also) if self._on else ()
        if also != self._also:
            self._also = also
            await self._subscribe("recorder", also)

    async def keep(self) -> None:
        """For as long as the profile is open."""
        looks = 0
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            if looks % FLUSH_LOOKS == 0 or any(len(rows) >= FULL for rows in self._rows.values()):
                await self.flush()

    def look(self) -> None:
        """Which positions are open now."""
        if not self._on:
            self._wanted = frozenset()
            return
        held = {p.key.instrument for desk in self._workspace.accounts.values() for p in desk.positions if p.quantity}
        self._wanted = frozenset(held | set(self._also))

    async def flush(self) -> None:
        """What was heard goes to the book. What cannot be written is said and lost: prices go on."""
        rows, self._rows = self._rows, {}
        blocks = [TickBlock(instrument, bytes(ticks)) for instrument, ticks in rows.items()]
        try:
            await self._workspace.book.ticks.put(blocks, SystemClock().now())
        except AppError as failure:
            self._workspace.publish(
                Noticed(
                    Level.WARNING,
                    "Ticks were not recorded",
                    failure.cause,
                    failure.next_step,
                    repeat_key="ticks not recorded",
                )
            )

    def _keep(self, tick: Tick) -> None:
        # The same instrument may come by the feeds of two accounts.
        same = (tick.exchange_time, tick.last_price, tick.volume)
        if self._last.get(tick.instrument) == same:
            return
        self._last[tick.instrument] = same
        self._rows.setdefault(tick.instrument, bytearray()).extend(packed(tick))
