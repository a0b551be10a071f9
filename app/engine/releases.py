"""Shares that the depository would not let go today: said when their stop is armed, and again each morning, not when
its exit is refused. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.calendar import ist_date
from app.domain.ids import StopId
from app.domain.order import Side
from app.domain.stop import Stop, StopState
from app.engine.account import AccountState, PositionReading
from app.engine.delivery import DELIVERED, unreleased
from app.engine.record import StopRecord
from app.engine.surroundings import Surroundings


class Releases:
    """One account's."""

    def __init__(
        self, state: AccountState, record: StopRecord, stops: Mapping[StopId, Stop], around: Surroundings
    ) -> None:
        self._state = state
        self._record = record
        self._stops = stops
        self._around = around
        self._told: dict[StopId, tuple[str, int]] = {}
        """Day and units of the last alarm of each stop."""
        state.on_positions.append(self._on_positions)

    def _on_positions(self, reading: PositionReading) -> None:
        for stop in self._stops.values():
            if stop.state is StopState.ARMED:
                self.look(stop, reading)

    def look(self, stop: Stop, reading: PositionReading) -> None:
        """Calls the trader once a day for each stop whose exit the depository would hold back."""
        holding = self._around.holding(stop.key) if stop.key.product in DELIVERED else None
        if holding is None or stop.side is not Side.SELL:
            return
        held_back = unreleased(holding, reading.bought_today(stop.key), stop.quantity)
        now = ist_date(self._state.clock.now()).isoformat(), held_back
        if not held_back:
            self._told.pop(stop.id, None)
        elif self._told.get(stop.id) != now:
            self._told[stop.id] = now
            self._record.alarm(
                stop,
                f"{held_back} of {stop.quantity} shares are not released for sale at the depository today.",
                "Authorise the sale (TPIN) in Holdings now: the exit would be refused.",
            )
