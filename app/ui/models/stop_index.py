"""Stops by the position that they guard, and by the instruments that they look at. GUI thread."""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.ids import InstrumentId, StopId
from app.domain.portfolio import PositionKey
from app.domain.stop import Stop


class StopIndex:
    """Every stop as last kept."""

    def __init__(self) -> None:
        self._guards: dict[StopId, Stop] = {}
        self._guards_of: dict[PositionKey, dict[StopId, None]] = {}
        """Each may have a share of the position."""
        self._stops_in: dict[InstrumentId, set[StopId]] = {}

    def keep(self, stop: Stop) -> None:
        """A stop as it is now."""
        for looked_at in (stop.key.instrument, stop.plan.underlying or stop.key.instrument):
            self._stops_in.setdefault(looked_at, set()).add(stop.id)
        if not stop.state.is_final and stop.has_level:
            self._guards[stop.id] = stop
            self._guards_of.setdefault(stop.key, {})[stop.id] = None
        elif self._guards.pop(stop.id, None) is not None:
            del self._guards_of[stop.key][stop.id]

    def of(self, key: PositionKey) -> Stop | None:
        """The stop that now guards a position; of several the trader's own, else the oldest."""
        guards = [self._guards[stop] for stop in self._guards_of.get(key, ())]
        return next((stop for stop in guards if stop.strategy is None), guards[0] if guards else None)

    def looking_at(self, instruments: Iterable[InstrumentId]) -> list[StopId]:
        """Stops that look at any of these instruments, or are on it; ended ones too."""
        return [stop for instrument in instruments for stop in self._stops_in.get(instrument, ())]

    def armed(self) -> list[Stop]:
        """Stops that are being watched, or whose exit is under way."""
        return list(self._guards.values())
