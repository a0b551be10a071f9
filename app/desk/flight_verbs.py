"""What the window asks of the flight recorder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from app.domain.flight import Flight, Latency
from app.domain.ids import StopId


class FlightVerbs(Protocol):
    """What happened around each exit, step by step."""

    async def recent(self, limit: int = 200) -> Sequence[Flight]:
        """The newest first; a FlightRecorded event brings each by itself."""
        ...

    async def one(self, stop: StopId) -> Flight | None:
        """Of one stop; None where nothing was recorded."""
        ...

    async def latency(self) -> Sequence[Latency]:
        """How fast the exits of each broker were."""
        ...

    async def export(self, path: Path, stops: Sequence[StopId] = ()) -> int:
        """These exits, or all, as JSON; how many. Raises Denied, StorageError."""
        ...
