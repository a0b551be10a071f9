"""Positions, the book, the day's curve and sync as the window asks for them. Loop thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal

from app.analytics.charge_table import ChargesUnknown
from app.desk.messages import CurvePoint, SyncRun, SyncSummary, TradePage
from app.desk.sync import SyncDesk
from app.desk.workspace import Workspace
from app.domain.calendar import ist_date, midnight_seconds
from app.domain.errors import AppError
from app.domain.ids import AccountId, Nanos
from app.domain.money import Price
from app.domain.portfolio import Funds, Holding, Position, PositionKey
from app.runtime.clock import SECOND

log = logging.getLogger(__name__)

CURVE_SECONDS = 5.0
"""Real seconds between two points of the day's P&L curve."""


class PortfolioDesk:
    """Implements `desk.api.PortfolioVerbs`."""

    def __init__(self, workspace: Workspace, sync: SyncDesk) -> None:
        self._workspace = workspace
        self._sync = sync

    async def positions(self) -> Sequence[Position]:
        """As last read, all accounts; closed ones of today with quantity 0."""
        return [p for desk in self._workspace.accounts.values() for p in desk.positions]

    async def holdings(self) -> Sequence[Holding]:
        """Shares in demat."""
        return [h for desk in self._workspace.accounts.values() for h in desk.books.holdings]

    async def funds(self) -> Sequence[Funds]:
        """Cash and margin."""
        return [desk.books.funds for desk in self._workspace.accounts.values() if desk.books.funds is not None]

    async def break_even(self, position: PositionKey) -> Price | None:
        """The price at which closing nets zero after all charges."""
        desk = self._workspace.account(position.account)
        held = next((p for p in desk.positions if p.key == position), None)
        if held is None or held.quantity == 0:
            return None
        try:
            return desk.outcome(held).break_even()
        except ChargesUnknown as failure:
            log.info("no break-even of %s: %s", position.instrument, failure.cause)
            return None

    async def trades(
        self,
        *,
        text: str = "",
        account: AccountId | None = None,
        since: Nanos | None = None,
        offset: int = 0,
        limit: int = 500,
    ) -> TradePage:
        """Trades newest first, with totals over the whole selection."""
        found = await self._workspace.book.trades.page(text, account, since, offset, limit)
        charges = Decimal(found.charges) / 100
        return TradePage(tuple(found.rows), found.total, found.gross, charges, found.net, found.unsized)

    async def day_curve(self) -> Sequence[CurvePoint]:
        """Today's points, all accounts added up."""
        desks = list(self._workspace.accounts.values())
        if not desks:
            return []
        midnight = min(midnight_seconds(ist_date(desk.clock.now())) for desk in desks) * SECOND
        last: dict[AccountId, tuple[int, int]] = {}
        points: list[CurvePoint] = []
        for row in await self._workspace.book.curve.since(None, midnight):
            last[row.account] = (row.gross, row.net)
            point = CurvePoint(row.at, sum(v[0] for v in last.values()), sum(v[1] for v in last.values()))
            points.append(point)
        return points

    async def sync(self, account: AccountId | None = None, trigger: str = "manual") -> SyncSummary:
        """One click brings everything home (C1). Raises Denied when there is nothing to sync."""
        return await self._sync.run(account, trigger)

    async def cancel_sync(self) -> None:
        """Ends what still reads."""
        await self._sync.cancel()

    async def sync_log(self, limit: int = 200) -> Sequence[SyncRun]:
        """Newest first."""
        return await self._sync.log(limit)

    async def keep_curve(self) -> None:
        """Writes the day's curve while any account is live. Runs until cancelled."""
        written: dict[AccountId, tuple[int, int]] = {}
        while True:
            await asyncio.sleep(CURVE_SECONDS)
            for desk in list(self._workspace.live()):
                point = desk.day.now()
                if point is None or written.get(desk.account) == point:
                    continue
                written[desk.account] = point
                try:
                    await self._workspace.book.curve.append(desk.account, desk.clock.now(), *point)
                except AppError as failure:
                    log.warning("a point of the day's curve was not written: %s", failure)
