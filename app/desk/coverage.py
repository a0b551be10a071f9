"""What protects each open position, worked out once a second and told when it changed. Loop thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal

from app.desk.account import AccountDesk
from app.desk.workspace import Workspace
from app.domain.coverage import Coverage, CoverageChanged, covering
from app.domain.gtt import Gtt
from app.domain.ids import AccountId
from app.domain.portfolio import Position
from app.engine.delivery import DELIVERED, is_sold_holding

AT_ONCE = 32
"""Positions looked at between two turns of the loop: some 0.2 ms."""
MOVED = Decimal(1)
"""Percent by which the money at risk must have moved before that alone is news."""


class CoverageWatch:
    """Publishes `CoverageChanged`."""

    def __init__(self, workspace: Workspace, gtts: Callable[[], Mapping[AccountId, tuple[Gtt, ...]]]) -> None:
        self._workspace = workspace
        self._gtts = gtts
        self._told: dict[AccountId, tuple[Coverage, ...]] = {}

    async def look(self) -> None:
        """Called with every beat. A few positions at a time, so that nothing waits for all of them."""
        for desk in list(self._workspace.accounts.values()):
            rows = []
            cover, left = self._cover(desk), _guardable(desk)
            for first in range(0, len(left), AT_ONCE):
                rows += [row for p in left[first : first + AT_ONCE] if (row := cover(p)) is not None]
                await asyncio.sleep(0)
            self._tell(desk, tuple(rows))

    def _tell(self, desk: AccountDesk, rows: tuple[Coverage, ...]) -> None:
        if _differs(self._told.get(desk.account, ()), rows):
            self._told[desk.account] = rows
            self._workspace.publish(CoverageChanged(desk.account, rows))

    def rows(self) -> tuple[Coverage, ...]:
        """All accounts, now."""
        found: list[Coverage] = []
        for desk in self._workspace.accounts.values():
            cover = self._cover(desk)
            found += [row for position in _guardable(desk) if (row := cover(position)) is not None]
        return tuple(found)

    def _cover(self, desk: AccountDesk) -> Callable[[Position], Coverage | None]:
        """None of a position that is closed."""
        ours = desk.stops.backstops.triggers
        numbers = ours.ids
        cover = covering(
            desk.stops.stops,
            live=desk.sees,
            backed=desk.stops.backstops.backed,
            orders=desk.state.orders.values(),
            gtts=[gtt for gtt in self._gtts().get(desk.account, ()) if gtt.id not in numbers],
            triggers=ours.backed,
            unwatched={stop.id for stop in desk.stops.unwatched()},
        )

        def row(position: Position) -> Coverage | None:
            if not position.quantity:
                return None
            return cover(position, desk.last_price(position.key.instrument) or position.last_price)

        return row


def _guardable(desk: AccountDesk) -> list[Position]:
    """Open positions, and of the holdings those that a stop guards. Shares sold out of a holding are no position."""
    reading = desk.state.reading
    if reading is None:
        return []
    guarded = {s.key for s in desk.stops.stops if s.key.product in DELIVERED and not s.state.is_final}
    whole = {key: shares for key in guarded if (shares := reading.find(key)) is not None}
    day = [p for p in reading.positions.values() if p.key not in whole and not is_sold_holding(p)]
    return [*day, *whole.values()]


def _differs(before: tuple[Coverage, ...], now: tuple[Coverage, ...]) -> bool:
    """Kinds and units always count; money only once it moved enough for anybody to read it."""
    if [(row.key, row.parts) for row in before] != [(row.key, row.parts) for row in now]:
        return True
    return any(abs(new.at_risk - old.at_risk) * 100 > MOVED * old.at_risk for old, new in zip(before, now, strict=True))
