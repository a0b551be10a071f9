"""What stops need to know of the world around their account. The desk implements it; the engine stays free of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

from app.domain.ids import InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.portfolio import Holding, PositionKey
from app.domain.stop import TimeExit, Trail


class Surroundings(Protocol):
    """Asked on the loop thread, never between breach and write."""

    def break_even(self, key: PositionKey) -> Price | None:
        """Where closing a position nets zero after all charges; None where charges are not known."""
        ...

    async def average_range(self, instrument: Instrument, trail: Trail) -> Fraction:
        """Wilder's average true range now, in minor units. Raises AppError."""
        ...

    def exit_at(self, instrument: Instrument, plan: TimeExit, after: Nanos) -> Nanos:
        """When a time exit comes. Raises Denied where that is never."""
        ...

    def continuous(self, instrument: InstrumentId, at: Nanos) -> bool:
        """Whether an instrument trades continuously at a moment."""
        ...

    def stand_in(self, underlying: Instrument) -> Instrument | None:
        """The nearest future of an index."""
        ...

    async def distance(self, index: Instrument, future: Instrument) -> Price | None:
        """How far a future was from its index when that last traded continuously, by the broker's record; None where
        it says nothing. Raises AppError."""
        ...

    async def price_at(self, instrument: Instrument, at: Nanos) -> Price | None:
        """What the broker's record says that an instrument traded at; None where it says nothing. Raises AppError."""
        ...

    def holding(self, key: PositionKey) -> Holding | None:
        """Shares in demat, as last read."""
        ...
