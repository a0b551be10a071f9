"""How far the futures that stand in for indices are from them: as measured while both moved, or by the broker's record.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable

from app.domain.errors import AppError
from app.domain.events import Event, Level, Noticed
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.engine.surroundings import Surroundings
from app.runtime.clock import SECOND, AccountClock
from app.runtime.loop import Tasks

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0
"""Before a record that did not tell is asked again."""
HOUR: Nanos = 3600 * SECOND
FRESH = HOUR
"""What was measured longer ago decides too, and the record is asked for better."""
OLD = 96 * HOUR
"""A long weekend. What is older decides nothing: futures near their index as they end."""

Pair = tuple[InstrumentId, InstrumentId]
"""Index and future."""


class Distances:
    """Of one account, whichever stops look at them: one that is moved does not forget what was measured."""

    def __init__(
        self,
        account: AccountId,
        around: Surroundings,
        clock: AccountClock,
        known: Callable[[InstrumentId], Instrument],
        publish: Callable[[Event], None],
        tasks: Tasks,
    ) -> None:
        self._account = account
        self._around = around
        self._clock = clock
        self._known = known
        self._publish = publish
        self._tasks = tasks
        self._apart: dict[Pair, tuple[Price, Nanos]] = {}
        """With when that was so."""
        self._not_before: dict[Pair, float] = {}
        """When the record may be asked again."""
        self._told: set[Pair] = set()

    def of(self, pair: Pair) -> Price | None:
        """Future less index; None: nobody saw both move, and the record has not told."""
        known = self._apart.get(pair)
        return None if known is None else known[0]

    def measured(self, pair: Pair, distance: Price) -> None:
        """Both move."""
        self._apart[pair] = (distance, self._clock.now())

    def seek(self, pairs: Iterable[Pair]) -> None:
        """Asks the record about those of them that matter now and that are not known. Call it every second."""
        now, long_ago = asyncio.get_running_loop().time(), self._clock.now() - OLD
        self._apart = {pair: known for pair, known in self._apart.items() if known[1] > long_ago}
        self._told.difference_update(self._apart)
        for pair in set(pairs):
            if now >= self._not_before.get(pair, 0.0) and self._is_lost(pair):
                self._not_before[pair] = math.inf
                self._tasks.start(self._ask(pair), f"distance of {pair[1]} from {pair[0]}")

    def _is_lost(self, pair: Pair) -> bool:
        """The future is to decide now, and where the index would be is not known."""
        now, known = self._clock.now(), self._apart.get(pair)
        if known is not None and now - known[1] < FRESH:
            return False
        index, future = pair
        return not self._around.continuous(index, now) and self._around.continuous(future, now)

    async def _ask(self, pair: Pair) -> None:
        try:
            distance = await self._around.distance(*map(self._known, pair))
            why = "the broker's record has no minute in which both traded."
        except AppError as failure:
            distance, why = None, failure.cause
        finally:
            self._not_before[pair] = asyncio.get_running_loop().time() + AGAIN_SECONDS
        if distance is not None:
            self.measured(pair, distance)
            self._found(pair)
        else:
            log.info("distance of %s from %s: %s", pair[1], pair[0], why)
            self._tell(pair, why)

    def _tell(self, pair: Pair, why: str) -> None:
        """Once, until it is known."""
        if pair in self._told or pair in self._apart:
            return
        self._told.add(pair)
        index, future = pair
        self._publish(
            Noticed(
                Level.WARNING,
                f"Nothing stands in for {index}",
                f"{index} stands still now, and how far {future} is from it is not known: {why}",
                "The record is asked again and again. Until it tells, stops on this index leave by the option's own"
                " level alone, where they have one. To get out now, exit by hand.",
                self._account,
                f"stand-in:{self._account}:{index}",
            )
        )

    def _found(self, pair: Pair) -> None:
        if pair not in self._told:
            return
        self._told.remove(pair)
        index, future = pair
        self._publish(
            Noticed(
                Level.INFO,
                f"{future} stands in for {index}",
                "How far it is from the index is known now: it decides while the index stands still.",
                "",
                self._account,
                f"stand-in found:{self._account}:{index}",
            )
        )
